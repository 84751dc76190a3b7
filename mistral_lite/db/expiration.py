"""Finding old execution trees, and deleting them as a whole.

A tree is as old as its root. Only what belongs to the tree goes; what is in the inbox about it is removed as
orphaned later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from mistral_lite.db.tables import (
    action_executions,
    action_queue,
    inbox,
    task_executions,
    timers,
    workflow_executions,
)

_w = workflow_executions.c


def list_superfluous(
    connection: sa.Connection, *, states: Sequence[str], before: datetime | None, keep: int | None, most: int
) -> list[str]:
    """Return the roots in ``states`` that are superfluous, at most ``most`` of them.

    A root is superfluous if it last changed before ``before``, or if it is not one of the ``keep`` that
    changed last; None switches a rule off. Roots with a command in their inbox are none.
    """
    finished = sa.and_(_w.id == _w.root_execution_id, _w.state.in_(states))
    commanded = sa.exists().where(inbox.c.root_execution_id == _w.id)
    found: list[str] = []
    if before is not None:
        found.extend(_oldest(connection, most, finished, ~commanded, _w.updated_at < before))
    if keep is not None and len(found) < most:
        newest = sa.select(_w.updated_at, _w.id).where(finished)
        newest = newest.order_by(_w.updated_at.desc(), _w.id.desc()).offset(keep).limit(1)
        first = connection.execute(newest).one_or_none()
        if first is not None:
            is_older = sa.or_(
                _w.updated_at < first.updated_at,
                sa.and_(_w.updated_at == first.updated_at, _w.id <= first.id),
            )
            found.extend(_oldest(connection, most, finished, ~commanded, is_older))
    return list(dict.fromkeys(found))[:most]


def _oldest(connection: sa.Connection, most: int, *conditions: sa.ColumnElement[bool]) -> list[str]:
    statement = sa.select(_w.id).where(*conditions).order_by(_w.updated_at, _w.id).limit(most)
    return list(connection.execute(statement).scalars())


def delete_trees(connection: sa.Connection, root_ids: Sequence[str], *, states: Sequence[str]) -> int:
    """Delete the trees whose root is still in ``states`` and not held by an engine; return their number."""
    locked = list(
        connection.execute(
            sa.select(_w.id)
            .where(_w.id.in_(root_ids), _w.state.in_(states))
            .order_by(_w.id)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    if locked:
        for table in (timers, action_queue, action_executions, task_executions, workflow_executions):
            connection.execute(sa.delete(table).where(table.c.root_execution_id.in_(locked)))
    return len(locked)
