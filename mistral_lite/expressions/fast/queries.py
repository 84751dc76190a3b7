"""The functions of YAQL over collections. Those with a body call it with each element as ``$``."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import dropwhile, takewhile

from mistral_lite.expressions.fast.values import (
    NUMBERS,
    SEQUENCES,
    Closure,
    ComputedMapping,
    ListIterator,
    MutableList,
    NotFastError,
    Ordered,
    Run,
    Value,
    elements,
    integer,
    scalar,
    small,
)

_NOTHING = object()


def _where(run: Run, collection: Value, body: Closure) -> Value:
    return iter([item for item in elements(run, collection) if body(run, item)])


def _select(run: Run, collection: Value, body: Closure) -> Value:
    return iter([body(run, item) for item in elements(run, collection)])


def _select_many(run: Run, collection: Value, body: Closure) -> Value:
    found: list[Value] = []
    for item in elements(run, collection):
        inner = body(run, item)
        if type(inner) in SEQUENCES or type(inner) is ListIterator:
            found += elements(run, inner)
        else:
            found.append(inner if isinstance(inner, Mapping) else scalar(inner))
    return iter(found)


def _take_while(run: Run, collection: Value, body: Closure) -> Value:
    return iter(list(takewhile(lambda item: body(run, item), elements(run, collection))))


def _skip_while(run: Run, collection: Value, body: Closure) -> Value:
    return iter(list(dropwhile(lambda item: body(run, item), elements(run, collection))))


def _any(run: Run, collection: Value, body: Closure | None = None) -> Value:
    return any(True if body is None else body(run, item) for item in elements(run, collection))


def _all(run: Run, collection: Value, body: Closure | None = None) -> Value:
    return all(item if body is None else body(run, item) for item in elements(run, collection))


def _index_where(run: Run, collection: Value, body: Closure) -> Value:
    matches = (index for index, item in enumerate(elements(run, collection)) if body(run, item))
    return next(matches, -1)


def _distinct(run: Run, collection: Value, body: Closure | None = None) -> Value:
    first: dict[Value, Value] = {}
    for item in elements(run, collection):
        first.setdefault(scalar(item if body is None else body(run, item)), item)
    return iter(list(first.values()))


def _to_dict(run: Run, collection: Value, key: Closure, value: Closure | None = None) -> Value:
    return ComputedMapping(
        (scalar(key(run, item)), item if value is None else value(run, item))
        for item in elements(run, collection)
    )


def _group_by(run: Run, collection: Value, key: Closure, value: Closure | None = None) -> Value:
    groups: dict[Value, list[Value]] = {}
    for item in elements(run, collection):
        groups.setdefault(scalar(key(run, item)), MutableList()).append(
            item if value is None else value(run, item)
        )
    return iter(list(groups.items()))


def _order_by(run: Run, collection: Value, body: Closure, *, is_descending: bool = False) -> Value:
    items = elements(run, collection)
    keys = [body(run, item) for item in items]
    _require_comparable(keys)
    order = sorted(range(len(items)), key=keys.__getitem__, reverse=is_descending)
    return Ordered([items[index] for index in order])


def _require_comparable(values: Sequence[Value]) -> None:
    kinds = set(map(type, values))
    # What is not a number equals nothing, itself included; an order of such values is an accident.
    if kinds != {str} and not (kinds <= NUMBERS and all(map(operator.eq, values, values))):
        raise NotFastError


def _length(run: Run, value: Value) -> Value:
    kind = type(value)
    if kind is ListIterator:
        return len(elements(run, value))
    if kind in SEQUENCES or kind is str or isinstance(value, (Mapping, AbstractSet)):
        return len(value)
    raise NotFastError


def _count(run: Run, collection: Value) -> Value:
    return len(elements(run, collection))


def _first(run: Run, collection: Value, default: Value = _NOTHING) -> Value:
    return _at(elements(run, collection), 0, default)


def _last(run: Run, collection: Value, default: Value = _NOTHING) -> Value:
    return _at(elements(run, collection), -1, default)


def _at(items: Sequence[Value], index: int, default: Value) -> Value:
    if items:
        return items[index]
    if default is _NOTHING:
        raise NotFastError
    return default


def _to_list(run: Run, collection: Value) -> Value:
    return tuple(elements(run, collection))


def _reverse(run: Run, collection: Value) -> Value:
    return iter(list(elements(run, collection))[::-1])


def _limit(run: Run, collection: Value, count: Value) -> Value:
    return iter(list(elements(run, collection)[: _natural(count)]))


def _skip(run: Run, collection: Value, count: Value) -> Value:
    return iter(list(elements(run, collection)[_natural(count) :]))


def _natural(value: Value) -> int:
    if integer(value) < 0:
        raise NotFastError
    return integer(value)


def _append(run: Run, collection: Value, *items: Value) -> Value:
    return iter([*elements(run, collection), *items])


def _enumerate(run: Run, collection: Value, start: Value = 0) -> Value:
    pairs = enumerate(elements(run, collection), integer(start))
    return iter([MutableList(pair) for pair in pairs])


def _flatten(run: Run, collection: Value) -> Value:
    found: list[Value] = []
    for item in elements(run, collection):
        if type(item) in SEQUENCES or type(item) is ListIterator:
            found += _flatten(run, item)
        else:
            found.append(item if isinstance(item, Mapping) else scalar(item))
    return iter(found)


def _sum(run: Run, collection: Value, initial: Value = _NOTHING) -> Value:
    items = elements(run, collection)
    values = items if initial is _NOTHING else [initial, *items]
    if not NUMBERS.issuperset(map(type, values)):
        raise NotFastError
    # Not `sum()`, which begins with a zero of its own and may add floats in another way.
    return small(functools.reduce(operator.add, values))


def _max(run: Run, collection: Value, initial: Value = _NOTHING) -> Value:
    return functools.reduce(lambda a, b: b if b > a else a, _comparable(run, collection, initial))


def _min(run: Run, collection: Value, initial: Value = _NOTHING) -> Value:
    # Of equal ones the last: 1 and 1.0 are equal.
    return functools.reduce(lambda a, b: a if b > a else b, _comparable(run, collection, initial))


def _comparable(run: Run, collection: Value, initial: Value) -> Sequence[Value]:
    items = elements(run, collection)
    values = items if initial is _NOTHING else [initial, *items]
    _require_comparable(values)
    return values


def contains(run: Run, collection: Value, item: Value) -> Value:
    """Tell whether a collection has an element that equals ``item``, a scalar."""
    return scalar(item) in elements(run, collection)


def index_of(run: Run, collection: Value, item: Value) -> Value:
    """Return the index of the first element that equals ``item``, a scalar; -1 if there is none."""
    items = list(elements(run, collection))
    return items.index(item) if scalar(item) in items else -1


WITH_BODY: Mapping[str, Callable[..., Value]] = {
    "where": _where,
    "filter": _where,
    "select": _select,
    "map": _select,
    "selectMany": _select_many,
    "takeWhile": _take_while,
    "skipWhile": _skip_while,
    "any": _any,
    "all": _all,
    "indexWhere": _index_where,
    "distinct": _distinct,
    "toDict": _to_dict,
    "groupBy": _group_by,
    "orderBy": _order_by,
    "orderByDescending": functools.partial(_order_by, is_descending=True),
}
"""Methods whose arguments are looked at once for each element."""

METHODS: Mapping[str, Callable[..., Value]] = {
    "len": _length,
    "count": _count,
    "first": _first,
    "last": _last,
    "toList": _to_list,
    "reverse": _reverse,
    "limit": _limit,
    "take": _limit,
    "skip": _skip,
    "append": _append,
    "enumerate": _enumerate,
    "flatten": _flatten,
    "sum": _sum,
    "max": _max,
    "min": _min,
    "contains": contains,
}
"""Methods whose arguments are values."""

PICKING = frozenset({"where", "filter", "takeWhile", "skipWhile", "distinct", "orderBy", "orderByDescending"})
"""Methods that return some of the elements, whatever their bodies say."""
