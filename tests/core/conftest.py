"""Workflows rehearsed in the pure core: a text, scripted results, and what becomes of them.

Every decision that a test makes is made twice and compared, the snapshot is checked to be untouched by it,
and the indexes kept step by step are compared with those of a snapshot loaded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import pytest

from mistral_lite.actions.registry import ActionRegistry, ActionSettings
from mistral_lite.expressions.base import ExpressionSettings
from mistral_lite.expressions.evaluator import Evaluator
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang import parse
from mistral_lite.workflow import events
from mistral_lite.workflow.decide import decide
from mistral_lite.workflow.decision import Decision, apply
from mistral_lite.workflow.library import Library, Lookup, LookupNeeded, WorkflowDefinition
from mistral_lite.workflow.model import ActionExecution, TaskExecution, WorkflowExecution
from mistral_lite.workflow.snapshot import Snapshot
from mistral_lite.workflow.starting import prepare_start
from mistral_lite.workflow.states import Machine, State, is_allowed

ROOT = "00000000-0000-7000-8000-000000000001"
PROJECT = "p"
BEGIN = datetime(2026, 11, 22, tzinfo=UTC)


class Attempts(list[Any]):
    """Scripted results of a task, one per action in the order that they end."""


class Rehearsal:
    """One execution tree, moved on event by event."""

    def __init__(self, library: Library, text: str) -> None:
        self.library = Library(evaluator=library.evaluator, find_python_action=library.find_python_action)
        self.now = BEGIN
        specs = parse.parse_workflow_list(text, library.evaluator.check_syntax)
        self.library.specs = {f"hash of {spec.name}": spec for spec in specs}
        self.snapshot = Snapshot(ROOT, 0, self.library)
        self.order: list[str] = []
        self._names = [spec.name for spec in specs]
        self._results: dict[str, Any] = {}

    # -- events ----------------------------------------------------------------------------------------

    def start(
        self, workflow_input: JsonObject | None = None, env: JsonObject | None = None, **params: JsonValue
    ) -> Rehearsal:
        """Start the first workflow of the text."""
        spec = self.library.workflow_spec(f"hash of {self._names[0]}")
        prepared = prepare_start(
            spec,
            execution_id=ROOT,
            workflow_input=workflow_input or {},
            params={"namespace": "", **params},
            environment=env or {},
            evaluator=self.library.evaluator,
        )
        root = WorkflowExecution(
            id=ROOT,
            root_id=ROOT,
            spec_hash=f"hash of {spec.name}",
            definition_id="d",
            name=spec.name,
            namespace="",
            state=State.RUNNING,
            project_id=PROJECT,
            created_at=self.now,
            input=prepared.input,
            params=prepared.params,
            context=prepared.context,
        )
        self.snapshot = Snapshot(ROOT, 0, self.library).load(workflows=[root])
        self.tell(events.WorkflowStarted(workflow_execution_id=ROOT))
        return self

    def tell(self, event: events.Event) -> Decision:
        """Decide an event, check the decision and apply it."""
        self.now += timedelta(milliseconds=1)
        before = fingerprint(self.snapshot)
        decision = self.decide(event)
        assert fingerprint(self.snapshot) == before, "deciding must leave no trace"
        assert self.decide(event) == decision, "deciding again must give the same"
        check_transitions(decision)
        apply(self.snapshot, decision)
        check_indexes(self.snapshot)
        return decision

    def decide(self, event: events.Event) -> Decision:
        """Decide an event, with the answers that it needs."""
        while True:
            try:
                return decide(self.snapshot, event, self.now)
            except LookupNeeded as needed:
                self.library.answers[needed.lookup] = self._answer(needed.lookup)

    def _answer(self, lookup: Lookup) -> object:
        if lookup.kind in {"tasks", "executions"}:
            return []
        name = str(lookup.key[0])
        if lookup.kind != "workflow" or name not in self._names:
            return None
        return WorkflowDefinition(id="d", name=name, namespace="", spec_hash=f"hash of {name}", workbook=None)

    def end(self, task: str, result: Any = None, position: int = 0, workflow: str | None = None) -> Decision:
        """Report the end of the action of a task; an exception is an error, a state means without data."""
        found = self.task(task, workflow)
        action = self.snapshot.latest_child(found.id, position)
        assert isinstance(action, ActionExecution)
        return self.end_action(action, result)

    def end_action(self, action: ActionExecution, result: Any = None) -> Decision:
        """Report the end of an action."""
        state, data = State.SUCCESS, result
        if isinstance(result, Exception):
            state, data = State.ERROR, str(result)
        elif isinstance(result, State):
            state, data = result, None
        pending = self.snapshot.pending.get(action.id)
        if pending is None:
            return self.tell(
                events.ResultDelivered(action_execution_id=action.id, state=state, result=data, digest="d")
            )
        return self.tell(
            events.ActionReported(
                action_execution_id=action.id, attempt=pending.attempt, state=state, result=data
            )
        )

    def run(self, results: Mapping[str, Any] | None = None, random: Random | None = None) -> Rehearsal:
        """End all actions, oldest first or in random order, and fire timers when only they are left.

        An action returns its input ``output`` unless ``results`` has something for its task: one result
        (a value, an exception, a state), or ``Attempts`` with one after the other.
        """
        self._results = dict(results or {})
        while self.snapshot.pending or self.snapshot.timers:
            if self.snapshot.pending:
                keys = list(self.snapshot.pending)
                self._end_next(random.choice(keys) if random else keys[0])
            else:
                self.fire_next_timer()
        return self

    def _end_next(self, action_id: str) -> None:
        action = self.snapshot.actions[action_id]
        assert action.task_id is not None
        task = self.snapshot.tasks[action.task_id]
        self.order.append(task.name)
        result = self._results.get(task.name, action.input.get("output"))
        if isinstance(result, Attempts):
            result = result.pop(0)
        self.end_action(action, result)

    def fire_next_timer(self) -> None:
        """Let time pass to the next timer."""
        timer = min(self.snapshot.timers.values(), key=lambda each: (each.due_at, each.id))
        self.now = max(self.now, timer.due_at)
        self.tell(events.TimerFired(timer_id=timer.id))

    def pause(self, workflow: str | None = None) -> Decision:
        """Pause a workflow execution."""
        return self.tell(events.PauseRequested(workflow_execution_id=self.workflow(workflow).id))

    def resume(self, workflow: str | None = None, env: JsonObject | None = None) -> Decision:
        """Resume a workflow execution."""
        return self.resume_id(self.workflow(workflow).id, env)

    def resume_id(self, workflow_id: str, env: JsonObject | None = None) -> Decision:
        """Resume the workflow execution with this id."""
        return self.tell(events.ResumeRequested(workflow_execution_id=workflow_id, environment=env or {}))

    def stop(self, state: State, message: str | None = None, workflow: str | None = None) -> Decision:
        """Stop a workflow execution."""
        identifier = self.workflow(workflow).id
        return self.tell(events.StopRequested(workflow_execution_id=identifier, state=state, message=message))

    def rerun(
        self, task: str, *, reset: bool = True, env: JsonObject | None = None, workflow: str | None = None
    ) -> Decision:
        """Run a task again."""
        identifier = self.task(task, workflow).id
        return self.tell(
            events.RerunRequested(task_execution_id=identifier, reset=reset, environment=env or {})
        )

    def skip(self, task: str, workflow: str | None = None) -> Decision:
        """Skip a task."""
        return self.tell(events.SkipRequested(task_execution_id=self.task(task, workflow).id))

    def call_back(self, task: str, result: JsonValue = None, state: State = State.SUCCESS) -> Decision:
        """Deliver the result of an asynchronous action that left."""
        action = self.actions(task)[-1]
        return self.tell(
            events.ResultDelivered(action_execution_id=action.id, state=state, result=result, digest="d")
        )

    def send_all(self) -> None:
        """Say of all queued actions that they left."""
        for action_id, pending in list(self.snapshot.pending.items()):
            self.tell(events.ActionSent(action_execution_id=action_id, attempt=pending.attempt))

    # -- what is -------------------------------------------------------------------------------------------

    def workflow(self, name: str | None = None) -> WorkflowExecution:
        """Return the root, or the latest execution of the workflow called ``name``."""
        if name is None:
            return self.snapshot.root
        return [each for each in self.snapshot.workflows.values() if each.name == name][-1]

    @property
    def state(self) -> State:
        """The state of the root."""
        return self.snapshot.root.state

    @property
    def output(self) -> JsonObject:
        """The output of the root."""
        return self.snapshot.root.output

    @property
    def info(self) -> str | None:
        """The state info of the root."""
        return self.snapshot.root.state_info

    def task(self, name: str, workflow: str | None = None) -> TaskExecution:
        """Return the latest execution of a task, of the root unless a nested workflow is named."""
        found = self.snapshot.find_task(self.workflow(workflow).id, name)
        assert found is not None, f"there is no task {name}"
        return found

    def states(self, workflow: str | None = None) -> dict[str, State]:
        """Return the states of the latest executions of all tasks."""
        tasks = self.snapshot.tasks_of(self.workflow(workflow).id)
        return {task.name: task.state for task in tasks}

    def count(self, name: str) -> int:
        """Return how many executions a task has."""
        return sum(task.name == name for task in self.snapshot.tasks_of(ROOT))

    def actions(self, task: str) -> list[ActionExecution]:
        """Return the actions of a task of the root, oldest first."""
        found = self.snapshot.children_of(self.task(task).id)
        assert all(isinstance(each, ActionExecution) for each in found)
        return [each for each in found if isinstance(each, ActionExecution)]

    def running(self, task: str) -> list[int]:
        """Return the items of a task that run."""
        return [action.position for action in self.actions(task) if not action.is_finished]

    def is_at_rest(self) -> bool:
        """Tell whether nothing happens any more by itself."""
        return not (self.snapshot.pending or self.snapshot.timers)


def fingerprint(snapshot: Snapshot) -> dict[str, Any]:
    """Return everything that a snapshot holds, apart from memories that can be rebuilt."""
    found: dict[str, Any] = {"version": snapshot.version}
    for name, value in vars(snapshot).items():
        if isinstance(value, dict) and name != "memory":
            found[name] = {
                key: dict(member) if isinstance(member, dict) else member for key, member in value.items()
            }
    return found


_MACHINES = (("workflows", Machine.WORKFLOW), ("tasks", Machine.TASK), ("actions", Machine.ACTION))


def check_transitions(decision: Decision) -> None:
    """Assert that finished actions do not change their state, and that no row changes its identity."""
    for place, machine in _MACHINES:
        for key, change in getattr(decision, place).items():
            assert change.after is not None
            assert change.after.id == key
            if change.before is not None and machine == Machine.ACTION:
                assert is_allowed(machine, change.before.state, change.after.state)


_INDEXES = (
    "_by_name",
    "_tasks_of",
    "_latest_child",
    "_children_of",
    "_timers_of",
    "_workflow_tallies",
    "_child_tallies",
)


def check_indexes(snapshot: Snapshot) -> None:
    """Assert that the indexes are those that loading the rows anew makes."""
    anew = Snapshot(snapshot.root_id, snapshot.version, snapshot.library).load(
        workflows=sorted(snapshot.workflows.values(), key=lambda row: row.id),
        tasks=sorted(snapshot.tasks.values(), key=lambda row: row.id),
        actions=sorted(snapshot.actions.values(), key=lambda row: row.id),
        timers=sorted(snapshot.timers.values(), key=lambda row: row.id),
        pending=snapshot.pending.values(),
    )
    for name in _INDEXES:
        kept = {key: value for key, value in getattr(snapshot, name).items() if value}
        loaded = getattr(anew, name)
        assert kept == loaded, name
        for key, value in kept.items():
            if isinstance(value, dict) and name != "_timers_of":
                assert list(value) == list(loaded[key]), f"order of {name}"


def make_library() -> Library:
    """Return the expression languages and the standard actions."""
    registry = ActionRegistry.load(ActionSettings(load_plugins=False))
    return Library(evaluator=Evaluator(ExpressionSettings()), find_python_action=registry.find)


def rehearsed(library: Library, text: str) -> Rehearsal:
    """Prepare the workflows of a text without its first line; those after the first may be nested."""
    return Rehearsal(library, "version: '2.0'\n" + text)


@pytest.fixture(scope="session")
def library() -> Library:
    """The expression languages and the standard actions."""
    return make_library()


@pytest.fixture(scope="session")
def rehearse(library: Library) -> Callable[[str], Rehearsal]:
    """See ``rehearsed``."""
    return partial(rehearsed, library)


@pytest.fixture(scope="session")
def attempts() -> Callable[[Sequence[Any]], Attempts]:
    """Mark results as successive ones."""
    return Attempts
