"""Giving the rows of a damaged tree something that wakes them again.

The core itself never leaves a row without; this is for what a restored backup, a hand in the database or a bug
left behind. Every row gets the event that it should have had, and the ordinary rules decide what follows.
"""

from __future__ import annotations

from mistral_lite.workflow import results, tasks
from mistral_lite.workflow.commands import (
    CheckWorkflow,
    FollowUp,
    RefreshJoin,
    ReportChild,
    RunTask,
    ScheduleTask,
    StartWorkflow,
)
from mistral_lite.workflow.model import ActionExecution, TaskExecution, TimerKind, WorkflowExecution
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step

_LOST_AGAIN = "This attempt was lost before its outcome was known; the action was run again."
_DELAYS = frozenset({TimerKind.WAIT_BEFORE, TimerKind.WAIT_AFTER, TimerKind.RETRY})


def mend(step: Step) -> None:
    """Remove what wakes nothing, and give what nothing wakes the event that it lacks."""
    snapshot = step.snapshot
    for timer in list(snapshot.timers.values()):
        subject = snapshot.tasks.get(timer.subject_id)
        if subject is None or subject.is_finished:
            snapshot.remove_timer(timer.id)
    for action_id in list(snapshot.pending):
        action = snapshot.actions.get(action_id)
        if action is None or action.is_finished:
            snapshot.remove_pending(action_id)
    for action in list(snapshot.actions.values()):
        _mend_action(step, action)
    for workflow in list(snapshot.workflows.values()):
        if workflow.state == State.RUNNING:
            _mend_workflow(step, workflow)


def _mend_action(step: Step, action: ActionExecution) -> None:
    """Decide a synchronous action that no executor will report, as if its lease had run out."""
    if action.state != State.RUNNING or not action.is_sync or action.id in step.snapshot.pending:
        return
    task = step.snapshot.tasks.get(action.task_id) if action.task_id is not None else None
    if task is None or task.is_finished or not action.safe_rerun:
        results.finish(step, action, State.ERROR, results.LOST)
        return
    # What to run is no longer known, so the task starts another one in its place.
    step.set_action_state(action.id, State.ERROR, result=_LOST_AGAIN, accepted=False)
    runtime = {key: value for key, value in task.runtime.items() if key != "last_item"}
    step.change_task(task.id, runtime=runtime)
    step.order(ScheduleTask(task_id=task.id))


def _mend_workflow(step: Step, workflow: WorkflowExecution) -> None:
    found = step.snapshot.tasks_of(workflow.id)
    if not found:
        step.order(StartWorkflow(workflow_id=workflow.id))
        return
    for task in found:
        if task.is_finished and not task.processed:
            step.order(FollowUp(task_id=task.id))
        elif not task.is_finished and not any(t.kind in _DELAYS for t in step.snapshot.timers_of(task.id)):
            _mend_task(step, task)
    step.order(CheckWorkflow(workflow_id=workflow.id))


def _mend_task(step: Step, task: TaskExecution) -> None:
    """Wake an unfinished task of a running workflow that has no delay before it."""
    if "held" in task.runtime:
        tasks.go_on(step, task, TimerKind(task.runtime["held"]))
    elif task.state == State.DELAYED:
        step.set_timer(_kind_of_delay(task), task.id, 0)
    elif task.state == State.WAITING:
        step.order(RefreshJoin(task_id=task.id))
    elif task.state == State.IDLE:
        step.order(RunTask(task_id=task.id, with_policies=False))
    elif not step.snapshot.child_tally(task.id).unfinished:
        _mend_childless(step, task)


def _mend_childless(step: Step, task: TaskExecution) -> None:
    if task.state == State.PAUSED:
        step.set_task_state(task.id, State.RUNNING)
    positions = {child.position for child in step.snapshot.children_of(task.id)}
    ended = [step.snapshot.latest_child(task.id, position) for position in sorted(positions)]
    for child in ended:
        # One that does not count was left behind on purpose: by a retry, or because it was lost.
        if child is not None and child.accepted:
            step.order(ReportChild(child_id=child.id))
    if not any(child is not None and child.accepted for child in ended):
        step.order(ScheduleTask(task_id=task.id))


def _kind_of_delay(task: TaskExecution) -> TimerKind:
    """Return why a task is delayed: the last policy that left its mark."""
    if (task.runtime.get("retry_task_policy") or {}).get("retry_no"):
        return TimerKind.RETRY
    return TimerKind.WAIT_AFTER if "wait_after" in task.runtime else TimerKind.WAIT_BEFORE
