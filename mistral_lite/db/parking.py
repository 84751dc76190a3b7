"""Trees that cannot be taken further: left alone for a while, or ended without being read."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from mistral_lite.db.states import is_unfinished
from mistral_lite.db.tables import (
    action_executions,
    action_queue,
    inbox,
    task_executions,
    timers,
    workflow_executions,
)
from mistral_lite.jsontext import dump
from mistral_lite.workflow.states import State

_w = workflow_executions.c


def postpone(connection: sa.Connection, root_id: str, until: datetime) -> None:
    """Let nothing of a tree be due before ``until``: neither its timers nor its attempts."""
    for table, column, conditions in (
        (timers, timers.c.due_at, ()),
        (action_queue, action_queue.c.available_at, (action_queue.c.lease_until.is_(None),)),
        (action_queue, action_queue.c.lease_until, (action_queue.c.lease_until.is_not(None),)),
    ):
        connection.execute(
            sa.update(table)
            .where(table.c.root_execution_id == root_id, column < until, *conditions)
            .values({column.name: until})
        )


def break_off(connection: sa.Connection, root_id: str, message: str, now: datetime) -> bool:
    """End everything unfinished in a tree with ERROR, and drop what waits for it; return whether it did.

    Nothing is read but the lock of the root, as reading may be what fails. False if somebody else has the lock.
    """
    for table in (workflow_executions, action_executions):
        held = sa.select(table.c.id).where(table.c.id == root_id).with_for_update(skip_locked=True)
        if connection.execute(held).first() is not None:
            break
    else:
        return False
    result = dump({"result": message})
    for table, values in (
        (workflow_executions, {"output": result, "version": _w.version + 1}),
        (task_executions, {"processed": True, "finished_at": now}),
        (action_executions, {"output": result}),
    ):
        ended = {"state": str(State.ERROR), "updated_at": now, **values}
        if table is not action_executions:
            ended["state_info"] = message
        connection.execute(
            sa.update(table)
            .where(table.c.root_execution_id == root_id, is_unfinished(table.c.state))
            .values(ended)
        )
    for table in (timers, action_queue, inbox):
        connection.execute(sa.delete(table).where(table.c.root_execution_id == root_id))
    return True
