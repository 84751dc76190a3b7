"""One-line parameters: ``std.http url="..." method=GET`` to a name and its parameters.

The grammar is old and odd (no floats, no negatives, no bare words; leftovers vanish), and documents rely on
every oddity, so it is kept exactly, with one addition: an absolute URL needs no quotes, since the published
how-to writes ``std.mistral_http url=http://my.webservice.com``. Scanning is by hand, because the equivalent regular expression takes
quadratic time on hostile texts.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.loader import shorten

MAX_LITERAL_DEPTH = 100

# A name; or one YAQL or Jinja expression in its place.
_NAME = re.compile(r"""[\w.]+[^=(\s"]*|<%.*?%>|{{.*?}}|{%.*?%}""")
_KEY = re.compile(r"[-_\w]+")
_DIGITS = re.compile(r"\d+")
# An absolute URL up to the next blank. One with an expression in it needs quotes.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s<{]++(?![<{])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What was found in a text: its parameters, and the pieces that nothing was made of."""

    parameters: JsonObject
    ignored: tuple[str, ...]


def split(text: str) -> tuple[str, JsonObject]:
    """Return the name and the parameters of ``text``; without a blank the whole text is the name.

    Raises ``DefinitionError`` if the text does not start with a name.
    """
    if " " not in text:
        return text, {}
    return name_of(text), parse_parameters(text)


def name_of(text: str) -> str:
    """Return the name that ``text`` starts with. Raises ``DefinitionError`` if there is none."""
    if " " not in text:
        return text
    match = _NAME.match(text)
    if match is None:
        raise DefinitionError(
            f"Invalid action/workflow task property: '{shorten(text)}' does not start with a name; "
            "write the name, one blank, then key=value pairs"
        )
    return match.group()


def parse_parameters(text: str) -> JsonObject:
    """Return all ``key=value`` pairs anywhere in ``text``; a later key overrides an earlier one."""
    return scan(text).parameters


def leftovers(text: str) -> tuple[str, ...]:
    """Return the pieces of ``text`` behind its name that have no effect; ``text`` must have a name."""
    if " " not in text:
        return ()
    return scan(text, len(name_of(text))).ignored


def scan(text: str, start: int = 0) -> Scan:
    """Collect the parameters in ``text`` from position ``start`` on."""
    parameters: JsonObject = {}
    ignored: list[str] = []
    position = done = start
    values = _Values(text)
    while (key := _KEY.search(text, position)) is not None:
        position = key.end()
        if not text.startswith("=", position):
            continue
        end = values.end(position + 1)
        if end is None:
            continue
        parameters[key.group()] = _value(text[position + 1 : end])
        ignored.append(text[done : key.start()])
        position = done = end
    ignored.append(text[done:])
    return Scan(parameters=parameters, ignored=tuple(piece.strip() for piece in ignored if piece.strip()))


def json_literal(text: str) -> JsonValue:
    """Return the value of a JSON text. Raises ``ValueError`` if it is none or is nested too deeply."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if _is_deeper(value, MAX_LITERAL_DEPTH):
        raise ValueError("nested too deeply")
    return value


class _Values:
    """Finds where values of one text end; remembers what is absent, so that nobody can make it look again."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_end = -1
        self._absent: set[str] = set()
        self._absent_on_line: set[str] = set()
        self._last_bracket = -1

    def end(self, start: int) -> int | None:
        """Return where the value that starts at ``start`` ends, None if nothing there is a value."""
        text = self._text
        match text[start : start + 1]:
            case '"' | "'" as quote:
                return self._after(quote, start + 1)
            case "{" if text.startswith("{{", start):
                return self._after_on_line("}}", start + 2)
            case "<" if text.startswith("<%", start):
                return self._after_on_line("%>", start + 2)
            case "[":
                self._enter_line(start)
                return self._last_bracket + 1 if self._last_bracket > start else None
        for word in ("true", "false", "null"):
            if text.startswith(word, start):
                return start + len(word)
        found = _DIGITS.match(text, start) or _URL.match(text, start)
        return found.end() if found else None

    def _after(self, closing: str, start: int) -> int | None:
        found = -1 if closing in self._absent else self._text.find(closing, start)
        if found < 0:
            self._absent.add(closing)
            return None
        return found + len(closing)

    def _after_on_line(self, closing: str, start: int) -> int | None:
        self._enter_line(start)
        absent = closing in self._absent_on_line
        found = -1 if absent else self._text.find(closing, start, self._line_end)
        if found < 0:
            self._absent_on_line.add(closing)
            return None
        return found + len(closing)

    def _enter_line(self, position: int) -> None:
        if position <= self._line_end:
            return
        found = self._text.find("\n", position)
        self._line_end = found if found >= 0 else len(self._text)
        self._last_bracket = self._text.rfind("]", position, self._line_end)
        self._absent_on_line.clear()


def _value(text: str) -> JsonValue:
    if text[0] in "\"'":
        return text[1:-1]
    try:
        return json_literal(text)
    except ValueError:
        return text


def _is_deeper(value: JsonValue, levels: int) -> bool:
    if not isinstance(value, (list, dict)):
        return False
    if levels == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_is_deeper(item, levels - 1) for item in inner)
