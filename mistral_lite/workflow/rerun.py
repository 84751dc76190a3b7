"""Running a failed task again, or skipping it. Both re-open the workflow and all its ancestors at once.

Source: engine reference, "Rerun and skip".
"""

from __future__ import annotations

from mistral_lite.jsontext import JsonObject
from mistral_lite.workflow import resuming, routing, tasks
from mistral_lite.workflow.commands import RunTaskAgain, ScheduleTask, SkipTask
from mistral_lite.workflow.model import TaskExecution, TimerKind, WorkflowExecution
from mistral_lite.workflow.policies.after import disregard_results
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step


def rerun(step: Step, task: TaskExecution, *, reset: bool, environment: JsonObject) -> str | None:
    """Run a failed or cancelled task again; return why not, if it cannot be.

    All policies start afresh. With ``reset`` every result of the task is disregarded, without it only the
    failed ones, so that a with-items task runs only those items again.
    """
    if task.state not in {State.ERROR, State.CANCELLED}:
        return f"a task in {task.state} cannot be run again"
    refusal = _reopen(step, task.workflow_id)
    if refusal is not None:
        return refusal
    resuming.update_environment(step, environment)
    disregard_results(step, task, only_failed=not reset)
    runtime: JsonObject = {
        key: task.runtime[key] for key in ("inbound", "context_from") if key in task.runtime
    }
    if not reset and "with_items" in task.runtime:
        # The count of a partial round stays that of the list.
        runtime["with_items"] = task.runtime["with_items"]
    step.cancel_timers(task.id)
    step.set_task_state(
        task.id,
        State.RUNNING,
        None,
        runtime=runtime,
        next_tasks=None,
        processed=False,
        error_handled=False,
        started_at=step.now,
        finished_at=None,
    )
    step.order(RunTaskAgain(task_id=task.id))
    return None


def begin_again(step: Step, task: TaskExecution) -> None:
    """Begin a task anew that was set RUNNING; all its policies apply, whatever it is."""
    task = tasks.apply_before_policies(step, task)
    if task.state == State.RUNNING:
        step.order(ScheduleTask(task_id=task.id))


def skip(step: Step, task: TaskExecution) -> str | None:
    """Leave a failed task behind as SKIPPED and go on after it; return why not, if it cannot be."""
    if task.state != State.ERROR:
        return f"a task in {task.state} cannot be skipped"
    refusal = _reopen(step, task.workflow_id)
    if refusal is not None:
        return refusal
    step.order(SkipTask(task_id=task.id))
    return None


def leave_behind(step: Step, task: TaskExecution) -> None:
    """Set a failed task SKIPPED, publish what the spec says for that, and go on after it."""
    step.cancel_timers(task.id)
    task = step.set_task_state(task.id, State.SKIPPED, "Task was skipped.")
    tasks.publish(step, task, step.task_spec(task))
    routing.follow_up(step, step.snapshot.tasks[task.id])


def _reopen(step: Step, workflow_id: str) -> str | None:
    """Set a workflow execution and its ancestors RUNNING; return why not, if that cannot be."""
    line = _ancestors(step, workflow_id)
    for each in line:
        workflow = step.snapshot.workflows[each]
        if workflow.state in {State.PAUSED, State.SUCCESS}:
            return f"a workflow execution in {workflow.state} cannot be re-opened"
        if _is_left_behind(step, workflow):
            return "its parent task has gone on without this workflow execution"
    for each in line:
        workflow = step.snapshot.workflows[each]
        if workflow.state == State.RUNNING:
            continue
        step.set_workflow_state(each, State.RUNNING, None, output={}, accepted=False)
        _reopen_parent_task(step, workflow.parent_task_id)
        _release_held(step, each)
    return None


def _is_left_behind(step: Step, workflow: WorkflowExecution) -> bool:
    """Tell whether the parent task waits, or can wait again, for another child or for none."""
    if workflow.parent_task_id is None:
        return False
    if step.snapshot.latest_child(workflow.parent_task_id, workflow.position) is not workflow:
        return True
    return step.snapshot.tasks[workflow.parent_task_id].state in {State.SUCCESS, State.SKIPPED}


def _ancestors(step: Step, workflow_id: str) -> list[str]:
    line = []
    current: str | None = workflow_id
    while current is not None:
        line.append(current)
        parent_task_id = step.snapshot.workflows[current].parent_task_id
        current = step.snapshot.tasks[parent_task_id].workflow_id if parent_task_id else None
    return line


def _reopen_parent_task(step: Step, task_id: str | None) -> None:
    if task_id is None or not step.snapshot.tasks[task_id].is_finished:
        return
    step.set_task_state(
        task_id,
        State.RUNNING,
        None,
        next_tasks=None,
        processed=False,
        error_handled=False,
        finished_at=None,
    )


def _release_held(step: Step, workflow_id: str) -> None:
    # Delays that ran out while the workflow was finished go on now.
    for task in step.snapshot.tasks_of(workflow_id):
        if "held" in task.runtime and not task.is_finished:
            tasks.go_on(step, task, TimerKind(task.runtime["held"]))
