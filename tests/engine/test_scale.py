"""Several engines on one database, and what a step costs."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from mistral_lite.db import tables, trees
from mistral_lite.errors import UnavailableError
from mistral_lite.rpc.protocol import ActionReport, Outcome

servers = pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)
everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)


def fan(width: int) -> str:
    branches = "".join(
        f"    b{number}:\n      action: std.echo output={number}\n      on-success: joined\n"
        for number in range(width)
    )
    return f"""
version: '2.0'
fan{width}:
  tasks:
{branches}
    joined:
      join: all
      action: std.echo output='joined'
      on-success: last
    last:
      action: std.noop
"""


def said(order) -> ActionReport:
    return ActionReport(
        action_execution_id=order.action_execution_id,
        attempt=order.attempt,
        outcome=Outcome.SUCCESS,
        result=order.input.get("output"),
    )


def exchange_until_taken(service, engine, **values):
    """Repeat a call as an executor does."""
    while True:
        try:
            return service.exchange(engine, **values)
        except UnavailableError:
            continue


@everywhere
def test_branches_that_end_at_once_on_several_engines_join_once(idle, pool):
    engines = 3
    for _ in range(engines):
        idle.add_engine(sweep_s=0.05)
    idle.api.upload(fan(20))
    executions = [idle.start("fan20") for _ in range(2)]
    orders = []
    while len(orders) < 40:
        orders += idle.claim(wait_s=0.05)

    def report(part):
        given = []
        for order in orders[part::8]:
            reply = exchange_until_taken(idle, part % engines, reports=(said(order),), capacity=5)
            assert order.ref in reply.settled
            given += reply.actions
        return given

    joins = [action for given in pool.map(report, range(8)) for action in given]
    while len(joins) < 2:
        for engine in range(engines):
            joins += idle.claim(engine=engine, wait_s=0.05)
    assert [action.input for action in joins] == [{"output": "joined"}] * 2

    last = [
        action
        for join in joins
        for action in exchange_until_taken(idle, 0, reports=(said(join),), capacity=9, wait_s=30.0).actions
    ]
    while len(last) < 2:
        last += idle.claim(wait_s=0.05)
    exchange_until_taken(idle, 1, reports=tuple(said(action) for action in last))

    for execution in executions:
        assert idle.state(execution) == "SUCCESS"
        assert Counter(idle.tasks(execution).values()) == {"SUCCESS": 22}
    assert len(idle.actions()) == 44
    assert idle.is_at_rest()


@everywhere
def test_engines_share_many_executions(idle, pool):
    for _ in range(2):
        idle.add_engine(sweep_s=0.05)
    idle.api.upload(fan(3))
    executions = [idle.api.start("fan3") for _ in range(12)]

    def execute(part):
        reports = ()
        done = 0
        while any(idle.state(execution) == "RUNNING" for execution in executions):
            reply = exchange_until_taken(
                idle, part % 2, executor_id=f"e{part}", reports=reports, capacity=4, wait_s=0.05
            )
            reports = tuple(said(action) for action in reply.actions)
            done += len(reports)
        return done

    counts = list(pool.map(execute, range(4)))

    assert sum(counts) == 12 * 5, "every action ran once"
    assert {idle.state(execution) for execution in executions} == {"SUCCESS"}
    assert {tuple(sorted(idle.tasks(execution))) for execution in executions} == {
        ("b0", "b1", "b2", "joined", "last")
    }


@servers
def test_a_tree_that_another_engine_holds_comes_back(service, pool):
    service.api.upload(fan(1))
    execution = service.start("fan1")
    (order,) = service.claim()

    with service.database.write() as other_engine:
        assert trees.lock(other_engine, [execution])()
        reported = pool.submit(service.exchange, reports=(said(order),), capacity=1)
        service.exchange(executor_id="nobody")
        assert not reported.done(), "it is not settled before it is committed"
        assert service.tasks(execution)["b0"] == "RUNNING"

    reply = reported.result()
    assert reply.settled == (order.ref,)
    assert [action.input for action in reply.actions] == [{"output": "joined"}]


@servers
def test_a_bell_and_a_timer_of_a_tree_that_is_held_are_not_lost(service):
    service.api.upload(
        "version: '2.0'\nw:\n  tasks:\n    t:\n      action: std.noop\n      wait-before: 1000000\n"
    )
    waiting = service.start("w")
    paused = service.start("w")

    with service.database.write() as other_engine:
        assert len(trees.lock(other_engine, [waiting, paused])()) == 2
        service.tell(paused, "stop", state="CANCELLED", message=None)
        service.fire_timers()
        assert service.state(paused) == "RUNNING"

    while service.state(paused) == "RUNNING" or service.tasks(waiting) != {"t": "RUNNING"}:
        service.exchange(executor_id="nobody")
    assert service.state(paused) == "CANCELLED"


def normal(statement: str) -> str:
    return re.sub(r"\s+", " ", statement)[:70]


@everywhere
def test_the_cost_of_a_batch_does_not_grow_with_its_branches(service, count_statements):
    counts = {}
    for width in (10, 100):
        service.api.upload(fan(width))
        execution = service.start(f"fan{width}")
        orders = service.claim(capacity=1000)
        assert len(orders) == width
        with count_statements(service.database) as statements:
            (joined,) = service.exchange(
                reports=tuple(said(order) for order in orders), capacity=1000
            ).actions
        assert joined.input == {"output": "joined"}
        counts[width] = Counter(normal(statement) for statement in statements)
        service.report(joined)
        service.work()
        assert service.state(execution) == "SUCCESS"

    assert counts[100].total() == counts[10].total(), counts[100] - counts[10]
    assert counts[100].total() <= 20


def test_one_more_branch_costs_the_same_in_a_large_execution(service, count_statements):
    costs = []
    for width in (10, 300):
        service.api.upload(fan(width))
        service.start(f"fan{width}")
        orders = service.claim(capacity=1000)
        with count_statements(service.database) as statements:
            service.report(orders[0])
        costs.append(len(statements))

    assert costs[0] == costs[1] <= 10


@everywhere
def test_a_step_of_a_chain_takes_few_statements(service, count_statements):
    service.api.upload(fan(1))
    service.start("fan1")
    (order,) = service.claim()

    with count_statements(service.database) as statements:
        (joined,) = service.report(order, capacity=1).actions

    assert joined.input == {"output": "joined"}
    # Versions of definitions and root; three inserts, two updates, a deletion, the version; results that came meanwhile.
    assert len([text for text in statements if not text.startswith("BEGIN")]) == 10


def test_starting_many_tasks_takes_few_statements(service, count_statements):
    service.api.upload(fan(200))
    execution = service.api.start("fan200")

    with count_statements(service.database) as statements:
        service.settle(execution)

    assert len(service.rows(tables.action_queue)) == 200
    assert len(statements) <= 20


def test_an_idle_exchange_asks_the_database_nothing(service, count_statements):
    service.claim()

    with count_statements(service.database) as statements:
        for _ in range(5):
            service.claim()

    assert statements == []
