"""Many joins whose branches end at once on several engines: each is created once and runs once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from mistral_lite.db import tables
from mistral_lite.errors import UnavailableError
from mistral_lite.rpc.protocol import ActionReport, Outcome

ENGINES = 3
EXECUTIONS = 80
BRANCHES = 20
# Reports in one call; each call goes to another engine than its neighbours.
CALL = 25

FAN = "version: '2.0'\nfan:\n  tasks:\n" + "".join(
    [
        *(
            f"    b{number}: {{action: std.echo output='b', on-success: joined}}\n"
            for number in range(BRANCHES)
        ),
        "    joined: {join: all, action: std.echo output='joined'}\n",
    ]
)


def said(order) -> ActionReport:
    return ActionReport(
        action_execution_id=order.action_execution_id, attempt=order.attempt, outcome=Outcome.SUCCESS
    )


def insist(service, engine, **values):
    """Repeat a call as an executor does."""
    while True:
        try:
            return service.exchange(engine, **values)
        except UnavailableError:
            continue


@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_branches_of_many_executions_end_at_once_on_three_engines(idle):
    for _ in range(ENGINES):
        idle.add_engine(sweep_s=0.5)
    idle.api.upload(FAN)
    executions = [idle.api.start("fan") for _ in range(EXECUTIONS)]
    orders = []
    while len(orders) < EXECUTIONS * BRANCHES:
        orders += insist(idle, len(orders) % ENGINES, capacity=500, wait_s=0.2).actions
    assert {order.input["output"] for order in orders} == {"b"}
    # Neighbours belong to one execution, and go to different engines at the same moment.
    orders.sort(key=lambda order: order.execution["workflow_execution_id"])
    calls = [orders[start :: len(orders) // CALL] for start in range(len(orders) // CALL)]

    def report(number: int):
        reply = insist(
            idle,
            number % ENGINES,
            executor_id=f"e{number % 9}",
            reports=tuple(map(said, calls[number])),
            capacity=50,
        )
        return reply.actions

    with ThreadPoolExecutor(9) as pool:
        joins = [order for given in pool.map(report, range(len(calls))) for order in given]
    while len(joins) < EXECUTIONS:
        joins += insist(idle, len(joins) % ENGINES, capacity=500, wait_s=0.2).actions
    ran = Counter(order.execution["workflow_execution_id"] for order in joins)
    assert ran == dict.fromkeys(executions, 1), "each join ran once"

    insist(idle, 0, reports=tuple(map(said, joins)))
    assert Counter(row["state"] for row in idle.rows(tables.workflow_executions)) == {"SUCCESS": EXECUTIONS}
    tasks = Counter((row["workflow_execution_id"], row["name"]) for row in idle.rows(tables.task_executions))
    assert set(tasks.values()) == {1}, "each task was created once"
    assert len(tasks) == EXECUTIONS * (BRANCHES + 1) == len(idle.actions())
    assert idle.is_at_rest()
