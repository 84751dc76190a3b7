"""Whom executions work for is kept as long as it may be needed, and a trust as long as something uses it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from mistral_lite.db import delegations, inbox, tables
from mistral_lite.workflow.states import State


@pytest.fixture
def put(database, rows, now):
    """Record whom the execution of a number works for."""

    def put(number, trust_id=None):
        with database.write() as connection:
            content = {"trust_id": trust_id, "sealed": None}
            delegations.insert_context(connection, rows.ident(number), content, now)

    return put


@pytest.fixture
def remove(database):
    """Remove what has ended, ``most`` rows a time; return how many rows are left."""

    def remove(most=100):
        after = None
        with database.write() as connection:
            while after != "":
                after = delegations.remove_ended(connection, after or "", most)
            return connection.execute(
                sa.select(sa.func.count()).select_from(tables.security_contexts)
            ).scalar()

    return remove


def command(database, rows, now, number):
    with database.write() as connection:
        inbox.append(
            connection,
            root_execution_id=rows.ident(number),
            kind="rerun",
            subject_id=rows.ident(number),
            payload={},
            now=now,
        )


@pytest.mark.parametrize(
    ("state", "is_kept"),
    [
        (State.RUNNING, True),
        (State.PAUSED, True),
        (State.SUCCESS, False),
        (State.ERROR, False),
        (State.CANCELLED, False),
    ],
)
def test_it_goes_once_the_execution_has_ended(database, rows, put, remove, state, is_kept):
    rows.store(database, rows.workflow(1, state=state), rows.action(2, state=state))
    put(1)
    put(2)
    assert remove() == (2 if is_kept else 0)


def test_it_stays_while_a_command_may_make_the_execution_go_on(database, rows, put, remove, now):
    rows.store(database, rows.workflow(1, state=State.ERROR))
    command(database, rows, now, 1)
    put(1)
    assert remove() == 1


def test_it_goes_when_there_is_no_such_execution(put, remove):
    put(1)
    assert remove() == 0


def test_many_are_looked_at_in_portions(database, rows, put, remove):
    rows.store(database, *(rows.workflow(number) for number in (2, 5)))
    for number in range(1, 8):
        put(number)
    assert remove(most=2) == 2


def test_a_new_context_takes_the_place_of_the_old_one_unless_that_has_a_trust(database, rows, put, now):
    put(1)
    put(2, trust_id="t")
    new = {"trust_id": None, "sealed": "new"}
    with database.write() as connection:
        renewed = [
            delegations.renew_context(connection, rows.ident(number), new, now) for number in (1, 2, 3)
        ]
        found = delegations.load_contexts(connection, [rows.ident(number) for number in (1, 2, 3, 4)])
    assert renewed == [True, False, True]
    assert {key: value["sealed"] for key, value in found.items()} == {
        rows.ident(1): "new",
        rows.ident(2): None,
        rows.ident(3): "new",
    }


def test_a_trust_is_unused_when_no_trigger_and_no_execution_has_it(database, put, now):
    with database.write() as connection:
        for trust_id in ("by-execution", "by-cron", "by-event", "left"):
            delegations.insert_trust(connection, trust_id, now)
        common = {"id": "1", "name": "n", "workflow_id": "w", "workflow_input": "{}", "workflow_params": "{}"}
        common |= {"scope": "private", "project_id": "p", "created_at": now}
        cron = {**common, "workflow_name": "w", "pattern": "* * * * *", "trust_id": "by-cron"}
        event = {**common, "exchange": "e", "topic": "t", "event": "x", "trust_id": "by-event"}
        connection.execute(sa.insert(tables.cron_triggers), cron)
        connection.execute(sa.insert(tables.event_triggers), event)
    put(1, trust_id="by-execution")
    with database.write() as connection:
        assert delegations.list_unused_trusts(connection, 10) == ["left"]
        connection.execute(sa.delete(tables.cron_triggers))
        connection.execute(sa.delete(tables.event_triggers))
        connection.execute(sa.delete(tables.security_contexts))
        assert len(delegations.list_unused_trusts(connection, 10)) == 4
        assert len(delegations.list_unused_trusts(connection, 2)) == 2
        assert [delegations.delete_trust(connection, "left") for _ in range(2)] == [True, False]
