"""What the expression functions ``executions()`` and ``tasks()`` find in the database.

They see what was committed before; the tree that asks may be further in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from mistral_lite.db.tables import action_executions, task_executions, workflow_executions
from mistral_lite.jsontext import JsonObject, JsonValue, load

_w = workflow_executions.c
_t = task_executions.c


def list_executions(
    connection: sa.Connection, project_id: str, filters: Mapping[str, JsonValue]
) -> list[JsonObject]:
    """Return workflow executions of a project.

    Filters: ``id``, ``root_execution_id``, ``state`` (exact), ``from_time`` ≤ created < ``to_time``.
    """
    statement = sa.select(workflow_executions).where(_w.project_id == project_id)
    if filters.get("id") is not None:
        statement = statement.where(_w.id == filters["id"])
    if filters.get("root_execution_id") is not None:
        statement = statement.where(
            _w.root_execution_id == filters["root_execution_id"], _w.id != _w.root_execution_id
        )
    if filters.get("state") is not None:
        statement = statement.where(_w.state == filters["state"])
    if filters.get("from_time") is not None:
        statement = statement.where(_w.created_at >= _time(filters["from_time"]))
    if filters.get("to_time") is not None:
        statement = statement.where(_w.created_at < _time(filters["to_time"]))
    return [
        _execution(row) for row in connection.execute(statement.order_by(_w.created_at, _w.id)).mappings()
    ]


def list_tasks(
    connection: sa.Connection, project_id: str, filters: Mapping[str, JsonValue]
) -> list[JsonObject]:
    """Return task executions of a project.

    Filters: ``not_in_root`` (leaves that tree out), ``workflow_execution_id``, ``recursive`` (with nested
    workflows), ``state`` (exact), ``flat``
    (without workflow tasks whose state is that of one of their nested executions).
    """
    statement = sa.select(task_executions).where(_t.project_id == project_id)
    if filters.get("not_in_root") is not None:
        statement = statement.where(_t.root_execution_id != filters["not_in_root"])
    workflow_id = filters.get("workflow_execution_id")
    if workflow_id is not None:
        ids = _descendants(connection, str(workflow_id)) if filters.get("recursive") else [str(workflow_id)]
        statement = statement.where(_t.workflow_execution_id.in_(ids))
    if filters.get("state") is not None:
        statement = statement.where(_t.state == filters["state"])
    found = list(connection.execute(statement.order_by(_t.created_at, _t.id)).mappings())
    if filters.get("flat"):
        echoed = _echoing(connection, [row["id"] for row in found if row["type"] == "WORKFLOW"])
        found = [row for row in found if (row["id"], row["state"]) not in echoed]
    results = _results(connection, [row["id"] for row in found])
    return [_task(row, results.get(row["id"], [])) for row in found]


def _descendants(connection: sa.Connection, workflow_id: str) -> list[str]:
    known = [workflow_id]
    level = [workflow_id]
    while level:
        statement = (
            sa.select(_w.id)
            .join(task_executions, _t.id == _w.task_execution_id)
            .where(_t.workflow_execution_id.in_(level))
        )
        level = list(connection.execute(statement).scalars())
        known.extend(level)
    return known


def _echoing(connection: sa.Connection, task_ids: Sequence[str]) -> set[tuple[str, str]]:
    statement = sa.select(_w.task_execution_id, _w.state).where(_w.task_execution_id.in_(task_ids))
    return {(row.task_execution_id, row.state) for row in connection.execute(statement)}


def _results(connection: sa.Connection, task_ids: Sequence[str]) -> dict[str, list[JsonValue]]:
    a = action_executions.c
    statement = (
        sa.select(a.task_execution_id, a.output)
        .where(a.task_execution_id.in_(task_ids), a.accepted.is_(True))
        .order_by(a.position, a.id)
    )
    found: dict[str, list[JsonValue]] = {}
    for row in connection.execute(statement):
        found.setdefault(row.task_execution_id, []).append(load(row.output)["result"])
    return found


def _time(value: JsonValue) -> datetime:
    from_text = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return from_text if from_text.tzinfo else from_text.replace(tzinfo=UTC)


def _text(value: datetime | None) -> str | None:
    return value.strftime("%Y-%m-%d %H:%M:%S") if value is not None else None


def _execution(row: Mapping[Any, Any]) -> JsonObject:
    root = row["root_execution_id"]
    return {
        "id": row["id"],
        "name": row["workflow_name"],
        "workflow_name": row["workflow_name"],
        "workflow_id": row["workflow_id"],
        "workflow_namespace": row["workflow_namespace"],
        "state": row["state"],
        "state_info": row["state_info"],
        "input": load(row["input"]),
        "output": load(row["output"]),
        "params": load(row["params"]),
        "tags": load(row["tags"]),
        "description": row["description"],
        "project_id": row["project_id"],
        "task_execution_id": row["task_execution_id"],
        "root_execution_id": None if root == row["id"] else root,
        "created_at": _text(row["created_at"]),
        "updated_at": _text(row["updated_at"]),
    }


def _task(row: Mapping[Any, Any], results: list[JsonValue]) -> JsonObject:
    is_list = "with_items" in load(row["runtime"]) or len(results) != 1
    return {
        "id": row["id"],
        "name": row["name"],
        "state": row["state"],
        "state_info": row["state_info"],
        "result": results if is_list else results[0],
        "published": load(row["published"]),
        "type": row["type"],
        "workflow_execution_id": row["workflow_execution_id"],
        "created_at": _text(row["created_at"]),
        "updated_at": _text(row["updated_at"]),
    }
