"""Nested executions as flat lists, depth first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa

from mistral_lite.api import parameters
from mistral_lite.api.parameters import Converter
from mistral_lite.api.routing import Call
from mistral_lite.api.v2.views import EXECUTION
from mistral_lite.db import executions
from mistral_lite.db.listing import Row
from mistral_lite.jsontext import JsonObject

QUERY: Mapping[str, Converter] = {
    "errors_only": parameters.ERRORS_ONLY,
    "max_depth": parameters.MAX_DEPTH,
    "include_output": parameters.INCLUDE_OUTPUT,
}


def with_descendants(connection: sa.Connection, call: Call, tops: Sequence[Row]) -> list[JsonObject]:
    """Return the executions ``tops``, each followed by all below it.

    ``max_depth`` levels are descended (negative: all); with ``errors_only`` only through failed tasks.
    """
    extra = ["output"] if call.query.get("include_output") else []
    names = EXECUTION.listed(call, *extra)
    columns = EXECUTION.columns_of(names)
    depth: int = call.query.get("max_depth", -1)
    children: dict[str, list[Row]] = {}
    level = [row["id"] for row in tops]
    while level and depth != 0:
        found = executions.children_of_workflows(
            connection, level, columns, errors_only=bool(call.query.get("errors_only"))
        )
        for row in found:
            children.setdefault(row["parent_execution_id"], []).append(row)
        level = [row["id"] for row in found]
        depth -= 1
    return [EXECUTION.show(row, names) for row in _depth_first(tops, children)]


def _depth_first(tops: Sequence[Row], children: Mapping[str, Sequence[Row]]) -> Iterator[Row]:
    waiting = list(reversed(tops))
    while waiting:
        row = waiting.pop()
        yield row
        waiting.extend(reversed(children.get(row["id"], ())))
