"""Rows of the inbox and reports of executors → events of the core."""

from __future__ import annotations

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

# Not an event of the core: the rows of the execution simply go.
DELETE = "delete"


def event_from_entry(entry: Entry) -> events.Event:
    """Return the event that an inbox row stands for. Raises ``InternalError`` for an unknown kind."""
    subject, payload = entry.subject_id, entry.payload
    match entry.kind:
        case "start":
            return events.WorkflowStarted(workflow_execution_id=subject)
        case "result":
            return events.ResultDelivered(
                action_execution_id=subject,
                state=State(payload["state"]),
                result=payload["output"],
                digest=payload["digest"],
            )
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
        case "pause":
            return events.PauseRequested(workflow_execution_id=subject)
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
        case "skip":
            return events.SkipRequested(task_execution_id=subject)
        case "pause_action":
            return events.ActionPauseRequested(action_execution_id=subject)
        case "resume_action":
            return events.ActionResumeRequested(action_execution_id=subject)
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
