"""What may happen to an execution tree. Every event names the execution it is about."""

from __future__ import annotations

from dataclasses import dataclass

from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStarted:
    """A root execution was accepted and shall start its first tasks."""

    workflow_execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequested:
    """Somebody asked to run an action on its own; the identifier was chosen by the caller."""

    action_execution_id: str
    name: str
    input: JsonObject
    namespace: str
    project_id: str
    description: str = ""
    target: str | None = None
    timeout_s: float | None = None
    is_ephemeral: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionReported:
    """An executor says how an attempt ended: SUCCESS, ERROR or CANCELLED with its data or error."""

    action_execution_id: str
    attempt: int
    state: State
    result: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSent:
    """An executor says that an asynchronous action left; its result will come from outside."""

    action_execution_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionReturned:
    """An executor hands an attempt back that it never began."""

    action_execution_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseExpired:
    """The executor of an attempt fell silent."""

    action_execution_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultDelivered:
    """A third party or a person delivered the result of an action. ``digest`` identifies the delivery."""

    action_execution_id: str
    state: State
    result: JsonValue = None
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A timer is due."""

    timer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested:
    """An operator pauses a workflow, and with it its tree."""

    workflow_execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequested:
    """An operator resumes a workflow; ``environment`` is merged into the root's first."""

    workflow_execution_id: str
    environment: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceBegan:
    """The whole service is being paused, and with it everything in the tree that runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceEnded:
    """The service is no longer paused: what was paused for that goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested:
    """An operator ends a workflow with SUCCESS, ERROR or CANCELLED."""

    workflow_execution_id: str
    state: State
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentUpdated:
    """An operator changes the environment of a workflow that is not running."""

    workflow_execution_id: str
    environment: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunRequested:
    """An operator runs a failed or cancelled task again; with ``reset`` all its items."""

    task_execution_id: str
    reset: bool
    environment: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipRequested:
    """An operator skips a failed task."""

    task_execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPauseRequested:
    """An operator or a third party pauses an asynchronous action."""

    action_execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResumeRequested:
    """An operator or a third party resumes a paused action."""

    action_execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MendRequested:
    """An operator asks to wake what nothing would wake in the tree any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFailed:
    """Deciding an earlier event raised an unexpected error: the root execution fails with ``message``."""

    message: str


Event = (
    WorkflowStarted
    | ActionRequested
    | ActionReported
    | ActionSent
    | ActionReturned
    | LeaseExpired
    | ResultDelivered
    | TimerFired
    | PauseRequested
    | ResumeRequested
    | MaintenanceBegan
    | MaintenanceEnded
    | StopRequested
    | EnvironmentUpdated
    | RerunRequested
    | SkipRequested
    | ActionPauseRequested
    | ActionResumeRequested
    | MendRequested
    | DecisionFailed
)
