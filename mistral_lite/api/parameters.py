"""Query parameters: their types, and the operators of filters.

A converter turns the values of one parameter into what handlers see, or raises ``InputError`` naming it.
Filters become ``Filter`` values whose column is the parameter's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from oslo_utils import uuidutils

from mistral_lite.api import wire
from mistral_lite.db.listing import Filter, Operator
from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonValue, dump

# (name, all values given) -> value
Converter = Callable[[str, list[str]], JsonValue]

_OPERATORS = {
    operator.value: operator for operator in Operator if operator not in (Operator.TAGS, Operator.NULL)
}
_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0", ""})


def convert(
    given: Iterable[tuple[str, str]], known: Mapping[str, Converter], *, is_lenient: bool
) -> dict[str, JsonValue]:
    """Return the converted parameters. Unknown ones are left out if ``is_lenient``, else ``InputError``."""
    values: dict[str, list[str]] = {}
    for name, value in given:
        if "\x00" in value:
            raise InputError(f"Invalid input for parameter {name}: it holds a NUL character.")
        values.setdefault(name, []).append(value)
    unknown = [name for name in values if name not in known]
    if unknown and not is_lenient:
        raise InputError(f'Unknown argument: "{", ".join(unknown)}"')
    return {name: known[name](name, texts) for name, texts in values.items() if name in known}


def _invalid(name: str, value: str, reason: str) -> InputError:
    return InputError(f"Invalid input for field/attribute {name}. Value: '{value}'. {reason}")


def _only(name: str, texts: list[str]) -> str:
    if len(texts) > 1:
        raise InputError(f"Invalid input for field/attribute {name}. It is given {len(texts)} times.")
    return texts[0]


def text(name: str, texts: list[str]) -> JsonValue:
    """Take a text; of a repeated parameter the last one."""
    return texts[-1]


def integer(name: str, texts: list[str]) -> JsonValue:
    """Take a whole number."""
    value = _only(name, texts)
    try:
        return int(value)
    except ValueError as error:
        raise _invalid(name, value, "Unable to convert to int.") from error


def positive_limit(name: str, texts: list[str]) -> JsonValue:
    """Take the size of a page."""
    value = integer(name, texts)
    if value <= 0:
        raise InputError("Limit must be positive.")
    return value


def uuid(name: str, texts: list[str]) -> JsonValue:
    """Take an identifier in any form of a UUID."""
    value = _only(name, texts)
    require_uuid(name, value)
    return value


def require_uuid(name: str, value: str) -> None:
    """Raise ``InputError`` unless ``value`` looks like a UUID."""
    if not uuidutils.is_uuid_like(value):
        raise _invalid(name, value, "Unable to convert to uuid.")


def flag(name: str, texts: list[str]) -> JsonValue:
    """Take a truth value; empty is false."""
    value = texts[-1].strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise _invalid(name, texts[-1], "Expected true or false.")


def presence(name: str, texts: list[str]) -> JsonValue:
    """Take a parameter whose mere presence counts, unless it says no in so many words."""
    return texts[-1].strip().lower() not in _FALSE - {""}


def names(name: str, texts: list[str]) -> JsonValue:
    """Take a comma list of names: lower case, without blanks, each once."""
    parts = (part.strip().lower() for part in texts[-1].split(","))
    return list(dict.fromkeys(part for part in parts if part))


def words(name: str, texts: list[str]) -> JsonValue:
    """Take a comma list of words: lower case, without blanks, repetitions kept."""
    parts = (part.strip().lower() for part in texts[-1].split(","))
    return [part for part in parts if part]


def _split_operator(value: str) -> tuple[Operator, str]:
    prefix, colon, rest = value.partition(":")
    if colon and prefix in _OPERATORS:
        return _OPERATORS[prefix], rest
    return Operator.EQ, value


def _compared(name: str, texts: list[str], convert_one: Callable[[str], JsonValue]) -> Filter:
    operator, rest = _split_operator(texts[-1])
    if operator in (Operator.IN, Operator.NIN):
        return Filter(column=name, operator=operator, value=[convert_one(part) for part in rest.split(",")])
    return Filter(column=name, operator=operator, value=convert_one(rest))


def text_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on a text, with an operator or without."""
    return _compared(name, texts, lambda value: value)


def uuid_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on an identifier."""

    def identifier(value: str) -> str:
        require_uuid(name, value)
        return value

    return _compared(name, [_only(name, texts)], identifier)


def time_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on a time in ISO 8601 form (blank or T), compared by the second."""

    def moment(value: str) -> JsonValue:
        try:
            return wire.parse_time(value)
        except (ValueError, OverflowError) as error:
            raise _invalid(name, value, "Expected a time like 2026-11-21 22:37:10.") from error

    return _compared(name, texts, moment)


def integer_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on a whole number."""
    return _compared(name, [_only(name, texts)], lambda value: integer(name, [value]))


def flag_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on a truth value."""
    return Filter(column=name, operator=Operator.EQ, value=flag(name, texts))


def json_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on a JSON object, compared as a whole with keys in the order given."""
    try:
        value = wire.parse_json(texts[-1])
    except ValueError as error:
        raise _invalid(name, texts[-1], "Expected the text of a JSON object.") from error
    if not isinstance(value, dict):
        raise _invalid(name, texts[-1], "Expected the text of a JSON object.")
    return Filter(column=name, operator=Operator.EQ, value=dump(value))


def tags_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on tags, a comma list; rows must have all of them."""
    return Filter(column=name, operator=Operator.TAGS, value=[part.strip() for part in texts[-1].split(",")])


PAGING: Mapping[str, Converter] = {
    "marker": uuid,
    "limit": positive_limit,
    "sort_keys": names,
    "sort_dirs": words,
    "fields": names,
}
