"""One action per item."""

from __future__ import annotations

from itertools import permutations

import pytest

from mistral_lite.workflow.library import Rules
from mistral_lite.workflow.states import State

SUCCESS, ERROR, CANCELLED = State.SUCCESS, State.ERROR, State.CANCELLED
BROKEN = ValueError("broken")


def items(count: int, policies: str = "") -> str:
    lines = "".join(f"      {line}\n" for line in policies.splitlines())
    return f"""
w:
  output:
    all: <% task(t).result %>
  output-on-error:
    all: <% task(t).result %>
  tasks:
    t:
      with-items: i in <% range({count}) %>
      action: std.echo output=<% $.i %>
{lines}"""


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_results_are_in_the_order_of_the_items(rehearse, order):
    execution = rehearse(items(3)).start()
    for position in order:
        execution.end("t", f"r{position}", position)

    assert execution.state == SUCCESS
    assert execution.output == {"all": ["r0", "r1", "r2"]}


@pytest.mark.parametrize(
    ("count", "policies", "state"),
    [
        (3, "", SUCCESS),
        (4, "", ERROR),
        (4, "concurrency: 4", ERROR),
        (4, "concurrency: 3", SUCCESS),
        (40, "concurrency: 1", SUCCESS),
    ],
)
def test_how_many_items_may_start_at_once(rehearse, count, policies, state):
    execution = rehearse(items(count, policies))
    execution.library.rules = Rules(most_items=3)
    execution.start()
    if state == SUCCESS:
        execution.run()

    assert execution.state == state
    if state == ERROR:
        assert "'with-items' would start 4 items at once, 3 are allowed" in execution.task("t").state_info


def test_no_items(rehearse):
    execution = rehearse(items(0)).start()

    assert execution.state == SUCCESS
    assert execution.output == {"all": []}
    assert execution.snapshot.actions == {}


@pytest.mark.parametrize(
    ("count", "concurrency", "first"), [(5, 2, [0, 1]), (2, 5, [0, 1]), (3, 0, [0, 1, 2]), (3, 1, [0])]
)
def test_no_more_at_once_than_allowed(rehearse, count, concurrency, first):
    execution = rehearse(items(count, f"concurrency: {concurrency}")).start()
    assert execution.running("t") == first
    started = list(first)

    while not execution.is_at_rest():
        running = execution.running("t")
        assert len(running) <= (concurrency or count)
        execution.end("t", "r", running[-1])
        started += [number for number in execution.running("t") if number not in started]

    assert started == list(range(count)), "items start in their order"
    assert execution.state == SUCCESS


ENDS = [
    (["a", "b", "c"], SUCCESS, None),
    (["a", BROKEN, "c"], ERROR, "One or more actions had failed."),
    ([BROKEN, BROKEN, BROKEN], ERROR, "One or more actions had failed."),
    (["a", "b", CANCELLED], CANCELLED, "One or more actions was cancelled."),
    ([BROKEN, "b", CANCELLED], CANCELLED, "One or more actions was cancelled."),
]


@pytest.mark.parametrize(("results", "state", "info"), ENDS)
def test_the_end_of_all_items_is_the_end_of_the_task(rehearse, results, state, info):
    execution = rehearse(items(3)).start()
    for position, result in enumerate(results):
        assert not execution.task("t").is_finished
        execution.end("t", result, position)

    assert (execution.task("t").state, execution.task("t").state_info) == (state, info)
    assert execution.state == state


def test_an_error_does_not_stop_the_others(rehearse):
    execution = rehearse(items(4, "concurrency: 1")).start()

    execution.end("t", BROKEN, 0)

    assert execution.running("t") == [1]
    execution.run()
    assert len(execution.actions("t")) == 4
    assert execution.output["all"] == ["broken", 1, 2, 3]


def test_a_cancelled_item_starts_no_more(rehearse):
    execution = rehearse(items(4, "concurrency: 2")).start()

    execution.end("t", CANCELLED, 1)

    assert execution.task("t").state == CANCELLED
    assert execution.running("t") == [0]
    execution.end("t", "late", 0)
    assert execution.task("t").state == CANCELLED
    assert len(execution.actions("t")) == 2


def test_a_retry_runs_all_items_again(rehearse):
    execution = rehearse(items(2, "retry: {count: 1, delay: 1}")).start()
    execution.end("t", "a", 0)
    execution.end("t", BROKEN, 1)

    execution.fire_next_timer()

    assert execution.running("t") == [0, 1]
    execution.end("t", "b", 1)
    execution.end("t", "a", 0)
    assert execution.output == {"all": ["a", "b"]}


@pytest.mark.parametrize(("reset", "again"), [(True, [0, 1, 2]), (False, [1])])
def test_a_rerun_runs_all_or_the_failed_items(rehearse, reset, again):
    execution = rehearse(items(3)).start()
    for position, result in enumerate(["a", BROKEN, "c"]):
        execution.end("t", result, position)

    execution.rerun("t", reset=reset)
    assert execution.running("t") == again
    for position in again:
        execution.end("t", "new", position)

    assert execution.state == SUCCESS
    assert execution.output["all"] == (["new"] * 3 if reset else ["a", "new", "c"])


def test_a_rerun_keeps_to_the_concurrency(rehearse):
    execution = rehearse(items(5, "concurrency: 2")).start().run({"t": BROKEN})

    execution.rerun("t", reset=False)

    assert execution.running("t") == [0, 1]
    execution.run()
    assert execution.output["all"] == [0, 1, 2, 3, 4]


def test_several_lists_go_in_step(rehearse):
    execution = rehearse("""
w:
  tasks:
    t:
      with-items:
        - a in [1, 2]
        - b in <% [10, 20] %>
      action: std.echo output=<% $.a + $.b %>
      publish: {r: <% task().result %>}
""")
    execution.start().run()

    assert execution.output["r"] == [11, 22]


@pytest.mark.parametrize("sources", ["i in <% 5 %>", "i in <% $.no.such %>", "['a in [1]', 'b in [1, 2]']"])
def test_sources_that_are_no_lists_of_one_length_fail_the_workflow(rehearse, sources):
    execution = rehearse(
        f"w:\n  tasks:\n    t:\n      with-items: {sources}\n      action: std.noop\n"
        "      on-error: u\n    u:\n      action: std.noop\n"
    )
    execution.start().run()

    assert execution.state == ERROR
    assert "task=t" in execution.info


def test_a_late_result_of_an_item_after_the_timeout_changes_nothing(rehearse):
    execution = rehearse(items(2, "timeout: 5")).start()
    execution.end("t", "a", 0)
    execution.fire_next_timer()
    assert execution.state == ERROR

    late = execution.actions("t")[1]
    execution.end_action(late, "b")

    assert execution.task("t").state == ERROR
    assert execution.state == ERROR


def test_a_paused_workflow_finishes_the_present_portion(rehearse):
    execution = rehearse(items(3)).start()
    execution.pause()
    execution.run()
    assert execution.state == State.PAUSED

    execution.resume()
    assert execution.state == SUCCESS
