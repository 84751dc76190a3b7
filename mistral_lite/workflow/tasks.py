"""The life of one task execution: it begins, starts its children, and ends.

Nothing here decides what follows a task (``routing``) or what an attempt more means (``policies``).
"""

from __future__ import annotations

from mistral_lite.jsontext import JsonObject
from mistral_lite.lang.publishing import effective
from mistral_lite.lang.specs import TaskSpec
from mistral_lite.workflow import data_flow, routing, with_items
from mistral_lite.workflow.action_calls import GracefulFailure
from mistral_lite.workflow.children import start_child
from mistral_lite.workflow.commands import CompleteTask, RefreshJoin, ReportChild, ScheduleTask
from mistral_lite.workflow.model import ActionExecution, TaskExecution, TaskType, Timer, TimerKind
from mistral_lite.workflow.policies import after, before
from mistral_lite.workflow.policies.values import evaluate
from mistral_lite.workflow.starting import check_size
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step, result_text


def run(step: Step, task: TaskExecution, *, with_policies: bool) -> None:
    """Begin a task that is IDLE; anything else means that it has begun already."""
    if task.state != State.IDLE:
        return
    task = step.set_task_state(task.id, State.RUNNING)
    if with_policies:
        task = apply_before_policies(step, task)
    if task.state == State.RUNNING:
        step.order(ScheduleTask(task_id=task.id))


def apply_before_policies(step: Step, task: TaskExecution) -> TaskExecution:
    """Apply what policies do when a RUNNING task begins, and return the task."""
    values = evaluate(step, task, step.task_spec(task).policies)
    return before.apply(step, task, values)


def schedule(step: Step, task: TaskExecution) -> None:
    """Start the children of a RUNNING task."""
    if task.state != State.RUNNING:
        return
    spec = step.task_spec(task)
    try:
        if spec.with_items:
            with_items.schedule(step, task, spec)
        else:
            start_child(step, task, spec)
    except GracefulFailure as failure:
        step.order(CompleteTask(task_id=task.id, state=State.ERROR, info=str(failure)))


def take_child_result(step: Step, order: ReportChild) -> None:
    """Let a task know that one of its actions or nested workflows ended.

    Only the latest child of an item counts, and only while the task waits for it: what comes from an
    attempt that a retry, a rerun or a timeout left behind is recorded and changes nothing.
    """
    snapshot = step.snapshot
    child = snapshot.actions.get(order.child_id) or snapshot.workflows[order.child_id]
    task_id = child.task_id if isinstance(child, ActionExecution) else child.parent_task_id
    assert task_id is not None
    task = snapshot.tasks[task_id]
    if task.state not in {State.RUNNING, State.PAUSED}:
        return
    if snapshot.latest_child(task.id, child.position) is not child:
        return
    if "ran_before" in task.runtime and _is_to_be_scheduled(step, task):
        # Left by the last round of a join, in the moment in which the next one begins.
        return
    if isinstance(child, ActionExecution):
        step.change_action(child.id, accepted=True)
        info = None if child.state == State.SUCCESS else result_text(child.result)
    else:
        step.change_workflow(child.id, accepted=True)
        info = None if child.state == State.SUCCESS else child.state_info
    task = snapshot.tasks[task.id]
    spec = step.task_spec(task)
    if spec.with_items:
        try:
            with_items.check_end(step, task, spec)
        except GracefulFailure as failure:
            step.order(CompleteTask(task_id=task.id, state=State.ERROR, info=str(failure)))
    else:
        step.order(CompleteTask(task_id=task.id, state=child.state, info=info))


def _is_to_be_scheduled(step: Step, task: TaskExecution) -> bool:
    # By kind: orders are tuples, and those with one field equal each other.
    return any(isinstance(order, ScheduleTask) and order.task_id == task.id for order in step.agenda)


def complete(step: Step, task: TaskExecution, state: State, info: str | None) -> None:
    """End a task, unless a policy holds the end back or makes another attempt of it.

    In a workflow that is at its end already, a late end is recorded and published; nothing waits or retries.
    """
    if task.is_finished:
        return
    spec = step.task_spec(task)
    values = evaluate(step, task, spec.policies)
    is_live = not step.workflow_of(task).is_finished
    if is_live and after.begin_wait_after(step, task, state, info, values):
        return
    task = step.set_task_state(task.id, state, info)
    publish(step, task, spec)
    if not spec.keep_result:
        _erase_results(step, task)
    task = after.apply_fail_on(step, step.snapshot.tasks[task.id], spec)
    if is_live and after.begin_retry(step, task, spec, values):
        return
    step.cancel_timers(task.id)
    routing.follow_up(step, step.snapshot.tasks[task.id])


def publish(step: Step, task: TaskExecution, spec: TaskSpec) -> None:
    """Publish what the spec says for the state that a task has reached; nothing for a cancelled one."""
    if task.state == State.CANCELLED:
        return
    specs = effective(spec, task.state)
    if not (specs.branch or specs.global_):
        return
    inbound = step.inbound(task)
    limit_kb = step.library.rules.field_size_limit_kb
    changes: dict[str, JsonObject] = {}
    if specs.branch:
        changes["published"] = step.evaluate_for_task(specs.branch, task, inbound, field="publish")
        check_size("published", changes["published"], limit_kb)
    if specs.global_:
        changes["published_global"] = step.evaluate_for_task(specs.global_, task, inbound, field="publish")
        check_size("published", changes["published_global"], limit_kb)
    step.change_task(task.id, **changes)
    if specs.global_:
        workflow = step.workflow_of(task)
        step.change_workflow(
            workflow.id,
            context=data_flow.deep_merge(workflow.context, changes["published_global"]),
            published_global=tuple(dict.fromkeys((*workflow.published_global, *specs.global_))),
        )


def _erase_results(step: Step, task: TaskExecution) -> None:
    if task.type == TaskType.WORKFLOW:
        return
    for child in step.snapshot.children_of(task.id):
        if child.is_finished:
            step.change_action(child.id, result=None)


def fire_timer(step: Step, timer: Timer) -> None:
    """Do what a timer of a task was set for. A paused or finished workflow holds its delays until resumed."""
    task = step.snapshot.tasks[timer.subject_id]
    step.snapshot.remove_timer(timer.id)
    if task.is_finished:
        return
    if timer.kind == TimerKind.TIMEOUT:
        _time_out(step, task)
    elif step.workflow_of(task).state != State.RUNNING:
        step.change_task(task.id, runtime={**task.runtime, "held": str(timer.kind)})
    else:
        go_on(step, task, timer.kind)


def _time_out(step: Step, task: TaskExecution) -> None:
    """End a task that took too long, and with it the actions that it still waits for.

    Their results can mean nothing any more: an executor's is refused as too old, a third party is told so.
    Nested workflows go on by themselves.
    """
    text = f"Task timed out [timeout(s)={task.runtime.get('timeout')}]."
    step.cancel_timers(task.id)
    for child in step.snapshot.children_of(task.id):
        if isinstance(child, ActionExecution) and not child.is_finished:
            step.snapshot.remove_pending(child.id)
            step.set_action_state(child.id, State.ERROR, result=text)
    step.order(CompleteTask(task_id=task.id, state=State.ERROR, info=text))


def go_on(step: Step, task: TaskExecution, kind: TimerKind) -> None:
    """Continue a task whose delay is over."""
    if "held" in task.runtime:
        runtime = {key: value for key, value in task.runtime.items() if key != "held"}
        task = step.change_task(task.id, runtime=runtime)
    if kind == TimerKind.WAIT_AFTER:
        kept = task.runtime["wait_after"]
        step.order(CompleteTask(task_id=task.id, state=State(kept["state"]), info=kept["info"]))
    elif task.state == State.WAITING:
        step.order(RefreshJoin(task_id=task.id))
    else:
        step.set_task_state(task.id, State.RUNNING)
        step.order(ScheduleTask(task_id=task.id))
