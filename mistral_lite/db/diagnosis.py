"""What an operator wants to know of a database that the service works on; reads only, but for ``sweep_orphans``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mistral_lite.db import inbox, waits
from mistral_lite.db.listing import Row, only_row
from mistral_lite.db.states import is_unfinished
from mistral_lite.db.tables import (
    action_executions,
    action_queue,
    task_executions,
    timers,
    workflow_executions,
)
from mistral_lite.db.tables import inbox as inbox_table
from mistral_lite.db.transaction import Database
from mistral_lite.db.waits import Noun, Stuck

_w, _t, _a = workflow_executions.c, task_executions.c, action_executions.c
_q, _m, _i = action_queue.c, timers.c, inbox_table.c

# Trees looked at with one set of queries.
_BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Rows that should be gone by now: how many, and when the oldest of them was due; None for none."""

    count: int
    oldest: datetime | None


def overdue_inbox(connection: sa.Connection, before: datetime) -> Backlog:
    """Return the rows of the inbox that were written before a point in time."""
    return _backlog(connection, inbox_table, _i.created_at, _i.created_at < before)


def overdue_actions(connection: sa.Connection, before: datetime) -> Backlog:
    """Return the queued attempts that no executor has taken since before a point in time."""
    return _backlog(
        connection, action_queue, _q.available_at, _q.lease_until.is_(None), _q.available_at < before
    )


def overdue_leases(connection: sa.Connection, before: datetime) -> Backlog:
    """Return the leases that ran out before a point in time and that no engine has dealt with."""
    return _backlog(connection, action_queue, _q.lease_until, _q.lease_until < before)


def overdue_timers(connection: sa.Connection, before: datetime) -> Backlog:
    """Return the timers that were due before a point in time."""
    return _backlog(connection, timers, _m.due_at, _m.due_at < before)


def _backlog(
    connection: sa.Connection, table: sa.Table, since: sa.Column[datetime], *late: sa.ColumnElement[bool]
) -> Backlog:
    statement = sa.select(sa.func.count(), sa.func.min(since)).select_from(table).where(*late)
    count, oldest = connection.execute(statement).one()
    return Backlog(count=count, oldest=oldest)


def weak_commits(database: Database, connection: sa.Connection) -> str | None:
    """Return the setting by which the database may lose what it has committed, None if there is none."""
    if database.dialect == "postgresql":
        wanted = {"fsync": ("on",), "synchronous_commit": ("on", "local", "remote_write", "remote_apply")}
        for name, good in wanted.items():
            value = str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())
            if value not in good:
                return f"{name} = {value}"
    elif database.dialect in {"mysql", "mariadb"}:
        value = connection.exec_driver_sql("SELECT @@innodb_flush_log_at_trx_commit").scalar_one()
        if value != 1:
            return f"innodb_flush_log_at_trx_commit = {value}"
    return None


# -- rows that nothing will wake -----------------------------------------------------------------------


def find_stuck(database: Database) -> Iterator[Stuck]:
    """Yield all rows that nothing will wake, each tree as it was at one moment."""
    unfinished_workflows = sa.select(_w.root_execution_id.label("id")).where(is_unfinished(_w.state))
    unfinished_alone = sa.select(_a.root_execution_id.label("id")).where(
        is_unfinished(_a.state), _a.task_execution_id.is_(None)
    )
    roots = sa.union(unfinished_workflows, unfinished_alone).subquery()
    after = ""
    while True:
        with database.read(is_snapshot=True) as connection:
            batch = connection.execute(
                sa.select(roots.c.id).where(roots.c.id > after).order_by(roots.c.id).limit(_BATCH)
            )
            found = list(batch.scalars())
            if not found:
                return
            yield from waits.find_stuck(connection, found)
        after = found[-1]


def list_leftovers(connection: sa.Connection) -> list[tuple[str, str]]:
    """Return (table, root) of timers and attempts that are about nothing unfinished."""
    live_task = sa.exists().where(_t.id == _m.subject_id, is_unfinished(_t.state))
    live_action = sa.exists().where(_a.id == _q.action_execution_id, is_unfinished(_a.state))
    return [
        *(("timers", root) for root in _distinct(connection, _m.root_execution_id, ~live_task)),
        *(("action_queue", root) for root in _distinct(connection, _q.root_execution_id, ~live_action)),
    ]


def _distinct(
    connection: sa.Connection, column: sa.Column[str], condition: sa.ColumnElement[bool]
) -> list[str]:
    statement = sa.select(column).where(condition).distinct().order_by(column)
    return list(connection.execute(statement).scalars())


def order_mending(connection: sa.Connection, root_id: str, now: datetime) -> None:
    """Ask the engine to wake what nothing wakes in a tree; once is enough."""
    asked = sa.select(_i.seq).where(_i.root_execution_id == root_id, _i.kind == inbox.MEND).limit(1)
    if connection.execute(asked).first() is None:
        inbox.append(
            connection, root_execution_id=root_id, kind=inbox.MEND, subject_id=root_id, payload={}, now=now
        )


def sweep_orphans(connection: sa.Connection) -> int:
    """Delete timers and attempts of trees that are gone as a whole; return how many."""
    count = 0
    for table in (timers, action_queue):
        root = table.c.root_execution_id
        workflow = sa.exists().where(_w.root_execution_id == root)
        action = sa.exists().where(_a.root_execution_id == root)
        count += connection.execute(sa.delete(table).where(~workflow, ~action)).rowcount
    return count


def exists(connection: sa.Connection, root_id: str) -> bool:
    """Tell whether anything of a tree is left."""
    return any(
        connection.execute(sa.select(table.c.id).where(table.c.root_execution_id == root_id).limit(1)).first()
        for table in (workflow_executions, action_executions)
    )


# -- one execution -------------------------------------------------------------------------------------

_TABLES = {
    Noun.WORKFLOW: workflow_executions,
    Noun.TASK: task_executions,
    Noun.ACTION: action_executions,
}


def find_execution(connection: sa.Connection, identifier: str) -> tuple[Noun, Row] | None:
    """Return an execution of whatever kind by its id, None if there is none."""
    for noun, table in _TABLES.items():
        row = only_row(connection.execute(sa.select(table).where(table.c.id == identifier)))
        if row is not None:
            return noun, row
    return None


def find_failure(connection: sa.Connection, noun: Noun, identifier: str) -> tuple[Noun, Row] | None:
    """Return the first failure directly below a failed execution, None if it failed by itself."""
    if noun is Noun.WORKFLOW:
        failed = sa.select(task_executions).where(
            _t.workflow_execution_id == identifier, _t.state == "ERROR", _t.error_handled.is_(sa.false())
        )
        row = only_row(connection.execute(failed.order_by(_t.finished_at, _t.id).limit(1)))
        return None if row is None else (Noun.TASK, row)
    if noun is Noun.TASK:
        for child in (Noun.ACTION, Noun.WORKFLOW):
            table = _TABLES[child]
            below = sa.select(table).where(table.c.task_execution_id == identifier, table.c.state == "ERROR")
            # With retries the last attempt is the one that counted.
            row = only_row(connection.execute(below.order_by(table.c.id.desc()).limit(1)))
            if row is not None:
                return child, row
    return None
