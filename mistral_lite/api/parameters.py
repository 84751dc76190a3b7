"""Query parameters: their types, and the operators of filters.

A converter turns the values of one parameter into what handlers see, or raises ``InputError`` naming it.
Filters become ``Filter`` values whose column is the parameter's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from oslo_utils import uuidutils

from mistral_lite.api import schemas, wire
from mistral_lite.api.schemas import Schema
from mistral_lite.db.listing import Filter, Operator
from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """How one parameter is read, and what the API's description says of it.

    ``read``: (name, all values given) -> value. ``schema`` is that of one value as it is usually written;
    ``read`` may take more. ``description`` is a sentence.
    """

    read: Callable[[str, list[str]], JsonValue]
    schema: Schema
    description: str

    def __call__(self, name: str, texts: list[str]) -> JsonValue:
        """Return the converted value. Raises ``InputError``."""
        return self.read(name, texts)

    def meaning(self, description: str) -> Converter:
        """Return this converter with a description that fits one use of it."""
        return replace(self, description=description)


def converts(schema: Schema) -> Callable[[Callable[[str, list[str]], JsonValue]], Converter]:
    """Make a converter of a function; the first line of its docstring describes it."""

    def make(read: Callable[[str, list[str]], JsonValue]) -> Converter:
        return Converter(read=read, schema=schema, description=(read.__doc__ or "").partition("\n")[0])

    return make


_OPERATORS = {
    operator.value: operator
    for operator in Operator
    if operator not in (Operator.TAGS, Operator.JSON, Operator.NULL)
}
_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0", ""})
_MOST_STORABLE = 2**63 - 1


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


@converts(schemas.TEXT)
def text(name: str, texts: list[str]) -> JsonValue:
    """A text; of a repeated parameter the last one counts."""
    return texts[-1]


@converts(schemas.INTEGER)
def integer(name: str, texts: list[str]) -> JsonValue:
    """A whole number."""
    value = _only(name, texts)
    try:
        return int(value)
    except ValueError as error:
        raise _invalid(name, value, "Unable to convert to int.") from error


@converts({"type": "integer", "minimum": 1})
def positive_limit(name: str, texts: list[str]) -> JsonValue:
    """How many items a page holds at most; the server has a limit of its own."""
    value = integer(name, texts)
    if value <= 0:
        raise InputError("Limit must be positive.")
    return value


@converts({"type": "string", "format": "uuid"})
def uuid(name: str, texts: list[str]) -> JsonValue:
    """An identifier in any form of a UUID."""
    value = _only(name, texts)
    require_uuid(name, value)
    return value


def require_uuid(name: str, value: str) -> None:
    """Raise ``InputError`` unless ``value`` looks like a UUID."""
    if not uuidutils.is_uuid_like(value):
        raise _invalid(name, value, "Unable to convert to uuid.")


@converts(schemas.FLAG)
def flag(name: str, texts: list[str]) -> JsonValue:
    """A truth value; empty is false."""
    value = texts[-1].strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise _invalid(name, texts[-1], "Expected true or false.")


@converts(schemas.FLAG)
def presence(name: str, texts: list[str]) -> JsonValue:
    """A parameter whose mere presence counts, unless it says no in so many words."""
    return texts[-1].strip().lower() not in _FALSE - {""}


@converts(schemas.TEXT)
def names(name: str, texts: list[str]) -> JsonValue:
    """A comma list of names; upper case, blanks and repetitions do not count."""
    parts = (part.strip().lower() for part in texts[-1].split(","))
    return list(dict.fromkeys(part for part in parts if part))


@converts(schemas.TEXT)
def words(name: str, texts: list[str]) -> JsonValue:
    """A comma list of words; upper case and blanks do not count."""
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


@converts(schemas.TEXT)
def text_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on a text: ``value`` or ``operator:value`` (eq, neq, gt, gte, lt, lte, has, in, nin)."""
    return _compared(name, texts, lambda value: value)


@converts(schemas.TEXT)
def uuid_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on an identifier: ``value`` or ``operator:value`` (eq, neq, gt, gte, lt, lte, in, nin)."""

    def identifier(value: str) -> str:
        require_uuid(name, value)
        return value

    return _compared(name, [_only(name, texts)], identifier)


@converts({"type": "string", "examples": ["gte:2026-11-21 22:37:10"]})
def time_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on a time in ISO 8601 form, by the second: ``value`` or ``operator:value``."""

    def moment(value: str) -> JsonValue:
        try:
            return wire.parse_time(value)
        except (ValueError, OverflowError) as error:
            raise _invalid(name, value, "Expected a time like 2026-11-21 22:37:10.") from error

    return _compared(name, texts, moment)


@converts(schemas.TEXT)
def integer_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on a whole number: ``value`` or ``operator:value``."""

    def storable(value: str) -> JsonValue:
        number = integer(name, [value])
        if not -_MOST_STORABLE <= number <= _MOST_STORABLE:
            raise _invalid(name, value, f"Expected a whole number up to {_MOST_STORABLE}.")
        return number

    return _compared(name, [_only(name, texts)], storable)


@converts(schemas.FLAG)
def flag_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on a truth value."""
    return Filter(column=name, operator=Operator.EQ, value=flag(name, texts))


@converts(schemas.JSON_TEXT)
def json_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on a JSON object, compared as a whole; the order of keys does not count."""
    try:
        value = wire.parse_json(texts[-1])
    except ValueError as error:
        raise _invalid(name, texts[-1], "Expected the text of a JSON object.") from error
    if not isinstance(value, dict):
        raise _invalid(name, texts[-1], "Expected the text of a JSON object.")
    return Filter(column=name, operator=Operator.JSON, value=value)


@converts(schemas.TEXT)
def tags_filter(name: str, texts: list[str]) -> JsonValue:
    """Filter on tags, a comma list; rows must have all of them."""
    return Filter(column=name, operator=Operator.TAGS, value=[part.strip() for part in texts[-1].split(",")])


# What several lists and objects have, in the words of their callers.
ALL_PROJECTS = flag.meaning("List what all projects have, which takes the right to.")
INCLUDE_OUTPUT = flag.meaning("Show the output of each item as well.")
NAMESPACE = text.meaning("The namespace that a name is looked up in; the default one without it.")
SCOPE = text.meaning("private, which is the default, or public, which takes the right to.")
ERRORS_ONLY = flag.meaning("Leave out tasks that are not in ERROR, and what is below them.")
MAX_DEPTH = integer.meaning("How many levels of nested executions to descend; all without it.")
FIELDS = names.meaning("A comma list of the attributes to show besides the id; all of them without it.")
PAGING: Mapping[str, Converter] = {
    "marker": uuid.meaning("The id of the last item of the page before this one."),
    "limit": positive_limit,
    "sort_keys": names.meaning("A comma list of the attributes to sort by."),
    "sort_dirs": words.meaning("A comma list of directions, asc or desc, one for each of sort_keys."),
    "fields": FIELDS,
}
