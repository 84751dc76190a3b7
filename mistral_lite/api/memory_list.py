"""Filters, sorting and paging over a list in memory, for nouns that are not all in the database."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from mistral_lite.api import wire
from mistral_lite.db.listing import Filter, Operator
from mistral_lite.errors import NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue

_COMPARISONS: Mapping[Operator, Callable[[JsonValue, JsonValue], bool]] = {
    Operator.EQ: operator.eq,
    Operator.NEQ: operator.ne,
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
    Operator.IN: lambda actual, wanted: actual in wanted,
    Operator.NIN: lambda actual, wanted: actual not in wanted,
    Operator.HAS: lambda actual, wanted: wanted in actual,
    Operator.TAGS: lambda actual, wanted: set(wanted) <= set(actual),
}


def matches(item: JsonObject, filters: Sequence[Filter]) -> bool:
    """Tell whether an item on the wire passes all filters.

    Times that an item does not have (installed actions have none) pass; other missing values do not.
    """
    return all(_passes(item[one.column], one) for one in filters)


def _passes(actual: JsonValue, one: Filter) -> bool:
    wanted = [_on_wire(value) for value in one.value] if isinstance(one.value, list) else _on_wire(one.value)
    if actual == "" and one.column in ("created_at", "updated_at"):
        return True
    if actual is None:
        return False
    return _COMPARISONS[one.operator](actual, wanted)


def _on_wire(value: JsonValue) -> JsonValue:
    # Times on the wire sort as texts.
    return wire.time_text(value) if isinstance(value, datetime) else value


def sort_items(items: Sequence[JsonObject], sort: Sequence[tuple[str, bool]]) -> list[JsonObject]:
    """Return the items in the order of (attribute, is descending) pairs; null is smallest."""
    ordered = list(items)
    for name, is_descending in reversed(sort):
        ordered = sorted(ordered, key=lambda item: _sort_key(item[name]), reverse=is_descending)
    return ordered


def _sort_key(value: JsonValue) -> tuple[bool, str]:
    if value is None:
        return (False, "")
    return (True, wire.json_text(value) if isinstance(value, list) else str(value))


def slice_page(items: Sequence[JsonObject], marker: str | None, limit: int | None) -> list[JsonObject]:
    """Return at most ``limit`` items after the one whose id or name is ``marker``.

    Raises ``NotFoundError`` if there is no such item.
    """
    start = 0
    if marker is not None:
        places = [place for place, item in enumerate(items) if marker in (item["id"], item["name"])]
        if not places:
            raise NotFoundError(f"Action not found [marker={marker}].")
        start = places[0] + 1
    return list(items[start:] if limit is None else items[start : start + limit])
