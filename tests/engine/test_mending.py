"""Damage of each kind that leaves a row without anything to wake it, and what mending makes of it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from mistral_lite.db import inbox, tables, waits
from mistral_lite.rpc.protocol import Outcome

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)

TEXT = """
version: '2.0'
safe:
  tasks:
    t: {action: std.echo output=1, safe-rerun: true, on-success: u}
    u: {action: std.noop}
once:
  tasks:
    t: {action: std.echo output=1}
items:
  tasks:
    t:
      with-items: i in [1, 2, 3]
      concurrency: 2
      action: std.echo output=<% $.i %>
      safe-rerun: true
retry:
  tasks:
    t: {action: std.fail, retry: {count: 1, delay: 1000}, on-error: u}
    u: {action: std.noop}
before:
  tasks:
    t: {action: std.noop, wait-before: 1000}
after:
  tasks:
    t: {action: std.noop, wait-after: 1000, on-success: u}
    u: {action: std.noop}
join:
  tasks:
    a: {action: std.noop, on-success: j}
    b: {action: std.noop, on-success: j}
    j: {join: all, action: std.noop}
nested:
  tasks:
    t: {workflow: safe, on-success: u}
    u: {action: std.noop}
held:
  tasks:
    t: {action: std.noop, pause-before: true}
"""

T, A, W, Q, M = (
    tables.task_executions,
    tables.action_executions,
    tables.workflow_executions,
    tables.action_queue,
    tables.timers,
)


def lose_queue(service, _execution):
    service._execute(sa.delete(Q))


def lose_timers(service, _execution):
    service._execute(sa.delete(M))


def fail_first(service, _execution):
    (action,) = service.claim()
    service.report(action, "no", Outcome.ERROR)
    lose_timers(service, _execution)


def succeed_first(service, _execution):
    (action,) = service.claim()
    service.report(action, 1)
    lose_timers(service, _execution)


def lose_start(service, execution):
    for table in (Q, A, T):
        service._execute(sa.delete(table).where(table.c.root_execution_id == execution))


def lose_follow_up(service, _execution):
    # As if the engine had written the end of the task without what follows it.
    service._execute(sa.delete(Q))
    service._execute(sa.update(A).values(state="SUCCESS", accepted=True, output='{"result":1}'))
    service._execute(sa.update(T).values(state="SUCCESS", processed=False))


def lose_report_of_child(service, execution):
    for action in service.claim():
        service.report(action, 1)
    (action,) = service.claim()
    service._execute(sa.delete(Q))
    service._execute(
        sa.update(A).where(A.c.id == action.action_execution_id).values(state="SUCCESS", accepted=True)
    )
    nested = W.c.id != execution
    service._execute(sa.update(W).where(nested).values(state="SUCCESS", runtime='{"accepted":true}'))
    service._execute(
        sa.update(T).where(T.c.workflow_execution_id != execution).values(state="SUCCESS", processed=True)
    )


def end_inbound_tasks(service, execution):
    service._execute(sa.delete(Q))
    service._execute(sa.update(A).values(state="SUCCESS", accepted=True, output='{"result":1}'))
    inbound = T.c.name.in_(["a", "b"])
    service._execute(
        sa.update(T).where(inbound).values(state="SUCCESS", processed=True, next_tasks='[["j","on-success"]]')
    )
    row = dict(service.rows(T)[0])
    join = {
        **row,
        "id": row["id"][:-4] + "ffff",
        "name": "j",
        "state": "WAITING",
        "processed": False,
        "next_tasks": None,
    }
    with service.database.write() as connection:
        connection.execute(sa.insert(T), [join])


def set_running(service, _execution):
    service._execute(sa.update(W).values(state="RUNNING"))


CASES = {
    "a lost safe action": ("safe", lose_queue, "SUCCESS"),
    "a lost action that may run once": ("once", lose_queue, "ERROR"),
    "lost items": ("items", lose_queue, "SUCCESS"),
    "a lost retry": ("retry", fail_first, "SUCCESS"),
    "a lost wait-before": ("before", lose_timers, "SUCCESS"),
    "a lost wait-after": ("after", succeed_first, "SUCCESS"),
    "a lost start": ("safe", lose_start, "SUCCESS"),
    "a lost follow-up": ("safe", lose_follow_up, "SUCCESS"),
    "a lost report of a nested workflow": ("nested", lose_report_of_child, "SUCCESS"),
    "a join that nobody looked at": ("join", end_inbound_tasks, "SUCCESS"),
    "a task held in a running workflow": ("held", set_running, "SUCCESS"),
}


def find_stuck(service, execution):
    with service.database.read(is_snapshot=True) as connection:
        return waits.find_stuck(connection, [execution])


@pytest.mark.parametrize("name", CASES)
def test_what_nothing_would_wake_is_found_and_goes_on_once_mended(service, name):
    workflow, damage, end = CASES[name]
    service.api.upload(TEXT)
    execution = service.start(workflow)
    assert find_stuck(service, execution) == []
    damage(service, execution)
    assert find_stuck(service, execution) != []

    service.tell(execution, inbox.MEND)

    assert find_stuck(service, execution) == []
    for _ in range(4):
        service.work({1: 1})
        service.fire_timers()
    assert service.state(execution) == end
    assert find_stuck(service, execution) == []


@everywhere
def test_what_wakes_nothing_is_removed(service):
    service.api.upload(TEXT)
    execution = service.start("before")
    service._execute(sa.update(T).values(state="SUCCESS", processed=True))

    service.tell(execution, inbox.MEND)

    assert service.state(execution) == "SUCCESS"
    assert service.is_at_rest()


@pytest.mark.parametrize("name", ["safe", "items", "nested", "join", "before", "held"])
def test_mending_changes_nothing_where_nothing_is_wrong(service, name):
    service.api.upload(TEXT)
    execution = service.start(name)

    def rows():
        return [service.rows(table) for table in (W, T, A, Q, M)]

    before = rows()
    service.tell(execution, inbox.MEND)

    assert rows() == before


def test_a_lost_action_on_its_own_ends_as_one_whose_executor_fell_silent(service):
    action_id = service.api.run_action("std.noop")
    service.settle(action_id)
    lose_queue(service, action_id)
    assert [row.id for row in find_stuck(service, action_id)] == [action_id]

    service.tell(action_id, inbox.MEND)

    assert service.action(action_id)["state"] == "ERROR"
    assert find_stuck(service, action_id) == []
