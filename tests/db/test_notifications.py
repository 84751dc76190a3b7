"""The outbox of notifications, on each database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mistral_lite.db import notifications, tables, trees
from mistral_lite.db.notifications import OutboxRow
from mistral_lite.db.transaction import Database
from mistral_lite.workflow.decision import Change
from mistral_lite.workflow.model import Notification

LEASE_S = 300


class Outbox:
    """The rows of one database, claimed as a notifier claims them."""

    def __init__(self, database: Database, rows: Any) -> None:
        self.database = database
        self.rows = rows

    def put(self, number: int, publisher: str = "p", at_s: float = 0.0) -> str:
        """Store a row as a decision stores it."""
        row = Notification(
            id=self.rows.ident(number),
            root_id=self.rows.ident(1),
            execution_id=self.rows.ident(1),
            publisher={"type": publisher, "headers": {"a": "b"}},
            event="WORKFLOW_LAUNCHED",
            payload={"name": "ü", "state_info": None},
            created_at=self.rows.now + timedelta(seconds=at_s),
        )
        changes = trees.Changes(notifications={row.id: Change(before=None, after=row)})
        with self.database.write() as connection:
            trees.write(connection, changes)
        return row.id

    def claim(self, at_s: float = 0.0, most: int = 100, without: tuple[str, ...] = ()) -> list[OutboxRow]:
        """Claim what is due some time later."""
        now = self.rows.now + timedelta(seconds=at_s)
        with self.database.write() as connection:
            return notifications.claim(
                connection,
                now=now,
                lease_until=now + timedelta(seconds=LEASE_S),
                most=most,
                without=without,
            )

    def next_at(self, *without: str) -> datetime | None:
        """Return when the next row is due."""
        with self.database.read() as connection:
            return notifications.next_at(connection, without)

    def count(self) -> int:
        """Return how many rows there are."""
        with self.database.read() as connection:
            statement = sa.select(sa.func.count()).select_from(tables.notifications)
            return int(connection.execute(statement).scalar_one())


@pytest.fixture
def outbox(database: Database, rows: Any) -> Outbox:
    return Outbox(database, rows)


def test_what_is_claimed_is_what_was_stored(outbox: Outbox) -> None:
    identifier = outbox.put(7)
    (row,) = outbox.claim()
    assert row == OutboxRow(
        id=identifier,
        execution_id=outbox.rows.ident(1),
        publisher='{"type":"p","headers":{"a":"b"}}',
        event="WORKFLOW_LAUNCHED",
        payload={"name": "ü", "state_info": None},
        created_at=outbox.rows.now,
        attempts=0,
    )


def test_rows_are_claimed_oldest_first_and_only_once(outbox: Outbox) -> None:
    late, early, future = outbox.put(1, at_s=-1), outbox.put(2, at_s=-2), outbox.put(3, at_s=60)
    assert [row.id for row in outbox.claim()] == [early, late]
    assert outbox.claim() == []
    assert [row.id for row in outbox.claim(at_s=60)] == [future]


def test_rows_of_a_process_that_died_come_back_after_the_lease(outbox: Outbox) -> None:
    identifier = outbox.put(1)
    assert outbox.claim() != []
    assert outbox.next_at() == outbox.rows.now + timedelta(seconds=LEASE_S)
    assert outbox.claim(at_s=LEASE_S - 1) == []
    assert [row.id for row in outbox.claim(at_s=LEASE_S)] == [identifier]


def test_a_publisher_can_be_left_out(outbox: Outbox) -> None:
    outbox.put(1, "busy")
    (busy,) = outbox.claim()
    outbox.put(2, "busy", at_s=1)
    free = outbox.put(3, "free", at_s=2)
    assert outbox.next_at(busy.publisher) == outbox.rows.now + timedelta(seconds=2)
    assert [row.id for row in outbox.claim(at_s=5, without=(busy.publisher,))] == [free]


def test_postponed_rows_are_due_later_and_deleted_ones_never(outbox: Outbox) -> None:
    kept, told = outbox.put(1), outbox.put(2)
    outbox.claim()
    with outbox.database.write() as connection:
        notifications.postpone(connection, [kept], outbox.rows.now + timedelta(seconds=9), 3)
        notifications.delete(connection, [told])
    assert outbox.next_at() == outbox.rows.now + timedelta(seconds=9)
    assert outbox.claim(at_s=8) == []
    assert [(row.id, row.attempts) for row in outbox.claim(at_s=9)] == [(kept, 3)]


def test_an_empty_outbox_is_never_due(outbox: Outbox) -> None:
    assert outbox.next_at() is None
    assert outbox.claim() == []


def test_two_that_claim_at_once_never_get_the_same(outbox: Outbox, pool: ThreadPoolExecutor) -> None:
    stored = {outbox.put(number) for number in range(1, 41)}
    claim: Callable[[int], list[OutboxRow]] = lambda _: outbox.claim(most=5)  # noqa: E731
    claimed = [row.id for rows in pool.map(claim, range(24)) for row in rows]
    while more := outbox.claim(most=5):
        claimed += [row.id for row in more]
    assert sorted(claimed) == sorted(stored)


def test_notifications_outlive_their_execution(outbox: Outbox, database: Database, library: Any) -> None:
    root = outbox.rows.workflow(1)
    outbox.rows.store(database, root)
    outbox.put(2)
    with database.write() as connection:
        (snapshot,) = trees.load(connection, trees.lock(connection, [root.id])(), library).values()
        trees.delete(connection, snapshot, root.id)
    assert outbox.count() == 1
