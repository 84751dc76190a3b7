"""What policies do when a task ends: hold the end back, fail it, or make it another attempt."""

from __future__ import annotations

from mistral_lite.lang.specs import TaskSpec
from mistral_lite.workflow.model import TaskExecution, TimerKind, WorkflowExecution
from mistral_lite.workflow.policies.values import PolicyValues
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step


def begin_wait_after(
    step: Step, task: TaskExecution, state: State, info: str | None, values: PolicyValues
) -> bool:
    """Hold the end of a task back for its wait-after; return whether it is held.

    A task waits once per run, after its first attempt. What it ended with is kept and comes back with the
    timer; nothing is published before.
    """
    if not values.wait_after or "wait_after_policy" in task.runtime:
        return False
    runtime = {
        **task.runtime,
        "wait_after_policy": {"skip": True},
        "wait_after": {"state": str(state), "info": info},
    }
    text = f"Delayed by 'wait-after' policy [delay={values.wait_after}]"
    step.set_task_state(task.id, State.DELAYED, text, runtime=runtime)
    step.set_timer(TimerKind.WAIT_AFTER, task.id, values.wait_after)
    return True


def apply_fail_on(step: Step, task: TaskExecution, spec: TaskSpec) -> TaskExecution:
    """Turn a success into an error if ``fail-on`` holds; it sees the inbound context and the result."""
    condition = spec.policies.fail_on
    if task.state != State.SUCCESS or not condition:
        return task
    if isinstance(condition, str):
        condition = step.evaluate_for_task(condition, task, step.inbound(task), field="fail-on")
    if not condition:
        return task
    return step.set_task_state(task.id, State.ERROR, "Failed by 'fail-on' policy")


def begin_retry(step: Step, task: TaskExecution, spec: TaskSpec, values: PolicyValues) -> bool:
    """Make the end of a task another attempt if ``retry`` says so; return whether it does."""
    if not values.retry_count or task.state not in {State.SUCCESS, State.ERROR}:
        return False
    record = task.runtime.get("retry_task_policy") or {}
    done = record.get("retry_no", 0)
    if done >= values.retry_count or not _wants_retry(step, task, spec):
        step.change_task(task.id, runtime={**task.runtime, "retry_task_policy": record})
        return False
    disregard_results(step, task)
    runtime = without_round(task.runtime)
    runtime["retry_task_policy"] = {"retry_no": done + 1}
    step.set_task_state(
        task.id,
        State.WAITING if spec.join else State.DELAYED,
        f"Delayed by 'retry' policy [delay={values.retry_delay}]",
        runtime=runtime,
        finished_at=None,
    )
    step.set_timer(TimerKind.RETRY, task.id, values.retry_delay)
    # The clock of a timeout covers all attempts; one that has run out must not leave the next unguarded.
    if values.timeout and not any(t.kind == TimerKind.TIMEOUT for t in step.snapshot.timers_of(task.id)):
        step.set_timer(TimerKind.TIMEOUT, task.id, values.retry_delay + values.timeout)
    return True


def _wants_retry(step: Step, task: TaskExecution, spec: TaskSpec) -> bool:
    retry = spec.policies.retry
    assert retry is not None
    if task.state == State.SUCCESS and retry.continue_on is None:
        return False
    branch = step.outbound(task)
    if retry.continue_on is not None and not step.evaluate_for_task(
        retry.continue_on, task, branch, field="continue-on"
    ):
        return False
    return not (
        task.state == State.ERROR
        and retry.break_on is not None
        and step.evaluate_for_task(retry.break_on, task, branch, field="break-on")
    )


def disregard_results(step: Step, task: TaskExecution, *, only_failed: bool = False) -> None:
    """Make the results of a task's children not count any more; with ``only_failed`` keep successes."""
    for child in step.snapshot.children_of(task.id):
        if not child.accepted or (only_failed and child.state == State.SUCCESS):
            continue
        if isinstance(child, WorkflowExecution):
            step.change_workflow(child.id, accepted=False)
        else:
            step.change_action(child.id, accepted=False)


def without_round(runtime: dict[str, object]) -> dict[str, object]:
    """Return a task's bookkeeping without that of its present round of items."""
    return {key: value for key, value in runtime.items() if key not in {"with_items", "last_item"}}
