"""From a start to an end, one exchange after the other."""

from __future__ import annotations

from contextlib import suppress

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.errors import UnavailableError
from mistral_lite.rpc.protocol import AttemptRef, ExchangeReply, Outcome

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)

CHAIN = """
version: '2.0'
chain:
  output:
    all: <% [$.a, $.b] %>
  tasks:
    first:
      action: std.echo output='one'
      publish: {a: <% task().result %>}
      on-success: second
    second:
      action: std.echo output='two'
      publish: {b: <% task().result %>}
"""

ASYNC = """
version: '2.0'
remote:
  tasks:
    fire:
      action: std.async_noop
      publish: {got: <% task().result %>}
      on-success: after
    after:
      action: std.noop
"""

SYNC = """
version: '2.0'
once:
  tasks:
    t:
      action: std.echo output='x'
again:
  tasks:
    t:
      action: std.echo output='x'
      safe-rerun: true
"""


@everywhere
def test_the_answer_to_a_report_brings_the_next_action(service):
    service.api.upload(CHAIN)
    execution = service.start("chain")

    (first,) = service.claim(capacity=3)
    assert (first.name, first.input, first.attempt) == ("std.echo", {"output": "one"}, 1)
    assert first.execution["workflow_execution_id"] == execution

    reply = service.report(first, "one", capacity=3)
    assert reply.settled == (first.ref,)
    (second,) = reply.actions
    assert second.input == {"output": "two"}

    reply = service.report(second, "two", capacity=3)
    assert (reply.settled, reply.actions) == ((second.ref,), ())
    assert service.state(execution) == "SUCCESS"
    assert service.workflow(execution)["output"] == {"all": ["one", "two"]}
    assert service.tasks(execution) == {"first": "SUCCESS", "second": "SUCCESS"}
    assert service.is_at_rest()


def test_a_parked_call_is_answered_when_there_is_work(service, pool):
    service.api.upload(SYNC)
    parked = pool.submit(service.claim, wait_s=60.0)

    service.start("once")

    (action,) = parked.result()
    assert action.input == {"output": "x"}


def test_a_call_that_reports_may_be_parked_once_its_report_is_committed(service, pool):
    service.api.upload(SYNC)
    first = service.start("once")
    (action,) = service.claim()
    parked = pool.submit(service.report, action, capacity=1, wait_s=60.0)
    while service.state(first) != "SUCCESS":
        service.exchange(executor_id="nobody")
    assert not parked.done()

    service.start("once")

    reply = parked.result()
    assert reply.settled == (action.ref,)
    assert len(reply.actions) == 1


def test_a_parked_call_that_reported_goes_home_with_its_reports_settled(service, pool):
    service.api.upload(SYNC)
    first = service.start("once")
    (action,) = service.claim()
    parked = pool.submit(service.report, action, capacity=1, wait_s=60.0)
    while service.state(first) != "SUCCESS":
        service.exchange(executor_id="nobody")

    # An executor that takes no more work wants its parked call back.
    service.exchange()

    assert parked.result() == ExchangeReply(settled=(action.ref,))


def test_actions_beyond_the_capacity_wait_for_the_next_call(service):
    service.api.upload(SYNC)
    for _ in range(5):
        service.start("once")

    taken = [service.claim(capacity=capacity) for capacity in (2, 0, 2, 2, 2)]

    assert [len(actions) for actions in taken] == [2, 0, 2, 1, 0]
    assert len({action.action_execution_id for actions in taken for action in actions}) == 5


@everywhere
def test_a_report_about_an_older_attempt_is_refused(service):
    service.api.upload(SYNC)
    execution = service.start("again")
    (old,) = service.claim()
    service.expire_leases()
    (new,) = service.claim(executor_id="e2")
    assert new.ref == AttemptRef(action_execution_id=old.action_execution_id, attempt=2)

    reply = service.report(old, "late")

    assert reply.settled == (old.ref,), "it must not be sent again"
    assert service.state(execution) == "RUNNING"
    assert service.action(old.action_execution_id)["output"] is None
    service.report(new, "in time")
    assert service.action(old.action_execution_id)["output"] == {"result": "in time"}


def test_a_repeated_report_changes_nothing(service):
    service.api.upload(CHAIN)
    execution = service.start("chain")
    (first,) = service.claim()
    service.report(first, "one")
    version = service.workflow(execution)["version"]

    for result in ("one", "another"):
        assert service.report(first, result).settled == (first.ref,)

    assert service.workflow(execution)["version"] == version
    assert len(service.claim()) == 1


@everywhere
def test_what_a_lost_answer_gave_out_is_given_out_again_at_once(service):
    service.api.upload(SYNC)
    execution = service.start("once")
    (lost,) = service.claim(call_id="lost-call")

    (again,) = service.claim(disowned=("lost-call",))

    assert again.ref == AttemptRef(action_execution_id=lost.action_execution_id, attempt=2)
    service.report(again, "x")
    assert service.state(execution) == "SUCCESS"


def test_disowning_a_call_twice_gives_its_work_out_once(service):
    service.api.upload(SYNC)
    service.start("once")
    service.claim(call_id="lost-call")

    first = service.claim(disowned=("lost-call",))
    second = service.claim(disowned=("lost-call",))

    assert (len(first), len(second)) == (1, 0)


LEASES = [
    pytest.param("once", "ERROR", 0, id="must not run twice"),
    pytest.param("again", "RUNNING", 1, id="may run twice"),
]


@everywhere
@pytest.mark.parametrize(("name", "state", "orders"), LEASES)
def test_the_action_of_a_silent_executor(service, name, state, orders):
    service.api.upload(SYNC)
    execution = service.start(name)
    (action,) = service.claim()

    service.expire_leases()

    assert service.state(execution) == state
    assert len(service.claim(executor_id="e2")) == orders
    if state == "ERROR":
        assert "safe-rerun" in service.action(action.action_execution_id)["output"]["result"]
        assert service.is_at_rest()


def test_a_short_lease_runs_out_by_itself(idle):
    idle.add_engine(sweep_s=0.01, lease_s=0.01)
    idle.api.upload(SYNC)
    idle.start("again")
    (first,) = idle.claim()

    (second,) = idle.claim(executor_id="e2", wait_s=60.0)

    assert (first.attempt, second.attempt) == (1, 2)
    assert second.lease_s == 0.01


def test_an_executor_that_speaks_keeps_its_lease_and_learns_what_it_lost(service):
    service.api.upload(SYNC)
    service.start("again")
    (mine,) = service.claim()
    stranger = AttemptRef(action_execution_id="unknown", attempt=1)

    reply = service.exchange(running=(mine.ref, stranger))
    assert reply.lost == (stranger,)
    service.sweep()
    assert service.claim(executor_id="e2") == ()

    service.expire_leases()
    assert service.exchange(running=(mine.ref,)).lost == (mine.ref,)


def test_an_executor_that_hands_work_back(service):
    service.api.upload(SYNC)
    execution = service.start("once")
    (action,) = service.claim()

    (again,) = service.report(action, outcome=Outcome.RETURNED, capacity=1).actions

    assert again.attempt == 2
    service.report(again)
    assert service.state(execution) == "SUCCESS"


@everywhere
def test_an_asynchronous_action_waits_for_its_callback(service):
    service.api.upload(ASYNC)
    execution = service.start("remote")
    (fire,) = service.claim()
    action_id = fire.action_execution_id
    assert not service.action(action_id)["is_sync"]

    assert service.report(fire, outcome=Outcome.SENT).settled == (fire.ref,)
    service.expire_leases()
    assert service.action(action_id)["state"] == "RUNNING"
    assert service.claim() == ()

    service.call_back(action_id, {"answer": 3})
    assert service.action(action_id)["output"] == {"result": {"answer": 3}}
    service.work()
    assert service.state(execution) == "SUCCESS"
    assert service.workflow(execution)["output"] == {"got": {"answer": 3}}


@pytest.mark.parametrize("outcome", [Outcome.SENT, Outcome.SUCCESS, Outcome.ERROR, Outcome.RETURNED])
def test_a_callback_before_the_report_of_the_executor(service, outcome):
    service.api.upload(ASYNC)
    execution = service.start("remote")
    (fire,) = service.claim()

    service.call_back(fire.action_execution_id, 3)
    reply = service.report(fire, "not this", outcome=outcome)

    assert reply.settled == (fire.ref,)
    service.work()
    assert service.state(execution) == "SUCCESS"
    assert service.workflow(execution)["output"] == {"got": 3}


def test_a_callback_before_any_executor_took_the_action(service):
    service.api.upload(ASYNC)
    execution = service.start("remote")
    (action,) = service.actions()

    service.call_back(action["id"], 3)

    assert [order.name for order in service.work()] == ["std.noop"]
    assert service.state(execution) == "SUCCESS"


def test_callbacks_while_the_engine_is_down_are_applied_when_it_is_back(service):
    service.api.upload(ASYNC)
    execution = service.start("remote")
    (fire,) = service.claim()
    service.report(fire, outcome=Outcome.SENT)
    service.engines.pop().stop(60)

    assert not service.api.call_back(fire.action_execution_id, 3).is_repeated
    assert service.api.call_back(fire.action_execution_id, 3).is_repeated

    service.add_engine()
    service.work()
    assert service.state(execution) == "SUCCESS"


def test_an_engine_that_takes_over_starts_from_the_database(service):
    service.api.upload(CHAIN)
    execution = service.start("chain")
    (first,) = service.claim()
    service.engines.pop().stop(60)
    service.add_engine()

    (second,) = service.report(first, "one", capacity=1).actions
    service.report(second, "two")

    assert service.workflow(execution)["output"] == {"all": ["one", "two"]}


def test_parked_calls_go_home_when_the_engine_stops(service, pool):
    parked = pool.submit(service.claim, wait_s=60.0)
    while not service.engines[0]._parked:
        service.exchange(executor_id="nobody")

    service.engines[0].stop(60)

    assert parked.result() == ()


@pytest.mark.parametrize(
    ("targets", "count"), [((), 0), (("elsewhere",), 0), (("here",), 1), (("elsewhere", "here"), 1)]
)
def test_an_action_with_a_target_goes_to_its_bearer(service, targets, count):
    text = "version: '2.0'\nw:\n  tasks:\n    t:\n      action: std.noop\n      target: here\n"
    service.api.upload(text)
    service.start("w")

    assert len(service.claim(targets=targets)) == count
    assert len(service.claim(targets=("here",))) == 1 - count


def test_an_executor_that_finds_nothing_leaves_the_rest_to_others(service, pool):
    text = "version: '2.0'\nw:\n  tasks:\n    t:\n      action: std.noop\n      target: here\n"
    service.api.upload(text)
    service.start("w")
    stranger = pool.submit(service.claim, executor_id="e1", wait_s=1.0)
    bearer = pool.submit(service.claim, executor_id="e2", targets=("here",), wait_s=60.0)

    assert [action.name for action in bearer.result()] == ["std.noop"]
    assert stranger.result() == ()


def test_a_sweep_finds_what_no_bell_told(idle):
    idle.api.upload(CHAIN)
    execution = idle.api.start("chain")
    idle.add_engine(sweep_s=0.01)

    (first,) = idle.claim(wait_s=60.0)
    (second,) = idle.report(first, "one", capacity=1).actions
    idle.report(second, "two")

    assert idle.state(execution) == "SUCCESS"


def test_timers_run_out_without_a_bell(idle):
    idle.api.upload("""
version: '2.0'
w:
  tasks:
    t:
      action: std.noop
      wait-before: 1000000
""")
    idle.add_engine()
    execution = idle.start("w")
    assert idle.claim() == ()
    assert idle.tasks(execution) == {"t": "DELAYED"}

    idle.fire_timers()

    assert len(idle.claim()) == 1
    assert idle.rows(tables.timers) == []


def test_a_result_that_no_database_stores_ends_its_action_all_the_same(service):
    service.api.upload(SYNC)
    execution = service.start("once")
    (action,) = service.claim()

    service.report(action, "nul \x00, half a pair \ud800", outcome=Outcome.ERROR)

    assert service.state(execution) == "ERROR"


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)
@pytest.mark.parametrize(
    "text",
    ["nul \x00", "half \ud800", "long " * 20_000, {"\x00": ["\ud800", 2**80]}],
    ids=["NUL", "half a pair", "long", "nested"],
)
def test_errors_of_any_kind_are_stored_by_the_servers(service, text):
    service.api.upload(SYNC)
    execution = service.start("once")
    (action,) = service.claim()

    service.report(action, text, outcome=Outcome.ERROR)

    assert service.state(execution) == "ERROR"
    assert service.is_at_rest()


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)
def test_names_of_any_length_are_stored_by_the_servers(service):
    name = "x" * 70_000 + "\x00"
    action_id = service.api.run_action(name)
    service.settle(action_id)
    service.api.upload(
        "version: '2.0'\nw:\n  input: [n]\n  tasks:\n    t:\n      action: <% $.n %>\n      target: <% $.n %>\n"
    )
    execution = service.start("w", {"n": name})
    other = service.start("w", {"n": "std.noop"})

    assert service.action(action_id)["state"] == "ERROR"
    assert service.state(execution) == "ERROR"
    assert service.state(other) == "RUNNING"


def test_the_trees_of_finished_executions_are_let_go(service):
    service.api.upload(SYNC)
    service.start("once")
    service.work()

    assert service.engines[0]._cache._rows == 0


def test_cached_snapshots_of_another_version_are_not_used(service):
    service.api.upload(CHAIN)
    execution = service.start("chain")
    (first,) = service.claim()
    # Another engine decided something meanwhile.
    table = tables.workflow_executions
    with service.database.write() as connection:
        connection.execute(sa.update(table).values(version=table.c.version + 1, context='{"b": "other"}'))

    service.report(first, "one")
    service.work({"two": "two"})

    assert service.state(execution) == "SUCCESS"
    assert service.workflow(execution)["context"] == '{"b": "other"}'


@pytest.mark.parametrize("action", ["std.noop", "std.async_noop"])
@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.ERROR, Outcome.CANCELLED])
def test_a_result_that_was_taken_counts_whatever_is_reported_before_anybody_rang(service, action, outcome):
    service.api.upload(f"version: '2.0'\nw:\n  tasks:\n    t:\n      action: {action}\n")
    execution = service.start("w")
    (order,) = service.claim()
    service.api.call_back(order.action_execution_id, "taken")

    with suppress(UnavailableError):
        service.report(order, "reported", outcome)
    service.settle(execution)

    found = service.action(order.action_execution_id)
    assert (found["state"], found["output"]) == ("SUCCESS", {"result": "taken"})
    assert service.state(execution) == "SUCCESS"


def test_a_result_that_was_taken_counts_although_the_time_is_up(service):
    service.api.upload(
        "version: '2.0'\nw:\n  tasks:\n    t:\n      action: std.async_noop\n      timeout: 1000\n"
    )
    execution = service.start("w")
    (order,) = service.claim()
    service.api.call_back(order.action_execution_id, "taken")

    service.fire_timers()

    assert service.action(order.action_execution_id)["output"] == {"result": "taken"}
    assert service.state(execution) == "SUCCESS"


def test_an_engine_that_ignored_an_event_sees_what_another_one_has_done_since(service):
    service.add_engine()
    service.api.upload(
        "version: '2.0'\nw:\n  tasks:\n"
        "    a: {action: std.noop, on-success: b}\n    b: {action: std.async_noop}\n"
    )
    execution = service.start("w")
    (order,) = service.claim()
    service.tell(execution, "resume", env={})

    (sent,) = service.report(order, engine=1, capacity=1).actions
    service.call_back(sent.action_execution_id, "yes")

    assert service.action(sent.action_execution_id)["state"] == "SUCCESS"
    assert service.state(execution) == "SUCCESS"
