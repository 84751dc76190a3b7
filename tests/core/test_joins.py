"""When a join goes on, waits, or never will."""

from __future__ import annotations

from itertools import permutations

import pytest

from mistral_lite.workflow.states import State

RUNNING, WAITING, ERROR, SUCCESS = State.RUNNING, State.WAITING, State.ERROR, State.SUCCESS


def fan_in(count: int, join: object, more: str = "") -> str:
    sources = "".join(
        f"""
    s{number}:
      action: std.noop
      on-success:
        - j: <% task().result = 'go' %>
"""
        for number in range(count)
    )
    return f"""
w:
  tasks:{sources}
    j:
      join: {join}
      action: std.noop
{more}
"""


# inbound: T triggered this join, W may still, N ended without doing so, X failed; None: there is no join yet
TABLE = [
    ("all", "T", RUNNING),
    ("all", "N", None),
    ("all", "TT", RUNNING),
    ("all", "TW", WAITING),
    ("all", "TN", ERROR),
    ("all", "TX", ERROR),
    ("all", "NW", None),
    ("all", "XX", None),
    ("all", "TTT", RUNNING),
    ("all", "TTW", WAITING),
    ("all", "TNW", ERROR),
    ("all", "TXW", ERROR),
    ("one", "T", RUNNING),
    ("one", "TW", RUNNING),
    ("one", "TN", RUNNING),
    ("one", "NW", None),
    ("one", "TXX", RUNNING),
    (1, "TW", RUNNING),
    (2, "TW", WAITING),
    (2, "TTW", RUNNING),
    (2, "TTN", RUNNING),
    (2, "TNW", WAITING),
    (2, "TWW", WAITING),
    (2, "TNN", ERROR),
    (2, "TXN", ERROR),
    (3, "TTWW", WAITING),
    (3, "TTNW", WAITING),
    (3, "TTNN", ERROR),
    (3, "TTTW", RUNNING),
]
RESULTS = {"T": "go", "N": "no", "X": ValueError("x")}


@pytest.mark.parametrize(("join", "inbound", "expected"), TABLE)
def test_join_by_inbound_tasks(rehearse, join, inbound, expected):
    for order in permutations(range(len(inbound))):
        execution = rehearse(fan_in(len(inbound), join)).start()
        for number in order:
            if inbound[number] != "W":
                execution.end(f"s{number}", RESULTS[inbound[number]])
        assert execution.states().get("j") == expected, order


@pytest.mark.parametrize(("join", "inbound", "expected"), [row for row in TABLE if row[2] == ERROR])
def test_a_join_that_cannot_be_met_names_what_stopped_it(rehearse, join, inbound, expected):
    execution = rehearse(fan_in(len(inbound), join)).start()
    for number, letter in enumerate(inbound):
        if letter != "W":
            execution.end(f"s{number}", RESULTS[letter])

    stopped = [f"s{number}" for number, letter in enumerate(inbound) if letter in "NX"]
    assert execution.task("j").state_info == f"Failed by tasks: {stopped}"
    execution.run()
    assert execution.state == ERROR


def test_a_route_that_became_impossible(rehearse):
    execution = rehearse("""
w:
  tasks:
    choose:
      action: std.noop
      on-success:
        - a: <% task().result = 'a' %>
        - b: <% task().result = 'b' %>
    a:
      action: std.noop
      on-success: j
    b:
      action: std.noop
      on-success: b2
    b2:
      action: std.noop
      on-success: j
    j:
      join: all
      action: std.noop
""")
    execution.start().run({"choose": "a"})

    assert execution.task("j").state_info == "Failed by tasks: ['b2']"
    assert execution.states() == {"choose": SUCCESS, "a": SUCCESS, "j": ERROR}


def test_a_join_that_failed_may_be_handled(rehearse):
    text = fan_in(2, "all", "      on-error: rescue\n    rescue:\n      action: std.noop")

    execution = rehearse(text).start().run({"s0": "go", "s1": "no"})

    assert execution.state == SUCCESS
    assert execution.states()["rescue"] == SUCCESS


def test_a_late_arrival_runs_a_partial_join_again(rehearse):
    execution = rehearse(fan_in(2, "one")).start()
    execution.end("s0", "go")
    execution.end("j", "first")
    assert execution.task("j").state == SUCCESS

    execution.end("s1", "go")
    assert execution.task("j").state == RUNNING
    execution.end("j", "second")

    assert execution.state == SUCCESS
    assert execution.count("j") == 1
    assert [action.result for action in execution.actions("j")] == ["first", "second"]


def test_an_arrival_while_a_partial_join_runs_does_not_lose_it(rehearse):
    execution = rehearse(fan_in(2, "one")).start()
    execution.end("s0", "go")
    execution.end("s1", "go")
    execution.run()

    assert execution.state == SUCCESS
    assert execution.is_at_rest()


def test_joins_that_wait_for_each_other_fail(rehearse):
    execution = rehearse("""
w:
  tasks:
    s:
      action: std.noop
      on-success: [a, b]
    a:
      join: all
      action: std.noop
      on-success: b
    b:
      join: all
      action: std.noop
      on-success: a
""")
    execution.start().run()

    assert execution.state == ERROR
    assert execution.is_at_rest()


def test_a_join_inside_a_loop_runs_every_round(rehearse):
    execution = rehearse("""
w:
  vars: {n: 0}
  tasks:
    begin:
      action: std.noop
      publish: {n: 0}
      on-success: [a, b]
    a:
      action: std.noop
      on-success: j
    b:
      action: std.noop
      on-success: j
    j:
      join: all
      action: std.noop
      publish: {n: <% $.n + 1 %>}
      on-success:
        - again: <% $.n < 3 %>
    again:
      action: std.noop
      on-success: [a, b]
""")
    execution.start().run()

    assert execution.state == SUCCESS
    assert execution.output["n"] == 3
    assert execution.is_at_rest()


def test_what_the_branches_published_meets_in_the_join(rehearse):
    execution = rehearse("""
w:
  output:
    sum: <% $.a + $.b %>
  tasks:
    a:
      action: std.echo output=1
      publish: {a: <% task().result %>}
      on-success: j
    b:
      action: std.echo output=2
      publish: {b: <% task().result %>}
      on-success: j
    j:
      join: all
      action: std.echo output=<% $.a + $.b %>
""")
    execution.start().run()

    assert execution.output == {"sum": 3}
    assert execution.actions("j")[0].input == {"output": 3}


def test_a_join_does_not_go_on_while_its_workflow_is_paused(rehearse):
    execution = rehearse(fan_in(2, "all")).start()
    execution.end("s0", "go")
    execution.pause()
    execution.end("s1", "go")
    assert execution.task("j").state == WAITING

    execution.resume()
    assert execution.task("j").state == RUNNING
    execution.run()
    assert execution.state == SUCCESS
    assert len(execution.actions("j")) == 1


def test_rerunning_a_source_opens_its_join_again(rehearse):
    execution = rehearse(fan_in(2, "all")).start().run({"s0": "go", "s1": ValueError("x")})
    assert execution.state == ERROR

    execution.rerun("s1")
    execution.run({"s1": "go"})

    assert execution.state == SUCCESS
    assert execution.states() == {"s0": SUCCESS, "s1": SUCCESS, "j": SUCCESS}


def test_rerunning_a_failed_join_does_not_ask_its_sources(rehearse):
    execution = rehearse(fan_in(2, "all")).start().run({"s0": "go", "s1": "no"})

    execution.rerun("j")
    execution.run()

    assert execution.state == SUCCESS
    assert execution.states()["j"] == SUCCESS


@pytest.mark.parametrize("running", [0, 1, 2])
def test_a_join_with_items_that_is_reached_again_has_a_round_of_its_own(rehearse, running):
    execution = rehearse("""
w:
  tasks:
    a: {action: std.noop, on-success: j}
    b: {action: std.noop, on-success: j}
    j:
      join: one
      with-items: i in [1, 2]
      action: std.noop
""").start()
    execution.end("a")
    for position in range(2 - running):
        execution.end("j", position=position)
    execution.end("b")

    execution.run()

    assert execution.state == SUCCESS
    assert [len([a for a in execution.actions("j") if a.position == p]) for p in (0, 1)] == [
        1 + (running < 2),
        1 + (running < 1),
    ]


@pytest.mark.parametrize("items", ["", "with-items: i in [1, 2]"])
def test_what_the_last_round_of_a_join_leaves_is_no_result_of_the_next_one(rehearse, items):
    execution = rehearse(f"""
w:
  tasks:
    a: {{action: std.noop, on-success: j}}
    b: {{action: std.noop, on-success: [j, pause]}}
    j:
      join: one
      workflow: c
      {items}
c:
  tasks:
    x: {{action: std.noop}}
""").start()
    execution.end("a")
    (left, *_) = execution.snapshot.children_of(execution.task("j").id)
    execution.end("b")
    assert execution.task("j").state == WAITING
    (action, *_) = execution.snapshot.pending
    execution.end_action(execution.snapshot.actions[action])

    execution.resume()

    # The nested workflow of the first round ended in the very moment in which the second one began.
    assert execution.snapshot.workflows[left.id].state == SUCCESS
    assert execution.task("j").state == RUNNING
    execution.run()
    assert execution.state == SUCCESS
    # An item that still runs is taken over.
    assert len(execution.snapshot.children_of(execution.task("j").id)) == (3 if items else 2)
