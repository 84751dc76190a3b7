"""Reverse workflows: run what the target task needs, as soon as what it requires has succeeded."""

from __future__ import annotations

from mistral_lite.workflow.commands import Command, GoTo
from mistral_lite.workflow.model import Trigger, WorkflowExecution
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step

# What an execution records as the clause that led to a task of a reverse workflow.
REQUIRED = "requires"


def next_commands(step: Step, workflow: WorkflowExecution) -> list[Command]:
    """Return the tasks that may start now: needed, not started, all requirements succeeded."""
    spec = step.workflow_spec(workflow)
    commands: list[Command] = []
    for name in _closure(step, workflow):
        if step.snapshot.find_task(workflow.id, name) is not None:
            continue
        required = [step.snapshot.find_task(workflow.id, each) for each in spec.tasks[name].requires]
        succeeded = [task for task in required if task is not None and task.state == State.SUCCESS]
        if len(succeeded) == len(required):
            triggers = tuple(Trigger(task_id=task.id, event=REQUIRED) for task in succeeded)
            commands.append(GoTo(name=name, triggers=triggers))
    return commands


def _closure(step: Step, workflow: WorkflowExecution) -> list[str]:
    spec = step.workflow_spec(workflow)
    found: dict[str, None] = {}
    stack = [str(workflow.params["task_name"])]
    while stack:
        name = stack.pop()
        if name not in found:
            found[name] = None
            stack.extend(spec.tasks[name].requires)
    return [name for name in spec.tasks if name in found]
