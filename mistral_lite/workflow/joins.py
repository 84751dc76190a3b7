"""Joins: tasks that wait for the tasks before them.

For each inbound task, a join knows what that task means for it (``Induced``): it led here, it ended
elsewhere, it can no longer be reached, or it may still come. Only inbound tasks about which something
changed are looked at again, so ten thousand branches cost a join ten thousand small steps.

Whether a task that never ran can still be reached is followed forward from the transitions that were not
taken. In graphs with cycles that may miss something; when nothing but waiting joins is left,
``settle_all`` decides them from scratch, so that no join waits for what cannot come.
Source: engine reference, "Joins".
"""

from __future__ import annotations

from collections.abc import Mapping

from mistral_lite.lang.specs import TaskSpec, WorkflowSpec
from mistral_lite.workflow import data_flow
from mistral_lite.workflow.commands import CompleteTask, RefreshJoin, ScheduleTask
from mistral_lite.workflow.model import TaskExecution, TimerKind, Trigger, WorkflowExecution
from mistral_lite.workflow.policies.after import disregard_results, without_round
from mistral_lite.workflow.snapshot import Induced
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step

_NOT_TRIGGERED = Induced(State.ERROR, "not triggered")
_IMPOSSIBLE = Induced(State.ERROR, "impossible route")
_OPEN = Induced(State.WAITING)


def arrive(step: Step, workflow: WorkflowExecution, spec: TaskSpec, triggers: tuple[Trigger, ...]) -> None:
    """Note that a task led to a join: create it, or have it look again; one that ran already waits anew."""
    task = step.snapshot.find_task(workflow.id, spec.name)
    if task is None:
        task = step.add_task(workflow, spec, (), State.WAITING, "Task is waiting.")
        step.order(RefreshJoin(task_id=task.id))
    elif task.state == State.WAITING:
        names = tuple(step.snapshot.tasks[trigger.task_id].name for trigger in triggers)
        step.order(RefreshJoin(task_id=task.id, names=names))
    else:
        runtime = {**task.runtime, "ran_before": True}
        step.set_task_state(
            task.id,
            State.WAITING,
            "Task is waiting.",
            runtime=runtime,
            next_tasks=None,
            processed=False,
            error_handled=False,
            finished_at=None,
        )
        step.order(RefreshJoin(task_id=task.id))


def note_end(step: Step, task: TaskExecution) -> None:
    """Have the joins look again for which the end of ``task`` may mean something."""
    workflow = step.workflow_of(task)
    spec = step.workflow_spec(workflow)
    if not spec.joins:
        return
    led_to = _led_to(step, task)
    dead: list[str] = []
    for target in spec.targets[task.name]:
        _note(step, workflow, spec, target, task.name)
        if target not in led_to:
            dead.append(target)
    seen = set(dead)
    while dead:
        name = dead.pop()
        if step.snapshot.find_task(workflow.id, name) is not None:
            continue
        if is_reachable(step, workflow, spec, name):
            continue
        for target in spec.targets[name]:
            _note(step, workflow, spec, target, name)
            if target not in seen:
                seen.add(target)
                dead.append(target)


def _led_to(step: Step, task: TaskExecution) -> Mapping[str, str]:
    """Return the names of the tasks that ``task`` led to, each with the clause by which it did."""
    if not task.next_tasks:
        return {}
    # Each join behind a task asks, and one task may lead to thousands.
    key = ("led to", task.id)
    remembered = step.snapshot.memory.get(key)
    if remembered is None or remembered[0] is not task.next_tasks:
        # Of several clauses that lead to one task the first counts.
        remembered = (task.next_tasks, dict(reversed(task.next_tasks)))
        step.snapshot.memory[key] = remembered
    found = remembered[1]
    assert isinstance(found, dict)
    return found


def _note(step: Step, workflow: WorkflowExecution, spec: WorkflowSpec, target: str, name: str) -> None:
    if target not in spec.joins:
        return
    join = step.snapshot.find_task(workflow.id, target)
    if join is not None and join.state == State.WAITING:
        step.order(RefreshJoin(task_id=join.id, names=(name,)))


def is_reachable(step: Step, workflow: WorkflowExecution, spec: WorkflowSpec, name: str) -> bool:
    """Tell whether a task without execution can still get one."""
    seen = {name}
    stack = [name]
    while stack:
        current = stack.pop()
        sources = spec.sources[current]
        if not sources or _is_open(step, workflow, spec, current):
            return True
        unstarted = [s for s in sources if step.snapshot.find_task(workflow.id, s) is None]
        stack.extend(source for source in unstarted if source not in seen)
        seen.update(unstarted)
    return False


def _is_open(step: Step, workflow: WorkflowExecution, spec: WorkflowSpec, name: str) -> bool:
    """Tell whether a started source of a task may still lead there, or has."""
    sources = spec.sources[name]
    # Where the last look ended: what was ruled out before it mostly stays so, and ten thousand sources
    # that end one by one cost as many looks, not their square.
    key = ("open source", workflow.id, name)
    start = step.snapshot.memory.get(key, (None, 0))[1]
    assert isinstance(start, int)
    for offset in range(len(sources)):
        index = (start + offset) % len(sources)
        task = step.snapshot.find_task(workflow.id, sources[index])
        if task is not None and (not task.is_finished or not task.processed or name in _led_to(step, task)):
            step.snapshot.memory[key] = (None, index)
            return True
    return False


def refresh(step: Step, task: TaskExecution, names: tuple[str, ...] | None) -> None:
    """Look whether a waiting join may go on, or never will."""
    workflow = step.workflow_of(task)
    if task.state != State.WAITING or workflow.state != State.RUNNING:
        return
    if any(timer.kind == TimerKind.RETRY for timer in step.snapshot.timers_of(task.id)):
        return
    spec = step.workflow_spec(workflow)
    _update(step, workflow, spec, task, names)
    _decide(step, spec, task)


def settle_all(step: Step, workflow: WorkflowExecution) -> None:
    """Decide the waiting joins of a workflow in which nothing else is left to happen."""
    spec = step.workflow_spec(workflow)
    waiting = [task for task in step.snapshot.tasks_of(workflow.id) if task.state == State.WAITING]
    if any(step.snapshot.timers_of(task.id) for task in waiting):
        return
    for task in waiting:
        _update(step, workflow, spec, task, None)
        if _decide(step, spec, task):
            return
    # They wait for each other.
    _give_up(step, spec, waiting[0], list(spec.sources[waiting[0].name]))


def _update(
    step: Step,
    workflow: WorkflowExecution,
    spec: WorkflowSpec,
    task: TaskExecution,
    names: tuple[str, ...] | None,
) -> None:
    snapshot = step.snapshot
    known = snapshot.induced.get(task.id)
    if known is None or names is None:
        known = {}
        snapshot.journal.set(snapshot.induced, task.id, known)
        snapshot.journal.set(snapshot.join_counts, task.id, (0, 0))
        names = spec.sources[task.name]
    running, errors = snapshot.join_counts[task.id]
    for name in names:
        before = known.get(name, _OPEN)
        after = _induced(step, workflow, spec, name, task.name)
        if after != before:
            running += (after.state == State.RUNNING) - (before.state == State.RUNNING)
            errors += (after.state == State.ERROR) - (before.state == State.ERROR)
            snapshot.journal.set(known, name, after)
    snapshot.journal.set(snapshot.join_counts, task.id, (running, errors))


def _induced(
    step: Step, workflow: WorkflowExecution, spec: WorkflowSpec, name: str, join_name: str
) -> Induced:
    task = step.snapshot.find_task(workflow.id, name)
    if task is None:
        return _OPEN if is_reachable(step, workflow, spec, name) else _IMPOSSIBLE
    if not task.is_finished or not task.processed:
        return _OPEN
    event = _led_to(step, task).get(join_name)
    return _NOT_TRIGGERED if event is None else Induced(State.RUNNING, event)


def _decide(step: Step, spec: WorkflowSpec, task: TaskExecution) -> bool:
    running, errors = step.snapshot.join_counts[task.id]
    join = spec.tasks[task.name].join
    sources = spec.sources[task.name]
    needed = len(sources) if join == "all" else join
    assert isinstance(needed, int)
    if running >= needed:
        _start(step, spec, task)
    elif errors > len(sources) - needed:
        induced = step.snapshot.induced[task.id]
        failed = [name for name in sources if induced.get(name, _OPEN).state == State.ERROR]
        _give_up(step, spec, task, failed)
    else:
        return False
    return True


def _arrived(step: Step, task: TaskExecution) -> tuple[Trigger, ...]:
    triggers = []
    for name, induced in step.snapshot.induced[task.id].items():
        if induced.state == State.RUNNING:
            source = step.snapshot.find_task(task.workflow_id, name)
            assert source is not None
            triggers.append(Trigger(task_id=source.id, event=induced.event))
    return tuple(triggers)


def _start(step: Step, spec: WorkflowSpec, task: TaskExecution) -> None:
    triggers = _arrived(step, task)
    runtime = {key: value for key, value in task.runtime.items() if key not in {"inbound", "context_from"}}
    if "ran_before" in runtime:
        sources = [step.snapshot.tasks[trigger.task_id] for trigger in triggers]
        runtime["inbound"] = data_flow.stored_form(data_flow.merge_of(step.snapshot, sources))
        if spec.tasks[task.name].with_items:
            # A round of items of its own: what the last one noted would leave nothing to start, or to end.
            runtime = without_round(runtime)
            disregard_results(step, task)
    _forget(step, task)
    step.set_task_state(
        task.id, State.RUNNING, None, triggered_by=triggers, runtime=runtime, started_at=step.now
    )
    step.order(ScheduleTask(task_id=task.id))


def _give_up(step: Step, spec: WorkflowSpec, task: TaskExecution, failed: list[str]) -> None:
    induced = step.snapshot.induced[task.id]
    arrived = [trigger.task_id for trigger in _arrived(step, task)]
    blamed: tuple[Trigger, ...] = ()
    if spec.tasks[task.name].join == "all":
        sources = ((name, step.snapshot.find_task(task.workflow_id, name)) for name in failed)
        blamed = tuple(
            Trigger(task_id=source.id, event=induced.get(name, _NOT_TRIGGERED).event)
            for name, source in sources
            if source is not None
        )
    _forget(step, task)
    runtime = {**task.runtime, "context_from": arrived}
    # Through RUNNING, so that nothing decides it a second time before its end is worked off.
    step.set_task_state(
        task.id, State.RUNNING, None, triggered_by=blamed, runtime=runtime, started_at=task.started_at
    )
    step.order(CompleteTask(task_id=task.id, state=State.ERROR, info=f"Failed by tasks: {failed}"))


def _forget(step: Step, task: TaskExecution) -> None:
    step.snapshot.journal.remove(step.snapshot.induced, task.id)
    step.snapshot.journal.remove(step.snapshot.join_counts, task.id)
