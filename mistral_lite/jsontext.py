"""JSON values and their text form, in one place.

``dump`` writes the compact text that the database and the wire carry; ``load`` reads it back. Both are
total over JSON values: what the fast codec refuses (integers over 64 bits) goes through the standard one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any

import orjson

# The one place where "any JSON value" is named. Nested JSON types help no checker here.
JsonValue = Any
JsonObject = dict[str, Any]

_OPTIONS = orjson.OPT_NON_STR_KEYS


def _default(value: object) -> object:
    """Turn containers that expressions and actions produce into JSON ones."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Set, tuple)):
        return list(value)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return str(value)


def dump(value: JsonValue) -> str:
    """Return the JSON text of ``value``; containers that are not JSON become their nearest JSON form."""
    try:
        return orjson.dumps(value, default=_default, option=_OPTIONS).decode()
    except TypeError:
        return json.dumps(value, default=_default)


def load(text: str | bytes) -> JsonValue:
    """Return the value of a JSON text. Raises ``ValueError`` if it is none."""
    return orjson.loads(text)
