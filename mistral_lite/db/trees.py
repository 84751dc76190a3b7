"""Execution trees: locked, loaded and written as a whole, many at a time.

The row of the root is the lock. ``lock`` never waits: a tree that another engine holds is left out, and its
events come back later. Writing is set-based: one statement for all inserts into a table, one for all rows
of a table in which the same columns change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from mistral_lite.db import rows
from mistral_lite.db.tables import (
    action_executions,
    action_queue,
    task_executions,
    timers,
    workflow_executions,
)
from mistral_lite.workflow.decision import Change, Decision
from mistral_lite.workflow.library import Library
from mistral_lite.workflow.snapshot import Snapshot

# Databases bound the number of parameters of a statement; SQLite's oldest bound is the lowest.
_CHUNK = 500


def lock(connection: sa.Connection, root_ids: Iterable[str]) -> dict[str, int]:
    """Lock the roots that nobody else holds; return their versions (0 for stand-alone actions)."""
    wanted = sorted(root_ids)
    locked: dict[str, int] = {}
    for chunk in chunks(wanted):
        statement = (
            sa.select(workflow_executions.c.id, workflow_executions.c.version)
            .where(workflow_executions.c.id.in_(chunk))
            .order_by(workflow_executions.c.id)
            .with_for_update(skip_locked=True)
        )
        locked.update((row.id, row.version) for row in connection.execute(statement))
    alone = [root_id for root_id in wanted if root_id not in locked]
    for chunk in chunks(alone):
        found = connection.execute(
            sa.select(action_executions.c.id)
            .where(action_executions.c.id.in_(chunk), action_executions.c.task_execution_id.is_(None))
            .order_by(action_executions.c.id)
            .with_for_update(skip_locked=True)
        )
        locked.update((row.id, 0) for row in found)
    return locked


def load(connection: sa.Connection, versions: Mapping[str, int], library: Library) -> dict[str, Snapshot]:
    """Return the snapshots of locked roots, whose ``versions`` ``lock`` told."""
    root_ids = list(versions)

    def by_root(table: sa.Table, order: str, make: Callable[[Any], Any]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for chunk in chunks(root_ids):
            statement = sa.select(table).where(table.c.root_execution_id.in_(chunk)).order_by(table.c[order])
            for row in connection.execute(statement).mappings():
                found.setdefault(row["root_execution_id"], []).append(make(row))
        return found

    workflows = by_root(workflow_executions, "id", rows.workflow_from)
    tasks = by_root(task_executions, "id", rows.task_from) if workflows else {}
    actions = by_root(action_executions, "id", rows.action_from)
    due = by_root(timers, "id", rows.timer_from) if workflows else {}
    pending = by_root(action_queue, "action_execution_id", rows.pending_from)
    return {
        root_id: Snapshot(root_id, versions[root_id], library).load(
            workflows=workflows.get(root_id, ()),
            tasks=tasks.get(root_id, ()),
            actions=actions.get(root_id, ()),
            timers=due.get(root_id, ()),
            pending=pending.get(root_id, ()),
        )
        for root_id in root_ids
    }


@dataclass(frozen=True, slots=True)
class Lease:
    """Who runs a pending attempt, by which call it got it, and until when unless it says so again."""

    executor_id: str
    claim_id: str
    until: datetime


@dataclass(slots=True)
class Changes:
    """The sum of several decisions, ready to be written. ``leases`` are for attempts that are new in it."""

    versions: dict[str, int] = field(default_factory=dict)
    workflows: dict[str, Change[Any]] = field(default_factory=dict)
    tasks: dict[str, Change[Any]] = field(default_factory=dict)
    actions: dict[str, Change[Any]] = field(default_factory=dict)
    timers: dict[str, Change[Any]] = field(default_factory=dict)
    pending: dict[str, Change[Any]] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)

    def add(self, root_id: str, decision: Decision) -> None:
        """Add a decision that was made after all those added before about the same tree."""
        if decision.is_empty:
            return
        self.versions[root_id] = decision.version
        for mine, its in (
            (self.workflows, decision.workflows),
            (self.tasks, decision.tasks),
            (self.actions, decision.actions),
            (self.timers, decision.timers),
            (self.pending, decision.pending),
        ):
            _add(mine, its)


def _add(mine: dict[str, Change[Any]], its: Mapping[str, Change[Any]]) -> None:
    for key, change in its.items():
        known = mine.get(key)
        before = known.before if known is not None else change.before
        if before is None and change.after is None:
            mine.pop(key, None)
        else:
            mine[key] = Change(before=before, after=change.after)


def write(connection: sa.Connection, changes: Changes) -> None:
    """Write changes of locked trees."""
    _write_table(connection, rows.WORKFLOWS, changes.workflows)
    _write_table(connection, rows.TASKS, changes.tasks)
    _write_table(connection, rows.ACTIONS, changes.actions)
    _write_table(connection, rows.TIMERS, changes.timers)
    _write_pending(connection, changes)
    versions = [{"b_id": root_id, "version": version} for root_id, version in changes.versions.items()]
    if versions:
        table = workflow_executions
        connection.execute(sa.update(table).where(table.c.id == sa.bindparam("b_id")), versions)


def _write_table(connection: sa.Connection, mapper: rows.Mapper, changes: Mapping[str, Change[Any]]) -> None:
    inserts = [
        mapper.insert_values(c.after) for c in changes.values() if c.before is None and c.after is not None
    ]
    if inserts:
        connection.execute(sa.insert(mapper.table), inserts)
    updates = [
        {"b_id": key, **mapper.update_values(c.before, c.after)}
        for key, c in changes.items()
        if c.before is not None and c.after is not None
    ]
    _update(connection, mapper, updates)
    _delete(connection, mapper, [key for key, c in changes.items() if c.after is None])


def _update(connection: sa.Connection, mapper: rows.Mapper, updates: list[dict[str, object]]) -> None:
    key = mapper.table.c[mapper.key]
    ordered = sorted((row for row in updates if len(row) > 1), key=_columns)
    for columns, group in groupby(ordered, key=_columns):
        statement = (
            sa.update(mapper.table)
            .where(key == sa.bindparam("b_id"))
            .values({name: sa.bindparam(name) for name in columns if name != "b_id"})
        )
        connection.execute(statement, list(group))


def _columns(row: dict[str, object]) -> tuple[str, ...]:
    return tuple(row)


def _delete(connection: sa.Connection, mapper: rows.Mapper, keys: list[str]) -> None:
    for chunk in chunks(keys):
        connection.execute(sa.delete(mapper.table).where(mapper.table.c[mapper.key].in_(chunk)))


def _write_pending(connection: sa.Connection, changes: Changes) -> None:
    mapper = rows.PENDING
    inserts: list[dict[str, object]] = []
    again: list[dict[str, object]] = []
    for key, change in changes.pending.items():
        if change.after is None:
            continue
        lease = changes.leases.get(key)
        values = mapper.insert_values(change.after)
        values["executor_id"] = lease.executor_id if lease else None
        values["claim_id"] = lease.claim_id if lease else None
        values["lease_until"] = lease.until if lease else None
        (inserts if change.before is None else again).append(values)
    if inserts:
        connection.execute(sa.insert(mapper.table), inserts)
    if again:
        _delete(connection, mapper, [str(values["action_execution_id"]) for values in again])
        connection.execute(sa.insert(mapper.table), again)
    _delete(connection, mapper, [key for key, c in changes.pending.items() if c.after is None])


def chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    """Return ``values`` in portions that fit into one statement."""
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def delete(connection: sa.Connection, snapshot: Snapshot, workflow_id: str) -> None:
    """Delete a workflow execution with everything below it; the whole tree if it is the root."""
    if workflow_id == snapshot.root_id:
        for table in (timers, action_queue, action_executions, task_executions, workflow_executions):
            connection.execute(sa.delete(table).where(table.c.root_execution_id == snapshot.root_id))
        return
    workflow_ids = [workflow_id]
    for each in workflow_ids:
        workflow_ids.extend(child.id for child in snapshot.nested_workflows(each))
    task_ids = [task.id for each in workflow_ids for task in snapshot.tasks_of(each)]
    action_ids = [action.id for action in snapshot.actions.values() if action.workflow_id in workflow_ids]
    for table, column, keys in (
        (timers, timers.c.subject_id, task_ids),
        (action_queue, action_queue.c.action_execution_id, action_ids),
        (action_executions, action_executions.c.id, action_ids),
        (task_executions, task_executions.c.id, task_ids),
        (workflow_executions, workflow_executions.c.id, workflow_ids),
    ):
        for chunk in chunks(keys):
            connection.execute(sa.delete(table).where(column.in_(chunk)))
    connection.execute(
        sa.update(workflow_executions)
        .where(workflow_executions.c.id == snapshot.root_id)
        .values(version=snapshot.version + 1)
    )
