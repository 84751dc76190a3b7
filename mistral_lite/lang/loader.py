"""YAML text of a definition to plain JSON values, hardened.

Owns: which YAML is accepted, limits on size and depth, where each key stands, duplicate keys. It does not
know what a workflow is.

Design note. Values are built from the parser's events, without recursion, so that a hostile text can exhaust
neither the stack nor (anchors being off) the memory. The C parser is about twenty times faster than the
Python one but reads ``&``, ``*`` and ``@`` as YAML wants, while this language reads them as ordinary text.
So the C parser goes first; once it meets an anchor, an alias or an error, the Python one starts over and has
the last word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import cast

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonObject, JsonValue

Path = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
# Longer ones are no numbers of this world; YAML's base 60 takes the square of their length.
_MAX_NUMBER_CHARS = 1000
_MERGE = f"{_TAG}merge"
_SCALAR_TAGS = frozenset(f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float", "timestamp"))
# Besides anchors, the two parsers disagree on tabs, byte order marks and a comment glued to a block header.
_DISPUTED = re.compile(r"[\t\ufeff]|[|>][-+\d]*#")
_TEXT_TAGS = frozenset(f"{_TAG}{kind}" for kind in ("str", "value", "merge"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a definition may be: characters of text, and levels of nesting.

    ``max_disputed_chars``: for a text that only the Python parser can read, which takes 10 s for a million.
    """

    max_chars: int = 1_048_576
    max_disputed_chars: int = 131_072
    max_depth: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A loaded text: its JSON value and what the value alone no longer shows.

    ``lines`` maps the path of a key or list item to its line, counted from 1. ``dates`` are the paths of
    unquoted dates (text in ``value``); ``odd_keys`` the paths of keys that were not text in YAML.
    """

    value: JsonValue
    lines: dict[Path, int] = field(default_factory=dict)
    duplicates: tuple[str, ...] = ()
    dates: frozenset[Path] = frozenset()
    odd_keys: frozenset[Path] = frozenset()

    def line(self, path: Path) -> int | None:
        """Return the line of ``path`` or of the nearest thing around it, None if that is the document."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return None


def load(text: str, limits: Limits | None = None) -> JsonObject:
    """Return the mapping that ``text`` holds; an empty text is an empty mapping.

    Raises ``DefinitionError`` if it is not YAML, holds something else, or is over a limit.
    """
    value = load_document(text, limits).value
    if not isinstance(value, dict):
        raise DefinitionError(
            f"Invalid DSL: the document is not of type 'object' but {describe(value)}; "
            "start it with the key 'version'"
        )
    return cast(JsonObject, value)


def load_document(text: str, limits: Limits | None = None) -> Document:
    """Return ``text`` loaded, with lines and oddities; falsy documents become an empty mapping.

    Raises ``DefinitionError`` if it is not YAML or is over a limit.
    """
    limits = limits or Limits()
    if len(text) > limits.max_chars:
        raise _unparsable(f"it has {len(text)} characters, {limits.max_chars} are allowed")
    try:
        return _Builder(limits).build(_fast_events(text))
    except _NotPlainError:
        if len(text) > limits.max_disputed_chars:
            raise _unparsable(
                f"it has {len(text)} characters, {limits.max_disputed_chars} are allowed unless it is plain YAML; look "
                "for mistakes, for tabs, and for '&', '*', '@' and '?' outside of quotes"
            ) from None
        return _Builder(limits).build(_python_events(text))


def load_value(text: str, limits: Limits | None = None) -> JsonValue:
    """Return whatever JSON value ``text`` holds. Raises ``DefinitionError`` as ``load_document`` does."""
    return load_document(text, limits).value


def find_duplicates(text: str) -> list[str]:
    """Return one sentence for each key that is written twice in one mapping, in document order."""
    return list(load_document(text).duplicates)


def describe(value: JsonValue) -> str:
    """Name the kind of ``value`` in the words of YAML, without its content."""
    if value is None:
        return "empty"
    for kinds, word in (
        (bool, "a boolean"),
        ((int, float), "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "a mapping"),
    ):
        if isinstance(value, kinds):
            return word
    return type(value).__name__


def _unparsable(reason: str) -> DefinitionError:
    return DefinitionError(f"Definition could not be parsed: {reason}")


class _PlainScanner(yaml.SafeLoader):
    """The Python parser with anchors, aliases and a leading ``@`` read as ordinary text."""

    def fetch_alias(self) -> None:
        self.fetch_plain()

    def fetch_anchor(self) -> None:
        self.fetch_plain()

    def check_plain(self) -> bool:
        return self.peek() == "@" or bool(super().check_plain())


class _NotPlainError(Exception):
    """The C parser met something on which it and the Python one may differ."""


def _fast_events(text: str) -> Iterator[yaml.Event]:
    loader = getattr(yaml, "CSafeLoader", None)
    if loader is None or _DISPUTED.search(text):
        raise _NotPlainError
    # And on question marks, inside flow collections.
    asks = "?" in text
    try:
        for event in yaml.parse(text, Loader=loader):
            if getattr(event, "anchor", None) or getattr(event, "tag", None) == "!":
                raise _NotPlainError
            if asks and getattr(event, "flow_style", False):
                raise _NotPlainError
            yield event
    except (yaml.YAMLError, UnicodeError) as error:
        raise _NotPlainError from error


def _python_events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_PlainScanner)
    except yaml.MarkedYAMLError as error:
        raise _unparsable(_marked(error)) from error
    except yaml.reader.ReaderError as error:
        raise _unparsable(
            f"the character #x{int(error.character):04x} is not allowed (position {error.position})"
        ) from error
    except yaml.YAMLError as error:
        raise _unparsable(str(error)) from error


def _marked(error: yaml.MarkedYAMLError) -> str:
    what = ", ".join(part for part in (error.context, error.problem) if part)
    mark = error.problem_mark or error.context_mark
    return f"{what} (line {mark.line + 1}, column {mark.column + 1})" if mark else what


class _Scalars(SafeConstructor, Resolver):
    """YAML 1.1 typing of scalars as PyYAML does it."""

    def __init__(self) -> None:
        SafeConstructor.__init__(self)
        Resolver.__init__(self)

    def tag_of(self, event: yaml.ScalarEvent) -> str:
        if event.tag is None or event.tag == "!":
            return str(self.resolve(yaml.ScalarNode, event.value, event.implicit))  # type: ignore[no-untyped-call]
        return str(event.tag)

    def value_of(self, tag: str, event: yaml.ScalarEvent) -> object:
        """Return the value of a scalar. Raises ``DefinitionError`` if its tag or its text is unusable."""
        if tag in _TEXT_TAGS:
            return event.value
        if tag not in _SCALAR_TAGS:
            raise _unsupported(tag, _line(event))
        node = yaml.ScalarNode(tag, event.value, None, None)
        try:
            if len(event.value) > _MAX_NUMBER_CHARS:
                raise ValueError
            return self.construct_object(node)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, yaml.YAMLError) as error:
            raise _unparsable(
                f"the value in line {_line(event)} does not fit its type "
                f"'{tag.removeprefix(_TAG)}'; quote it if it is meant as text"
            ) from error


def _line(event: yaml.Event) -> int:
    """Return the line of an event, counted from 1."""
    return event.start_mark.line + 1 if event.start_mark else 1


def _unsupported(tag: str, line: int) -> DefinitionError:
    return _unparsable(f"the tag '{tag}' in line {line} is not supported; remove it")


class _Frame:
    """A collection that is being built; ``key`` is the mapping key that waits for its value."""

    __slots__ = ("container", "is_merge", "key", "merges", "path", "waiting")

    def __init__(self, container: list[object] | dict[str, object], path: Path) -> None:
        self.container = container
        self.path = path
        self.key = ""
        self.waiting = False
        self.is_merge = False
        self.merges: list[dict[str, object]] = []

    def child_path(self) -> Path:
        step: str | int = len(self.container) if isinstance(self.container, list) else self.key
        return (*self.path, step)


class _Builder:
    """Turns parser events into one ``Document``."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._scalars = _Scalars()
        self._stack: list[_Frame] = []
        self._root: object = None
        self._documents = 0
        self._lines: dict[Path, int] = {}
        self._duplicates: list[str] = []
        self._dates: set[Path] = set()
        self._odd_keys: set[Path] = set()

    def build(self, events: Iterable[yaml.Event]) -> Document:
        for event in events:
            self._take(event)
        # YAML's many ways to say "nothing" are all an empty document; what it lacks is reported later.
        return Document(
            value=self._root or {},
            lines=self._lines,
            duplicates=tuple(self._duplicates),
            dates=frozenset(self._dates),
            odd_keys=frozenset(self._odd_keys),
        )

    def _take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent():
                self._open(event, {}, "map")
            case yaml.SequenceStartEvent():
                self._open(event, [], "seq")
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                frame = self._stack.pop()
                self._put(_merged(frame), _line(event))
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _unparsable(
                        f"expected a single document, another one starts in line {_line(event)}"
                    )

    def _open(
        self, event: yaml.CollectionStartEvent, container: list[object] | dict[str, object], kind: str
    ) -> None:
        line = _line(event)
        if event.tag not in (None, "!", f"{_TAG}{kind}"):
            raise _unsupported(str(event.tag), line)
        if len(self._stack) >= self._limits.max_depth:
            raise _unparsable(f"line {line} is nested deeper than {self._limits.max_depth} levels")
        path: Path = ()
        if self._stack:
            parent = self._stack[-1]
            if isinstance(parent.container, dict) and not parent.waiting:
                raise _unparsable(f"the key in line {line} is a collection; use a text")
            path = parent.child_path()
            if isinstance(parent.container, list):
                self._lines[path] = line
        self._stack.append(_Frame(container, path))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        tag = self._scalars.tag_of(event)
        value = self._scalars.value_of(tag, event)
        line = _line(event)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.container, dict) and not frame.waiting:
            self._key(frame, value, line, is_merge=tag == _MERGE)
            return
        if isinstance(value, date):
            if frame is not None:
                self._dates.add(frame.child_path())
            value = _date_text(value)
        self._put(value, line)

    def _key(self, frame: _Frame, value: object, line: int, *, is_merge: bool) -> None:
        frame.key = _key_text(value)
        frame.waiting = True
        frame.is_merge = is_merge
        path = frame.child_path()
        if not isinstance(value, (str, date)):
            self._odd_keys.add(path)
        if frame.key in frame.container:
            self._duplicates.append(
                f"line {line}: the key '{shorten(frame.key)}' is written again, first in line "
                f"{self._lines[path]}; only the last one counts"
            )
        self._lines[path] = line

    def _put(self, value: object, line: int) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            self._lines.setdefault(frame.child_path(), line)
            frame.container.append(value)
            return
        frame.waiting = False
        if frame.is_merge:
            frame.merges.extend(_mergeable(value, self._lines[frame.child_path()]))
        else:
            frame.container[frame.key] = value


def _mergeable(value: object, line: int) -> list[dict[str, object]]:
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, dict) for part in parts):
        raise _unparsable(
            f"the merge key '<<' in line {line} needs a mapping or a list of mappings; aliases are plain text here"
        )
    # Of several mappings the first one wins.
    return list(reversed(parts))


def _merged(frame: _Frame) -> object:
    if not frame.merges or isinstance(frame.container, list):
        return frame.container
    result: dict[str, object] = {}
    for part in frame.merges:
        result.update(part)
    result.update(frame.container)
    return result


def _key_text(value: object) -> str:
    """Return a mapping key as JSON would write it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return _date_text(value)
    return str(value)


def _date_text(value: date) -> str:
    if isinstance(value, datetime):
        # Wall-clock time as written, zone dropped: what existing workflows get to see.
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return value.isoformat()


def shorten(text: str, width: int = 60) -> str:
    """Return ``text`` on one line, cut to ``width`` characters for a message."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
