"""Actions from uploaded Python sources: the one place where code of users is run.

Each source gets a module of its own, kept by the hash of its text, so that a changed source never meets
objects of its former self and an unchanged one is compiled once.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections import OrderedDict
from types import ModuleType

from mistral_lib.actions import Action

from mistral_lite.errors import ActionError


class CodeSourceError(ActionError):
    """There is no action to be had from a code source."""


class _Slot:
    """The place of one module; its lock lets the first caller load it while others wait for that."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.module: ModuleType | None = None


class SourceLoader:
    """Finds action classes in sources; may be shared by threads. Keeps the last ``max_count`` modules."""

    def __init__(self, max_count: int = 200) -> None:
        self._max_count = max_count
        self._lock = threading.Lock()
        self._slots: OrderedDict[str, _Slot] = OrderedDict()

    def find_class(self, source_name: str, source_hash: str, content: str, class_name: str) -> type[Action]:
        """Return a class of a source. Raises ``CodeSourceError`` that names the source and the line of its fault."""
        slot = self._slot(source_hash)
        with slot.lock:
            if slot.module is None:
                slot.module = _load(source_name, source_hash, content)
            found = getattr(slot.module, class_name, None)
        if not isinstance(found, type):
            raise CodeSourceError(f"Code source '{source_name}' has no class '{class_name}'.")
        if not issubclass(found, Action):
            raise CodeSourceError(
                f"Class '{class_name}' of code source '{source_name}' is not a subclass of "
                "mistral_lib.actions.Action."
            )
        return found

    def _slot(self, source_hash: str) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault(source_hash, _Slot())
            self._slots.move_to_end(source_hash)
            while len(self._slots) > self._max_count:
                oldest, _ = self._slots.popitem(last=False)
                sys.modules.pop(_module_name(oldest), None)
        return slot


def _module_name(source_hash: str) -> str:
    return f"mistral_lite_code_source_{source_hash}"


def _load(source_name: str, source_hash: str, content: str) -> ModuleType:
    # Listed like an imported module, as dataclasses and pickle look their classes up there.
    name = _module_name(source_hash)
    module = ModuleType(name)
    module.__file__ = f"<code source {source_name}>"
    sys.modules[name] = module
    try:
        code = compile(content, module.__file__, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - what it is here for
    except BaseException as error:
        # Code of users may raise anything, also SystemExit.
        sys.modules.pop(name, None)
        raise CodeSourceError(
            f"Code source '{source_name}' cannot be loaded: {_text(error)} (line {_line(error, module.__file__)})."
        ) from error
    return module


def _line(error: BaseException, file: str) -> int:
    """Return the line of a source that an error came from, 1 if it came from nowhere in it."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno or 1
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return lines[-1] or 1 if lines else 1


def _text(error: BaseException) -> str:
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
