"""The executor against an engine in memory, with real threads: claiming, reporting, outages, draining."""

from __future__ import annotations

import threading

from mistral_lite.errors import InternalError, UnavailableError
from mistral_lite.rpc.protocol import ActionRequest, AttemptRef


def order(number, name="echo", **fields):
    execution = {"action_execution_id": f"a{number}"}
    return ActionRequest(
        action_execution_id=f"a{number}", attempt=1, name=name, input={}, execution=execution, **fields
    )


def ref(number):
    return AttemptRef(action_execution_id=f"a{number}", attempt=1)


def test_everything_queued_is_run_and_reported_once(engine, source, start):
    start()
    engine.enqueue(*(order(number) for number in range(200)))
    engine.wait(lambda: len(engine.reports) == 200)
    assert sorted(engine.reported()) == sorted((f"a{number}", "success") for number in range(200))
    assert sorted(source.runs) == sorted(f"a{number}" for number in range(200))
    assert {report.result for report in engine.reports} == {"done"}
    assert source.most_active <= 4


def test_it_says_who_it_is(engine, start):
    executor = start(targets=("gpu",))
    engine.wait(lambda: engine.calls)
    assert engine.calls[0].executor_id == executor.executor_id
    assert engine.calls[0].targets == ("gpu",)


def test_never_more_is_claimed_than_there_are_threads(engine, source, start):
    start(threads=3, heartbeat_s=0.05)
    engine.enqueue(*(order(number, "block") for number in range(10)))
    source.await_begun(3)
    # A heartbeat without capacity shows that the executor knows it is full.
    engine.wait(lambda: any(call.capacity == 0 and len(call.running) == 3 for call in engine.calls))
    assert len(engine.leased) == 3
    source.gate.set()
    engine.wait(lambda: len(engine.reports) == 10)
    assert source.most_active == 3


def test_the_call_that_reports_offers_the_freed_slot(engine, start):
    """Result to next action in one round trip: the follow-up comes back with the call that settled."""
    chain = 30
    engine.follow_up = lambda report: (
        [order(int(report.action_execution_id[1:]) + 1)] if len(engine.reports) < chain else []
    )
    start(threads=2, poll_wait_s=5.0)
    engine.wait(lambda: engine.parked)
    engine.enqueue(order(0))
    engine.wait(lambda: len(engine.reports) == chain)
    reporting = [call for call in engine.calls if call.reports]
    assert len(reporting) == chain
    assert all(call.capacity >= 1 for call in reporting)


def test_what_finished_meanwhile_goes_in_one_call(engine, source, start):
    held, free = threading.Event(), threading.Event()

    def slow_first_report(request):
        if request.reports and not held.is_set():
            held.set()
            free.wait(120)

    engine.before = slow_first_report
    go = threading.Event()
    source.functions["first"] = lambda: go.wait(120)
    start(threads=8)
    engine.enqueue(order(0, "first"), *(order(number, "block") for number in range(1, 6)))
    source.await_begun(5)
    # A call is parked with the other slots.
    engine.wait(lambda: engine.parked)
    go.set()
    assert held.wait(120)
    source.gate.set()
    finished = threading.Event()
    source.functions["last"] = finished.set
    engine.enqueue(order(9, "last"))
    assert finished.wait(120)
    free.set()
    engine.wait(lambda: len(engine.reports) == 7)
    assert len([call for call in engine.calls if call.reports]) < 7


def test_leases_of_what_runs_are_renewed(engine, source, start):
    start(threads=1, heartbeat_s=0.02)
    engine.enqueue(order(1, "block"))
    source.await_begun()
    seen = len(engine.calls)
    engine.wait(lambda: sum(ref(1) in call.running for call in engine.calls[seen:]) >= 3)


def test_reports_are_sent_again_until_they_are_settled(engine, start):
    tries = []

    def settles(report):
        tries.append(report.ref)
        return len(tries) > 3

    engine.settles = settles
    start()
    engine.enqueue(order(1))
    engine.wait(lambda: engine.reports)
    assert engine.reported() == [("a1", "success")]
    assert tries == [ref(1)] * 4


def test_a_lost_answer_does_not_run_the_action_again(engine, source, start):
    failing = threading.Event()

    def away(request):
        if request.reports and not failing.is_set():
            failing.set()
            raise UnavailableError("no answer")

    engine.before = away
    start()
    engine.enqueue(order(1))
    engine.wait(lambda: engine.reports)
    assert source.runs == ["a1"]


def test_an_outage_is_survived_and_said_once(engine, start, caplog):
    caplog.set_level("INFO")
    calls = []

    def away(request):
        calls.append(request)
        if len(calls) <= 8:
            raise UnavailableError("bus away")

    engine.before = away
    start()
    engine.enqueue(order(1))
    engine.wait(lambda: engine.reports)
    lines = [str(record.msg) for record in caplog.records]
    assert sum("No engine can be reached" in line for line in lines) == 1
    assert sum("can be reached again" in line for line in lines) == 1


def test_one_report_that_the_engine_cannot_digest_holds_up_no_other(engine, start):
    def choke(request):
        if any(report.action_execution_id == "a3" for report in request.reports):
            raise InternalError("cannot digest")

    engine.before = choke
    start()
    engine.enqueue(*(order(number) for number in range(10)))
    engine.wait(lambda: len(engine.reports) == 9)
    assert "a3" not in dict(engine.reported())


def test_the_result_of_a_lost_attempt_is_dropped(engine, source, start, caplog):
    executor = start(heartbeat_s=0.02)
    engine.enqueue(order(1, "block"))
    source.await_begun()
    with engine.changed:
        engine.lost.add(ref(1))
    engine.wait(lambda: any(ref(1) in call.running for call in engine.calls))
    engine.wait(lambda: engine.calls[-1].running == ())
    source.gate.set()
    assert executor.stop(120)
    assert engine.reports == []
    assert any("lease" in str(record.msg) for record in caplog.records)


def test_the_same_order_twice_is_run_once(engine, source, start):
    start()
    engine.enqueue(order(1, "block"))
    source.await_begun()
    engine.enqueue(order(1, "block"), order(2))
    engine.wait(lambda: ("a2", "success") in engine.reported())
    source.gate.set()
    engine.wait(lambda: len(engine.reports) == 2)
    assert source.runs == ["a1", "a2"]


def test_an_action_that_hangs_gives_its_slot_free(engine, source, start):
    start(threads=1)
    engine.enqueue(order(1, "block", timeout_s=0.02), order(2))
    engine.wait(lambda: len(engine.reports) == 2)
    assert engine.reported() == [("a1", "error"), ("a2", "success")]
    assert "Timeout after 0.02 seconds" in engine.reports[0].result


def test_stop_waits_for_what_runs_and_for_its_report(engine, source, start):
    executor = start(heartbeat_s=0.05)
    engine.enqueue(order(1, "block"))
    source.await_begun()
    stopped = []
    thread = threading.Thread(target=lambda: stopped.append(executor.stop(120)))
    thread.start()
    # While it drains, it claims nothing and keeps its lease.
    engine.wait(
        lambda: engine.calls[-1].capacity == 0 and ref(1) in engine.calls[-1].running and not engine.parked
    )
    engine.enqueue(order(2))
    source.gate.set()
    thread.join(120)
    assert stopped == [True]
    assert engine.reported() == [("a1", "success")]
    assert source.runs == ["a1"]
    assert [queued.action_execution_id for queued in engine.queue] == ["a2"]


def test_what_a_parked_call_brings_while_draining_is_handed_back(engine, source, start):
    executor = start(poll_wait_s=10.0)
    engine.wait(lambda: engine.parked)
    stopped = []
    thread = threading.Thread(target=lambda: stopped.append(executor.stop(120)))
    thread.start()
    while not executor._ledger.is_draining:
        thread.join(0.001)
    engine.enqueue(order(1))
    thread.join(120)
    assert stopped == [True]
    assert engine.reported() == [("a1", "returned")]
    assert source.runs == []


def test_stop_gives_up_on_what_does_not_end(engine, source, start):
    executor = start()
    engine.enqueue(order(1, "block"))
    source.await_begun()
    assert executor.stop(0.05) is False
    assert engine.reports == []


def test_stop_without_start_returns_at_once(engine, source):
    from mistral_lite.executor.service import Executor, ExecutorSettings

    assert Executor(engine, source, ExecutorSettings()).stop(20)


def test_an_engine_that_answers_too_soon_is_not_stormed(engine, start):
    """A parked call that comes back empty at once is not repeated at once; reports go on meanwhile."""
    chain = 30
    engine.parks = False
    engine.follow_up = lambda report: [order(len(engine.reports))] if len(engine.reports) < chain else []
    engine.enqueue(order(0))
    start(backoff_min_s=3600.0, backoff_max_s=3600.0, heartbeat_s=3600.0)
    engine.wait(lambda: len(engine.reports) == chain)
    # One brought the first action, one came back empty; a busy machine may make a slow answer look parked.
    assert sum(not call.reports for call in engine.calls) < chain / 2


def test_a_bug_in_running_frees_the_slot(engine, source, start):
    executor = start(threads=1)
    real = executor._runner.run
    broken = iter([True])

    def run(request):
        if next(broken, False):
            raise RuntimeError("bug")
        return real(request)

    executor._runner.run = run
    engine.enqueue(order(1), order(2))
    engine.wait(lambda: len(engine.reports) == 2)
    assert engine.reported() == [("a1", "error"), ("a2", "success")]
