"""What holds whatever happens in whatever order."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mistral_lite.workflow import events
from mistral_lite.workflow.model import WorkflowExecution
from mistral_lite.workflow.snapshot import Snapshot
from mistral_lite.workflow.states import State

quickly = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

seeds = st.integers(0, 10**9)

# Branches, a join, items, a retry, a nested workflow, a loop and a handled error in one.
ZOO = """
zoo:
  output:
    seen: <% $.get(a, 0) %>
  output-on-error:
    failed: true
  tasks:
    a:
      action: std.echo output=1
      publish: {a: <% task().result %>}
      on-success: j
      on-error: rescue
    b:
      with-items: i in [1, 2, 3]
      concurrency: 2
      action: std.echo output=<% $.i %>
      on-complete: j
    c:
      workflow: child
      on-success: j
      on-error: [j, rescue]
    d:
      action: std.async_noop
      retry: {count: 1, delay: 1}
      wait-after: 1
      on-success: j
    j:
      join: 2
      action: std.noop
      timeout: 50
    rescue:
      action: std.noop
child:
  tasks:
    c1:
      action: std.noop
      on-success: c2
    c2:
      action: std.noop
"""

INDEPENDENT = """
w:
  output:
    all: <% [$.a, $.b, $.c, $.d] %>
    joined: <% task(j).result %>
  tasks:
    a:
      action: std.echo output='A'
      publish: {a: <% task().result %>}
      on-success: [j, d]
    b:
      action: std.echo output='B'
      publish: {b: <% task().result %>}
      on-success: j
    c:
      with-items: i in <% range(4) %>
      action: std.echo output=<% $.i %>
      publish: {c: <% task().result %>}
      on-success: j
    d:
      action: std.echo output='D'
      publish: {d: <% task().result %>}
    j:
      join: all
      action: std.echo output=<% [$.a, $.b, $.c] %>
"""


@given(seed=seeds)
@quickly
def test_the_order_of_independent_branches_does_not_change_the_output(rehearse, seed):
    execution = rehearse(INDEPENDENT).start().run(random=Random(seed))

    assert execution.state == State.SUCCESS
    assert execution.output == {
        "all": ["A", "B", [0, 1, 2, 3], "D"],
        "joined": ["A", "B", [0, 1, 2, 3]],
    }


class Chance:
    """Draws events about an execution as they may come: late, repeated, wrong, in any order."""

    def __init__(self, seed: int, execution) -> None:
        self.random = Random(seed)
        self.execution = execution

    def pick(self, values):
        return self.random.choice(sorted(values, key=repr) or ["none"])

    def event(self, *, with_reopening: bool) -> events.Event:
        """Return an event; reports are the most likely."""
        makers = [*[self.report] * 8, *[self.timer] * 3, self.result, self.command, self.attempt]
        if with_reopening:
            makers += [self.reopening] * 3
        event: events.Event = self.random.choice(makers)()
        return event

    def report(self):
        action_id, attempt = self.pending()
        state = self.pick([State.SUCCESS, State.ERROR, State.CANCELLED, State.SUCCESS])
        return events.ActionReported(action_execution_id=action_id, attempt=attempt, state=state, result=1)

    def pending(self):
        snapshot = self.execution.snapshot
        action_id = self.pick(snapshot.pending or snapshot.actions)
        found = snapshot.pending.get(action_id)
        return action_id, found.attempt if found else 1

    def attempt(self):
        action_id, attempt = self.pending()
        make = self.random.choice([events.ActionSent, events.ActionReturned, events.LeaseExpired])
        return make(action_execution_id=action_id, attempt=attempt)

    def timer(self):
        return events.TimerFired(timer_id=self.pick(self.execution.snapshot.timers))

    def result(self):
        action_id = self.pick(self.execution.snapshot.actions)
        state = self.pick([State.SUCCESS, State.ERROR, State.CANCELLED])
        return self.random.choice(
            [
                events.ResultDelivered(action_execution_id=action_id, state=state, result=2, digest="d"),
                events.ActionPauseRequested(action_execution_id=action_id),
                events.ActionResumeRequested(action_execution_id=action_id),
            ]
        )

    def command(self):
        workflow_id = self.pick(self.execution.snapshot.workflows)
        state = self.pick([State.SUCCESS, State.ERROR, State.CANCELLED])
        return self.random.choice(
            [
                events.PauseRequested(workflow_execution_id=workflow_id),
                events.ResumeRequested(workflow_execution_id=workflow_id, environment={}),
                events.StopRequested(workflow_execution_id=workflow_id, state=state, message="m"),
                events.WorkflowStarted(workflow_execution_id=workflow_id),
            ]
        )

    def reopening(self):
        task_id = self.pick(self.execution.snapshot.tasks)
        reset = self.random.random() < 0.5
        return self.random.choice(
            [
                events.RerunRequested(task_execution_id=task_id, reset=reset, environment={}),
                events.SkipRequested(task_execution_id=task_id),
            ]
        )


@given(seed=seeds)
@quickly
def test_finished_stays_finished_unless_run_again(rehearse, seed):
    execution = rehearse(ZOO).start()
    chance = Chance(seed, execution)

    for _ in range(25):
        decision = execution.tell(chance.event(with_reopening=False))
        for change in decision.workflows.values():
            if change.before is not None and change.before.is_finished:
                assert change.after.state == change.before.state
                assert change.after.output == change.before.output
        for change in decision.actions.values():
            if change.before is not None and change.before.is_finished:
                assert change.after.state == change.before.state
                assert change.after.result == change.before.result


@given(seed=seeds)
@quickly
def test_an_event_that_comes_again_changes_nothing(rehearse, seed):
    execution = rehearse(ZOO).start()
    chance = Chance(seed, execution)

    for _ in range(20):
        event = chance.event(with_reopening=False)
        execution.tell(event)
        repeated = execution.tell(event)
        assert repeated.is_empty, event
        assert repeated.ignored, event


def waits_for_something(execution) -> bool:
    """Tell whether there is something that will wake a running execution."""
    snapshot = execution.snapshot
    return bool(
        snapshot.pending
        or snapshot.timers
        or any(not action.is_finished for action in snapshot.actions.values())
        or any(workflow.state == State.PAUSED for workflow in snapshot.workflows.values())
    )


@given(seed=seeds)
@quickly
def test_what_is_not_finished_knows_what_wakes_it(rehearse, seed):
    execution = rehearse(ZOO).start()
    chance = Chance(seed, execution)

    for _ in range(25):
        execution.tell(chance.event(with_reopening=True))
        for workflow in execution.snapshot.workflows.values():
            if workflow.state == State.RUNNING:
                assert waits_for_something(execution), execution.states()


@given(seed=seeds)
@quickly
def test_everything_comes_to_an_end(rehearse, seed):
    execution = rehearse(ZOO).start()
    chance = Chance(seed, execution)
    for _ in range(15):
        execution.tell(chance.event(with_reopening=True))

    for _ in range(20):
        for workflow_id in list(execution.snapshot.workflows):
            if execution.snapshot.workflows[workflow_id].state == State.PAUSED:
                execution.resume_id(workflow_id)
        for action_id in list(execution.snapshot.actions):
            if not execution.snapshot.actions[action_id].is_finished:
                execution.end_action(execution.snapshot.actions[action_id], 1)
        while execution.snapshot.timers:
            execution.fire_next_timer()

    assert execution.is_at_rest()
    assert {each.state for each in execution.snapshot.workflows.values()} <= {
        State.SUCCESS,
        State.ERROR,
        State.CANCELLED,
    }


@pytest.mark.parametrize("seed", range(20))
def test_a_tree_loaded_anew_goes_on_the_same_way(rehearse, seed):
    whole, broken = rehearse(ZOO).start(), rehearse(ZOO).start()
    for execution in (whole, broken):
        random = Random(seed)
        while execution.snapshot.pending or execution.snapshot.timers:
            if execution.snapshot.pending:
                action_id = random.choice(sorted(execution.snapshot.pending))
                execution.end_action(
                    execution.snapshot.actions[action_id], random.choice([1, 2, ValueError("x")])
                )
            else:
                execution.fire_next_timer()
            if execution is broken:
                old = execution.snapshot
                execution.snapshot = Snapshot(old.root_id, old.version, old.library).load(
                    workflows=sorted(old.workflows.values(), key=lambda row: row.id),
                    tasks=sorted(old.tasks.values(), key=lambda row: row.id),
                    actions=sorted(old.actions.values(), key=lambda row: row.id),
                    timers=old.timers.values(),
                    pending=sorted(old.pending.values(), key=lambda row: row.action_id),
                )

    def described(workflow: WorkflowExecution):
        return workflow.id, workflow.state, workflow.output, workflow.state_info

    assert [described(each) for each in whole.snapshot.workflows.values()] == [
        described(each) for each in broken.snapshot.workflows.values()
    ]
    assert whole.snapshot.tasks == broken.snapshot.tasks
