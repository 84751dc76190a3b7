"""The functions of YAQL over texts, and those that turn scalars into each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mistral_lite.expressions.fast.operators import greater
from mistral_lite.expressions.fast.queries import index_of
from mistral_lite.expressions.fast.values import (
    NUMBERS,
    SEQUENCES,
    MutableList,
    NotFastError,
    Run,
    Value,
    elements,
    integer,
    optional_text,
    scalar,
    small,
    text,
)

# Longer ones take time that grows with the square of their length.
_MAX_DIGITS = 300
_MAX_CHARACTERS = 100


def _upper(run: Run, value: Value) -> Value:
    return _built(run, text(value).upper())


def _lower(run: Run, value: Value) -> Value:
    return _built(run, text(value).lower())


def _built(run: Run, value: str) -> str:
    run.spend(len(value))
    return value


def _trim(run: Run, value: Value, characters: Value = None) -> Value:
    return _built(run, text(value).strip(_characters(characters)))


def _trim_left(run: Run, value: Value, characters: Value = None) -> Value:
    return _built(run, text(value).lstrip(_characters(characters)))


def _trim_right(run: Run, value: Value, characters: Value = None) -> Value:
    return _built(run, text(value).rstrip(_characters(characters)))


def _characters(value: Value) -> str | None:
    # Each character of a text is looked up in all of them.
    if value is not None and len(text(value)) > _MAX_CHARACTERS:
        raise NotFastError
    return None if value is None else text(value)


def _split(run: Run, value: Value, separator: Value = None, count: Value = -1) -> Value:
    return _pieces(run, text(value).split(optional_text(separator), integer(count)))


def _pieces(run: Run, pieces: list[str]) -> MutableList:
    run.spend(64 * len(pieces) + sum(map(len, pieces)))
    return MutableList(pieces)


def _replace(run: Run, value: Value, old: Value, new: Value, count: Value = -1) -> Value:
    hits = text(value).count(text(old))
    run.spend(len(value) + hits * len(text(new)))
    return text(value).replace(old, new, integer(count))


def _substring(run: Run, value: Value, start: Value, length: Value = -1) -> Value:
    size = len(text(value))
    begin = integer(start) + size if integer(start) < 0 else integer(start)
    return _built(run, value[begin : begin + (size if integer(length) < 0 else length)])


def _index_of(run: Run, value: Value, part: Value, *start: Value) -> Value:
    if type(value) is not str and not start:
        return index_of(run, value, part)
    (begin,) = start or (0,)
    return text(value).find(text(part), integer(begin))


def _starts_with(_run: Run, value: Value, *prefixes: Value) -> Value:
    return text(value).startswith(tuple(map(text, prefixes)))


def _ends_with(_run: Run, value: Value, *suffixes: Value) -> Value:
    return text(value).endswith(tuple(map(text, suffixes)))


def _join(run: Run, value: Value, other: Value) -> Value:
    # Either of the two may be the separator.
    if type(value) is str:
        return _joined(run, value, elements(run, other))
    return _joined(run, other, elements(run, value))


def _joined(run: Run, separator: Value, items: Sequence[Value]) -> str:
    pieces = [to_text(run, item) for item in items]
    run.spend(len(text(separator)) * len(pieces))
    return text(separator).join(pieces)


def to_text(run: Run, value: Value) -> str:
    """Return the text of a scalar."""
    if value is None:
        return "null"
    if value is True or value is False:
        return str(value).lower()
    return _built(run, str(small(scalar(value))))


def _to_integer(_run: Run, value: Value) -> Value:
    return 0 if value is None else small(int(_number(value)))


def _to_float(_run: Run, value: Value) -> Value:
    return 0.0 if value is None else float(_number(value))


def _number(value: Value) -> Value:
    if type(value) is str and len(value) > _MAX_DIGITS:
        raise NotFastError
    return scalar(value)


def _concat(run: Run, *values: Value) -> Value:
    run.spend(sum(len(text(value)) for value in values))
    return "".join(values)


def _is_empty(_run: Run, value: Value, *options: Value) -> Value:
    if options:
        raise NotFastError
    return value is None or not text(value).strip()


def _normalized(run: Run, value: Value, characters: Value = None) -> Value:
    return None if value is None else _trim(run, value, characters) or None


def _absolute(_run: Run, value: Value) -> Value:
    if type(value) not in NUMBERS:
        raise NotFastError
    return abs(value)


def _maximum(run: Run, left: Value, right: Value) -> Value:
    return right if greater(run, right, left) else left


def _minimum(run: Run, left: Value, right: Value) -> Value:
    return left if greater(run, right, left) else right


METHODS: Mapping[str, Callable[..., Value]] = {
    "toUpper": _upper,
    "toLower": _lower,
    "trim": _trim,
    "trimLeft": _trim_left,
    "trimRight": _trim_right,
    "split": _split,
    "replace": _replace,
    "substring": _substring,
    "indexOf": _index_of,
    "startsWith": _starts_with,
    "endsWith": _ends_with,
    "join": _join,
    "isEmpty": _is_empty,
    "norm": _normalized,
}

FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "str": to_text,
    "int": _to_integer,
    "float": _to_float,
    "bool": lambda _run, value: bool(value),
    "concat": _concat,
    "isEmpty": _is_empty,
    "norm": _normalized,
    "abs": _absolute,
    "max": _maximum,
    "min": _minimum,
    "isString": lambda _run, value: type(value) is str,
    "isInteger": lambda _run, value: type(value) is int,
    "isNumber": lambda _run, value: type(value) in NUMBERS,
    "isBoolean": lambda _run, value: type(value) is bool,
    "isDict": lambda _run, value: isinstance(value, Mapping),
    "isList": lambda _run, value: type(value) in SEQUENCES,
}
