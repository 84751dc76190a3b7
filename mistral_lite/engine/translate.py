"""Rows of the inbox and reports of executors → events of the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mistral_lite.db import inbox, maintenance
from mistral_lite.db.inbox import Entry
from mistral_lite.errors import InternalError
from mistral_lite.rpc.protocol import ActionReport, Outcome
from mistral_lite.workflow import events
from mistral_lite.workflow.states import State

_REPORTED_STATES = {
    Outcome.SUCCESS: State.SUCCESS,
    Outcome.ERROR: State.ERROR,
    Outcome.CANCELLED: State.CANCELLED,
}

# Events that say nothing but what they are about.
_BY_SUBJECT: Mapping[str, Callable[[str], events.Event]] = {
    "start": lambda subject: events.WorkflowStarted(workflow_execution_id=subject),
    "pause": lambda subject: events.PauseRequested(workflow_execution_id=subject),
    "skip": lambda subject: events.SkipRequested(task_execution_id=subject),
    "pause_action": lambda subject: events.ActionPauseRequested(action_execution_id=subject),
    "resume_action": lambda subject: events.ActionResumeRequested(action_execution_id=subject),
    inbox.MEND: lambda _: events.MendRequested(),
    maintenance.BEGAN: lambda _: events.MaintenanceBegan(),
    maintenance.ENDED: lambda _: events.MaintenanceEnded(),
}

# Not an event of the core: the rows of the execution simply go.
DELETE = "delete"


def event_from_entry(entry: Entry) -> events.Event:
    """Return the event that an inbox row stands for. Raises ``InternalError`` for an unknown kind."""
    subject, payload = entry.subject_id, entry.payload
    if entry.kind in _BY_SUBJECT:
        return _BY_SUBJECT[entry.kind](subject)
    match entry.kind:
        case "result":
            return events.ResultDelivered(
                action_execution_id=subject,
                state=State(payload["state"]),
                result=payload["output"],
                digest=payload["digest"],
            )
        case inbox.SENT:
            return events.ActionSent(action_execution_id=subject, attempt=payload["attempt"])
        case "run_action":
            return events.ActionRequested(
                action_execution_id=subject,
                name=payload["name"],
                input=payload["input"],
                namespace=payload["namespace"],
                project_id=payload["project_id"],
                description=payload["description"] or "",
                target=payload["target"],
                timeout_s=payload["timeout"],
                is_ephemeral=payload["is_ephemeral"],
            )
        case "resume":
            return events.ResumeRequested(workflow_execution_id=subject, environment=payload["env"] or {})
        case "update_env":
            return events.EnvironmentUpdated(workflow_execution_id=subject, environment=payload["env"] or {})
        case "stop":
            return events.StopRequested(
                workflow_execution_id=subject, state=State(payload["state"]), message=payload["message"]
            )
        case "rerun":
            return events.RerunRequested(
                task_execution_id=subject, reset=payload["reset"], environment=payload["env"] or {}
            )
        case _:
            raise InternalError(f"The inbox holds an entry of unknown kind '{entry.kind}'.")


def event_from_report(report: ActionReport) -> events.Event:
    """Return the event that an executor's report stands for."""
    action_id, attempt = report.action_execution_id, report.attempt
    match report.outcome:
        case Outcome.SENT:
            return events.ActionSent(action_execution_id=action_id, attempt=attempt)
        case Outcome.RETURNED:
            return events.ActionReturned(action_execution_id=action_id, attempt=attempt)
        case Outcome.SUCCESS | Outcome.ERROR | Outcome.CANCELLED:
            return events.ActionReported(
                action_execution_id=action_id,
                attempt=attempt,
                state=_REPORTED_STATES[report.outcome],
                result=report.result,
            )
