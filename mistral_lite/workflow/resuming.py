"""Resuming, and going on with what a pause or an end held back."""

from __future__ import annotations

from mistral_lite.jsontext import JsonObject
from mistral_lite.workflow import completion, routing, tasks
from mistral_lite.workflow.commands import CheckWorkflow, FollowUp, RefreshJoin, RunTask
from mistral_lite.workflow.model import MAINTENANCE, TimerKind
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step, merged_environment


def resume(step: Step, workflow_id: str, environment: JsonObject) -> None:
    """Resume a paused workflow execution: everything below it, itself, and its parent if none is paused.

    The parent goes on only when no other of its tasks is paused.
    """
    if step.snapshot.workflows[workflow_id].state != State.PAUSED:
        return
    update_environment(step, environment)
    _resume_down(step, workflow_id)
    _resume_parent(step, workflow_id)


def resume_after_maintenance(step: Step) -> None:
    """Resume the workflow executions that maintenance paused, and no others."""
    paused = [each for each in step.snapshot.workflows.values() if each.paused_by == MAINTENANCE]
    # Children first, as in any resuming; they are always younger.
    for workflow in sorted(paused, key=lambda each: (each.created_at, each.id), reverse=True):
        _set_running(step, workflow.id)
        if workflow.parent_task_id is not None:
            _resume_paused_task(step, workflow.parent_task_id)


def update_environment(step: Step, environment: JsonObject) -> None:
    """Merge ``environment`` into that of the root, which is the one that ``env()`` shows."""
    if environment:
        root = step.snapshot.root
        step.change_workflow(root.id, params=merged_environment(root.params, environment))


def resume_action(step: Step, action_id: str) -> None:
    """Resume a paused action, and what was paused because of it."""
    action = step.snapshot.actions[action_id]
    step.set_action_state(action_id, State.RUNNING)
    if action.task_id is not None:
        _resume_task(step, action.task_id)


def _resume_down(step: Step, workflow_id: str) -> None:
    for child in step.snapshot.nested_workflows(workflow_id):
        if child.state == State.PAUSED:
            _resume_down(step, child.id)
    _set_running(step, workflow_id)


def _set_running(step: Step, workflow_id: str) -> None:
    for task in step.snapshot.tasks_of(workflow_id):
        _resume_paused_task(step, task.id)
    step.set_workflow_state(workflow_id, State.RUNNING)
    continue_workflow(step, workflow_id)


def _resume_paused_task(step: Step, task_id: str) -> None:
    is_paused = step.snapshot.tasks[task_id].state == State.PAUSED
    if is_paused and not step.snapshot.child_tally(task_id).paused:
        step.set_task_state(task_id, State.RUNNING)


def _resume_parent(step: Step, workflow_id: str) -> None:
    parent_task_id = step.snapshot.workflows[workflow_id].parent_task_id
    if parent_task_id is not None:
        _resume_task(step, parent_task_id)


def _resume_task(step: Step, task_id: str) -> None:
    if step.snapshot.child_tally(task_id).paused:
        return
    _resume_paused_task(step, task_id)
    workflow = step.workflow_of(step.snapshot.tasks[task_id])
    if workflow.state == State.PAUSED and not step.snapshot.workflow_tally(workflow.id).paused:
        step.set_workflow_state(workflow.id, State.RUNNING)
        continue_workflow(step, workflow.id)
        _resume_parent(step, workflow.id)


def continue_workflow(step: Step, workflow_id: str) -> None:
    """Go on with what was held back in a workflow execution that is RUNNING again."""
    workflow = step.snapshot.workflows[workflow_id]
    if workflow.pending_failure is not None:
        step.change_workflow(workflow_id, pending_failure=None)
        completion.fail(step, workflow_id, workflow.pending_failure)
        return
    held_back = step.snapshot.tasks_of(workflow_id)
    routing.dispatch(step, workflow_id, ())
    if step.snapshot.workflows[workflow_id].state != State.RUNNING:
        return
    for task in held_back:
        if "held" in task.runtime and not task.is_finished:
            tasks.go_on(step, task, TimerKind(task.runtime["held"]))
        elif task.state == State.IDLE:
            step.order(RunTask(task_id=task.id, with_policies=False))
        elif task.state == State.WAITING:
            step.order(RefreshJoin(task_id=task.id))
        elif task.is_finished and not task.processed:
            step.order(FollowUp(task_id=task.id))
    step.order(CheckWorkflow(workflow_id=workflow_id))
