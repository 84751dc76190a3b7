"""The ledger's arithmetic: slots are never offered twice, reports never forgotten or sent twice at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_lite.executor.ledger import Ledger, Opening
from mistral_lite.rpc.protocol import ActionReport, ActionRequest, AttemptRef, Outcome


def order(number):
    return ActionRequest(action_execution_id=f"a{number}", attempt=1, name="x", input={})


def report(number):
    return ActionReport(action_execution_id=f"a{number}", attempt=1, outcome=Outcome.SUCCESS)


def ref(number):
    return AttemptRef(action_execution_id=f"a{number}", attempt=1)


def make(capacity=4):
    return Ledger(capacity, backoff_min_s=1.0, backoff_max_s=5.0)


def test_slots():
    ledger = make()
    assert ledger.reserve() == 4
    assert ledger.reserve() == 0
    ledger.admit(4, [order(1)], 0.0)
    assert ledger.reserve() == 3
    ledger.begin(ref(1))
    ledger.finish(report(1))
    assert ledger.reserve() == 1


def test_an_unsettled_report_waits_longer_each_time():
    ledger = make()
    ledger.admit(0, [order(1)], 0.0)
    ledger.begin(ref(1))
    ledger.finish(report(1))
    now_s, delays = 100.0, []
    for _ in range(5):
        (sent,) = ledger.take_reports(now_s)
        assert ledger.take_reports(now_s) == ()
        ledger.settle([sent], (), now_s)
        delays.append(ledger.next_report_in_s(now_s))
        now_s += delays[-1]
    assert delays == [1.0, 2.0, 4.0, 5.0, 5.0]
    ledger.settle(ledger.take_reports(now_s), [ref(1)], now_s)
    assert ledger.next_report_in_s(now_s) is None
    assert ledger.wait_until_idle(0)


def test_one_call_is_parked_at_a_time():
    ledger = make()
    parked = ledger.next_call(0.0, 0.0, renew_after_s=5.0)
    assert parked == Opening(reports=(), reserved=4, may_park=True)
    assert ledger.next_call(0.0, 0.0, renew_after_s=5.0) is None
    ledger.admit(4, [order(1), order(2)], 0.0)
    ledger.end_call(parked, 0.0)
    ledger.begin(ref(1))
    ledger.finish(report(1))
    # The call that reports is the one that asks for more.
    parked = ledger.next_call(0.0, 0.0, renew_after_s=5.0)
    assert parked == Opening(reports=(report(1),), reserved=3, may_park=True)
    ledger.begin(ref(2))
    ledger.finish(report(2))
    beside = ledger.next_call(0.0, 0.0, renew_after_s=5.0)
    assert beside == Opening(reports=(report(2),), reserved=1, may_park=False)
    ledger.admit(1, [], 0.0)
    ledger.end_call(beside, 0.0)
    assert ledger.next_call(0.0, 0.0, renew_after_s=5.0) is None


def test_after_a_call_that_failed_none_is_parked_for_a_while():
    ledger = make(1)
    failed = ledger.next_call(0.0, 0.0, renew_after_s=5.0)
    ledger.admit(1, [order(1)], 0.0)
    ledger.end_call(failed, 3.0)
    ledger.begin(ref(1))
    ledger.finish(report(1))
    assert ledger.next_call(2.0, 0.0, renew_after_s=5.0) == Opening(
        reports=(report(1),), reserved=1, may_park=False
    )
    ledger.admit(1, [], 2.0)
    assert ledger.next_call(2.0, 0.0, renew_after_s=5.0) is None
    assert ledger.next_call(3.0, 0.0, renew_after_s=5.0) == Opening(reports=(), reserved=1, may_park=True)


def test_leases_are_renewed_when_they_are_old_enough():
    ledger = make(1)
    ledger.admit(0, [order(1)], 10.0)
    assert ledger.next_call(14.0, 0.0, renew_after_s=5.0) is None
    assert ledger.running(14.0 - 5.0) == ()
    assert ledger.next_call(15.0, 0.0, renew_after_s=5.0) == Opening(reports=(), reserved=0, may_park=False)
    assert ledger.running(15.0 - 5.0) == (ref(1),)
    ledger.renew([ref(1)], 16.0)
    assert ledger.next_call(20.0, 0.0, renew_after_s=5.0) is None
    assert ledger.next_call(21.0, 0.0, renew_after_s=5.0) is not None


def test_reports_can_be_taken_one_by_one():
    ledger = make()
    ledger.admit(0, [order(1), order(2)], 0.0)
    for number in (1, 2):
        ledger.begin(ref(number))
        ledger.finish(report(number))
    assert [item.action_execution_id for item in ledger.take_reports(0.0, limit=1)] == ["a1"]
    assert [item.action_execution_id for item in ledger.take_reports(0.0, limit=1)] == ["a2"]


def test_draining_hands_back_what_was_not_begun():
    ledger = make()
    assert len(ledger.admit(0, [order(1), order(2)], 0.0)) == 2
    ledger.begin(ref(1))
    ledger.drain()
    assert ledger.begin(ref(2)) is False
    assert ledger.reserve() == 0
    assert ledger.admit(0, [order(3)], 0.0) == []
    taken = ledger.take_reports(0.0)
    assert [(item.action_execution_id, item.outcome) for item in taken] == [
        ("a2", Outcome.RETURNED),
        ("a3", Outcome.RETURNED),
    ]
    assert ledger.running(0.0) == (ref(1),)


@pytest.mark.parametrize("begun", [False, True])
def test_a_lost_attempt_is_neither_run_nor_reported(begun):
    ledger = make()
    ledger.admit(0, [order(1)], 0.0)
    if begun:
        assert ledger.begin(ref(1))
    assert ledger.lose([ref(1), ref(9)]) == [ref(1)]
    assert ledger.lose([ref(1)]) == []
    assert ledger.running(0.0) == ()
    if begun:
        assert ledger.finish(report(1)) is False
    else:
        assert ledger.begin(ref(1)) is False
    assert ledger.take_reports(0.0) == ()
    assert ledger.wait_until_idle(0)


def test_the_report_owed_for_a_lost_attempt_is_dropped():
    ledger = make()
    ledger.admit(0, [order(1)], 0.0)
    ledger.begin(ref(1))
    ledger.finish(report(1))
    assert ledger.lose([ref(1)]) == []
    assert ledger.take_reports(0.0) == ()


@given(st.lists(st.sampled_from(["reserve", "admit", "begin", "finish", "settle", "postpone"]), max_size=60))
def test_slots_are_never_offered_twice(steps):
    ledger, capacity, number, now_s = make(3), 3, 0, 0.0
    reservations: list[int] = []
    waiting: list[int] = []
    running: list[int] = []
    owed = 0
    for step in steps:
        now_s += 10.0
        if step == "reserve":
            reservations.append(ledger.reserve())
        elif step == "admit" and reservations:
            size = reservations.pop(0)
            new = list(range(number, number + size))
            number += size
            assert len(ledger.admit(size, [order(item) for item in new], 0.0)) == size
            waiting += new
        elif step == "begin" and waiting:
            running.append(waiting.pop(0))
            assert ledger.begin(ref(running[-1]))
        elif step == "finish" and running:
            assert ledger.finish(report(running.pop(0)))
            owed += 1
        elif step in ("settle", "postpone"):
            taken = ledger.take_reports(now_s)
            assert len(taken) == owed
            settled = [item.ref for item in taken] if step == "settle" else []
            ledger.settle(taken, settled, now_s)
            owed -= len(settled)
        assert sum(reservations) + len(waiting) + len(running) <= capacity
        assert len(ledger.running(0.0)) == len(waiting) + len(running)
