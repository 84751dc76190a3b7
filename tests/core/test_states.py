"""The three machines: every pair of states has an answer."""

from __future__ import annotations

from itertools import product

import pytest

from mistral_lite.errors import InvalidTransitionError
from mistral_lite.workflow.states import ALLOWED, FINISHED, Machine, State, is_allowed, is_finished, require

PAIRS = list(product(Machine, State, State))


@pytest.mark.parametrize(("machine", "before", "after"), PAIRS)
def test_every_pair_is_allowed_or_refused(machine, before, after):
    expected = before == after or after in ALLOWED[machine].get(before, ())

    assert is_allowed(machine, before, after) == expected
    if expected:
        require(machine, before, after)
    else:
        with pytest.raises(InvalidTransitionError, match=f"{before} to {after} of a {machine}"):
            require(machine, before, after)


@pytest.mark.parametrize("machine", Machine)
def test_no_state_leads_out_of_the_machine(machine):
    known = set(ALLOWED[machine])

    for before, followers in ALLOWED[machine].items():
        assert followers <= known, before
        assert before not in followers


@pytest.mark.parametrize("machine", Machine)
def test_every_unfinished_state_can_end(machine):
    for state, followers in ALLOWED[machine].items():
        assert is_finished(state) == (state in FINISHED)
        if not is_finished(state):
            assert followers & FINISHED, state


FINAL = [
    (Machine.ACTION, State.SUCCESS),
    (Machine.ACTION, State.ERROR),
    (Machine.ACTION, State.CANCELLED),
    (Machine.WORKFLOW, State.SUCCESS),
]


@pytest.mark.parametrize(("machine", "state"), FINAL)
def test_what_nothing_opens_again(machine, state):
    assert ALLOWED[machine][state] == frozenset()


@pytest.mark.parametrize("state", [State.ERROR, State.CANCELLED])
def test_a_finished_workflow_only_runs_again(state):
    assert ALLOWED[Machine.WORKFLOW][state] == {State.RUNNING}
