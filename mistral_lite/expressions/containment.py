"""Processes that evaluate what may not run in a thread of this one.

Owns their life: they are started when first needed, used by one evaluation at a time, and ended when they overrun
their limits, when the evaluator is gone and when the interpreter exits. They hold one socket, to this process; when
this process ends by other means they see that and end, too. What happens in such a process is the matter of ``worker.py``.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from mistral_lite.errors import EvaluationError, UnavailableError
from mistral_lite.expressions.base import EvaluationView, ExpressionSettings, ViewNotReady
from mistral_lite.expressions.channel import Channel, ChannelClosedError
from mistral_lite.expressions.limits import too_long
from mistral_lite.jsontext import JsonObject, JsonValue

Ask = Callable[[str, list[JsonValue], dict[str, JsonValue]], JsonValue]

# At once, for each evaluator.
_PROCESSES = 2
# Seconds by the clock, for a process that starts or waits for its turn on a busy machine.
_PATIENCE_S = 30.0
_DISMISSAL_S = 1.0
# JSON with every character escaped, and the frame around a result.
_ESCAPED = 6
_FRAME_BYTES = 1 << 20


class ContainedError(Exception):
    """An evaluation failed or was ended; the text is for the author of the expression.

    ``is_described``: it is the whole message already. ``used_s``: processor seconds.
    """

    def __init__(self, message: str, *, is_described: bool, used_s: float) -> None:
        super().__init__(message)
        self.is_described = is_described
        self.used_s = used_s


class Containment:
    """The processes of one evaluator. Safe to use from any number of threads."""

    def __init__(self, settings: ExpressionSettings, plugins: tuple[str, ...]) -> None:
        self._settings = settings
        self._hello: JsonObject = {"settings": asdict(settings), "plugins": plugins}
        self._slots = threading.BoundedSemaphore(_PROCESSES)
        self._busy = threading.local()
        self._idle: list[_Process] = []
        self._owner = os.getpid()
        weakref.finalize(self, _end_all, self._idle)

    def evaluate(
        self, text: str, context: JsonValue, view: EvaluationView | None, ask: Ask
    ) -> tuple[JsonValue, float]:
        """Return the result of ``text`` and the processor seconds that it took.

        ``ask`` answers what the process asks for. Raises ``ContainedError``, and what ``ask`` raises.
        """
        request: JsonObject = {"text": text, "context": context, "has_view": view is not None}
        if getattr(self._busy, "is_nested", False):
            # A plug-in evaluates in turn while its own evaluation holds a slot; it must not wait for itself.
            return self._evaluate(request, ask)
        with self._slots:
            self._busy.is_nested = True
            try:
                return self._evaluate(request, ask)
            finally:
                self._busy.is_nested = False

    def _evaluate(self, request: JsonObject, ask: Ask) -> tuple[JsonValue, float]:
        process = self._take()
        try:
            answer = process.evaluate(request, ask)
        except BaseException:
            process.end()
            raise
        if answer.get("is_last"):
            process.end()
        else:
            self._idle.append(process)
        used_s = float(answer["used_s"])
        if "error" in answer:
            raise ContainedError(str(answer["error"]), is_described=True, used_s=used_s)
        return answer["value"], used_s

    def _take(self) -> _Process:
        if self._owner != os.getpid():
            # After a fork: those processes are the parent's.
            self._owner = os.getpid()
            self._idle.clear()
        with suppress(IndexError):
            while True:
                process = self._idle.pop()
                if process.is_alive():
                    return process
                process.end()
        return _Process(self._settings, self._hello)


class _Process:
    """One process, and this end of its socket."""

    def __init__(self, settings: ExpressionSettings, hello: JsonObject) -> None:
        self._settings = settings
        ours, theirs = socket.socketpair()
        with theirs:
            self._popen = subprocess.Popen(  # noqa: S603 (our own module)
                [_interpreter(), "-P", "-m", "mistral_lite.expressions.worker"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Nothing of this process's own, which may hold passwords.
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        self._channel = Channel(ours, settings.max_result_bytes * _ESCAPED + _FRAME_BYTES)
        try:
            self._channel.send(hello)
        except ChannelClosedError:
            self.end()
            raise UnavailableError("The process that evaluates expressions does not start.") from None

    def evaluate(self, request: JsonObject, ask: Ask) -> JsonObject:
        """Return the last answer to ``request``, having answered its questions. Raises ``ContainedError``."""
        limit_s = self._settings.max_time_s
        try:
            self._channel.send(request)
            while True:
                answer = self._channel.receive(limit_s + _PATIENCE_S)
                if "ask" not in answer:
                    return answer
                self._channel.send(self._reply(answer, ask))
        except TimeoutError:
            raise ContainedError(too_long(limit_s), is_described=False, used_s=limit_s) from None
        except ChannelClosedError:
            raise self._death() from None

    def is_alive(self) -> bool:
        """Tell whether the process still runs; somebody may have ended it while it had nothing to do."""
        return self._popen.poll() is None

    def end(self) -> None:
        """End the process now."""
        self._channel.close()
        self._popen.kill()
        self._popen.wait()

    def _reply(self, question: JsonObject, ask: Ask) -> JsonObject:
        try:
            return {"value": ask(question["ask"], question["args"], question["kwargs"])}
        except (UnavailableError, ViewNotReady):
            # The caller is to fetch something first and ask again; the process can be used again.
            with suppress(TimeoutError, ChannelClosedError):
                self._channel.send({"dismissed": True})
                self._channel.receive(_DISMISSAL_S)
            raise
        except Exception as error:  # noqa: BLE001 - it is raised again where the question came from
            text = error.args[0] if isinstance(error, KeyError) and error.args else str(error)
            return {"raise": [type(error).__name__, str(text)]}

    def _death(self) -> ContainedError:
        """Return what to say of a process that ended in the middle of an evaluation."""
        limit_s = self._settings.max_time_s
        self._channel.close()
        try:
            status = self._popen.wait(_DISMISSAL_S)
        except subprocess.TimeoutExpired:
            status = 0
        if status == -signal.SIGPROF:
            return ContainedError(too_long(limit_s), is_described=False, used_s=limit_s)
        megabytes = self._settings.max_memory_bytes // 2**20
        return ContainedError(
            f"it ended the process that evaluates it, which may use {megabytes} MiB of memory; make it smaller",
            is_described=False,
            used_s=limit_s,
        )


def _interpreter() -> str:
    """Return the Python of this process; a server that embeds it has another name in ``sys.executable``."""
    if Path(sys.executable).name.startswith("python"):
        return sys.executable
    return str(Path(sys.exec_prefix) / "bin" / "python3")


def _end_all(idle: list[_Process]) -> None:
    while idle:
        idle.pop().end()


def answer_from(
    view: EvaluationView | None,
    plugins: Mapping[str, Callable[..., JsonValue]],
    context: JsonValue,
) -> Ask:
    """Return what answers the questions of a process from ``view`` and ``plugins``."""

    def ask(what: str, args: list[JsonValue], kwargs: dict[str, JsonValue]) -> JsonValue:
        if what.startswith("plugin:"):
            return plugins[what.removeprefix("plugin:")](context, *args, **kwargs)
        if view is None or what not in _QUESTIONS:
            raise EvaluationError("this is not available here")
        return getattr(view, what)(*args)

    return ask


_QUESTIONS = frozenset(
    {"environment", "execution", "executions", "task", "tasks", "global_variable", "new_uuid"}
)
