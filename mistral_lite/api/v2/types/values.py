"""Value types of body attributes. They say what is wrong with a value without repeating it.

The ``schema`` of each is that of what callers usually send; null, which sets an attribute to null, comes on
top.
"""

from __future__ import annotations

from typing import ClassVar

import wsme.types

from mistral_lite.api import schemas, wire
from mistral_lite.api.schemas import Schema
from mistral_lite.jsontext import JsonValue

_NAMES = {
    dict: "an object",
    list: "an array",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "text",
}


def _kind(value: JsonValue) -> str:
    return _NAMES.get(type(value), type(value).__name__)


class Text(wsme.types.UserType):
    """Text of at most ``max_length`` characters."""

    basetype = object
    name = "text"

    def __init__(self, max_length: int | None = None) -> None:
        self.max_length = max_length
        self.schema = schemas.TEXT if max_length is None else {**schemas.TEXT, "maxLength": max_length}

    def validate(self, value: JsonValue) -> str:
        """Return the text. Raises ``ValueError``."""
        if not isinstance(value, str):
            raise ValueError(f"Wrong type. Expected text, got {_kind(value)}.")
        if "\x00" in value:
            raise ValueError("It holds a NUL character.")
        if self.max_length is not None and len(value) > self.max_length:
            raise ValueError(f"It is longer than {self.max_length} characters.")
        return value


class JsonDict(wsme.types.UserType):
    """A JSON object, or the JSON text of one. What is falsy becomes ``{}``."""

    basetype = object
    name = "json"
    schema: ClassVar[Schema] = {"anyOf": [schemas.OBJECT, schemas.JSON_TEXT]}

    def validate(self, value: JsonValue) -> JsonValue:
        """Return the object. Raises ``ValueError``."""
        if isinstance(value, str):
            try:
                value = wire.parse_json(value)
            except ValueError as error:
                raise ValueError("It is not the text of a JSON object.") from error
            value = value or {}
        if not isinstance(value, dict):
            raise ValueError(
                f"Wrong type. It must be a dictionary (a JSON object, or a text of one), got {_kind(value)}."
            )
        return value


class JsonAny(wsme.types.UserType):
    """Any JSON value; a text that is JSON itself stands for what it says."""

    basetype = object
    name = "json"
    schema = schemas.ANYTHING

    def validate(self, value: JsonValue) -> JsonValue:
        """Return the value."""
        if not isinstance(value, str):
            return value
        try:
            return wire.parse_json(value)
        except ValueError:
            return value


class Count(wsme.types.UserType):
    """A whole number from 1 on, or its digits as a text."""

    basetype = object
    name = "count"
    # What a column of 32 bits holds.
    _most = 2**31 - 1
    schema: ClassVar[Schema] = {"type": "integer", "minimum": 1, "maximum": _most}

    def validate(self, value: JsonValue) -> int:
        """Return the number. Raises ``ValueError``."""
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value[:12])
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"Wrong type. Expected a whole number, got {_kind(value)}.")
        if value < 1:
            raise ValueError("Value should be greater or equal to 1.")
        if value > self._most:
            raise ValueError(f"Value should be lower or equal to {self._most}.")
        return value


class Flag(wsme.types.UserType):
    """A boolean, a number, or one of the usual words for true and false."""

    basetype = object
    name = "bool"
    schema = schemas.FLAG

    def validate(self, value: JsonValue) -> bool:
        """Return the truth value. Raises ``ValueError``."""
        if isinstance(value, (bool, int)):
            return bool(value)
        if isinstance(value, str) and value.lower() in {"true", "t", "yes", "y", "on", "1"}:
            return True
        if isinstance(value, str) and value.lower() in {"false", "f", "no", "n", "off", "0"}:
            return False
        raise ValueError("Wrong type. Expected true or false.")


class Scope(wsme.types.UserType):
    """``private`` or ``public``."""

    basetype = object
    name = "scope"
    schema = schemas.SCOPE

    def validate(self, value: JsonValue) -> str:
        """Return the scope. Raises ``ValueError``."""
        if value not in ("private", "public"):
            raise ValueError("Value should be one of: private, public")
        return str(value)


class Tags(wsme.types.UserType):
    """An array of texts."""

    basetype = object
    name = "tags"
    schema = schemas.TEXTS

    def validate(self, value: JsonValue) -> list[str]:
        """Return the tags. Raises ``ValueError``."""
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("Wrong type. Expected an array of texts.")
        return value


ANY_TEXT = Text()
NAME = Text(255)
TOPIC = Text(80)
PROJECT = Text(80)
IDENTIFIER = Text(36)
JSON_DICT = JsonDict()
JSON_ANY = JsonAny()
COUNT = Count()
FLAG = Flag()
SCOPE = Scope()
TAGS = Tags()
