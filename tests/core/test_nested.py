"""Workflows within workflows: what goes down and what comes up."""

from __future__ import annotations

import pytest

from mistral_lite.workflow.library import Rules
from mistral_lite.workflow.states import State

RUNNING, PAUSED, SUCCESS, ERROR, CANCELLED = (
    State.RUNNING,
    State.PAUSED,
    State.SUCCESS,
    State.ERROR,
    State.CANCELLED,
)
BROKEN = ValueError("broken")

FAMILY = """
parent:
  output:
    got: <% task(call).result %>
  tasks:
    call:
      workflow: child
      input: {n: 5}
      on-success: after
    other:
      action: std.noop
    after:
      action: std.noop
child:
  input: [n, m: 7]
  output:
    sum: <% $.n + $.m %>
  tasks:
    c:
      action: std.echo output=<% $.n %>
      on-success: d
    d:
      action: std.noop
"""


def test_input_goes_down_and_output_comes_up(rehearse):
    execution = rehearse(FAMILY).start().run()

    assert execution.workflow("child").input == {"n": 5, "m": 7}
    assert execution.workflow("child").output == {"sum": 12}
    assert execution.output == {"got": {"sum": 12}}
    assert execution.states() == {"call": SUCCESS, "other": SUCCESS, "after": SUCCESS}
    assert execution.workflow("child").root_id == execution.snapshot.root_id


@pytest.mark.parametrize(("result", "state"), [(BROKEN, ERROR), (CANCELLED, CANCELLED)])
def test_an_end_other_than_success_comes_up(rehearse, result, state):
    execution = rehearse(FAMILY).start().run({"c": result})

    assert execution.workflow("child").state == state
    assert execution.states() == {"call": state, "other": SUCCESS}
    assert execution.state == state


def test_an_error_of_a_nested_workflow_may_be_handled(rehearse):
    text = FAMILY.replace("on-success: after", "on-error: after")

    execution = rehearse(text).start().run({"c": BROKEN})

    assert execution.state == SUCCESS
    assert execution.states()["after"] == SUCCESS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("workflow: no_such", "no_such"),
        ("workflow: <% 'no' + '_such' %>", "no_such"),
    ],
)
def test_a_workflow_that_is_not_there_is_an_error_that_may_be_handled(rehearse, change, said):
    text = FAMILY.replace("workflow: child", change).replace("on-success: after", "on-error: after")

    execution = rehearse(text).start().run()

    assert execution.state == SUCCESS
    assert said in execution.task("call").state_info
    assert execution.states()["after"] == SUCCESS


def test_a_missing_input_is_an_error_that_may_be_handled(rehearse):
    text = FAMILY.replace("input: {n: 5}", "keep-result: true").replace(
        "on-success: after", "on-error: after"
    )

    execution = rehearse(text).start().run()

    assert execution.state == SUCCESS
    assert "n" in execution.task("call").state_info


@pytest.mark.parametrize("which", [None, "child"])
def test_pausing_any_of_them_pauses_all(rehearse, which):
    execution = rehearse(FAMILY).start()

    execution.pause(which)

    assert {each.state for each in execution.snapshot.workflows.values()} == {PAUSED}
    assert execution.states() == {"call": PAUSED, "other": RUNNING}


@pytest.mark.parametrize("which", [None, "child"])
def test_resuming_the_root_or_the_only_child_resumes_all(rehearse, which):
    execution = rehearse(FAMILY).start()
    execution.pause()

    execution.resume(which)

    assert {each.state for each in execution.snapshot.workflows.values()} == {RUNNING}
    execution.run()
    assert execution.state == SUCCESS


def test_the_parent_goes_on_when_no_child_is_paused(rehearse):
    execution = rehearse("""
parent:
  tasks:
    one:
      workflow: first
    two:
      workflow: second
first:
  tasks:
    t:
      action: std.noop
second:
  tasks:
    t:
      action: std.noop
""").start()
    execution.pause()

    execution.resume("first")
    assert (execution.state, execution.workflow("first").state) == (PAUSED, RUNNING)
    execution.resume("second")
    assert execution.state == RUNNING


def test_a_child_that_ends_while_its_parent_is_paused_is_followed_on_resume(rehearse):
    execution = rehearse(FAMILY).start()
    execution.pause()
    execution.run()
    assert execution.workflow("child").state == PAUSED

    execution.resume()
    execution.run()

    assert execution.state == SUCCESS


def test_cancelling_goes_down(rehearse):
    execution = rehearse(FAMILY).start()

    execution.stop(CANCELLED, "enough")

    assert {(each.state, each.state_info) for each in execution.snapshot.workflows.values()} == {
        (CANCELLED, "enough")
    }
    execution.run()
    assert execution.state == CANCELLED
    assert "d" not in execution.states("child")


@pytest.mark.parametrize("state", [SUCCESS, ERROR])
def test_other_ends_leave_the_children_to_themselves(rehearse, state):
    text = FAMILY.replace("got: <% task(call).result %>", "got: 1")
    execution = rehearse(text).start()

    execution.stop(state)
    execution.run()

    assert execution.state == state
    assert execution.workflow("child").state == SUCCESS
    assert execution.states() == {"call": SUCCESS, "other": SUCCESS}


@pytest.mark.parametrize(("state", "parent"), [(SUCCESS, SUCCESS), (ERROR, ERROR), (CANCELLED, CANCELLED)])
def test_stopping_a_child_tells_its_parent(rehearse, state, parent):
    execution = rehearse(FAMILY).start()

    execution.stop(state, "m", workflow="child")
    execution.run()

    assert execution.workflow("child").state == state
    assert execution.state == parent


def test_running_a_task_of_a_child_again_opens_all_above(rehearse):
    execution = rehearse(FAMILY).start().run({"c": BROKEN})
    assert execution.state == ERROR

    execution.rerun("c", workflow="child")
    assert {each.state for each in execution.snapshot.workflows.values()} == {RUNNING}
    assert execution.states()["call"] == RUNNING
    execution.run()

    assert execution.state == SUCCESS
    assert execution.output == {"got": {"sum": 12}}
    assert len(execution.snapshot.workflows) == 2


def test_running_the_calling_task_again_makes_a_new_child(rehearse):
    execution = rehearse(FAMILY).start().run({"c": BROKEN})

    execution.rerun("call")
    execution.run()

    assert execution.state == SUCCESS
    states = [each.state for each in execution.snapshot.workflows.values() if each.name == "child"]
    assert states == [ERROR, SUCCESS]


def test_a_retry_makes_a_new_child(rehearse, attempts):
    text = FAMILY.replace("on-success: after", "retry: {count: 1, delay: 1}\n      on-success: after")

    execution = rehearse(text).start().run({"c": attempts([BROKEN, 1])})

    assert execution.state == SUCCESS
    assert len(execution.snapshot.workflows) == 3


@pytest.mark.parametrize("concurrency", [0, 1, 2])
def test_one_child_per_item(rehearse, concurrency):
    execution = rehearse(f"""
parent:
  output:
    all: <% task(t).result %>
  tasks:
    t:
      with-items: i in [1, 2, 3]
      workflow: child
      input: {{n: <% $.i %>}}
      concurrency: {concurrency}
child:
  input: [n]
  output: {{n: <% $.n %>}}
  tasks:
    c:
      action: std.noop
""")
    execution.start()
    started = len(execution.snapshot.workflows) - 1
    assert started == (concurrency or 3)
    execution.run()

    assert execution.output == {"all": [{"n": 1}, {"n": 2}, {"n": 3}]}


def test_the_environment_is_that_of_the_root(rehearse):
    text = FAMILY.replace("output=<% $.n %>", "output=<% env().x %>")

    execution = rehearse(text).start(env={"x": "mine"}).run()

    (action,) = (each for each in execution.snapshot.actions.values() if each.name == "std.echo")
    assert action.input == {"output": "mine"}


def test_a_failed_nested_branch_does_not_wait_for_others(rehearse):
    execution = rehearse(FAMILY).start()
    action = next(each for each in execution.snapshot.actions.values() if each.name == "std.echo")

    execution.end_action(action, BROKEN)
    assert execution.workflow("child").state == ERROR
    assert execution.state == RUNNING, "the other branch goes on"
    execution.run()

    assert execution.state == ERROR


@pytest.mark.parametrize("request_", ["rerun", "skip"])
def test_a_child_that_was_left_behind_cannot_be_opened_again(rehearse, request_):
    text = FAMILY.replace("on-success: after", "on-skip: after")
    execution = rehearse(text).start()
    action = next(each for each in execution.snapshot.actions.values() if each.name == "std.echo")
    execution.end_action(action, BROKEN)
    execution.skip("call")

    decision = getattr(execution, request_)("c", workflow="child")

    assert decision.ignored
    assert execution.state == RUNNING


def test_a_workflow_that_starts_itself_ends_in_error(rehearse):
    execution = rehearse("""
w:
  tasks:
    t:
      workflow: w
""").start()

    assert execution.state == State.ERROR
    assert len(execution.snapshot.workflows) == 100
    texts = [task.state_info or "" for task in execution.snapshot.tasks.values()]
    assert any("Workflows are nested more than 100 deep; does 'w' start itself?" in text for text in texts)


def test_a_circle_of_tasks_that_run_no_action_ends_in_error(rehearse):
    execution = rehearse("""
w:
  tasks:
    first:
      with-items: i in <% [] %>
      action: std.noop
      on-success: again
    again:
      with-items: i in <% [] %>
      action: std.noop
      on-success: again
""").start()

    assert execution.state == State.ERROR
    assert execution.info == "The workflow runs in a circle that starts no action."
    # What the circle did is not kept.
    assert len(execution.snapshot.tasks) <= 1


def test_workflows_that_multiply_end_in_error(rehearse):
    execution = rehearse("""
w:
  tasks:
    t:
      with-items: i in <% range(9) %>
      workflow: w
""")
    execution.library.rules = Rules(most_items=50)
    execution.start()

    assert execution.state == State.ERROR
    assert execution.info.startswith("The workflow starts more than 100 actions and workflows at once")
    assert len(execution.snapshot.workflows) == 1
