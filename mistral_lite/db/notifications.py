"""The outbox of notifications: claimed for delivery, postponed after a failure, deleted once told.

Rows are written with the execution tree that they tell of (``trees``). ``available_at`` is both the time of
the next attempt and the lease of whoever makes it: if the process dies, the row comes back by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mistral_lite.db.statements import chunks
from mistral_lite.db.tables import notifications
from mistral_lite.jsontext import JsonObject, load

_n = notifications.c


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A notification to be delivered. ``publisher`` is the JSON text of what the workflow asked for."""

    id: str
    execution_id: str
    publisher: str
    event: str
    payload: JsonObject
    created_at: datetime
    attempts: int


def next_at(connection: sa.Connection, without: Sequence[str]) -> datetime | None:
    """Return when the next row is due, None if there is none; rows for the publishers ``without`` do not count."""
    statement = sa.select(_n.available_at).order_by(_n.available_at).limit(1)
    if without:
        statement = statement.where(_n.publisher.not_in(without))
    return connection.execute(statement).scalar_one_or_none()


def claim(
    connection: sa.Connection, *, now: datetime, lease_until: datetime, most: int, without: Sequence[str]
) -> list[OutboxRow]:
    """Lease up to ``most`` due rows and return them, oldest first; none for the publishers ``without``."""
    statement = (
        sa.select(notifications)
        .where(_n.available_at <= now)
        .order_by(_n.available_at, _n.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    if without:
        statement = statement.where(_n.publisher.not_in(without))
    claimed = [
        OutboxRow(
            id=row["id"],
            execution_id=row["execution_id"],
            publisher=row["publisher"],
            event=row["event"],
            payload=load(row["payload"]),
            created_at=row["created_at"],
            attempts=row["attempts"],
        )
        for row in connection.execute(statement).mappings()
    ]
    for chunk in chunks([row.id for row in claimed]):
        connection.execute(sa.update(notifications).where(_n.id.in_(chunk)).values(available_at=lease_until))
    return sorted(claimed, key=lambda row: (row.created_at, row.id))


def delete(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Delete rows that were told, or given up."""
    for chunk in chunks(ids):
        connection.execute(sa.delete(notifications).where(_n.id.in_(chunk)))


def postpone(connection: sa.Connection, ids: Sequence[str], available_at: datetime, attempts: int) -> None:
    """Give rows back, to be tried again at ``available_at``; ``attempts`` is how many were made in all."""
    for chunk in chunks(ids):
        connection.execute(
            sa.update(notifications)
            .where(_n.id.in_(chunk))
            .values(available_at=available_at, attempts=attempts)
        )
