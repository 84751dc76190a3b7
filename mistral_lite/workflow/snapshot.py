"""An execution tree in memory: its rows, and the counts that make each event cheap.

The unit of every decision is the tree below one root (a root workflow execution, or a stand-alone action
execution). All rows are frozen; the dictionaries that hold them, and every index over them, are written
only through the journal. Each index is updated by the difference between the old and the new row, so no
event ever walks over the whole tree.

A snapshot belongs to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from operator import add, sub
from typing import Final, NamedTuple, TypeVar

from mistral_lite.workflow.journal import Journal
from mistral_lite.workflow.library import Library
from mistral_lite.workflow.model import (
    ActionExecution,
    Notification,
    PendingAction,
    TaskExecution,
    TaskType,
    Timer,
    WorkflowExecution,
)
from mistral_lite.workflow.states import State, is_finished


class WorkflowTally(NamedTuple):
    """Counts over the tasks of one workflow execution.

    ``unfinished`` includes the waiting ones; ``waiting`` are joins whose condition is not met.
    """

    unfinished: int = 0
    waiting: int = 0
    paused: int = 0
    cancelled: int = 0
    unhandled_errors: int = 0


class ChildTally(NamedTuple):
    """Counts over the actions (or nested workflows) of one task; results count only while accepted."""

    unfinished: int = 0
    paused: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def accepted(self) -> int:
        """Return how many results count."""
        return self.succeeded + self.failed + self.cancelled


Child = ActionExecution | WorkflowExecution
_K = TypeVar("_K", bound=Hashable)

_NO_TASKS = WorkflowTally()
_NO_CHILDREN = ChildTally()


class Induced(NamedTuple):
    """What an inbound task means for a join: RUNNING, ERROR or WAITING, and the event that says so."""

    state: State
    event: str = ""


class Snapshot:
    """The rows of one execution tree at ``version`` of its root, with their indexes."""

    def __init__(self, root_id: str, version: int, library: Library) -> None:
        self.root_id = root_id
        self.version = version
        self.library = library
        self.journal = Journal()
        self.workflows: dict[str, WorkflowExecution] = {}
        self.tasks: dict[str, TaskExecution] = {}
        self.actions: dict[str, ActionExecution] = {}
        self.timers: dict[str, Timer] = {}
        self.pending: dict[str, PendingAction] = {}
        # Of the decision in the making only; never loaded, and gone once it is applied.
        self.notifications: dict[str, Notification] = {}
        # Index: (workflow id, task name) → ids of its executions, oldest first.
        self._by_name: dict[tuple[str, str], dict[str, None]] = {}
        # Index: workflow id → ids of its tasks, oldest first.
        self._tasks_of: dict[str, dict[str, None]] = {}
        # Index: task id → position → id of the latest child there; and all children.
        self._latest_child: dict[str, dict[int, str]] = {}
        self._children_of: dict[str, dict[str, None]] = {}
        self._timers_of: dict[str, dict[str, None]] = {}
        self._workflow_tallies: dict[str, WorkflowTally] = {}
        self._child_tallies: dict[str, ChildTally] = {}
        # Kept by ``joins``: join task id → inbound task name → what it induces.
        self.induced: dict[str, dict[str, Induced]] = {}
        # Kept by ``joins``: join task id → how many inbound tasks induce RUNNING, and how many ERROR.
        self.join_counts: dict[str, tuple[int, int]] = {}
        # Memories that can be rebuilt: (validity token, value) by key. Never needed for correctness.
        self.memory: dict[object, tuple[object, object]] = {}

    def load(
        self,
        *,
        workflows: Iterable[WorkflowExecution] = (),
        tasks: Iterable[TaskExecution] = (),
        actions: Iterable[ActionExecution] = (),
        timers: Iterable[Timer] = (),
        pending: Iterable[PendingAction] = (),
    ) -> Snapshot:
        """Fill the snapshot with rows, oldest first, and return it."""
        for workflow in workflows:
            self.put_workflow(workflow)
        for task in tasks:
            self.put_task(task)
        for action in actions:
            self.put_action(action)
        for timer in timers:
            self.put_timer(timer)
        for attempt in pending:
            self.put_pending(attempt)
        self.journal.forget()
        return self

    # -- reading -----------------------------------------------------------------------------------

    @property
    def root(self) -> WorkflowExecution:
        """Return the root workflow execution."""
        return self.workflows[self.root_id]

    def tasks_of(self, workflow_id: str) -> list[TaskExecution]:
        """Return the tasks of a workflow execution, oldest first."""
        return [self.tasks[task_id] for task_id in self._tasks_of.get(workflow_id, ())]

    def find_task(self, workflow_id: str, name: str) -> TaskExecution | None:
        """Return the latest execution of the task called ``name``, or None."""
        ids = self._by_name.get((workflow_id, name))
        return self.tasks[next(reversed(ids))] if ids else None

    def children_of(self, task_id: str) -> list[Child]:
        """Return the actions or nested workflows of a task, oldest first."""
        ids = self._children_of.get(task_id, ())
        if self.tasks[task_id].type == TaskType.WORKFLOW:
            return [self.workflows[child_id] for child_id in ids]
        return [self.actions[child_id] for child_id in ids]

    def latest_child(self, task_id: str, position: int) -> Child | None:
        """Return the latest child of a task for one item, or None."""
        child_id = self._latest_child.get(task_id, {}).get(position)
        if child_id is None:
            return None
        return self.actions.get(child_id) or self.workflows[child_id]

    def nested_workflows(self, workflow_id: str) -> list[WorkflowExecution]:
        """Return the workflow executions directly below a workflow execution."""
        return [
            child
            for task_id in self._tasks_of.get(workflow_id, ())
            if self.tasks[task_id].type == TaskType.WORKFLOW
            for child in self.children_of(task_id)
            if isinstance(child, WorkflowExecution)
        ]

    def timers_of(self, task_id: str) -> list[Timer]:
        """Return the timers that are set for a task."""
        return [self.timers[timer_id] for timer_id in self._timers_of.get(task_id, ())]

    def workflow_tally(self, workflow_id: str) -> WorkflowTally:
        """Return the counts over the tasks of a workflow execution."""
        return self._workflow_tallies.get(workflow_id, _NO_TASKS)

    def child_tally(self, task_id: str) -> ChildTally:
        """Return the counts over the children of a task."""
        return self._child_tallies.get(task_id, _NO_CHILDREN)

    # -- writing -----------------------------------------------------------------------------------

    def put_workflow(self, row: WorkflowExecution) -> None:
        """Insert or replace a workflow execution."""
        before = self.workflows.get(row.id)
        self.journal.set(self.workflows, row.id, row)
        if row.parent_task_id is not None:
            self._index_child(row.parent_task_id, before, row)

    def put_task(self, row: TaskExecution) -> None:
        """Insert or replace a task execution."""
        before = self.tasks.get(row.id)
        self.journal.set(self.tasks, row.id, row)
        if before is None:
            self._add_to(self._tasks_of, row.workflow_id, row.id)
            self._add_to(self._by_name, (row.workflow_id, row.name), row.id)
        old, new = _task_counts(before), _task_counts(row)
        if old is not new:
            tally = self.workflow_tally(row.workflow_id)
            self.journal.set(self._workflow_tallies, row.workflow_id, WorkflowTally(*_moved(tally, old, new)))

    def put_action(self, row: ActionExecution) -> None:
        """Insert or replace an action execution."""
        before = self.actions.get(row.id)
        self.journal.set(self.actions, row.id, row)
        if row.task_id is not None:
            self._index_child(row.task_id, before, row)

    def put_timer(self, row: Timer) -> None:
        """Insert a timer."""
        self.journal.set(self.timers, row.id, row)
        self._add_to(self._timers_of, row.subject_id, row.id)

    def remove_timer(self, timer_id: str) -> None:
        """Remove a timer if it is there."""
        timer = self.timers.get(timer_id)
        if timer is not None:
            self.journal.remove(self.timers, timer_id)
            self.journal.remove(self._timers_of[timer.subject_id], timer_id)

    def put_pending(self, row: PendingAction) -> None:
        """Insert or replace a pending attempt."""
        self.journal.set(self.pending, row.action_id, row)

    def remove_pending(self, action_id: str) -> None:
        """Remove the pending attempt of an action if there is one."""
        self.journal.remove(self.pending, action_id)

    def put_notification(self, row: Notification) -> None:
        """Insert a notification."""
        self.journal.set(self.notifications, row.id, row)

    def _index_child(self, task_id: str, before: Child | None, row: Child) -> None:
        if before is None:
            self._add_to(self._children_of, task_id, row.id)
            positions = self._latest_child.get(task_id)
            if positions is None:
                positions = {}
                self.journal.set(self._latest_child, task_id, positions)
            self.journal.set(positions, row.position, row.id)
        old, new = _child_counts(before), _child_counts(row)
        if old is not new:
            tally = self.child_tally(task_id)
            self.journal.set(self._child_tallies, task_id, ChildTally(*_moved(tally, old, new)))

    def _add_to(self, index: dict[_K, dict[str, None]], key: _K, member: str) -> None:
        members = index.get(key)
        if members is None:
            members = {}
            self.journal.set(index, key, members)
        self.journal.set(members, member, None)


# What a task adds to the tally of its workflow, by its state; each of these is one object, so that a change that
# counts for nothing is seen at once.
_TASK_COUNTS: Final = {
    state: WorkflowTally(
        unfinished=int(not is_finished(state)),
        waiting=int(state == State.WAITING),
        paused=int(state == State.PAUSED),
        cancelled=int(state == State.CANCELLED),
        unhandled_errors=int(state == State.ERROR),
    )
    for state in State
}
# What a child adds to the tally of its task, by its state and whether its result counts.
_CHILD_COUNTS: Final = {
    (state, is_accepted): ChildTally(
        unfinished=int(not is_finished(state)),
        paused=int(state == State.PAUSED),
        succeeded=int(is_accepted and state == State.SUCCESS),
        failed=int(is_accepted and state == State.ERROR),
        cancelled=int(is_accepted and state == State.CANCELLED),
    )
    for state in State
    for is_accepted in (False, True)
}


def _task_counts(row: TaskExecution | None) -> WorkflowTally:
    if row is None or (row.state == State.ERROR and row.error_handled):
        return _NO_TASKS
    return _TASK_COUNTS[row.state]


def _child_counts(row: Child | None) -> ChildTally:
    return _NO_CHILDREN if row is None else _CHILD_COUNTS[row.state, row.accepted]


def _moved(tally: tuple[int, ...], old: tuple[int, ...], new: tuple[int, ...]) -> Iterable[int]:
    """Return the counts of ``tally`` with ``new`` in place of ``old``."""
    return map(add, tally, map(sub, new, old))
