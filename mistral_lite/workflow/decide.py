"""``decide(snapshot, event, now)``: the one entry to the core.

An event is handled, then the orders that its handling gave are worked off until none is left. Deciding is
pure: the snapshot is as before when ``decide`` returns, and the same arguments give the same decision.
``LookupNeeded`` may leave it; the caller answers and decides again.

An error of the language while an order is worked off (an expression, an input, a limit) undoes that order
and fails the task it was about, together with its workflow. Any other error is a bug and leaves ``decide``;
the caller then decides ``DecisionFailed``.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from mistral_lite.errors import (
    EvaluationError,
    InputError,
    InvalidTransitionError,
    LimitExceededError,
    MistralLiteError,
    NotFoundError,
)
from mistral_lite.workflow import (
    completion,
    joins,
    mending,
    pausing,
    rerun,
    results,
    resuming,
    reverse,
    routing,
    tasks,
)
from mistral_lite.workflow.commands import (
    CheckWorkflow,
    CompleteTask,
    FollowUp,
    GoTo,
    Order,
    RefreshJoin,
    ReportChild,
    RunTask,
    RunTaskAgain,
    ScheduleTask,
    SkipTask,
    StartWorkflow,
)
from mistral_lite.workflow.decision import Decision, collect
from mistral_lite.workflow.events import (
    ActionPauseRequested,
    ActionReported,
    ActionRequested,
    ActionResumeRequested,
    ActionReturned,
    ActionSent,
    DecisionFailed,
    EnvironmentUpdated,
    Event,
    LeaseExpired,
    MaintenanceBegan,
    MaintenanceEnded,
    MendRequested,
    PauseRequested,
    RerunRequested,
    ResultDelivered,
    ResumeRequested,
    SkipRequested,
    StopRequested,
    TimerFired,
    WorkflowStarted,
)
from mistral_lite.workflow.model import ActionExecution
from mistral_lite.workflow.snapshot import Snapshot
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step, TooMuchError

# More orders than any sane workflow gives in one go; a loop of tasks that run no action would go on for ever.
_MOST_ORDERS = 100_000
# Times that one task of a workflow begins in one decision, likewise.
_MOST_ROUNDS = 1000

_LANGUAGE_ERRORS = (EvaluationError, InputError, LimitExceededError, NotFoundError)


def decide(snapshot: Snapshot, event: Event, now: datetime) -> Decision:
    """Return what ``event`` changes in the tree of ``snapshot`` at ``now`` (aware UTC)."""
    mark = snapshot.journal.mark()
    step = Step(snapshot, now)
    try:
        ignored = _handle_if_possible(step, event)
        handled = snapshot.journal.mark()
        try:
            _work_off(step)
        except TooMuchError as error:
            # Nothing of it is kept: storing it would take as long again.
            snapshot.journal.undo(handled)
            step.agenda.clear()
            completion.break_off(step, str(error))
            _work_off(step)
        return collect(snapshot, snapshot.journal.since(mark), ignored)
    finally:
        snapshot.journal.undo(mark)


def _handle_if_possible(step: Step, event: Event) -> str | None:
    mark = step.snapshot.journal.mark()
    try:
        return _handle(step, event)
    except InvalidTransitionError as error:
        # What was asked for is no step from the present state; that is an answer, not a bug.
        step.snapshot.journal.undo(mark)
        step.agenda.clear()
        return str(error)


def _handle(step: Step, event: Event) -> str | None:
    """Handle one event; return why it changes nothing, if so."""
    match event:
        case WorkflowStarted():
            if step.snapshot.tasks_of(event.workflow_execution_id):
                return "the execution has started already"
            # The API inserted the row; nobody has been told of it yet.
            step.notify_of_workflow(step.snapshot.workflows[event.workflow_execution_id], None)
            step.order(StartWorkflow(workflow_id=event.workflow_execution_id))
            return None
        case ActionRequested():
            if event.action_execution_id in step.snapshot.actions:
                return "the action was requested already"
            results.request(step, event)
            return None
        case ActionReported() | ActionSent() | ActionReturned() | LeaseExpired():
            return _handle_attempt(step, event)
        case ResultDelivered() | ActionPauseRequested() | ActionResumeRequested():
            return _handle_action(step, event)
        case TimerFired():
            timer = step.snapshot.timers.get(event.timer_id)
            if timer is None:
                return "the timer was cancelled"
            tasks.fire_timer(step, timer)
            return None
        case PauseRequested() | ResumeRequested() | StopRequested() | EnvironmentUpdated():
            return _handle_workflow(step, event)
        case MaintenanceBegan() | MaintenanceEnded() | MendRequested() | DecisionFailed():
            _handle_tree(step, event)
            return None
        case RerunRequested() | SkipRequested():
            return _handle_task(step, event)
        case _:
            assert_never(event)


def _handle_tree(
    step: Step, event: MaintenanceBegan | MaintenanceEnded | MendRequested | DecisionFailed
) -> None:
    match event:
        case MaintenanceBegan():
            pausing.pause_for_maintenance(step)
        case MaintenanceEnded():
            resuming.resume_after_maintenance(step)
        case MendRequested():
            mending.mend(step)
        case DecisionFailed():
            completion.break_off(step, event.message)


def _handle_attempt(
    step: Step, event: ActionReported | ActionSent | ActionReturned | LeaseExpired
) -> str | None:
    pending = step.snapshot.pending.get(event.action_execution_id)
    if pending is None or pending.attempt != event.attempt:
        return "the attempt is not the present one"
    action = step.snapshot.actions[event.action_execution_id]
    match event:
        case ActionReported():
            results.finish(step, action, event.state, event.result)
        case ActionSent():
            step.snapshot.remove_pending(action.id)
        case ActionReturned():
            results.repeat(step, pending)
        case LeaseExpired():
            results.expire(step, action, pending)
    return None


def _handle_action(
    step: Step, event: ResultDelivered | ActionPauseRequested | ActionResumeRequested
) -> str | None:
    action = step.snapshot.actions.get(event.action_execution_id)
    if action is None:
        return "there is no such action execution"
    if action.is_finished:
        return "the action execution is finished"
    match event:
        case ResultDelivered():
            results.finish(step, action, event.state, event.result, event.digest)
        case ActionPauseRequested():
            if action.is_sync or action.state == State.PAUSED:
                return "only a running asynchronous action can be paused"
            pausing.pause_action(step, action.id)
        case ActionResumeRequested():
            if action.state != State.PAUSED:
                return "only a paused action can be resumed"
            resuming.resume_action(step, action.id)
    return None


def _handle_workflow(
    step: Step,
    event: PauseRequested | ResumeRequested | StopRequested | EnvironmentUpdated,
) -> str | None:
    workflow = step.snapshot.workflows.get(event.workflow_execution_id)
    if workflow is None:
        return "there is no such workflow execution"
    match event:
        case PauseRequested():
            if workflow.state != State.RUNNING:
                return f"a workflow execution in {workflow.state} cannot be paused"
            pausing.pause(step, workflow.id)
        case ResumeRequested():
            if workflow.state != State.PAUSED:
                return f"a workflow execution in {workflow.state} cannot be resumed"
            resuming.resume(step, workflow.id, event.environment)
        case StopRequested():
            return completion.stop(step, workflow.id, event.state, event.message)
        case EnvironmentUpdated():
            resuming.update_environment(step, event.environment)
    return None


def _handle_task(step: Step, event: RerunRequested | SkipRequested) -> str | None:
    task = step.snapshot.tasks.get(event.task_execution_id)
    if task is None:
        return "there is no such task execution"
    if isinstance(event, SkipRequested):
        return rerun.skip(step, task)
    return rerun.rerun(step, task, reset=event.reset, environment=event.environment)


def _work_off(step: Step) -> None:
    touched: dict[str, None] = {}
    rounds: dict[tuple[str, str], int] = {}
    count = 0
    while step.agenda:
        order = step.agenda.popleft()
        count += 1
        if count > _MOST_ORDERS or _count_round(step, order, rounds) > _MOST_ROUNDS:
            raise TooMuchError("The workflow runs in a circle that starts no action.")
        workflow_id = _workflow_of(step, order)
        if workflow_id is not None:
            touched[workflow_id] = None
        _perform(step, order)
        if not step.agenda:
            for each in touched:
                completion.check_waiting(step, each)


def _count_round(step: Step, order: Order, rounds: dict[tuple[str, str], int]) -> int:
    """Return how often the task that ``order`` begins has begun in this decision; 0 for other orders."""
    if not isinstance(order, RunTask):
        return 0
    task = step.snapshot.tasks[order.task_id]
    key = (task.workflow_id, task.name)
    rounds[key] = rounds.get(key, 0) + 1
    return rounds[key]


def _perform(step: Step, order: Order) -> None:
    mark = step.snapshot.journal.mark()
    waiting = len(step.agenda)
    try:
        _carry_out(step, order)
    except _LANGUAGE_ERRORS as error:
        step.snapshot.journal.undo(mark)
        while len(step.agenda) > waiting:
            step.agenda.pop()
        _fail(step, order, error)


def _carry_out(step: Step, order: Order) -> None:
    snapshot = step.snapshot
    match order:
        case StartWorkflow(workflow_id=workflow_id):
            _start(step, workflow_id)
        case RunTask(task_id=task_id, with_policies=with_policies):
            tasks.run(step, snapshot.tasks[task_id], with_policies=with_policies)
        case ScheduleTask(task_id=task_id):
            tasks.schedule(step, snapshot.tasks[task_id])
        case CompleteTask(task_id=task_id, state=state, info=info):
            tasks.complete(step, snapshot.tasks[task_id], state, info)
        case RunTaskAgain(task_id=task_id):
            rerun.begin_again(step, snapshot.tasks[task_id])
        case SkipTask(task_id=task_id):
            rerun.leave_behind(step, snapshot.tasks[task_id])
        case FollowUp(task_id=task_id):
            routing.follow_up(step, snapshot.tasks[task_id], is_resumed=True)
        case RefreshJoin(task_id=task_id, names=names):
            joins.refresh(step, snapshot.tasks[task_id], names)
        case CheckWorkflow(workflow_id=workflow_id):
            completion.check(step, workflow_id)
        case ReportChild():
            tasks.take_child_result(step, order)
        case _:
            assert_never(order)


def _start(step: Step, workflow_id: str) -> None:
    workflow = step.snapshot.workflows[workflow_id]
    spec = step.workflow_spec(workflow)
    if spec.type == "reverse":
        commands = reverse.next_commands(step, workflow)
    else:
        commands = [GoTo(name=name) for name in spec.start_tasks]
    routing.dispatch(step, workflow_id, commands)
    step.order(CheckWorkflow(workflow_id=workflow_id))


def _workflow_of(step: Step, order: Order) -> str | None:
    match order:
        case StartWorkflow(workflow_id=workflow_id) | CheckWorkflow(workflow_id=workflow_id):
            return workflow_id
        case ReportChild(child_id=child_id):
            action = step.snapshot.actions.get(child_id)
            return action.workflow_id if action is not None else None
        case _:
            return step.snapshot.tasks[order.task_id].workflow_id


def _fail(step: Step, order: Order, error: MistralLiteError) -> None:
    """Fail what an order was about."""
    match order:
        case StartWorkflow(workflow_id=workflow_id) | CheckWorkflow(workflow_id=workflow_id):
            completion.fail(step, workflow_id, f"Failed to start or complete the workflow [error={error}]")
            return
        case ReportChild(child_id=child_id):
            child = step.snapshot.actions.get(child_id)
            task_id = child.task_id if child else step.snapshot.workflows[child_id].parent_task_id
            assert task_id is not None
        case _:
            task_id = order.task_id
    task = step.snapshot.tasks[task_id]
    where = f"error={error}, wf={step.workflow_of(task).name}, task={task.name}"
    if isinstance(order, (RunTask, RunTaskAgain, ScheduleTask, RefreshJoin)):
        message = f"Failed to run task [{where}]:"
    else:
        children = step.snapshot.children_of(task_id)
        if children and isinstance(children[-1], ActionExecution):
            message = f"Failed to handle action completion [{where}, action={children[-1].name}]:"
        else:
            message = f"Failed to complete task [{where}]:"
    if "field" in error.details:
        # Behind the line that clients know: where to look.
        message += f"\nThe expression is in the field '{error.details['field']}' of the task."
    completion.force_fail(step, task, message)
