"""Reading timers ahead of time. They are set and removed with their tree (``trees``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mistral_lite.db.tables import timers


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTimer:
    """When which tree must be looked at."""

    id: str
    root_id: str
    due_at: datetime


def list_due(connection: sa.Connection, before: datetime, most: int) -> list[DueTimer]:
    """Return the timers due before a point in time, earliest first."""
    statement = (
        sa.select(timers.c.id, timers.c.root_execution_id, timers.c.due_at)
        .where(timers.c.due_at < before)
        .order_by(timers.c.due_at)
        .limit(most)
    )
    return [
        DueTimer(id=row.id, root_id=row.root_execution_id, due_at=row.due_at)
        for row in connection.execute(statement)
    ]
