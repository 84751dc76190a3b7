"""Pause, resume, stop, rerun and skip, and the commands of the language."""

from __future__ import annotations

import pytest

from mistral_lite.workflow import events
from mistral_lite.workflow.states import State

RUNNING, PAUSED, SUCCESS, ERROR, CANCELLED, SKIPPED = (
    State.RUNNING,
    State.PAUSED,
    State.SUCCESS,
    State.ERROR,
    State.CANCELLED,
    State.SKIPPED,
)
BROKEN = ValueError("broken")

TWO = """
w:
  output:
    got: <% $.a %>
  tasks:
    a:
      action: std.echo output='one'
      publish: {a: <% task().result %>}
      publish-on-error: {a: failed}
      on-success: b
    b:
      action: std.echo output='two'
"""


def bring_to(execution, state: State):
    """Start an execution and bring it into a state."""
    execution.start()
    match state:
        case State.PAUSED:
            execution.pause()
        case State.SUCCESS:
            execution.run()
        case State.ERROR:
            execution.run({"a": BROKEN})
        case State.CANCELLED:
            execution.stop(CANCELLED)
    assert execution.state == state
    return execution


REQUESTS = [
    (RUNNING, "pause", PAUSED),
    (RUNNING, "resume", None),
    (RUNNING, SUCCESS, SUCCESS),
    (RUNNING, ERROR, ERROR),
    (RUNNING, CANCELLED, CANCELLED),
    (PAUSED, "pause", None),
    (PAUSED, "resume", RUNNING),
    (PAUSED, SUCCESS, None),
    (PAUSED, ERROR, ERROR),
    (PAUSED, CANCELLED, CANCELLED),
    *((state, request, None) for state in (SUCCESS, ERROR, CANCELLED) for request in ("pause", "resume")),
    *(
        (state, request, None)
        for state in (SUCCESS, ERROR, CANCELLED)
        for request in (SUCCESS, ERROR, CANCELLED)
    ),
]


@pytest.mark.parametrize(("state", "request_", "after"), REQUESTS)
def test_requests_by_state(rehearse, state, request_, after):
    text = TWO.replace("      publish-on-error", "      #")
    execution = bring_to(rehearse(text.replace("got: <% $.a %>", "got: 1")), state)

    match request_:
        case "pause":
            decision = execution.pause()
        case "resume":
            decision = execution.resume()
        case _:
            decision = execution.stop(request_, "because")

    assert execution.state == (after or state)
    assert decision.is_empty == (after is None)
    assert bool(decision.ignored) == (after is None)


def test_what_runs_while_paused_is_recorded_and_followed_on_resume(rehearse):
    execution = rehearse(TWO).start()
    execution.pause()
    execution.end("a", "one")
    assert (execution.state, execution.states()) == (PAUSED, {"a": SUCCESS})
    assert execution.snapshot.pending == {}

    execution.resume()
    assert execution.states() == {"a": SUCCESS, "b": RUNNING}
    execution.run()
    assert execution.output == {"got": "one"}


@pytest.mark.parametrize("state", [ERROR, CANCELLED])
def test_late_results_after_a_stop_are_recorded_and_followed_by_nothing(rehearse, state):
    execution = rehearse(TWO).start()
    execution.stop(state, "enough")
    output = execution.output

    execution.run()

    assert (execution.state, execution.info, execution.output) == (state, "enough", output)
    assert execution.states() == {"a": SUCCESS}
    assert execution.actions("a")[0].result == "one"


def test_the_texts_and_outputs_of_an_end(rehearse):
    failed = rehearse(TWO).start().run({"a": BROKEN})
    task = failed.task("a")

    assert failed.info.splitlines()[:3] == [
        "Failure caused by error in tasks: a",
        "",
        f"  a [task_ex_id={task.id}] -> broken",
    ]
    assert failed.output["result"] == failed.info
    assert failed.output["a"] == "failed"
    cancelled = rehearse(TWO).start()
    cancelled.end("a", CANCELLED)
    assert (cancelled.state, cancelled.info) == (CANCELLED, "Cancelled tasks: a")


def test_rerun_goes_on_where_it_failed(rehearse):
    execution = rehearse(TWO).start().run({"b": BROKEN})
    assert execution.state == ERROR

    execution.rerun("b")
    assert (execution.state, execution.info, execution.output) == (RUNNING, None, {})
    execution.run()

    assert (execution.state, execution.output) == (SUCCESS, {"got": "one"})
    assert [action.accepted for action in execution.actions("b")] == [False, True]
    assert len(execution.actions("a")) == 1


def test_rerun_with_another_environment(rehearse):
    text = TWO.replace("output='two'", "output=<% env().x %>")
    execution = rehearse(text).start(env={"x": "old", "y": 1}).run({"b": BROKEN})

    execution.rerun("b", env={"x": "new"})
    execution.run()

    assert execution.actions("b")[-1].input == {"output": "new"}
    assert execution.snapshot.root.params["env"] == {"x": "new", "y": 1}


@pytest.mark.parametrize("result", ["one", None])
def test_what_did_not_fail_cannot_be_run_again_or_skipped(rehearse, result):
    execution = rehearse(TWO).start()
    if result:
        execution.end("a", result)

    assert execution.rerun("a").ignored
    assert execution.skip("a").ignored


def test_a_task_of_a_paused_or_successful_workflow_is_not_run_again(rehearse):
    text = TWO + "      on-error: c\n    c:\n      action: std.noop\n"
    execution = rehearse(text).start().run({"b": BROKEN})
    assert execution.state == SUCCESS

    assert execution.rerun("b").ignored
    assert execution.skip("b").ignored


SKIPS = [
    ("", ["b"]),
    ("on-skip: c", ["c"]),
    ("on-skip:\n        - c: <% false %>", ["b"]),
    ("on-complete: c", ["b"]),
]


@pytest.mark.parametrize(("clause", "follow"), SKIPS)
def test_skip(rehearse, clause, follow):
    execution = rehearse(f"""
w:
  tasks:
    a:
      action: std.noop
      on-success: b
      publish-on-skip: {{a: skipped}}
      {clause}
    b:
      action: std.noop
    c:
      action: std.noop
""")
    execution.start().run({"a": BROKEN})
    states = execution.states()

    execution.skip("a")
    execution.run()

    assert execution.state == SUCCESS
    assert (execution.task("a").state, execution.task("a").state_info) == (SKIPPED, "Task was skipped.")
    assert execution.output["a"] == "skipped"
    assert set(execution.states()) - set(states) == set(follow) - set(states)


COMMANDS = [
    ("[b, fail]", ERROR, {"a": SUCCESS, "b": SUCCESS}),
    ("[fail, b]", ERROR, {"a": SUCCESS}),
    ("[succeed, b]", SUCCESS, {"a": SUCCESS}),
    ("[b, succeed, c]", SUCCESS, {"a": SUCCESS, "b": SUCCESS}),
    ("[noop, b]", SUCCESS, {"a": SUCCESS, "b": SUCCESS}),
    ("noop", SUCCESS, {"a": SUCCESS}),
    ("[pause, b]", PAUSED, {"a": SUCCESS}),
    ("[b, pause, c]", PAUSED, {"a": SUCCESS, "b": SUCCESS}),
]


def tasks_named_in(text: str) -> str:
    """Return the tasks b and c if ``text`` leads to them; others would start by themselves."""
    return "".join(
        f"    {name}:\n      action: std.noop\n"
        for name in "bc"
        if f"{name}:" in text or f"{name}]" in text or f"{name}," in text
    )


@pytest.mark.parametrize(("clause", "state", "states"), COMMANDS)
def test_engine_commands(rehearse, clause, state, states):
    execution = rehearse(
        f"w:\n  tasks:\n    a:\n      action: std.noop\n      on-success: {clause}\n{tasks_named_in(clause)}"
    )

    execution.start().run()

    assert (execution.state, execution.states()) == (state, states)


@pytest.mark.parametrize(
    ("command", "state", "info"),
    [
        ("fail(msg=<% $.why %>)", ERROR, "because"),
        ("succeed(msg='fine')", SUCCESS, "fine"),
        ("fail", ERROR, None),
    ],
)
def test_commands_with_a_message(rehearse, command, state, info):
    execution = rehearse(
        f"w:\n  vars: {{why: because}}\n  tasks:\n    a:\n      action: std.noop\n      on-success:\n        - {command}\n"
    )
    execution.start().run()

    assert (execution.state, execution.info) == (state, info)


def test_a_command_kept_by_a_pause_is_carried_out_on_resume(rehearse):
    execution = rehearse("""
w:
  tasks:
    a:
      action: std.noop
      on-success: [pause, b]
    b:
      action: std.noop
""")
    execution.start().run()
    assert (execution.state, execution.states()) == (PAUSED, {"a": SUCCESS})

    execution.resume()
    execution.run()

    assert (execution.state, execution.states()) == (SUCCESS, {"a": SUCCESS, "b": SUCCESS})


BROKEN_PLACES = [
    ("action: std.echo output=<% $.no.such %>", "start"),
    ("action: no.such", "start"),
    ("action: std.echo wrong=1", "start"),
    ("action: <% $.no.such %>", "start"),
    ("action: std.noop\n      publish: {x: <% $.no.such %>}", "end"),
    ("action: std.noop\n      on-success:\n        - b: <% $.no.such %>", "end"),
    ("action: std.noop\n      target: <% $.no.such %>", "start"),
]


@pytest.mark.parametrize(("task", "when"), BROKEN_PLACES)
def test_an_error_of_the_language_fails_the_workflow_whatever_handles_errors(rehearse, task, when):
    execution = rehearse(
        f"w:\n  tasks:\n    first:\n      action: std.noop\n      on-success: a\n    a:\n      {task}\n"
        f"      on-error: rescue\n    rescue:\n      action: std.noop\n{tasks_named_in(task)}"
    )
    execution.start()
    execution.end("first")
    if when == "end":
        execution.end("a")
    execution.run()

    assert execution.state == ERROR
    assert "task=a" in execution.info
    assert execution.task("a").state == ERROR
    assert "error=" in execution.info


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ("action: std.echo output=<% $.no.such %>", "input"),
        ("action: <% $.no.such %>", "action"),
        ("workflow: <% $.no.such %>", "workflow"),
        ("action: std.noop\n      target: <% $.no.such %>", "target"),
        ("with-items: i in <% $.no.such %>", "with-items"),
        ("action: std.noop\n      wait-before: <% $.no.such %>", "wait-before"),
        ("action: std.noop\n      publish: {x: <% $.no.such %>}", "publish"),
        ("action: std.noop\n      fail-on: <% $.no.such %>", "fail-on"),
        ("action: std.noop\n      on-complete:\n        - noop: <% $.no.such %>", "on-complete"),
    ],
)
def test_an_error_of_an_expression_names_the_field(rehearse, task, field):
    execution = rehearse(f"w:\n  tasks:\n    a:\n      {task}\n").start().run()

    assert execution.state == ERROR
    assert execution.info.endswith(f"\nThe expression is in the field '{field}' of the task.")


def test_an_error_while_resuming(rehearse):
    execution = rehearse("""
w:
  tasks:
    a:
      action: std.noop
      on-success:
        - b: <% $.no.such %>
    b:
      action: std.noop
""").start()
    execution.pause()
    execution.end("a")

    execution.resume()

    assert execution.state == ERROR
    assert "task=a" in execution.info


@pytest.mark.parametrize(
    "clause", ["publish-on-skip: {x: <% $.no.such %>}", "on-skip:\n        - b: <% $.no.such %>"]
)
def test_an_error_while_skipping(rehearse, clause):
    execution = rehearse(
        f"w:\n  tasks:\n    a:\n      action: std.noop\n      {clause}\n      on-success: b\n    b:\n      action: std.noop\n"
    )
    execution.start().run({"a": BROKEN})

    execution.skip("a")

    assert execution.state == ERROR
    assert "task=a" in execution.info


def test_an_error_while_beginning_again(rehearse):
    text = "w:\n  tasks:\n    a:\n      action: std.noop\n      wait-before: <% env().delay %>\n"
    execution = rehearse(text).start(env={"delay": 0}).run({"a": BROKEN})

    execution.rerun("a", env={"delay": "long"})

    assert execution.state == ERROR
    assert "task=a" in execution.info


UNKNOWN = [
    events.PauseRequested(workflow_execution_id="x"),
    events.ResumeRequested(workflow_execution_id="x", environment={}),
    events.StopRequested(workflow_execution_id="x", state=ERROR),
    events.EnvironmentUpdated(workflow_execution_id="x", environment={}),
    events.RerunRequested(task_execution_id="x", reset=True, environment={}),
    events.SkipRequested(task_execution_id="x"),
    events.ActionReported(action_execution_id="x", attempt=1, state=SUCCESS),
    events.ActionSent(action_execution_id="x", attempt=1),
    events.ActionReturned(action_execution_id="x", attempt=1),
    events.LeaseExpired(action_execution_id="x", attempt=1),
    events.ResultDelivered(action_execution_id="x", state=SUCCESS),
    events.ActionPauseRequested(action_execution_id="x"),
    events.ActionResumeRequested(action_execution_id="x"),
    events.TimerFired(timer_id="x"),
]


@pytest.mark.parametrize("event", UNKNOWN, ids=[type(event).__name__ for event in UNKNOWN])
def test_an_event_about_nothing_says_why_it_is_ignored(rehearse, event):
    execution = rehearse(TWO).start()

    decision = execution.tell(event)

    assert decision.is_empty
    assert decision.ignored


def test_an_unexpected_failure_ends_the_workflow(rehearse):
    execution = rehearse(TWO).start()

    execution.tell(events.DecisionFailed(message="sorry"))

    assert (execution.state, execution.info, execution.output["result"]) == (ERROR, "sorry", "sorry")
