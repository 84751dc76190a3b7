"""Values as they look on the wire: JSON texts, JSON inside strings, times.

Numbers of any size and the order of keys survive; what a database or an expression could not carry later
(NaN, lone surrogates, absurd nesting) is refused at the door.
"""

from __future__ import annotations

import json
from datetime import MAXYEAR, UTC, datetime

from mistral_lite.jsontext import JsonValue, load

MAX_DEPTH = 200
# Of a time without its zone.
_TIME_LENGTH = len("YYYY-MM-DD HH:MM:SS")
_SPACED_ALREADY = frozenset({"{}", "[]", "null"})


def parse_json(text: str) -> JsonValue:
    """Return the value of a JSON text. Raises ``ValueError`` if it is none or cannot be carried."""
    try:
        value = load(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    return value


def json_text(value: JsonValue) -> str:
    """Return the JSON text of a value in the spacing that clients are used to."""
    return json.dumps(value)


def respaced(text: str | None) -> str | None:
    """Return a stored JSON text in the spacing that clients are used to."""
    if text is None or text in _SPACED_ALREADY:
        return text
    return json.dumps(load(text))


def time_text(value: datetime | None) -> str | None:
    """Return a time in UTC as ``YYYY-MM-DD HH:MM:SS``."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(" ", "seconds")[:_TIME_LENGTH]


def parse_time(text: str) -> datetime:
    """Return the time that a filter names, in UTC, without fractions. Raises ``ValueError``."""
    value = datetime.fromisoformat(text.strip())
    value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if value.year == MAXYEAR:
        raise ValueError("there must be a second after it")
    return value.replace(microsecond=0)


def _depth(value: JsonValue) -> int:
    depth = 0
    level = [value] if isinstance(value, (dict, list)) else []
    while level:
        depth += 1
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
    return depth
