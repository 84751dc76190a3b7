"""Frozen rows of the core: workflow, task and action executions, timers, pending actions, notifications.

They mirror the tables one to one. A change is a new row made with ``_replace``; JSON values inside are never
changed in place, so rows share them freely, the empty ones of the defaults too.

Rows are named tuples, as a decision makes several of each: a frozen dataclass takes three times as long. They
are made with keywords only.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow.states import State, is_finished

_EMPTY: Final[JsonObject] = {}


class TaskType(StrEnum):
    """What a task starts."""

    ACTION = "ACTION"
    WORKFLOW = "WORKFLOW"


class Trigger(NamedTuple):
    """A task that led to another one, and the clause by which it did."""

    task_id: str
    event: str


# Who paused a workflow execution, if it was not a person or the workflow itself.
MAINTENANCE = "maintenance"


class WorkflowExecution(NamedTuple):
    """One run of a workflow.

    ``context`` holds the workflow-wide variables; ``published_global`` names those that tasks published.
    ``position`` is the item of the parent's with-items (else 0). ``backlog`` are commands that a pause kept
    back, as JSON. ``pending_failure`` is a failure noted while paused, to be carried out on resume.
    ``accepted`` is false while the parent does not (or no longer does) count this result. ``paused_by`` is
    ``MAINTENANCE`` while that is why it is paused. ``openstack``: on a root, what its tree may see of whom it
    works for; None where nothing is known of that.
    """

    id: str
    root_id: str
    spec_hash: str
    definition_id: str
    name: str
    namespace: str
    state: State
    project_id: str
    created_at: datetime
    parent_task_id: str | None = None
    state_info: str | None = None
    input: JsonObject = _EMPTY
    params: JsonObject = _EMPTY
    context: JsonObject = _EMPTY
    published_global: tuple[str, ...] = ()
    output: JsonObject = _EMPTY
    position: int = 0
    workbook: str | None = None
    backlog: tuple[JsonObject, ...] = ()
    pending_failure: str | None = None
    accepted: bool = False
    paused_by: str | None = None
    openstack: JsonObject | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    scope: str = "private"
    updated_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing follows by itself."""
        return is_finished(self.state)

    @property
    def namespace_of_params(self) -> str:
        """The namespace that the tree was started in, where names are looked up first.

        ``namespace`` is the one that this definition was found in, which may be the default one.
        """
        return str(self.params.get("namespace") or "")


class TaskExecution(NamedTuple):
    """One run of a task; retries and reruns belong to the same one.

    ``triggered_by`` says where its inbound context comes from. ``next_tasks`` are the (task, clause) pairs
    it led to, None until it finished. ``runtime`` is the bookkeeping of policies and with-items.
    ``processed`` is true once its follow-ups were decided; ``error_handled`` once an on-error entry fired.
    """

    id: str
    root_id: str
    workflow_id: str
    name: str
    type: TaskType
    state: State
    project_id: str
    created_at: datetime
    state_info: str | None = None
    published: JsonObject = _EMPTY
    published_global: JsonObject = _EMPTY
    triggered_by: tuple[Trigger, ...] = ()
    next_tasks: tuple[tuple[str, str], ...] | None = None
    error_handled: bool = False
    processed: bool = False
    runtime: JsonObject = _EMPTY
    tags: tuple[str, ...] = ()
    updated_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing follows by itself."""
        return is_finished(self.state)


class ActionExecution(NamedTuple):
    """One call of an action: for a task, for one item of a task, or on its own (no task).

    ``result`` counts once the state is finished. ``accepted`` is false again after a retry or a rerun
    superseded it. ``chain`` names, innermost first, the ad-hoc actions (by spec hash) whose output
    transformations apply to the result.
    """

    id: str
    root_id: str
    name: str
    state: State
    is_sync: bool
    project_id: str
    created_at: datetime
    task_id: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    namespace: str | None = None
    state_info: str | None = None
    input: JsonObject = _EMPTY
    result: JsonValue = None
    accepted: bool = False
    position: int = 0
    safe_rerun: bool = False
    is_ephemeral: bool = False
    callback_digest: str | None = None
    chain: tuple[str, ...] = ()
    description: str | None = None
    updated_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing follows by itself."""
        return is_finished(self.state)


class TimerKind(StrEnum):
    """Why a timer was set; its subject is a task execution."""

    WAIT_BEFORE = "wait-before"
    WAIT_AFTER = "wait-after"
    RETRY = "retry"
    TIMEOUT = "timeout"


class Timer(NamedTuple):
    """A point in time at which a task must be looked at again."""

    id: str
    root_id: str
    kind: TimerKind
    subject_id: str
    due_at: datetime


class PendingAction(NamedTuple):
    """An attempt that waits for an executor or is with one; the row of ``action_queue``.

    ``request`` is the order for the executor without attempt and lease. Executor and lease are not the
    core's business and not kept here.
    """

    action_id: str
    root_id: str
    attempt: int
    target: str | None
    available_at: datetime
    request: JsonObject


class Notification(NamedTuple):
    """What one publisher is to be told; a row of the outbox ``notifications``.

    Only ever inserted by the core: what becomes of it after the commit is the notifier's business.
    """

    id: str
    root_id: str
    execution_id: str
    publisher: JsonObject
    event: str
    payload: JsonObject
    created_at: datetime
