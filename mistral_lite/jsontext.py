"""JSON values and their text form, in one place.

``dump`` writes the compact text that the database and the wire carry; ``load`` reads it back. Both are
total over JSON values: what the fast codec refuses (integers over 64 bits) goes through the standard one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Set
from typing import Any

import orjson

# The one place where "any JSON value" is named. Nested JSON types help no checker here.
JsonValue = Any
JsonObject = dict[str, Any]

_OPTIONS = orjson.OPT_NON_STR_KEYS
# Every digit as a zero, everything else as a blank: a plain search is many times faster than a pattern.
_ZEROS = bytes(ord("0") if chr(code).isdigit() else ord(" ") for code in range(128)).ljust(256)
_LONG_DIGITS = b"0" * 19
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def json_form(value: object) -> object:
    """Return the nearest JSON form of a container, of an object what its ``to_dict`` returns, or else its text."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Set, tuple)):
        return list(value)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if not isinstance(value, type) and callable(to_dict := getattr(value, "to_dict", None)):
        # What clients of OpenStack return, from actions of plug-ins.
        return to_dict()
    return str(value)


def _standard(value: object) -> object:
    """Replace what JSON or UTF-8 does not know (NaN, infinity, lone surrogates), as no reader takes it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_standard(key): _standard(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, Set)):
        return [_standard(member) for member in value]
    return value


def dump(value: JsonValue, default: Callable[[object], object] = json_form) -> str:
    """Return the JSON text of ``value``; ``default`` returns what stands for what JSON does not know."""
    try:
        return orjson.dumps(value, default=default, option=_OPTIONS).decode()
    except TypeError:
        return json.dumps(_standard(value), default=default)


def load(text: str | bytes) -> JsonValue:
    """Return the value of a JSON text; whole numbers of any size stay exact. Raises ``ValueError``.

    What cannot be written again as JSON is refused: NaN, floats beyond all bounds, halves of surrogate pairs.
    """
    data = text.encode() if isinstance(text, str) else text
    # The fast codec makes floats of integers over 64 bits. So many digits in a row are rare.
    return _load_exactly(data) if _LONG_DIGITS in data.translate(_ZEROS) else orjson.loads(data)


def _load_exactly(data: bytes) -> JsonValue:
    value = json.loads(data, parse_constant=_refuse_constant, parse_float=_finite)
    if _SURROGATE_ESCAPE.search(data):
        # Raises ValueError for a half, which is no character.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _refuse_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value
