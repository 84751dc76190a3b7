"""Pausing. It goes through the whole tree, whichever execution of it is paused."""

from __future__ import annotations

from mistral_lite.workflow.model import MAINTENANCE, WorkflowExecution
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step

_IN_MAINTENANCE = "Paused while the service is in maintenance."


def pause(step: Step, workflow_id: str, message: str | None = None) -> None:
    """Pause a running workflow execution, its ancestors and everything below them.

    Running actions go on and their results are recorded; what follows them waits. Tasks whose nested
    workflow is paused become PAUSED, tasks with actions stay RUNNING.
    """
    if step.snapshot.workflows[workflow_id].state != State.RUNNING:
        return
    for workflow in list(step.snapshot.workflows.values()):
        if workflow.state == State.RUNNING:
            step.set_workflow_state(
                workflow.id, State.PAUSED, message if workflow.id == workflow_id else None
            )
            _pause_parent_task(step, workflow)


def _pause_parent_task(step: Step, workflow: WorkflowExecution) -> None:
    if workflow.parent_task_id is None:
        return
    if step.snapshot.tasks[workflow.parent_task_id].state == State.RUNNING:
        step.set_task_state(workflow.parent_task_id, State.PAUSED)


def pause_for_maintenance(step: Step) -> None:
    """Pause everything that runs in the tree, and note in each row why, so that just that is resumed."""
    for workflow in list(step.snapshot.workflows.values()):
        if workflow.state == State.RUNNING:
            step.set_workflow_state(workflow.id, State.PAUSED, _IN_MAINTENANCE, paused_by=MAINTENANCE)
            _pause_parent_task(step, workflow)


def pause_action(step: Step, action_id: str) -> None:
    """Pause an asynchronous action, with its task and its whole tree."""
    action = step.snapshot.actions[action_id]
    step.set_action_state(action_id, State.PAUSED)
    if action.task_id is None:
        return
    task = step.snapshot.tasks[action.task_id]
    if task.state == State.RUNNING:
        step.set_task_state(task.id, State.PAUSED)
    pause(step, task.workflow_id)
