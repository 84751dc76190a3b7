"""Notifications: which changes of state are events, who asked to hear of them, and what they are told.

Pure functions over rows of the core; ``step`` calls them as states change, the engine's notifier delivers
what comes of it. A change that is no event is told to nobody, whatever a publisher asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow.model import TaskExecution, WorkflowExecution
from mistral_lite.workflow.states import State

_ENDS: Mapping[State, str] = {
    State.SUCCESS: "SUCCEEDED",
    State.ERROR: "FAILED",
    State.CANCELLED: "CANCELLED",
    State.PAUSED: "PAUSED",
}
_WORKFLOW_BEGINNINGS: Mapping[State, str] = {State.PAUSED: "RESUMED", State.ERROR: "RERUN"}
_TASK_BEGINNINGS: Mapping[State, str] = {
    State.IDLE: "RESUMED",
    State.PAUSED: "RESUMED",
    State.WAITING: "RESUMED",
    State.ERROR: "RERUN",
}


def workflow_event(before: State | None, after: State) -> str | None:
    """Return the event that a workflow execution's change of state is, or None.

    ``before`` is None for the first state of all.
    """
    if after == State.RUNNING:
        return f"WORKFLOW_{_word(_WORKFLOW_BEGINNINGS, before)}"
    return f"WORKFLOW_{_ENDS[after]}" if after in _ENDS else None


def task_event(before: State | None, after: State) -> str | None:
    """Return the event that a task execution's change of state is, or None.

    ``before`` is None when the task begins for the first time.
    """
    if after == State.RUNNING:
        return f"TASK_{_word(_TASK_BEGINNINGS, before)}"
    if after == State.SKIPPED:
        return "TASK_SKIPPED"
    return f"TASK_{_ENDS[after]}" if after in _ENDS else None


def _word(beginnings: Mapping[State, str], before: State | None) -> str:
    return "LAUNCHED" if before is None else beginnings.get(before, "LAUNCHED")


def publishers_of(params: JsonObject, event: str) -> list[JsonObject]:
    """Return the publishers in the parameter ``notify`` that want ``event``; what is no publisher is left out.

    A publisher without ``event_types`` (or with an empty one) wants all events.
    """
    given = params.get("notify")
    if not isinstance(given, list):
        return []
    return [each for each in given if isinstance(each, dict) and _wants(each, event)]


def _wants(publisher: JsonObject, event: str) -> bool:
    wanted = publisher.get("event_types")
    return not wanted or (isinstance(wanted, list) and event in wanted)


def workflow_payload(row: WorkflowExecution, event: str) -> JsonObject:
    """Return what publishers are told about a workflow execution."""
    return {
        "id": row.id,
        "name": row.name,
        "workflow_name": row.name,
        "workflow_namespace": row.namespace,
        "workflow_id": row.definition_id,
        "state": str(row.state),
        "state_info": row.state_info,
        "project_id": row.project_id,
        "task_execution_id": row.parent_task_id,
        "root_execution_id": row.root_id if row.parent_task_id is not None else None,
        "created_at": _time_text(row.created_at),
        "updated_at": _time_text(row.updated_at),
        "event": event,
    }


def task_payload(row: TaskExecution, workflow: WorkflowExecution, event: str) -> JsonObject:
    """Return what publishers are told about a task execution."""
    return {
        "id": row.id,
        "name": row.name,
        "workflow_execution_id": workflow.id,
        "workflow_name": workflow.name,
        "workflow_namespace": workflow.namespace,
        "workflow_id": workflow.definition_id,
        "state": str(row.state),
        "state_info": row.state_info,
        "type": str(row.type),
        "project_id": row.project_id,
        "created_at": _time_text(row.created_at),
        "updated_at": _time_text(row.updated_at),
        "started_at": _time_text(row.started_at),
        "finished_at": _time_text(row.finished_at),
        "event": event,
    }


def _time_text(value: datetime | None) -> JsonValue:
    # The form of the REST API: UTC, whole seconds, no zone.
    return None if value is None else value.replace(tzinfo=None).isoformat(" ", "seconds")
