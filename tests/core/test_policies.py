"""What policies make of a task, alone and together."""

from __future__ import annotations

import pytest

from mistral_lite.workflow import events
from mistral_lite.workflow.model import TimerKind
from mistral_lite.workflow.states import State

SUCCESS, ERROR, DELAYED, RUNNING, IDLE, PAUSED = (
    State.SUCCESS,
    State.ERROR,
    State.DELAYED,
    State.RUNNING,
    State.IDLE,
    State.PAUSED,
)
BROKEN = ValueError("broken")


def task_with(policies: str, more: str = "") -> str:
    lines = "".join(f"      {line}\n" for line in policies.strip().splitlines())
    return f"w:\n  tasks:\n    t:\n      action: std.echo output='x'\n{lines}{more}"


RETRIES = [
    ("retry: {count: 2, delay: 1}", [BROKEN, "x"], SUCCESS, 2),
    ("retry: {count: 2, delay: 1}", [BROKEN, BROKEN, BROKEN], ERROR, 3),
    ("retry: {count: 2, delay: 0}", [BROKEN, BROKEN, "x"], SUCCESS, 3),
    ("retry: {count: 0, delay: 1}", [BROKEN], ERROR, 1),
    ("retry: {count: 5, delay: 1}", ["x"], SUCCESS, 1),
    ("retry: {count: 5, delay: 1}", [State.CANCELLED], State.CANCELLED, 1),
    ("retry: {count: 3, delay: 1, break-on: <% true %>}", [BROKEN], ERROR, 1),
    (
        "retry: {count: 3, delay: 1, break-on: <% task().result = 'b' %>}",
        [ValueError("a"), ValueError("b")],
        ERROR,
        2,
    ),
    ("retry: {count: 3, delay: 1, continue-on: <% task().result = 'go' %>}", ["go", "go", "x"], SUCCESS, 3),
    ("retry: {count: 2, delay: 1, continue-on: <% task().result = 'go' %>}", ["go"] * 3, SUCCESS, 3),
    ("retry: {count: 2, delay: 1, continue-on: <% task().result = 'go' %>}", [BROKEN], ERROR, 1),
    ("retry: {count: 2, delay: 1}\nfail-on: <% task().result = 'bad' %>", ["bad", "x"], SUCCESS, 2),
    ("fail-on: <% task().result = 'bad' %>", ["bad"], ERROR, 1),
    ("fail-on: <% task().result = 'bad' %>", ["good"], SUCCESS, 1),
    ("fail-on: true", [BROKEN], ERROR, 1),
]


@pytest.mark.parametrize(("policies", "results", "state", "count"), RETRIES)
def test_attempts(rehearse, attempts, policies, results, state, count):
    execution = rehearse(task_with(policies)).start().run({"t": attempts(results)})

    assert execution.task("t").state == state
    assert len(execution.actions("t")) == count
    assert [action.accepted for action in execution.actions("t")] == [False] * (count - 1) + [True]
    assert execution.is_at_rest()


WAITS = [
    ("wait-before: 5", [TimerKind.WAIT_BEFORE], 1),
    ("wait-after: 5", [TimerKind.WAIT_AFTER], 1),
    ("wait-before: 0", [], 1),
    (f"wait-before: {10**30}", [TimerKind.WAIT_BEFORE], 1),
    ("wait-before: 3\nwait-after: 4", [TimerKind.WAIT_BEFORE, TimerKind.WAIT_AFTER], 1),
    ("wait-before: 3\nretry: {count: 1, delay: 2}", [TimerKind.WAIT_BEFORE, TimerKind.RETRY], 2),
    ("wait-after: 3\nretry: {count: 1, delay: 2}", [TimerKind.WAIT_AFTER, TimerKind.RETRY], 2),
    ("wait-before: <% 2 + 3 %>", [TimerKind.WAIT_BEFORE], 1),
    ("wait-before: 5\npause-before: false", [TimerKind.WAIT_BEFORE], 1),
]


@pytest.mark.parametrize(("policies", "kinds", "count"), WAITS)
def test_delays(rehearse, attempts, policies, kinds, count):
    execution = rehearse(task_with(policies)).start()
    script = [BROKEN] * (count - 1) + ["x"]
    seen = []
    while not execution.is_at_rest():
        if execution.snapshot.pending:
            execution.end("t", script.pop(0))
        else:
            (timer,) = execution.snapshot.timers.values()
            seen.append(timer.kind)
            assert execution.task("t").state == DELAYED
            assert timer.due_at > execution.now
            execution.fire_next_timer()

    assert seen == kinds
    assert execution.state == SUCCESS
    assert len(execution.actions("t")) == count


def test_what_is_published_shows_after_the_wait(rehearse):
    execution = rehearse(task_with("wait-after: 5\npublish: {v: <% task().result %>}")).start()
    execution.end("t", "x")
    assert execution.task("t").state == DELAYED

    execution.fire_next_timer()

    assert execution.output == {"v": "x"}


def test_a_task_that_takes_too_long(rehearse):
    execution = rehearse(task_with("timeout: 5")).start()
    (action,) = execution.actions("t")

    execution.fire_next_timer()

    assert execution.task("t").state == ERROR
    assert execution.task("t").state_info == "Task timed out [timeout(s)=5]."
    assert execution.state == ERROR
    version = execution.snapshot.version
    execution.end_action(action, "late")
    assert execution.task("t").state == ERROR
    assert execution.state == ERROR
    assert execution.snapshot.version >= version


@pytest.mark.parametrize("policies", ["timeout: 5", "timeout: 5\nretry: {count: 2, delay: 1}"])
def test_a_task_in_time_leaves_no_timer(rehearse, policies):
    execution = rehearse(task_with(policies)).start()

    execution.end("t", "x")

    assert execution.state == SUCCESS
    assert execution.is_at_rest()


def test_an_attempt_after_a_timeout_has_a_timeout_again(rehearse):
    execution = rehearse(task_with("timeout: 5\nretry: {count: 1, delay: 1}")).start()

    while execution.snapshot.timers:
        execution.fire_next_timer()

    assert execution.task("t").state == ERROR
    assert len(execution.actions("t")) == 2
    assert "timed out" in execution.task("t").state_info


def test_a_timeout_before_the_wait_is_over_ends_the_task_for_good(rehearse):
    execution = rehearse(task_with("timeout: 2\nwait-before: 9")).start()

    execution.fire_next_timer()

    assert execution.state == ERROR
    assert execution.snapshot.actions == {}
    assert execution.snapshot.timers == {}


def test_pause_before(rehearse):
    text = task_with("pause-before: true\nwait-before: 9\non-success: u", "    u:\n      action: std.noop\n")
    execution = rehearse(text).start()
    assert (execution.state, execution.task("t").state) == (PAUSED, IDLE)
    assert execution.snapshot.pending == execution.snapshot.timers == {}

    execution.resume()
    assert (execution.state, execution.task("t").state) == (RUNNING, RUNNING)
    execution.run()
    assert execution.state == SUCCESS


def test_a_delay_that_runs_out_while_paused_is_held(rehearse):
    execution = rehearse(task_with("wait-before: 5")).start()
    execution.pause()
    execution.fire_next_timer()
    assert execution.snapshot.pending == {}

    execution.resume()
    execution.run()
    assert execution.state == SUCCESS


@pytest.mark.parametrize("state", [State.ERROR, State.CANCELLED, State.SUCCESS])
def test_a_delay_that_runs_out_after_the_end_starts_nothing(rehearse, state):
    execution = rehearse(task_with("wait-before: 5")).start()
    execution.stop(state)

    while execution.snapshot.timers:
        execution.fire_next_timer()

    assert execution.state == state
    assert execution.snapshot.actions == {}


@pytest.mark.parametrize(
    ("policies", "outcome", "state"),
    [
        ("wait-before: 5", None, State.CANCELLED),
        ("retry: {count: 2, delay: 5}", BROKEN, State.CANCELLED),
        ("wait-after: 5", "x", SUCCESS),
        ("wait-after: 5", BROKEN, ERROR),
        ("wait-after: 5\nretry: {count: 2, delay: 5}", BROKEN, ERROR),
    ],
)
def test_a_delayed_task_of_a_cancelled_workflow_ends_at_once(rehearse, policies, outcome, state):
    execution = rehearse(task_with(policies)).start()
    if outcome is not None:
        execution.end("t", outcome)
    assert execution.task("t").state == DELAYED

    execution.stop(State.CANCELLED)

    task = execution.task("t")
    assert (task.state, task.processed) == (state, True)
    assert (execution.state, execution.snapshot.timers) == (State.CANCELLED, {})


def test_a_timer_fires_once(rehearse):
    execution = rehearse(task_with("wait-before: 5")).start()
    (timer,) = execution.snapshot.timers.values()
    execution.fire_next_timer()

    decision = execution.tell(events.TimerFired(timer_id=timer.id))

    assert decision.is_empty
    assert decision.ignored
    assert len(execution.snapshot.pending) == 1


WRONG = [
    "wait-before: <% 'soon' %>",
    "wait-after: <% -1 %>",
    "timeout: <% 1.5 %>",
    "retry: {count: <% 'two' %>, delay: 1}",
    "retry: {count: 1, delay: <% null.x %>}",
    "concurrency: <% [] %>",
    "pause-before: <% 'maybe' %>",
    "fail-on: <% $.no_such.variable %>",
]


@pytest.mark.parametrize("policy", WRONG)
def test_a_policy_value_that_is_wrong_fails_the_workflow(rehearse, policy):
    text = task_with(f"{policy}\non-error: u", "    u:\n      action: std.noop\n")

    execution = rehearse(text).start().run()

    assert execution.state == ERROR
    assert "u" not in execution.states()
    assert "task=t" in execution.info
    assert execution.is_at_rest()


def test_defaults_apply_where_a_task_says_nothing(rehearse):
    execution = rehearse("""
w:
  task-defaults:
    retry: {count: 1, delay: 1}
  tasks:
    a:
      action: std.noop
    b:
      action: std.noop
      retry: {count: 2, delay: 1}
""").start()
    execution.run({"a": BROKEN, "b": BROKEN})

    assert len(execution.actions("a")) == 2
    assert len(execution.actions("b")) == 3
