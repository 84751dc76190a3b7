"""What a task costs does not grow with the workflow: calls of functions are counted, as they are the same every time.

They are counted in a process of their own: in one with many threads, which a process of tests becomes, CPython 3.11
may turn for ever in the first instruction of a function while a profiler is set.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from types import FrameType
from typing import Any

import pytest

from mistral_lite.workflow import events
from mistral_lite.workflow.decision import apply
from mistral_lite.workflow.states import State

FEW, MANY = 50, 300
# Where a snapshot is looked through for each task, these sizes show a quarter more or worse.
MOST_GROWTH = 1.08


def names(width: int) -> str:
    return ", ".join(f"t{number}" for number in range(width))


def tasks(width: int, line: str) -> str:
    return "".join(f"    t{number}: {{action: std.noop, {line}}}\n" for number in range(width))


def fan_out_and_join(width: int) -> str:
    return f"""
w:
  tasks:
    split: {{action: std.noop, on-success: [{names(width)}]}}
{tasks(width, "on-success: last, publish: {v: 1}")}
    last: {{action: std.noop, join: all}}
"""


def branches_that_publish_their_own(width: int) -> str:
    branches = "".join(
        f"    t{number}: {{action: std.noop, on-success: last, publish: {{v{number}: 1}}}}\n"
        for number in range(width)
    )
    return f"w:\n  tasks:\n{branches}    last: {{action: std.noop, join: all}}\n"


def fan_out_half_taken(width: int) -> str:
    targets = ", ".join(f"{{t{number}: <% {str(number % 2 == 0).lower()} %>}}" for number in range(width))
    return f"""
w:
  tasks:
    split: {{action: std.noop, on-success: [{targets}]}}
{tasks(width, "on-success: last")}
    last: {{action: std.noop, join: {width // 2}}}
"""


def many_joins(width: int) -> str:
    joins = "".join(f"    t{number}: {{action: std.noop, join: all}}\n" for number in range(width))
    return f"""
w:
  tasks:
    one: {{action: std.noop, on-success: [{names(width)}]}}
    two: {{action: std.noop, on-success: [{names(width)}]}}
{joins}
"""


def chain(length: int) -> str:
    lines = "".join(
        f"    t{number}: {{action: std.noop, on-success: t{number + 1}, publish: {{v: 1}}}}\n"
        for number in range(length)
    )
    return f"w:\n  tasks:\n{lines}    t{length}: {{action: std.noop}}\n"


def items(count: int, concurrency: str = "") -> str:
    return f"""
w:
  tasks:
    each:
      with-items: i in <% range({count}) %>
      action: std.echo output=<% $.i %>
      {concurrency}
"""


def items_one_by_one(count: int) -> str:
    return items(count, "concurrency: 3")


def items_behind_a_join(width: int) -> str:
    return f"""
w:
  tasks:
{tasks(width, "on-success: each, publish: {v: 1}")}
    each:
      join: all
      with-items: i in <% range({width}) %>
      action: std.echo output=<% $.i %>
"""


def nested(count: int) -> str:
    return f"""
w:
  tasks:
    each:
      with-items: i in <% range({count}) %>
      workflow: leaf
leaf:
  tasks:
    only: {{action: std.noop}}
"""


class Counter:
    """Counts calls of functions, of generators each step."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Counter:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, _frame: FrameType, event: str, _argument: object) -> None:
        self.count += event in {"call", "c_call"}


def calls_a_task(rehearsal: Any) -> float:
    """Run a workflow and return the calls for each of its tasks and actions."""
    rehearsal.start()
    snapshot = rehearsal.snapshot
    queue = deque(snapshot.pending.values())
    with Counter() as counter:
        while queue:
            pending = queue.popleft()
            event = events.ActionReported(
                action_execution_id=pending.action_id, attempt=pending.attempt, state=State.SUCCESS, result=1
            )
            decision = rehearsal.decide(event)
            apply(snapshot, decision)
            queue.extend(change.after for change in decision.pending.values() if change.after is not None)
    assert snapshot.root.state == State.SUCCESS
    return counter.count / (len(snapshot.tasks) + len(snapshot.actions))


SHAPES = (
    fan_out_and_join,
    branches_that_publish_their_own,
    fan_out_half_taken,
    many_joins,
    chain,
    items,
    items_one_by_one,
    items_behind_a_join,
    nested,
)


@pytest.fixture(scope="module")
def counted() -> dict[str, list[float]]:
    """The calls for each task in a small and in a large workflow, by the name of the shape."""
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("shape", [shape.__name__ for shape in SHAPES])
def test_a_task_costs_the_same_in_a_larger_workflow(counted, shape):
    few, many = counted[shape]

    assert many < MOST_GROWTH * few


def count_all() -> dict[str, list[float]]:
    """Count what the tests compare."""
    # Beside this file, which is the main program here.
    from conftest import make_library, rehearsed

    library = make_library()
    return {
        shape.__name__: [calls_a_task(rehearsed(library, shape(size))) for size in (FEW, MANY)]
        for shape in SHAPES
    }


if __name__ == "__main__":
    json.dump(count_all(), sys.stdout)
