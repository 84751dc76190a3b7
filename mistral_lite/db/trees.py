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
from mistral_lite.db.statements import Later, ListStatement, Row, Writing, chunks, pipelined
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

_LOCK_WORKFLOWS = ListStatement(
    lambda ids: (
        sa.select(workflow_executions.c.id, workflow_executions.c.version)
        .where(workflow_executions.c.id.in_(ids))
        .order_by(workflow_executions.c.id)
        .with_for_update(skip_locked=True)
    )
)
_LOCK_ACTIONS = ListStatement(
    lambda ids: (
        sa.select(action_executions.c.id)
        .where(action_executions.c.id.in_(ids), action_executions.c.task_execution_id.is_(None))
        .order_by(action_executions.c.id)
        .with_for_update(skip_locked=True)
    )
)


def _of_roots(mapper: rows.Mapper) -> ListStatement:
    table = mapper.table
    return ListStatement(
        lambda ids: sa.select(table).where(table.c.root_execution_id.in_(ids)).order_by(table.c[mapper.key])
    )


_WORKFLOWS_OF_ROOTS = _of_roots(rows.WORKFLOWS)
_TASKS_OF_ROOTS = _of_roots(rows.TASKS)
_ACTIONS_OF_ROOTS = _of_roots(rows.ACTIONS)
_TIMERS_OF_ROOTS = _of_roots(rows.TIMERS)
_PENDING_OF_ROOTS = _of_roots(rows.PENDING)

_WORKFLOWS = Writing(rows.WORKFLOWS)
_TASKS = Writing(rows.TASKS)
_ACTIONS = Writing(rows.ACTIONS)
_TIMERS = Writing(rows.TIMERS)
_PENDING = Writing(rows.PENDING, "executor_id", "claim_id", "lease_until")
_NOTIFICATIONS = Writing(rows.NOTIFICATIONS)


def lock(connection: sa.Connection, root_ids: Iterable[str]) -> Later[dict[str, int]]:
    """Lock the root workflow executions that nobody else holds; return their versions."""
    found = _LOCK_WORKFLOWS.ask(connection, sorted(root_ids))
    return lambda: {row["id"]: row["version"] for row in found()}


def lock_alone(connection: sa.Connection, root_ids: Iterable[str]) -> Later[dict[str, int]]:
    """Lock the stand-alone actions that nobody else holds; return their versions, which mean nothing."""
    found = _LOCK_ACTIONS.ask(connection, sorted(root_ids))
    return lambda: {row["id"]: 0 for row in found()}


def load(connection: sa.Connection, versions: Mapping[str, int], library: Library) -> dict[str, Snapshot]:
    """Return the snapshots of locked roots, whose ``versions`` ``lock`` told."""
    root_ids = list(versions)

    def ask(statement: ListStatement, make: Callable[[Any], Any]) -> Later[dict[str, list[Any]]]:
        found = statement.ask(connection, root_ids)
        return lambda: _by_root(found(), make)

    with pipelined(connection):
        asked = (
            ask(_WORKFLOWS_OF_ROOTS, rows.workflow_from),
            ask(_TASKS_OF_ROOTS, rows.task_from),
            ask(_ACTIONS_OF_ROOTS, rows.action_from),
            ask(_TIMERS_OF_ROOTS, rows.timer_from),
            ask(_PENDING_OF_ROOTS, rows.pending_from),
        )
    workflows, tasks, actions, due, pending = (later() for later in asked)
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


def load_new(connection: sa.Connection, root_ids: Sequence[str], library: Library) -> dict[str, Snapshot]:
    """Return the snapshots of locked roots about which nothing was decided yet; there is nothing below them."""
    found = _WORKFLOWS_OF_ROOTS.rows(connection, root_ids)
    return {
        root_id: Snapshot(root_id, 0, library).load(workflows=workflows)
        for root_id, workflows in _by_root(found, rows.workflow_from).items()
    }


def _by_root(found: Iterable[Row], make: Callable[[Row], Any]) -> dict[str, list[Any]]:
    by_root: dict[str, list[Any]] = {}
    for row in found:
        by_root.setdefault(row["root_execution_id"], []).append(make(row))
    return by_root


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
    notifications: dict[str, Change[Any]] = field(default_factory=dict)
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
            (self.notifications, decision.notifications),
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
    _write_table(connection, _WORKFLOWS, changes.workflows)
    _write_table(connection, _TASKS, changes.tasks)
    _write_table(connection, _ACTIONS, changes.actions)
    _write_table(connection, _TIMERS, changes.timers)
    _write_table(connection, _NOTIFICATIONS, changes.notifications)
    _write_pending(connection, changes)
    versions = [{"b_id": root_id, "version": version} for root_id, version in changes.versions.items()]
    _WORKFLOWS.update(("b_id", "version")).run_many(connection, versions)


def _write_table(connection: sa.Connection, writing: Writing, changes: Mapping[str, Change[Any]]) -> None:
    if not changes:
        return
    mapper = writing.mapper
    inserts = [
        mapper.insert_values(c.after) for c in changes.values() if c.before is None and c.after is not None
    ]
    writing.insert.run_many(connection, inserts)
    updates = [
        {"b_id": key, **mapper.update_values(c.before, c.after)}
        for key, c in changes.items()
        if c.before is not None and c.after is not None
    ]
    ordered = sorted((row for row in updates if len(row) > 1), key=_columns)
    for columns, group in groupby(ordered, key=_columns):
        writing.update(columns).run_many(connection, list(group))
    writing.delete.run(connection, [key for key, c in changes.items() if c.after is None])


def _columns(row: dict[str, object]) -> tuple[str, ...]:
    return tuple(row)


def _write_pending(connection: sa.Connection, changes: Changes) -> None:
    inserts: list[dict[str, object]] = []
    again: list[dict[str, object]] = []
    for key, change in changes.pending.items():
        if change.after is None:
            continue
        lease = changes.leases.get(key)
        values = rows.PENDING.insert_values(change.after)
        values["executor_id"] = lease.executor_id if lease else None
        values["claim_id"] = lease.claim_id if lease else None
        values["lease_until"] = lease.until if lease else None
        (inserts if change.before is None else again).append(values)
    _PENDING.insert.run_many(connection, inserts)
    _PENDING.delete.run(connection, [values["action_execution_id"] for values in again])
    _PENDING.insert.run_many(connection, again)
    _PENDING.delete.run(connection, [key for key, c in changes.pending.items() if c.after is None])


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
