"""The end of an action execution, whoever reports it, and what becomes of lost attempts."""

from __future__ import annotations

from collections.abc import Mapping

from mistral_lite.errors import EvaluationError, InputError, LimitExceededError, NotFoundError
from mistral_lite.jsontext import JsonValue
from mistral_lite.workflow.action_calls import CallSite, GracefulFailure, build_call
from mistral_lite.workflow.children import pending_action
from mistral_lite.workflow.commands import ReportChild
from mistral_lite.workflow.completion import force_fail
from mistral_lite.workflow.events import ActionRequested
from mistral_lite.workflow.model import ActionExecution, PendingAction
from mistral_lite.workflow.starting import check_size
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step

LOST = (
    "The executor fell silent before it reported how this action ended, so its outcome is unknown. It is "
    "not run again because the task is not marked 'safe-rerun: true'."
)


def finish(
    step: Step, action: ActionExecution, state: State, result: JsonValue, digest: str | None = None
) -> None:
    """End an unfinished action execution and let its task know.

    Ad-hoc output transformations apply to data, not to errors. Data that cannot be transformed, or that is
    too large, makes the action, its task and its workflow an error.
    """
    step.snapshot.remove_pending(action.id)
    try:
        if state == State.SUCCESS:
            result = _transformed(step, action, result)
            check_size("output", result, step.library.rules.field_size_limit_kb)
    except (EvaluationError, LimitExceededError) as error:
        _finish_broken(step, action, str(error), digest)
        return
    # A task says whether it counts the result; what runs on its own has nobody to refuse it.
    is_alone = action.task_id is None
    step.set_action_state(action.id, state, result=result, callback_digest=digest, accepted=is_alone)
    if not is_alone:
        step.order(ReportChild(child_id=action.id))


def _transformed(step: Step, action: ActionExecution, result: JsonValue) -> JsonValue:
    for spec_hash in action.chain:
        output = step.library.action_spec(spec_hash).output
        if output is not None:
            result = step.library.evaluator.evaluate(output, result, None)
    return result


def _finish_broken(step: Step, action: ActionExecution, error: str, digest: str | None) -> None:
    task = step.snapshot.tasks.get(action.task_id) if action.task_id is not None else None
    place = f", task={task.name}" if task is not None else ""
    message = f"Failed to complete action [error={error}, action={action.name}{place}]:"
    # Not accepted: what could not be transformed is no result of the task.
    step.set_action_state(action.id, State.ERROR, result=message, accepted=False, callback_digest=digest)
    if task is not None and not task.is_finished:
        force_fail(step, task, message)


def request(step: Step, event: ActionRequested) -> None:
    """Start an action on its own. One that cannot be called ends in ERROR at once."""
    site = CallSite(namespace=event.namespace, project_id=event.project_id)

    def evaluate(value: JsonValue, context: Mapping[str, JsonValue]) -> JsonValue:
        return step.evaluate(value, context, None, field="base-input")

    action = ActionExecution(
        id=event.action_execution_id,
        root_id=event.action_execution_id,
        name=event.name,
        state=State.RUNNING,
        is_sync=True,
        input=event.input,
        namespace=event.namespace,
        project_id=event.project_id,
        description=event.description,
        is_ephemeral=event.is_ephemeral,
        created_at=step.now,
    )
    try:
        call = build_call(step.library, event.name, event.input, site, evaluate)
    except (EvaluationError, GracefulFailure, InputError, NotFoundError) as error:
        step.snapshot.put_action(action._replace(state=State.ERROR, result=str(error), updated_at=step.now))
        return
    action = action._replace(is_sync=call.is_sync, input=call.input, chain=call.chain)
    step.add_action(action, pending_action(step, action, call, event.target, event.timeout_s))


def repeat(step: Step, pending: PendingAction) -> None:
    """Put an attempt that never ran, or may run twice, up for another one."""
    step.snapshot.put_pending(pending._replace(attempt=pending.attempt + 1, available_at=step.now))


def expire(step: Step, action: ActionExecution, pending: PendingAction) -> None:
    """Deal with an attempt whose executor fell silent: run it again if that is safe, else fail it."""
    if action.safe_rerun:
        repeat(step, pending)
    else:
        finish(step, action, State.ERROR, LOST)
