"""The functions of YAQL over mappings, and those that make collections."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mistral_lite.expressions.fast.queries import METHODS as QUERIES
from mistral_lite.expressions.fast.values import (
    SEQUENCES,
    ComputedMapping,
    ListIterator,
    NotFastError,
    Run,
    Value,
    elements,
    integer,
    mapping,
    scalar,
)

# An empty one, and what each entry adds.
_MAPPING_BYTES = 64
_ENTRY_BYTES = 16


def _get(_run: Run, value: Value, key: Value, default: Value = None) -> Value:
    return mapping(value).get(scalar(key), default)


def _keys(_run: Run, value: Value) -> Value:
    return mapping(value).keys()


def _values(_run: Run, value: Value) -> Value:
    return mapping(value).values()


def _items(run: Run, value: Value) -> Value:
    run.spend(_MAPPING_BYTES * len(mapping(value)))
    return mapping(value).items()


def _contains_key(_run: Run, value: Value, key: Value) -> Value:
    return scalar(key) in mapping(value)


def _contains_value(run: Run, value: Value, item: Value) -> Value:
    return scalar(item) in elements(run, mapping(value).values())


def _set(run: Run, value: Value, key: Value, item: Value) -> Value:
    spend_mapping(run, len(mapping(value)) + 1)
    return ComputedMapping({**value, scalar(key): item})


def _delete(run: Run, value: Value, *keys: Value) -> Value:
    spend_mapping(run, len(mapping(value)))
    dropped = set(map(scalar, keys))
    return ComputedMapping({key: item for key, item in value.items() if key not in dropped})


def spend_mapping(run: Run, count: int) -> None:
    """Account for a mapping of ``count`` entries."""
    run.spend(_MAPPING_BYTES + _ENTRY_BYTES * count)


def _dict(run: Run, pairs: Value) -> Value:
    found = ComputedMapping()
    for pair in elements(run, pairs):
        if type(pair) not in SEQUENCES:
            raise NotFastError
        found[scalar(pair[0])] = pair[1]
    spend_mapping(run, len(found))
    return found


def _list(run: Run, *items: Value) -> Value:
    found: list[Value] = []
    for item in items:
        # Only iterators are unfolded.
        found += _list(run, *elements(run, item)) if type(item) is ListIterator else [item]
    return tuple(found)


def _range(run: Run, *bounds: Value) -> Value:
    numbers = range(*map(integer, bounds))
    run.spend(32 * len(numbers))
    return iter(list(numbers))


METHODS: Mapping[str, Callable[..., Value]] = {
    "get": _get,
    "keys": _keys,
    "values": _values,
    "items": _items,
    "containsKey": _contains_key,
    "containsValue": _contains_value,
    "set": _set,
    "delete": _delete,
}

FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "len": QUERIES["len"],
    "dict": _dict,
    "list": _list,
    "range": _range,
}
