"""JSON values and their text form, in one place.

``dump`` writes the compact text that the database and the wire carry; ``load`` reads it back. Both are
total over JSON values: what the fast codec refuses (integers over 64 bits) goes through the standard one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Set
from typing import Any

import orjson

# The one place where "any JSON value" is named. Nested JSON types help no checker here.
JsonValue = Any
JsonObject = dict[str, Any]

_OPTIONS = orjson.OPT_NON_STR_KEYS
# Every digit as a zero, everything else as a blank: a plain search is many times faster than a pattern.
_ZEROS = bytes(ord("0") if chr(code).isdigit() else ord(" ") for code in range(128)).ljust(256)
_LONG_DIGITS = b"0" * 19


def _default(value: object) -> object:
    """Turn containers that expressions and actions produce into JSON ones."""
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


def dump(value: JsonValue) -> str:
    """Return the JSON text of ``value``; containers that are not JSON become their nearest JSON form.

    Other objects are what their ``to_dict`` returns, if they have one, or else their text.
    """
    try:
        return orjson.dumps(value, default=_default, option=_OPTIONS).decode()
    except TypeError:
        return json.dumps(_standard(value), default=_default)


def load(text: str | bytes) -> JsonValue:
    """Return the value of a JSON text; whole numbers of any size stay exact. Raises ``ValueError``."""
    data = text.encode() if isinstance(text, str) else text
    # The fast codec makes floats of integers over 64 bits. So many digits in a row are rare.
    return json.loads(data) if _LONG_DIGITS in data.translate(_ZEROS) else orjson.loads(data)
