"""The row of ``maintenance``, and which executions it is still to pause or to resume.

The API writes the status; engines work it off. Whoever changes it or acts on it holds the lock of the row, so
one engine at a time does, and what was ordered under a status was ordered before the next one began.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa

from mistral_lite.db import inbox
from mistral_lite.db.statements import Statement, pipelined
from mistral_lite.db.tables import action_executions, action_queue, workflow_executions
from mistral_lite.db.tables import inbox as inbox_table
from mistral_lite.db.tables import maintenance as table
from mistral_lite.db.transaction import Database
from mistral_lite.workflow.model import MAINTENANCE

# Kinds of inbox rows.
BEGAN = "maintenance_began"
ENDED = "maintenance_ended"

_ID = 1
_w = workflow_executions.c
_a = action_executions.c


class Status(StrEnum):
    """``RESUMING``: no longer in maintenance, but executions are still to be resumed."""

    RUNNING = "RUNNING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    RESUMING = "RESUMING"

    @property
    def is_maintenance(self) -> bool:
        """Whether nothing new may begin."""
        return self in (Status.PAUSING, Status.PAUSED)


_FIND = Statement(sa.select(table.c.status).where(table.c.id == _ID))


def find_status(connection: sa.Connection) -> Status:
    """Return the present status."""
    found = _FIND.rows(connection, {})
    return Status(found[0]["status"]) if found else Status.RUNNING


def lock_status(database: Database, connection: sa.Connection, now: datetime) -> Status:
    """Return the present status, which then stays until the transaction ends."""
    connection.execute(
        database.insert_ignoring(table), {"id": _ID, "status": Status.RUNNING, "updated_at": now}
    )
    statement = sa.select(table.c.status).where(table.c.id == _ID).with_for_update()
    return Status(connection.execute(statement).scalar_one())


def try_lock_status(connection: sa.Connection) -> Status | None:
    """Return the present status as ``lock_status`` does, or None if somebody else has it, or nobody ever set it."""
    statement = sa.select(table.c.status).where(table.c.id == _ID).with_for_update(skip_locked=True)
    found = connection.execute(statement).scalar_one_or_none()
    return None if found is None else Status(found)


def set_status(connection: sa.Connection, status: Status, now: datetime) -> None:
    """Change the status, which is locked."""
    connection.execute(sa.update(table).where(table.c.id == _ID).values(status=status, updated_at=now))


def list_running(connection: sa.Connection, most: int) -> list[str]:
    """Return roots of trees in which something runs that no order to pause is under way for."""
    return _list_unordered(connection, BEGAN, _w.state == "RUNNING", most)


def list_paused(connection: sa.Connection, most: int) -> list[str]:
    """Return roots of trees in which maintenance paused something that no order to resume is under way for."""
    return _list_unordered(connection, ENDED, _is_paused_by_maintenance(), most)


def order(connection: sa.Connection, kind: str, root_ids: Iterable[str], now: datetime) -> None:
    """Put ``BEGAN`` or ``ENDED`` into the inboxes of trees."""
    with pipelined(connection):
        for root_id in root_ids:
            inbox.append(
                connection,
                root_execution_id=root_id,
                kind=kind,
                subject_id=root_id,
                payload={},
                now=now,
                once=f"{kind}:{root_id}",
            )


def is_ordered(connection: sa.Connection, kind: str) -> bool:
    """Tell whether an order of this kind still waits to be carried out."""
    statement = sa.select(inbox_table.c.seq).where(inbox_table.c.once.startswith(f"{kind}:", autoescape=True))
    return connection.execute(statement.limit(1)).first() is not None


def is_anything_paused(connection: sa.Connection) -> bool:
    """Tell whether an execution is still to be resumed."""
    statement = sa.select(_w.id).where(_is_paused_by_maintenance()).limit(1)
    return connection.execute(statement).first() is not None


def is_quiet(connection: sa.Connection) -> bool:
    """Tell whether nothing is under way: no execution runs, no action does, and no result is waited for."""
    paused_roots = sa.select(_w.root_execution_id).where(_w.state == "PAUSED")
    return not any(
        connection.execute(statement.limit(1)).first()
        for statement in (
            sa.select(_w.id).where(_w.state == "RUNNING"),
            sa.select(action_queue.c.action_execution_id),
            sa.select(_a.id).where(_a.root_execution_id.in_(paused_roots), _a.state == "RUNNING"),
            sa.select(_a.id).where(_a.task_execution_id.is_(None), _a.state == "RUNNING"),
        )
    )


def _is_paused_by_maintenance() -> sa.ColumnElement[bool]:
    return sa.and_(_w.state == "PAUSED", _w.paused_by == MAINTENANCE)


def _list_unordered(
    connection: sa.Connection, kind: str, condition: sa.ColumnElement[bool], most: int
) -> list[str]:
    once = sa.literal(f"{kind}:") + _w.root_execution_id
    statement = (
        sa.select(_w.root_execution_id)
        .where(condition, ~sa.exists().where(inbox_table.c.once == once))
        .distinct()
        .limit(most)
    )
    return list(connection.execute(statement).scalars())
