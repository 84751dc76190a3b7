"""What follows a task: which of its transitions hold, and in which order they are carried out.

Source: engine reference, "Completion of a task: commands and their dispatch".
"""

from __future__ import annotations

from collections.abc import Sequence

from mistral_lite.lang.specs import COMMANDS, Clause, TaskSpec, Transition
from mistral_lite.workflow import completion, joins, pausing, reverse
from mistral_lite.workflow.commands import (
    CheckWorkflow,
    Command,
    GoTo,
    RunTask,
    SetState,
    command_from_json,
    command_to_json,
)
from mistral_lite.workflow.model import TaskExecution, Trigger, WorkflowExecution
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step, message_text

_COMMAND_STATES = {
    "noop": None,
    "fail": State.ERROR,
    "succeed": State.SUCCESS,
    "pause": State.PAUSED,
}


def follow_up(step: Step, task: TaskExecution, *, is_resumed: bool = False) -> None:
    """Decide and carry out what follows a finished task.

    In a finished workflow nothing follows. In a paused one the decision waits: the task stays unprocessed
    and is looked at again on resume (``is_resumed``), when ``pause`` commands no longer count.
    """
    workflow = step.workflow_of(task)
    if workflow.state == State.PAUSED:
        return
    commands: list[Command] = []
    is_handled = False
    if not workflow.is_finished:
        if step.workflow_spec(workflow).type == "reverse":
            commands = reverse.next_commands(step, workflow)
        else:
            commands, is_handled = _commands_after(step, task)
    if is_resumed:
        commands = [c for c in commands if not (isinstance(c, SetState) and c.state == State.PAUSED)]
    led_to = [command for command in commands if isinstance(command, GoTo)]
    step.change_task(
        task.id,
        next_tasks=tuple((c.name, c.triggers[0].event if c.triggers else "") for c in led_to),
        error_handled=is_handled,
        processed=True,
    )
    if workflow.is_finished:
        return
    joins.note_end(step, step.snapshot.tasks[task.id])
    dispatch(step, workflow.id, commands)
    if not led_to:
        step.order(CheckWorkflow(workflow_id=workflow.id))


def _commands_after(step: Step, task: TaskExecution) -> tuple[list[Command], bool]:
    spec = step.task_spec(task)
    match task.state:
        case State.SUCCESS:
            return _commands(step, task, spec, (Clause.ON_SUCCESS, Clause.ON_COMPLETE)), False
        case State.ERROR:
            handled = _commands(step, task, spec, (Clause.ON_ERROR,))
            return [*handled, *_commands(step, task, spec, (Clause.ON_COMPLETE,))], bool(handled)
        case State.SKIPPED:
            skipped = _commands(step, task, spec, (Clause.ON_SKIP,))
            return skipped or _commands(step, task, spec, (Clause.ON_SUCCESS,)), False
        case _:
            return [], False


def _commands(step: Step, task: TaskExecution, spec: TaskSpec, clauses: tuple[Clause, ...]) -> list[Command]:
    return [
        _command(step, task, clause, transition)
        for clause in clauses
        for transition in spec.transitions(clause)
        if transition.condition is None
        or step.evaluate_for_task(transition.condition, task, step.outbound(task), field=str(clause))
    ]


def _command(step: Step, task: TaskExecution, clause: Clause, transition: Transition) -> Command:
    if transition.target not in COMMANDS:
        return GoTo(name=transition.target, triggers=(Trigger(task_id=task.id, event=str(clause)),))
    message = transition.parameters.get("msg")
    if message is not None:
        message = message_text(step.evaluate_for_task(message, task, step.outbound(task), field=str(clause)))
    return SetState(state=_COMMAND_STATES[transition.target], message=message)


def dispatch(step: Step, workflow_id: str, commands: Sequence[Command]) -> None:
    """Carry out commands, those first that an earlier pause kept back."""
    backlog = step.snapshot.workflows[workflow_id].backlog
    if backlog and step.snapshot.workflows[workflow_id].state == State.RUNNING:
        step.change_workflow(workflow_id, backlog=())
        _dispatch_batch(step, workflow_id, [command_from_json(data) for data in backlog])
    _dispatch_batch(step, workflow_id, commands)


def _dispatch_batch(step: Step, workflow_id: str, commands: Sequence[Command]) -> None:
    for command in _in_order(step, workflow_id, commands):
        workflow = step.snapshot.workflows[workflow_id]
        if workflow.is_finished:
            return
        if workflow.state == State.PAUSED:
            step.change_workflow(workflow_id, backlog=(*workflow.backlog, command_to_json(command)))
        elif isinstance(command, GoTo):
            _go_to(step, workflow, command)
        else:
            _set_state(step, workflow_id, command)


def _in_order(step: Step, workflow_id: str, commands: Sequence[Command]) -> list[Command]:
    commands = [c for c in commands if not (isinstance(c, SetState) and c.state is None)]
    first = next((i for i, command in enumerate(commands) if isinstance(command, SetState)), None)
    if first is None:
        return _tasks_in_order(step, workflow_id, commands)
    command = commands[first]
    rest = commands[first + 1 :] if isinstance(command, SetState) and command.state == State.PAUSED else []
    return [*_tasks_in_order(step, workflow_id, commands[:first]), command, *rest]


def _tasks_in_order(step: Step, workflow_id: str, commands: Sequence[Command]) -> list[Command]:
    # Joins come last and by name: two transactions that reach the same joins take them in one order.
    names = step.workflow_spec(step.snapshot.workflows[workflow_id]).joins
    plain = [c for c in commands if not (isinstance(c, GoTo) and c.name in names)]
    joined = [c for c in commands if isinstance(c, GoTo) and c.name in names]
    return [*plain, *sorted(joined, key=lambda command: command.name)]


def _go_to(step: Step, workflow: WorkflowExecution, command: GoTo) -> None:
    spec = step.workflow_spec(workflow).tasks[command.name]
    if spec.join:
        joins.arrive(step, workflow, spec, command.triggers)
        return
    task = step.add_task(workflow, spec, command.triggers, State.IDLE)
    step.order(RunTask(task_id=task.id))


def _set_state(step: Step, workflow_id: str, command: SetState) -> None:
    match command.state:
        case State.ERROR:
            completion.fail(step, workflow_id, command.message)
        case State.SUCCESS:
            completion.succeed(step, workflow_id, command.message)
        case _:
            pausing.pause(step, workflow_id, command.message)
