"""The report of an execution: counts of its tasks, how long it may take, and its tree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from mistral_lite.api import parameters, schemas, wire
from mistral_lite.api.parameters import Converter
from mistral_lite.api.routing import Call
from mistral_lite.api.schemas import Component, Schema
from mistral_lite.api.v2.views import STATE
from mistral_lite.db import executions
from mistral_lite.db.listing import Row
from mistral_lite.jsontext import JsonObject
from mistral_lite.workflow.states import State

QUERY: Mapping[str, Converter] = {
    "errors_only": parameters.ERRORS_ONLY,
    "max_depth": parameters.MAX_DEPTH,
    "statistics_only": parameters.flag.meaning("Leave out the tree."),
}
_ENTRY: Mapping[str, Schema] = {
    "id": schemas.TEXT,
    "name": schemas.TEXT,
    "created_at": schemas.MOMENT,
    "updated_at": schemas.or_null(schemas.MOMENT),
    "state": STATE,
    "state_info": schemas.or_null(schemas.TEXT),
}
_COUNTED = (State.RUNNING, State.SUCCESS, State.ERROR, State.IDLE, State.PAUSED)
_COMPARED_RUNS = 20

_ACTION = Component(
    name="ReportedAction",
    schema=schemas.object_of({**_ENTRY, "accepted": schemas.FLAG, "last_heartbeat": schemas.MOMENT}),
)
_TASK = Component(
    name="ReportedTask",
    schema=schemas.object_of(
        {
            **_ENTRY,
            "action_executions": schemas.array_of(_ACTION),
            "workflow_executions": schemas.array_of(schemas.reference("ReportedExecution")),
        },
        optional={"retry_count": schemas.INTEGER},
    ),
)
_EXECUTION = Component(
    name="ReportedExecution",
    schema=schemas.object_of(_ENTRY, optional={"task_executions": schemas.array_of(_TASK)}),
)
_STATISTICS = schemas.object_of(
    {
        "total_tasks_count": schemas.INTEGER,
        **{f"{state.lower()}_tasks_count": schemas.INTEGER for state in _COUNTED},
        "estimated_time": {**schemas.NUMBER, "description": "Seconds; -1 if nobody knows."},
    }
)
REPORT = Component(
    name="Report",
    schema=schemas.object_of({"statistics": _STATISTICS}, optional={"root_workflow_execution": _EXECUTION}),
)

_COMMON = ("id", "created_at", "updated_at", "state", "state_info")
_WORKFLOW_COLUMNS = (*_COMMON, "workflow_name", "task_execution_id")
_TASK_COLUMNS = (*_COMMON, "name", "workflow_execution_id", "runtime")
_ACTION_COLUMNS = (*_COMMON, "name", "task_execution_id", "accepted")


def build(connection: sa.Connection, call: Call, root: Row, now: datetime) -> JsonObject:
    """Return the report of the execution ``root``.

    ``max_depth``: nested workflows deeper than this are shown without their tasks (negative: none is).
    """
    is_errors_only = bool(call.query.get("errors_only"))
    depth: int = call.query.get("max_depth", -1)
    counts: Counter[str] = Counter()
    top = _entry(root, root["workflow_name"])
    level = {root["id"]: top}
    while level:
        tasks = executions.tasks_of_workflows(
            connection, list(level), _TASK_COLUMNS, errors_only=is_errors_only
        )
        counts.update(row["state"] for row in tasks)
        entries = {row["id"]: _task_entry(row) for row in tasks}
        for entry in level.values():
            entry["task_executions"] = []
        for row in tasks:
            level[row["workflow_execution_id"]]["task_executions"].append(entries[row["id"]])
        level = _add_children(connection, entries)
        if depth == 0:
            break
        depth -= 1
    statistics = {
        "total_tasks_count": sum(counts[state] for state in _COUNTED),
        **{f"{state.lower()}_tasks_count": counts[state] for state in _COUNTED},
        "estimated_time": _estimated_time(connection, root, now),
    }
    if call.query.get("statistics_only"):
        return {"statistics": statistics}
    return {"statistics": statistics, "root_workflow_execution": top}


def _add_children(connection: sa.Connection, tasks: Mapping[str, JsonObject]) -> dict[str, JsonObject]:
    """Put actions and nested workflows under their tasks; return the latter by id."""
    identifiers = list(tasks)
    for row in executions.actions_of_tasks(connection, identifiers, _ACTION_COLUMNS)():
        tasks[row["task_execution_id"]]["action_executions"].append(_action_entry(row))
    nested: dict[str, JsonObject] = {}
    for row in executions.children_of_tasks(connection, identifiers, _WORKFLOW_COLUMNS)():
        nested[row["id"]] = _entry(row, row["workflow_name"])
        tasks[row["task_execution_id"]]["workflow_executions"].append(nested[row["id"]])
    return nested


def _entry(row: Row, name: str) -> JsonObject:
    return {
        "id": row["id"],
        "name": name,
        "created_at": wire.time_text(row["created_at"]),
        "updated_at": wire.time_text(row["updated_at"]),
        "state": row["state"],
        "state_info": row["state_info"],
    }


def _task_entry(row: Row) -> JsonObject:
    entry = _entry(row, row["name"])
    retry = json.loads(row["runtime"]).get("retry_task_policy") or {}
    if "retry_no" in retry:
        entry["retry_count"] = retry["retry_no"]
    return {**entry, "action_executions": [], "workflow_executions": []}


def _action_entry(row: Row) -> JsonObject:
    # Leases of executors replace heartbeats of actions; the last change is the nearest there is.
    heartbeat = wire.time_text(row["updated_at"] or row["created_at"])
    return {**_entry(row, row["name"]), "accepted": row["accepted"], "last_heartbeat": heartbeat}


def _estimated_time(connection: sa.Connection, root: Row, now: datetime) -> float:
    """Return the seconds that the execution may still take: 0 unless it runs, -1 if nobody knows."""
    if root["state"] != State.RUNNING:
        return 0
    durations: Sequence[float] = executions.recent_durations_s(
        connection, root["workflow_id"], root["workflow_name"], root["project_id"], _COMPARED_RUNS
    )
    if not durations:
        return -1
    elapsed_s: float = (now - root["created_at"]).total_seconds()
    return max(1.0, sum(durations) / len(durations) - elapsed_s)
