"""Rows of the execution tables ⇄ the core's frozen rows.

One list of ``Field`` per table says how a column is read off a row of the core. Reading a column that did
not change gives the very same object as before (rows share their parts), which is how a change is noticed
without comparing values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.jsontext import JsonObject, JsonValue, dump, load
from mistral_lite.workflow.model import (
    ActionExecution,
    Notification,
    PendingAction,
    TaskExecution,
    TaskType,
    Timer,
    TimerKind,
    Trigger,
    WorkflowExecution,
)
from mistral_lite.workflow.states import State

_NAME_LENGTH = 255

CoreRow = WorkflowExecution | TaskExecution | ActionExecution | Timer | PendingAction | Notification


@dataclass(frozen=True, slots=True)
class Field:
    """A column: its name, the parts of a core row that it holds, and its stored form of them."""

    column: str
    parts: Callable[[Any], object]
    encode: Callable[[Any], object] | None = None

    def stored(self, row: CoreRow) -> object:
        """Return what the column holds for ``row``."""
        value = self.parts(row)
        return self.encode(value) if self.encode is not None else value

    def differs(self, before: CoreRow, after: CoreRow) -> bool:
        """Tell whether the column may hold something else for ``after``."""
        old, new = self.parts(before), self.parts(after)
        if isinstance(new, tuple):
            return old != new
        return old is not new


@dataclass(frozen=True, slots=True)
class Mapper:
    """How one table is filled from rows of the core."""

    table: sa.Table
    key: str
    fields: tuple[Field, ...]

    def insert_values(self, row: CoreRow) -> dict[str, object]:
        """Return all columns of a new row."""
        return {field.column: field.stored(row) for field in self.fields}

    def update_values(self, before: CoreRow, after: CoreRow) -> dict[str, object]:
        """Return the columns that differ between two versions of a row."""
        return {f.column: f.stored(after) for f in self.fields if f.differs(before, after)}


def _plain(column: str, attribute: str | None = None) -> Field:
    return Field(column, attrgetter(attribute or column))


def _text(column: str, attribute: str | None = None) -> Field:
    return Field(column, attrgetter(attribute or column), str)


def _json(column: str, attribute: str | None = None) -> Field:
    return Field(column, attrgetter(attribute or column), dump)


def _workflow_runtime(parts: tuple[Any, ...]) -> str:
    position, workbook, backlog, pending_failure, accepted, openstack = parts
    return dump(
        {
            "position": position,
            "workbook": workbook,
            "backlog": backlog,
            "pending_failure": pending_failure,
            "accepted": accepted,
            **({} if openstack is None else {"openstack": openstack}),
        }
    )


def _name(column: str) -> Field:
    # Expressions and callers may give any text; the column holds the first part of an overlong one.
    def cut(text: str | None) -> str | None:
        return text[:_NAME_LENGTH] if text is not None else None

    return Field(column, attrgetter(column), cut)


WORKFLOWS = Mapper(
    tables.workflow_executions,
    "id",
    (
        _plain("id"),
        _plain("root_execution_id", "root_id"),
        _plain("task_execution_id", "parent_task_id"),
        _plain("workflow_id", "definition_id"),
        _plain("workflow_name", "name"),
        _plain("workflow_namespace", "namespace"),
        _plain("spec_hash"),
        _text("state"),
        _plain("state_info"),
        _plain("paused_by"),
        _json("input"),
        _json("params"),
        _json("context"),
        _json("published_global"),
        _json("output"),
        Field(
            "runtime",
            attrgetter("position", "workbook", "backlog", "pending_failure", "accepted", "openstack"),
            _workflow_runtime,
        ),
        _plain("description"),
        _json("tags"),
        _plain("project_id"),
        _plain("scope"),
        _plain("created_at"),
        _plain("updated_at"),
    ),
)


def _triggers(triggers: Sequence[Trigger]) -> str:
    return dump([[trigger.task_id, trigger.event] for trigger in triggers])


def _optional_json(value: JsonValue) -> str | None:
    return None if value is None else dump(value)


TASKS = Mapper(
    tables.task_executions,
    "id",
    (
        _plain("id"),
        _plain("root_execution_id", "root_id"),
        _plain("workflow_execution_id", "workflow_id"),
        _plain("name"),
        _text("type"),
        _text("state"),
        _plain("state_info"),
        _json("published"),
        _json("published_global"),
        Field("triggered_by", attrgetter("triggered_by"), _triggers),
        Field("next_tasks", attrgetter("next_tasks"), _optional_json),
        _plain("error_handled"),
        _plain("processed"),
        _json("runtime"),
        _json("tags"),
        _plain("project_id"),
        _plain("created_at"),
        _plain("updated_at"),
        _plain("started_at"),
        _plain("finished_at"),
    ),
)


def _output(parts: tuple[State, JsonValue]) -> str | None:
    state, result = parts
    if state in {State.RUNNING, State.PAUSED}:
        return None
    return dump({"result": result})


ACTIONS = Mapper(
    tables.action_executions,
    "id",
    (
        _plain("id"),
        _plain("root_execution_id", "root_id"),
        _plain("task_execution_id", "task_id"),
        _plain("workflow_execution_id", "workflow_id"),
        _plain("workflow_name"),
        _plain("workflow_namespace", "namespace"),
        _name("name"),
        _text("state"),
        _plain("state_info"),
        _json("input"),
        Field("output", attrgetter("state", "result"), _output),
        _plain("accepted"),
        _plain("is_sync"),
        _plain("is_ephemeral"),
        _plain("position"),
        _plain("safe_rerun"),
        _plain("callback_digest"),
        Field("chain", attrgetter("chain"), lambda chain: dump(chain) if chain else None),
        _plain("description"),
        _plain("project_id"),
        _plain("created_at"),
        _plain("updated_at"),
    ),
)

TIMERS = Mapper(
    tables.timers,
    "id",
    (
        _plain("id"),
        _plain("root_execution_id", "root_id"),
        _text("kind"),
        _plain("subject_id"),
        _plain("due_at"),
    ),
)

PENDING = Mapper(
    tables.action_queue,
    "action_execution_id",
    (
        _plain("action_execution_id", "action_id"),
        _plain("root_execution_id", "root_id"),
        _plain("attempt"),
        _name("target"),
        _plain("available_at"),
        _json("request"),
    ),
)

NOTIFICATIONS = Mapper(
    tables.notifications,
    "id",
    (
        _plain("id"),
        _plain("root_execution_id", "root_id"),
        _plain("execution_id"),
        _json("publisher"),
        _plain("event"),
        _json("payload"),
        _plain("created_at"),
        _plain("available_at", "created_at"),
        Field("attempts", lambda _: 0),
    ),
)


def workflow_from(row: Mapping[str, Any]) -> WorkflowExecution:
    """Return the core's form of a row of ``workflow_executions``."""
    runtime: JsonObject = load(row["runtime"])
    return WorkflowExecution(
        id=row["id"],
        root_id=row["root_execution_id"],
        parent_task_id=row["task_execution_id"],
        definition_id=row["workflow_id"],
        name=row["workflow_name"],
        namespace=row["workflow_namespace"],
        spec_hash=row["spec_hash"],
        state=State(row["state"]),
        state_info=row["state_info"],
        input=load(row["input"]),
        params=load(row["params"]),
        context=load(row["context"]),
        published_global=tuple(load(row["published_global"])),
        output=load(row["output"]),
        position=runtime.get("position", 0),
        workbook=runtime.get("workbook"),
        backlog=tuple(runtime.get("backlog", ())),
        pending_failure=runtime.get("pending_failure"),
        accepted=runtime.get("accepted", False),
        openstack=runtime.get("openstack"),
        paused_by=row["paused_by"],
        description=row["description"],
        tags=tuple(load(row["tags"])),
        project_id=row["project_id"],
        scope=row["scope"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def task_from(row: Mapping[str, Any]) -> TaskExecution:
    """Return the core's form of a row of ``task_executions``."""
    next_tasks = row["next_tasks"]
    return TaskExecution(
        id=row["id"],
        root_id=row["root_execution_id"],
        workflow_id=row["workflow_execution_id"],
        name=row["name"],
        type=TaskType(row["type"]),
        state=State(row["state"]),
        state_info=row["state_info"],
        published=load(row["published"]),
        published_global=load(row["published_global"]),
        triggered_by=tuple(
            Trigger(task_id=task_id, event=event) for task_id, event in load(row["triggered_by"])
        ),
        next_tasks=(None if next_tasks is None else tuple((name, event) for name, event in load(next_tasks))),
        error_handled=bool(row["error_handled"]),
        processed=bool(row["processed"]),
        runtime=load(row["runtime"]),
        tags=tuple(load(row["tags"])),
        project_id=row["project_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )


def action_from(row: Mapping[str, Any]) -> ActionExecution:
    """Return the core's form of a row of ``action_executions``."""
    output = row["output"]
    return ActionExecution(
        id=row["id"],
        root_id=row["root_execution_id"],
        task_id=row["task_execution_id"],
        workflow_id=row["workflow_execution_id"],
        workflow_name=row["workflow_name"],
        namespace=row["workflow_namespace"],
        name=row["name"],
        state=State(row["state"]),
        state_info=row["state_info"],
        input=load(row["input"]),
        result=load(output)["result"] if output is not None else None,
        accepted=bool(row["accepted"]),
        is_sync=bool(row["is_sync"]),
        is_ephemeral=bool(row["is_ephemeral"]),
        position=row["position"],
        safe_rerun=bool(row["safe_rerun"]),
        callback_digest=row["callback_digest"],
        chain=tuple(load(row["chain"])) if row["chain"] else (),
        description=row["description"],
        project_id=row["project_id"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def timer_from(row: Mapping[str, Any]) -> Timer:
    """Return the core's form of a row of ``timers``."""
    return Timer(
        id=row["id"],
        root_id=row["root_execution_id"],
        kind=TimerKind(row["kind"]),
        subject_id=row["subject_id"],
        due_at=row["due_at"],
    )


def pending_from(row: Mapping[str, Any]) -> PendingAction:
    """Return the core's form of a row of ``action_queue``."""
    return PendingAction(
        action_id=row["action_execution_id"],
        root_id=row["root_execution_id"],
        attempt=row["attempt"],
        target=row["target"],
        available_at=row["available_at"],
        request=load(row["request"]),
    )
