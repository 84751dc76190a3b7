"""What maintenance pauses it resumes, and nothing that somebody else had paused."""

from __future__ import annotations

from mistral_lite.workflow import events
from mistral_lite.workflow.model import MAINTENANCE
from mistral_lite.workflow.states import State

RUNNING, PAUSED, SUCCESS = State.RUNNING, State.PAUSED, State.SUCCESS

TREE = """
w:
  tasks:
    left:
      workflow: l
    right:
      workflow: r
      on-success: last
    last:
      action: std.noop
l:
  tasks:
    one:
      action: std.echo output=1
      on-success: two
    two:
      action: std.echo output=2
r:
  tasks:
    other:
      action: std.echo output=3
"""


def begin(execution) -> None:
    execution.tell(events.MaintenanceBegan())


def end(execution) -> None:
    execution.tell(events.MaintenanceEnded())


def states_of(execution) -> dict[str, State]:
    return {each.name: each.state for each in execution.snapshot.workflows.values()}


def paused_by(execution) -> dict[str, str | None]:
    return {each.name: each.paused_by for each in execution.snapshot.workflows.values()}


def test_a_whole_tree_is_paused_and_goes_on_where_it_was(rehearse):
    execution = rehearse(TREE).start()

    begin(execution)

    assert states_of(execution) == {"w": PAUSED, "l": PAUSED, "r": PAUSED}
    assert set(paused_by(execution).values()) == {MAINTENANCE}
    assert execution.states() == {"left": PAUSED, "right": PAUSED}
    # What runs ends; what follows it waits.
    execution.end("one", workflow="l")
    assert execution.states("l") == {"one": SUCCESS}

    end(execution)

    assert states_of(execution) == {"w": RUNNING, "l": RUNNING, "r": RUNNING}
    assert set(paused_by(execution).values()) == {None}
    assert execution.states("l") == {"one": SUCCESS, "two": RUNNING}
    assert execution.run().state == SUCCESS
    assert set(execution.states().values()) == {SUCCESS}


def test_what_a_user_had_paused_stays_paused(rehearse):
    execution = rehearse(TREE).start()
    execution.pause()

    begin(execution)
    end(execution)

    assert states_of(execution) == {"w": PAUSED, "l": PAUSED, "r": PAUSED}


def test_in_a_tree_that_is_paused_in_part_only_the_rest_is_resumed(rehearse):
    execution = rehearse(TREE).start()
    execution.pause()
    execution.resume("l")
    assert states_of(execution) == {"w": PAUSED, "l": RUNNING, "r": PAUSED}
    before = execution.states()

    begin(execution)
    assert states_of(execution) == {"w": PAUSED, "l": PAUSED, "r": PAUSED}
    assert paused_by(execution) == {"w": None, "l": MAINTENANCE, "r": None}
    end(execution)

    assert states_of(execution) == {"w": PAUSED, "l": RUNNING, "r": PAUSED}
    assert execution.states() == before


def test_a_second_order_changes_nothing(rehearse):
    execution = rehearse(TREE).start()
    begin(execution)
    before = dict(execution.snapshot.workflows)
    begin(execution)
    assert dict(execution.snapshot.workflows) == before

    end(execution)
    before = dict(execution.snapshot.workflows)
    end(execution)
    assert dict(execution.snapshot.workflows) == before


def test_what_is_cancelled_meanwhile_stays_cancelled(rehearse):
    execution = rehearse(TREE).start()
    begin(execution)
    execution.stop(State.CANCELLED)

    end(execution)

    assert set(states_of(execution).values()) == {State.CANCELLED}
    assert set(paused_by(execution).values()) == {None}


def test_a_later_pause_of_a_user_is_the_users(rehearse):
    execution = rehearse(TREE).start()
    begin(execution)
    end(execution)
    execution.pause()

    end(execution)

    assert set(states_of(execution).values()) == {PAUSED}


def test_a_workflow_is_told_why_it_is_paused(rehearse):
    execution = rehearse(TREE).start()
    begin(execution)
    assert execution.info == "Paused while the service is in maintenance."
    end(execution)
    assert execution.info is None


def test_delays_are_held_until_the_end(rehearse):
    execution = rehearse("w:\n  tasks:\n    a:\n      action: std.noop\n      wait-before: 5\n").start()
    begin(execution)
    execution.fire_next_timer()
    assert execution.is_at_rest()

    end(execution)

    assert execution.run().state == SUCCESS
