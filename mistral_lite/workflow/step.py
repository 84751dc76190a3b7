"""The workbench of one decision: the snapshot, the time, and the orders still to be worked off.

Handlers read and write through a ``Step`` only. It stamps rows, enforces the state machines, names new
rows, and remembers which rows changed. Evaluation goes through it as well, since what an expression sees
depends on the decision so far.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from mistral_lite.errors import EvaluationError
from mistral_lite.ids import derived_id
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.specs import TaskSpec, WorkflowSpec
from mistral_lite.workflow import data_flow, notifications
from mistral_lite.workflow.commands import Order
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
from mistral_lite.workflow.snapshot import Snapshot
from mistral_lite.workflow.states import Machine, State, is_finished, require
from mistral_lite.workflow.view import Ordinals, TreeView

STATE_INFO_LIMIT = 65_500
# A century. Calendars end in the year 9999, numbers in definitions do not.
_LONGEST_DELAY_S = 100 * 365 * 24 * 3600


# Actions and workflows that one decision may start, in times of the items of one task: each item may be a workflow
# that starts one.
_CHILDREN_FACTOR = 2


class TooMuchError(Exception):
    """A decision would do more than one may do; the text is for the author of the workflow."""


class Step:
    """One decision in the making."""

    def __init__(self, snapshot: Snapshot, now: datetime) -> None:
        self.snapshot = snapshot
        self.library = snapshot.library
        self.now = now
        self.agenda: deque[Order] = deque()
        self._ordinals = Ordinals()
        self._children_left = _CHILDREN_FACTOR * self.library.rules.most_items

    # -- orders ------------------------------------------------------------------------------------

    def order(self, order: Order) -> None:
        """Have something done later in this decision, after what was ordered before."""
        self.agenda.append(order)

    # -- identities and specs ----------------------------------------------------------------------

    def new_id(self) -> str:
        """Return an identifier for a new row; the same decision made again gives the same one."""
        return derived_id(self.now, self.snapshot.root_id, self.snapshot.version, self._ordinals.next())

    def workflow_of(self, task: TaskExecution) -> WorkflowExecution:
        """Return the workflow execution that a task belongs to."""
        return self.snapshot.workflows[task.workflow_id]

    def workflow_spec(self, workflow: WorkflowExecution) -> WorkflowSpec:
        """Return the spec that a workflow execution runs."""
        return self.library.workflow_spec(workflow.spec_hash)

    def task_spec(self, task: TaskExecution) -> TaskSpec:
        """Return the spec of a task execution."""
        return self.workflow_spec(self.workflow_of(task)).tasks[task.name]

    # -- rows --------------------------------------------------------------------------------------

    def add_workflow(self, row: WorkflowExecution) -> WorkflowExecution:
        """Add a workflow execution. Raises ``TooMuchError``."""
        self._count_child()
        self.snapshot.put_workflow(row)
        self.notify_of_workflow(row, None)
        return row

    def add_task(
        self,
        workflow: WorkflowExecution,
        spec: TaskSpec,
        triggers: tuple[Trigger, ...],
        state: State,
        info: str | None = None,
    ) -> TaskExecution:
        """Add an execution of a task to a workflow execution."""
        row = TaskExecution(
            id=self.new_id(),
            root_id=workflow.root_id,
            workflow_id=workflow.id,
            name=spec.name,
            type=TaskType.WORKFLOW if spec.is_workflow_task else TaskType.ACTION,
            state=state,
            state_info=info,
            triggered_by=triggers,
            tags=spec.tags,
            project_id=workflow.project_id,
            created_at=self.now,
        )
        self.snapshot.put_task(row)
        return row

    def add_action(self, row: ActionExecution, request: PendingAction) -> ActionExecution:
        """Add an action execution together with its first attempt. Raises ``TooMuchError``."""
        self._count_child()
        self.snapshot.put_action(row)
        self.snapshot.put_pending(request)
        return row

    def _count_child(self) -> None:
        self._children_left -= 1
        if self._children_left < 0:
            raise TooMuchError(
                f"The workflow starts more than {_CHILDREN_FACTOR * self.library.rules.most_items} actions and workflows"
                " at once; give tasks with items a 'concurrency'."
            )

    def change_workflow(self, workflow_id: str, **changes: object) -> WorkflowExecution:
        """Change fields of a workflow execution other than its state."""
        row = self.snapshot.workflows[workflow_id]
        row = row._replace(updated_at=self.now, **changes)  # type: ignore[arg-type]
        self.snapshot.put_workflow(row)
        return row

    def change_task(self, task_id: str, **changes: object) -> TaskExecution:
        """Change fields of a task execution other than its state."""
        row = self.snapshot.tasks[task_id]
        row = row._replace(updated_at=self.now, **changes)  # type: ignore[arg-type]
        self.snapshot.put_task(row)
        return row

    def change_action(self, action_id: str, **changes: object) -> ActionExecution:
        """Change fields of an action execution other than its state."""
        row = self.snapshot.actions[action_id]
        row = row._replace(updated_at=self.now, **changes)  # type: ignore[arg-type]
        self.snapshot.put_action(row)
        return row

    def set_workflow_state(
        self, workflow_id: str, state: State, info: str | None = None, **changes: object
    ) -> WorkflowExecution:
        """Move a workflow execution to ``state``. Raises ``InvalidTransitionError``."""
        before = self.snapshot.workflows[workflow_id].state
        require(Machine.WORKFLOW, before, state)
        changes.setdefault("paused_by", None)
        row = self.change_workflow(workflow_id, state=state, state_info=shortened(info), **changes)
        self.notify_of_workflow(row, before)
        return row

    def set_task_state(
        self, task_id: str, state: State, info: str | None = None, **changes: object
    ) -> TaskExecution:
        """Move a task execution to ``state``, with its times. Raises ``InvalidTransitionError``."""
        row = self.snapshot.tasks[task_id]
        require(Machine.TASK, row.state, state)
        if state == State.RUNNING and row.state in {State.IDLE, State.WAITING} and row.started_at is None:
            changes.setdefault("started_at", self.now)
        # One that a policy put back to IDLE has begun before; going on is no first run.
        is_first_run = row.state == State.IDLE and row.started_at is None
        if is_finished(state):
            changes.setdefault("finished_at", self.now)
        changed = self.change_task(task_id, state=state, state_info=shortened(info), **changes)
        self._notify_of_task(changed, None if is_first_run else row.state)
        return changed

    def set_action_state(self, action_id: str, state: State, **changes: object) -> ActionExecution:
        """Move an action execution to ``state``. Raises ``InvalidTransitionError``."""
        require(Machine.ACTION, self.snapshot.actions[action_id].state, state)
        return self.change_action(action_id, state=state, **changes)

    def notify_of_workflow(self, row: WorkflowExecution, before: State | None) -> None:
        """Tell those who asked for it of a workflow execution's new state."""
        if not row.params.get("notify") or row.state == before:
            return
        event = notifications.workflow_event(before, row.state)
        if event is not None:
            self._notify(row, row.id, event, notifications.workflow_payload(row, event))

    def _notify_of_task(self, row: TaskExecution, before: State | None) -> None:
        workflow = self.workflow_of(row)
        if not workflow.params.get("notify") or row.state == before:
            return
        event = notifications.task_event(before, row.state)
        if event is not None:
            self._notify(workflow, row.id, event, notifications.task_payload(row, workflow, event))

    def _notify(
        self, workflow: WorkflowExecution, execution_id: str, event: str, payload: JsonObject
    ) -> None:
        for publisher in notifications.publishers_of(workflow.params, event):
            self.snapshot.put_notification(
                Notification(
                    id=self.new_id(),
                    root_id=workflow.root_id,
                    execution_id=execution_id,
                    publisher=publisher,
                    event=event,
                    payload=payload,
                    created_at=self.now,
                )
            )

    def set_timer(self, kind: TimerKind, task_id: str, delay_s: float) -> None:
        """Set a timer for a task, ``delay_s`` seconds from now, or as good as never."""
        self.snapshot.put_timer(
            Timer(
                id=self.new_id(),
                root_id=self.snapshot.root_id,
                kind=kind,
                subject_id=task_id,
                due_at=self.now + timedelta(seconds=min(delay_s, _LONGEST_DELAY_S)),
            )
        )

    def cancel_timers(self, task_id: str, *kinds: TimerKind) -> None:
        """Remove the timers of a task: those of ``kinds``, or all."""
        for timer in self.snapshot.timers_of(task_id):
            if not kinds or timer.kind in kinds:
                self.snapshot.remove_timer(timer.id)

    # -- expressions -------------------------------------------------------------------------------

    def evaluate_for_task(
        self,
        value: JsonValue,
        task: TaskExecution,
        branch: data_flow.Branch,
        extra: Mapping[str, JsonValue] | None = None,
        *,
        field: str,
    ) -> JsonValue:
        """Evaluate ``value`` as the task sees it over ``branch``. Raises ``EvaluationError``."""
        context = data_flow.task_context(self.snapshot, task, branch, extra)
        return self.evaluate(value, context, self.workflow_of(task), task, field=field)

    def evaluate(
        self,
        value: JsonValue,
        context: Mapping[str, JsonValue],
        workflow: WorkflowExecution | None,
        task: TaskExecution | None = None,
        *,
        field: str,
    ) -> JsonValue:
        """Evaluate ``value`` over ``context``; ``field`` is where its author wrote it.

        Raises ``EvaluationError``, which knows the field.
        """
        view = TreeView(self.snapshot, workflow, task, self.now, self._ordinals)
        try:
            return self.library.evaluator.evaluate(value, context, view)
        except EvaluationError as error:
            error.details.setdefault("field", field)
            raise

    def inbound(self, task: TaskExecution) -> data_flow.Branch:
        """Return the inbound context of a task."""
        return data_flow.inbound(self.snapshot, task)

    def outbound(self, task: TaskExecution) -> data_flow.Branch:
        """Return the outbound context of a task."""
        return data_flow.outbound(self.snapshot, task)


def shortened(info: str | None) -> str | None:
    """Return a state info no longer than what is stored."""
    return info[:STATE_INFO_LIMIT] if info is not None else None


def result_text(result: JsonValue) -> str | None:
    """Return the state info that the result of a failed child gives; nothing for a falsy one."""
    return str(result) if result else None


def message_text(message: JsonValue) -> str | None:
    """Return the state info that the message of a command gives: mappings as JSON, nothing for an empty text."""
    if message is None:
        return None
    if isinstance(message, dict):
        # The spaced form is what people see in state_info; the compact one of jsontext is for storage.
        return json.dumps(message, default=str)
    return str(message) or None


def merged_environment(params: JsonObject, environment: JsonObject) -> JsonObject:
    """Return execution parameters with ``environment`` deep-merged into their ``env``."""
    return {**params, "env": data_flow.deep_merge(params.get("env") or {}, environment)}
