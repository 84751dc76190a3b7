"""The end of a workflow execution: when it is reached, with which state, text and output.

Source: engine reference, "Completion of the workflow" and "Failures, outputs and state_info".
"""

from __future__ import annotations

from mistral_lite.errors import EvaluationError, LimitExceededError
from mistral_lite.jsontext import JsonObject, JsonValue, dump
from mistral_lite.workflow import data_flow, joins
from mistral_lite.workflow.commands import CompleteTask, ReportChild
from mistral_lite.workflow.model import ActionExecution, TaskExecution, WorkflowExecution
from mistral_lite.workflow.starting import check_size
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import STATE_INFO_LIMIT, Step, result_text


def check(step: Step, workflow_id: str) -> None:
    """End a running workflow execution if none of its tasks is unfinished."""
    workflow = step.snapshot.workflows[workflow_id]
    tally = step.snapshot.workflow_tally(workflow_id)
    if workflow.state != State.RUNNING or tally.unfinished:
        return
    if tally.cancelled:
        names = sorted(
            task.name for task in step.snapshot.tasks_of(workflow_id) if task.state == State.CANCELLED
        )
        cancel(step, workflow_id, f"Cancelled tasks: {', '.join(names)}")
    elif tally.unhandled_errors:
        fail(step, workflow_id, _failure_text(step, workflow_id))
    else:
        succeed(step, workflow_id, None)


def check_waiting(step: Step, workflow_id: str) -> None:
    """Fail what waits for ever: all unfinished tasks are joins, so nothing more can reach them."""
    workflow = step.snapshot.workflows[workflow_id]
    tally = step.snapshot.workflow_tally(workflow_id)
    if workflow.state == State.RUNNING and tally.unfinished and tally.unfinished == tally.waiting:
        joins.settle_all(step, workflow)


def succeed(step: Step, workflow_id: str, message: str | None) -> None:
    """End a workflow execution with SUCCESS and its output. An output that fails makes it an ERROR."""
    workflow = step.snapshot.workflows[workflow_id]
    spec = step.workflow_spec(workflow)
    try:
        branch = data_flow.final_branch(step.snapshot, workflow, spec)
        context = data_flow.workflow_context(step.snapshot, workflow, branch)
        output = step.evaluate(spec.output, context, workflow, field="output") if spec.output else None
        output = output or dict(branch.values)
        check_size("output", output, step.library.rules.field_size_limit_kb)
    except (EvaluationError, LimitExceededError) as error:
        fail(
            step,
            workflow_id,
            f"Failed to check and complete [wf_ex_id={workflow_id}, wf_name={workflow.name}]: {error}\n"
            "This is about the field 'output' of the workflow.",
        )
        return
    _end(step, workflow_id, State.SUCCESS, message, output)


def fail(step: Step, workflow_id: str, message: str | None) -> None:
    """End a workflow execution with ERROR; the output tells the message and what is known so far."""
    workflow = step.snapshot.workflows[workflow_id]
    spec = step.workflow_spec(workflow)
    branch = data_flow.final_branch(step.snapshot, workflow, spec)
    extra: JsonObject
    if spec.output_on_error:
        context = data_flow.workflow_context(step.snapshot, workflow, branch)
        try:
            extra = step.evaluate(spec.output_on_error, context, workflow, field="output-on-error")
        except EvaluationError as error:
            message = (
                "Failed to evaluate expression in output-on-error! (output-on-error: "
                f"'{spec.output_on_error}', exception: '{error}' Cause: '{message}'"
            )
            extra = {}
    else:
        extra = dict(branch.values)
    output = _fitting({"result": message, **extra}, step.library.rules.field_size_limit_kb, message)
    _end(step, workflow_id, State.ERROR, message, output)


def cancel(step: Step, workflow_id: str, message: str | None) -> None:
    """End a workflow execution and everything unfinished below it with CANCELLED."""
    for child in step.snapshot.nested_workflows(workflow_id):
        if not child.is_finished:
            cancel(step, child.id, message)
    _end(step, workflow_id, State.CANCELLED, message, {"result": message})
    for task in step.snapshot.tasks_of(workflow_id):
        if task.state == State.DELAYED:
            _cut_short(step, task)


def _cut_short(step: Step, task: TaskExecution) -> None:
    """End a task whose delay nobody waits for any more: as it had ended already, or without having begun."""
    step.cancel_timers(task.id)
    kept = task.runtime.get("wait_after")
    # The mark of a wait-after stays; a retry that came behind it is what delays the task now.
    is_retried = (task.runtime.get("retry_task_policy") or {}).get("retry_no")
    if kept is not None and not is_retried:
        step.order(CompleteTask(task_id=task.id, state=State(kept["state"]), info=kept["info"]))
    else:
        step.set_task_state(task.id, State.CANCELLED, None, processed=True, next_tasks=())


def break_off(step: Step, message: str) -> None:
    """End the root execution with ERROR without evaluating or looking at anything: the last resort."""
    root = step.snapshot.workflows.get(step.snapshot.root_id)
    if root is not None and not root.is_finished:
        _end(step, root.id, State.ERROR, message, {"result": message})
    action = step.snapshot.actions.get(step.snapshot.root_id)
    if action is not None and not action.is_finished:
        step.snapshot.remove_pending(action.id)
        step.set_action_state(action.id, State.ERROR, result=message)


def stop(step: Step, workflow_id: str, state: State, message: str | None) -> str | None:
    """End a workflow execution at an operator's request; return why not, if it cannot be."""
    before = step.snapshot.workflows[workflow_id].state
    match state:
        case State.SUCCESS if before == State.RUNNING:
            succeed(step, workflow_id, message)
        case State.ERROR if before in {State.RUNNING, State.PAUSED}:
            fail(step, workflow_id, message)
        case State.CANCELLED if before in {State.RUNNING, State.PAUSED}:
            cancel(step, workflow_id, message)
        case _:
            return f"a workflow execution in {before} cannot be stopped with {state}"
    return None


def force_fail(step: Step, task: TaskExecution, message: str) -> None:
    """Fail a task and its workflow at once, without publishing, policies or error handlers.

    A paused workflow notes the failure and carries it out on resume.
    """
    step.cancel_timers(task.id)
    if not task.is_finished:
        step.set_task_state(task.id, State.ERROR, message)
    step.change_task(task.id, processed=True, next_tasks=())
    workflow = step.workflow_of(task)
    if workflow.state == State.RUNNING:
        fail(step, workflow.id, message)
    elif workflow.state == State.PAUSED and workflow.pending_failure is None:
        step.change_workflow(workflow.id, pending_failure=message)


def _end(step: Step, workflow_id: str, state: State, message: str | None, output: JsonValue) -> None:
    workflow = step.set_workflow_state(workflow_id, state, message, output=output, backlog=())
    if workflow.parent_task_id is not None:
        step.order(ReportChild(child_id=workflow_id))


def _fitting(output: JsonObject, limit_kb: int, message: str | None) -> JsonObject:
    if limit_kb < 0 or len(dump(output).encode()) <= limit_kb * 1024:
        return output
    return {"result": (message or "")[: limit_kb * 1024]}


def _failure_text(step: Step, workflow_id: str) -> str:
    failed = sorted(
        (
            task
            for task in step.snapshot.tasks_of(workflow_id)
            if task.state == State.ERROR and not task.error_handled
        ),
        key=lambda task: task.name,
    )
    parts = [f"Failure caused by error in tasks: {', '.join(task.name for task in failed)}\n"]
    length = len(parts[0])
    for task in failed:
        if length > STATE_INFO_LIMIT:
            break
        parts.append(_task_text(step, task))
        length += len(parts[-1])
    return "\n".join(parts)


def _task_text(step: Step, task: TaskExecution) -> str:
    lines = [f"  {task.name} [task_ex_id={task.id}] -> {task.state_info}\n"]
    for index, child in enumerate(step.snapshot.children_of(task.id)):
        if child.state == State.ERROR:
            lines.append(f"    [{_child_label(child)}, idx={index}]: {_child_text(child)}\n")
    return "".join(lines)


def _child_label(child: ActionExecution | WorkflowExecution) -> str:
    return f"{'action' if isinstance(child, ActionExecution) else 'wf'}_ex_id={child.id}"


def _child_text(child: ActionExecution | WorkflowExecution) -> str | None:
    if isinstance(child, ActionExecution):
        return result_text(child.result)
    return result_text(child.output.get("result"))
