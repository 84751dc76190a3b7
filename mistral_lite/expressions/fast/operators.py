"""The operators of YAQL over two values; each raises ``NotFastError`` for what only the library can tell."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from mistral_lite.expressions.fast.queries import contains
from mistral_lite.expressions.fast.values import (
    NUMBERS,
    SCALARS,
    SEQUENCES,
    ComputedMapping,
    NotFastError,
    Run,
    Value,
    scalar,
    small,
    text,
)

Operator = Callable[[Run, Value, Value], Value]


def _equal(_run: Run, left: Value, right: Value) -> Value:
    # A scalar never equals a collection; two collections may be equal in the library and not here.
    if type(left) in SCALARS or type(right) in SCALARS:
        return left == right
    raise NotFastError


def _not_equal(run: Run, left: Value, right: Value) -> Value:
    return not _equal(run, left, right)


def _ordering(compare: Callable[[Value, Value], bool]) -> Operator:
    def evaluate(_run: Run, left: Value, right: Value) -> Value:
        a, b = type(left), type(right)
        if (a in NUMBERS and b in NUMBERS) or (a is str and b is str):
            return compare(left, right)
        if left is None or right is None:
            # Null comes before everything else.
            scalar(left), scalar(right)
            return compare(left is not None, right is not None)
        raise NotFastError

    return evaluate


def _arithmetic(compute: Callable[[Value, Value], Value]) -> Operator:
    def evaluate(_run: Run, left: Value, right: Value) -> Value:
        if type(left) in NUMBERS and type(right) in NUMBERS:
            return small(compute(left, right))
        raise NotFastError

    return evaluate


def _divide(left: Value, right: Value) -> Value:
    return left // right if type(left) is int and type(right) is int else left / right


add_numbers = _arithmetic(operator.add)


def add(run: Run, left: Value, right: Value) -> Value:
    """Return the sum of two numbers, two texts or two mappings."""
    a, b = type(left), type(right)
    if a in NUMBERS:
        return add_numbers(run, left, right)
    if a is str and b is str:
        run.spend(len(left) + len(right))
        return left + right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        run.spend(8 * (len(left) + len(right)))
        return ComputedMapping({**left, **right})
    raise NotFastError


def add_also_lists(run: Run, left: Value, right: Value) -> Value:
    """Return ``left + right`` where every list is one of the data, which the library keeps as tuples."""
    a, b = type(left), type(right)
    if a in _TUPLES and b in _TUPLES:
        run.spend(8 * (len(left) + len(right)))
        return (*left, *right)
    return add(run, left, right)


_TUPLES = frozenset({list, tuple})


def is_in(run: Run, left: Value, right: Value) -> Value:
    """Tell whether a collection has an element, or a text a part."""
    if type(right) is str:
        return text(left) in text(right)
    return contains(run, right, left)


def negative(value: Value) -> Value:
    """Return ``-value``."""
    if type(value) not in NUMBERS:
        raise NotFastError
    return -value


def index(value: Value, key: Value) -> Value:
    """Return ``value[key]``."""
    if type(value) in SEQUENCES and type(key) is int:
        return value[key]
    if isinstance(value, Mapping):
        return value[scalar(key)]
    raise NotFastError


SCALAR_OPERATORS: Mapping[str, Operator] = {
    "=": _equal,
    "!=": _not_equal,
    "<": _ordering(operator.lt),
    "<=": _ordering(operator.le),
    ">": _ordering(operator.gt),
    ">=": _ordering(operator.ge),
    "+": add_numbers,
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(_divide),
    "mod": _arithmetic(operator.mod),
}
"""Those that take no collections; they are the same over the library's own values."""

TRUTHS = frozenset({"=", "!=", "<", "<=", ">", ">=", "in"})
greater = SCALAR_OPERATORS[">"]
