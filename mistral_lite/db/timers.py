"""Reading timers ahead of time. They are set and removed with their tree (``trees``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mistral_lite.db.statements import Statement
from mistral_lite.db.tables import timers

_DUE = Statement(
    sa.select(timers.c.id, timers.c.root_execution_id, timers.c.due_at)
    .where(timers.c.due_at < sa.bindparam("before"))
    .order_by(timers.c.due_at)
    .limit(sa.bindparam("most", type_=sa.Integer))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTimer:
    """When which tree must be looked at."""

    id: str
    root_id: str
    due_at: datetime


def list_due(connection: sa.Connection, before: datetime, most: int) -> list[DueTimer]:
    """Return the timers due before a point in time, earliest first."""
    return [
        DueTimer(id=row["id"], root_id=row["root_execution_id"], due_at=row["due_at"])
        for row in _DUE.rows(connection, {"before": before, "most": most})
    ]


def list_due_of(connection: sa.Connection, root_id: str, now: datetime, most: int) -> list[tuple[str, str]]:
    """Return (timer id, root id) of the timers of one tree that are due, earliest first."""
    statement = (
        sa.select(timers.c.id, timers.c.root_execution_id)
        .where(timers.c.root_execution_id == root_id, timers.c.due_at <= now)
        .order_by(timers.c.due_at)
        .limit(most)
    )
    return [(row.id, row.root_execution_id) for row in connection.execute(statement)]
