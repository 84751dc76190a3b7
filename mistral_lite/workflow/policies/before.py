"""What policies do when a task begins."""

from __future__ import annotations

from mistral_lite.workflow import pausing
from mistral_lite.workflow.model import TaskExecution, TimerKind
from mistral_lite.workflow.policies.values import PolicyValues
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step


def apply(step: Step, task: TaskExecution, values: PolicyValues) -> TaskExecution:
    """Apply the before-policies to a RUNNING task and return it; it may now be IDLE or DELAYED.

    Every policy acts whatever the ones before it did, except that a held task (pause-before) does not wait:
    on resume it runs at once.
    """
    if values.pause_before:
        task = step.set_task_state(task.id, State.IDLE, "Set by 'pause-before' policy")
        pausing.pause(step, task.workflow_id)
    if values.wait_before and task.state == State.RUNNING:
        runtime = {**task.runtime, "wait_before_policy": {"skip": True}}
        info = f"Delayed by 'wait-before' policy [delay={values.wait_before}]"
        task = step.set_task_state(task.id, State.DELAYED, info, runtime=runtime)
        step.set_timer(TimerKind.WAIT_BEFORE, task.id, values.wait_before)
    if values.timeout:
        step.set_timer(TimerKind.TIMEOUT, task.id, values.timeout)
        task = step.change_task(task.id, runtime={**task.runtime, "timeout": values.timeout})
    if values.concurrency:
        task = step.change_task(task.id, runtime={**task.runtime, "concurrency": values.concurrency})
    return task
