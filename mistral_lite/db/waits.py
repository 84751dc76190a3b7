"""What wakes an unfinished row, read from SQL: the one place that knows, for the API, the engine and ``doctor``.

What workflow and action executions wait for follows from columns that one statement can read with the row
itself (``WORKFLOW_FACTS``, ``ACTION_FACTS``). For tasks a fixed number of queries answers for any number of rows;
the answer is that of one moment only if all of them see the same state: read inside
``Database.read(is_snapshot=True)``, or with the roots locked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from mistral_lite.db.statements import ListStatement, chunks, pipelined
from mistral_lite.db.states import is_unfinished
from mistral_lite.db.tables import (
    action_executions,
    action_queue,
    inbox,
    task_executions,
    timers,
    workflow_executions,
)
from mistral_lite.jsontext import load
from mistral_lite.workflow.model import TimerKind
from mistral_lite.workflow.states import State, is_finished

_w, _t, _a = workflow_executions.c, task_executions.c, action_executions.c
_q, _i, _m = action_queue.c, inbox.c, timers.c

# Each a parameter of its own: a statement that is compiled once cannot hold a list.
_Row = Mapping[str, Any]
_Columns = Mapping[str, sa.ColumnElement[Any]]


def _unfinished(
    *columns: sa.ColumnElement[Any],
    of: sa.Table,
    joined: sa.FromClause | None = None,
    facts: _Columns | None = None,
) -> ListStatement:
    """Return the statement that finds the unfinished ones among rows of a table."""
    labelled = [fact.label(name) for name, fact in (facts or {}).items()]
    return ListStatement(
        lambda ids: (
            sa.select(*columns, *labelled)
            .select_from(of if joined is None else joined)
            .where(of.c.id.in_(ids), is_unfinished(of.c.state))
        )
    )


def _fact(of: sa.Table, found: sa.Select[Any]) -> sa.ColumnElement[Any]:
    """Return the one value that ``found`` gives for a row of ``of``, which is not looked for once it is finished."""
    return sa.case((is_unfinished(of.c.state), found.correlate(of).scalar_subquery()))


def _oldest_command(of: sa.Table, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    about = (_i.root_execution_id == of.c.root_execution_id, _i.subject_id == of.c.id)
    return _fact(of, sa.select(column).where(*about).order_by(_i.seq).limit(1))


class WaitKind(StrEnum):
    """What an unfinished row waits for. ``NOTHING`` is a bug or damage: no event will ever reach it."""

    INBOX = "inbox"
    TIMER = "timer"
    RETRY = "retry"
    QUEUE = "queue"
    EXECUTOR = "executor"
    CALLBACK = "callback"
    ACTION = "action"
    WORKFLOW = "workflow"
    TASK = "task"
    JOIN = "join"
    OPERATOR = "operator"
    ENDED = "ended"
    NOTHING = "nothing"


class Noun(StrEnum):
    """The three kinds of rows that wait."""

    WORKFLOW = "workflow"
    TASK = "task"
    ACTION = "action"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What a row waits for and since when.

    ``until``: when the waiting ends at the latest, None if nothing bounds it. ``id``: of the row that it waits
    for; the executor for EXECUTOR, the number of the row for INBOX, for OPERATOR and ENDED the execution that
    is paused or has ended.
    """

    kind: WaitKind
    since: datetime
    until: datetime | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A row that nothing will wake."""

    noun: Noun
    id: str
    root_id: str
    state: str
    since: datetime


def find(connection: sa.Connection, noun: Noun, ids: Sequence[str]) -> dict[str, Wait]:
    """Return by id what the unfinished ones among ``ids`` wait for; finished and unknown ones are left out."""
    found: dict[str, Wait] = {}
    for chunk in chunks(ids):
        found.update(_FINDERS[noun](connection, chunk))
    return found


def find_stuck(connection: sa.Connection, root_ids: Sequence[str]) -> list[Stuck]:
    """Return the rows of these trees that nothing will wake."""
    found: list[Stuck] = []
    for noun, table in _TABLES.items():
        c = table.c
        unfinished = sa.select(c.id, c.root_execution_id, c.state, c.created_at).where(is_unfinished(c.state))
        for chunk in chunks(root_ids):
            rows = connection.execute(unfinished.where(c.root_execution_id.in_(chunk))).mappings().all()
            waiting = find(connection, noun, [row["id"] for row in rows])
            found.extend(
                Stuck(
                    noun=noun,
                    id=row["id"],
                    root_id=row["root_execution_id"],
                    state=row["state"],
                    since=row["created_at"],
                )
                for row in rows
                # One that ended between two queries waits for nothing, and is not stuck.
                if row["id"] in waiting and waiting[row["id"]].kind is WaitKind.NOTHING
            )
    return found


# -- action executions ---------------------------------------------------------------------------------


def _queued(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return _fact(action_executions, sa.select(column).where(_q.action_execution_id == _a.id))


ACTION_FACTS: _Columns = {
    "wait_command": _oldest_command(action_executions, _i.seq),
    "wait_command_since": _oldest_command(action_executions, _i.created_at),
    "wait_queued_since": _queued(_q.available_at),
    "wait_executor": _queued(_q.executor_id),
    "wait_lease_until": _queued(_q.lease_until),
    "wait_deadline": _fact(
        action_executions,
        sa.select(sa.func.min(_m.due_at)).where(
            _m.root_execution_id == _a.root_execution_id,
            _m.subject_id == _a.task_execution_id,
            _m.kind == TimerKind.TIMEOUT,
        ),
    ),
}
_ACTIONS = _unfinished(
    _a.id, _a.state, _a.is_sync, _a.created_at, _a.updated_at, of=action_executions, facts=ACTION_FACTS
)


def wait_of_action(row: _Row) -> Wait | None:
    """Return what an action execution waits for, by its columns and ``ACTION_FACTS``; None once it is finished."""
    if is_finished(State(row["state"])):
        return None
    since = row["updated_at"] or row["created_at"]
    until = row["wait_deadline"]
    if row["wait_command"] is not None:
        return _commanded(row)
    if row["wait_lease_until"] is not None:
        return Wait(
            kind=WaitKind.EXECUTOR,
            since=row["wait_queued_since"],
            until=row["wait_lease_until"],
            id=row["wait_executor"],
        )
    if row["wait_queued_since"] is not None:
        return Wait(kind=WaitKind.QUEUE, since=row["wait_queued_since"], until=until, id=row["id"])
    if row["state"] == State.PAUSED:
        return Wait(kind=WaitKind.OPERATOR, since=since, until=until, id=row["id"])
    if not row["is_sync"]:
        return Wait(kind=WaitKind.CALLBACK, since=row["created_at"], until=until, id=row["id"])
    return Wait(kind=WaitKind.NOTHING, since=since, until=until)


def _commanded(row: _Row) -> Wait:
    # What lies in the inbox about a row comes first, as it will be applied first.
    return Wait(kind=WaitKind.INBOX, since=row["wait_command_since"], id=str(row["wait_command"]))


def _find_actions(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Wait]:
    return _found(_ACTIONS.rows(connection, ids), wait_of_action)


# -- task executions -----------------------------------------------------------------------------------

_DELAYS = (TimerKind.WAIT_BEFORE, TimerKind.WAIT_AFTER, TimerKind.RETRY)
_TASKS = _unfinished(
    _t.id,
    _t.root_execution_id,
    _t.workflow_execution_id,
    _t.state,
    _t.runtime,
    _t.created_at,
    _t.updated_at,
    _w.state.label("workflow_state"),
    _w.updated_at.label("workflow_updated_at"),
    of=task_executions,
    joined=task_executions.outerjoin(workflow_executions, _w.id == _t.workflow_execution_id),
)


def _find_tasks(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Wait]:
    rows = _TASKS.rows(connection, ids)
    task_ids = [row["id"] for row in rows]
    root_ids = sorted({row["root_execution_id"] for row in rows})
    joins = sorted({row["workflow_execution_id"] for row in rows if row["state"] == State.WAITING})
    with pipelined(connection):
        waiting = _COMMANDS.ask(connection, root_ids)
        due = _TIMERS.ask(connection, root_ids)
        workflows = _WORKFLOWS_BELOW.ask(connection, task_ids)
        actions = _ACTIONS_BELOW.ask(connection, task_ids)
        moving = _MOVING.ask(connection, joins)
    commands = _commands(waiting(), task_ids)
    set_timers = _timers(due(), task_ids)
    children = {
        **_oldest(workflows(), WaitKind.WORKFLOW, "task_execution_id"),
        **_oldest(actions(), WaitKind.ACTION, "task_execution_id"),
    }
    movers = _oldest(moving(), WaitKind.TASK, "workflow_execution_id")

    def wait_of(row: _Row) -> Wait:
        own = set_timers.get(row["id"], {})
        delay = next((own[kind] for kind in _DELAYS if kind in own), None)
        since = row["updated_at"] or row["created_at"]
        if delay is not None:
            kind = WaitKind.RETRY if delay["kind"] == TimerKind.RETRY else WaitKind.TIMER
            return Wait(kind=kind, since=since, until=delay["due_at"], id=delay["id"])
        timeout = own.get(TimerKind.TIMEOUT)
        until = timeout["due_at"] if timeout is not None else None
        child = children.get(row["id"])
        if child is not None:
            return Wait(kind=child.kind, since=child.since, until=until, id=child.id)
        return _childless(row, movers.get(row["workflow_execution_id"]), timeout)

    return {row["id"]: commands.get(row["id"]) or wait_of(row) for row in rows}


def _childless(row: _Row, mover: Wait | None, timeout: _Row | None) -> Wait:
    """Return what a task waits for that has neither a delay nor an unfinished child."""
    since = row["updated_at"] or row["created_at"]
    until = timeout["due_at"] if timeout is not None else None
    workflow_state = row["workflow_state"]
    if workflow_state is not None and is_finished(State(workflow_state)):
        return Wait(
            kind=WaitKind.ENDED, since=row["workflow_updated_at"] or since, id=row["workflow_execution_id"]
        )
    is_held = row["state"] in (State.IDLE, State.WAITING, State.PAUSED) or "held" in load(row["runtime"])
    if workflow_state == State.PAUSED and is_held:
        return Wait(
            kind=WaitKind.OPERATOR,
            since=row["workflow_updated_at"] or since,
            until=until,
            id=row["workflow_execution_id"],
        )
    if row["state"] == State.WAITING and mover is not None:
        return Wait(kind=WaitKind.JOIN, since=since, until=until, id=mover.id)
    if timeout is not None:
        return Wait(kind=WaitKind.TIMER, since=since, until=until, id=timeout["id"])
    return Wait(kind=WaitKind.NOTHING, since=since)


# -- workflow executions -------------------------------------------------------------------------------


def _is_moving() -> sa.ColumnElement[bool]:
    """Return the condition under which a task moves its workflow on: any unfinished but a join that only waits."""
    delayed = sa.exists().where(
        _m.root_execution_id == _t.root_execution_id, _m.subject_id == _t.id, _t.state == State.WAITING
    )
    return sa.and_(is_unfinished(_t.state), sa.or_(_t.state != State.WAITING, delayed))


def _oldest_task(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    moving = sa.select(column).where(_t.workflow_execution_id == _w.id, _is_moving())
    return _fact(workflow_executions, moving.order_by(_t.created_at, _t.id).limit(1))


WORKFLOW_FACTS: _Columns = {
    "wait_command": _oldest_command(workflow_executions, _i.seq),
    "wait_command_since": _oldest_command(workflow_executions, _i.created_at),
    "wait_task": _oldest_task(_t.id),
    "wait_task_since": _oldest_task(_t.created_at),
}
_WORKFLOWS = _unfinished(
    _w.id, _w.state, _w.created_at, _w.updated_at, of=workflow_executions, facts=WORKFLOW_FACTS
)


def wait_of_workflow(row: _Row) -> Wait | None:
    """Return what a workflow execution waits for, by its columns and ``WORKFLOW_FACTS``; None once it is finished."""
    if is_finished(State(row["state"])):
        return None
    since = row["updated_at"] or row["created_at"]
    if row["wait_command"] is not None:
        return _commanded(row)
    if row["state"] == State.PAUSED:
        return Wait(kind=WaitKind.OPERATOR, since=since, id=row["id"])
    if row["wait_task"] is not None:
        return Wait(kind=WaitKind.TASK, since=row["wait_task_since"], id=row["wait_task"])
    return Wait(kind=WaitKind.NOTHING, since=since)


def _find_workflows(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Wait]:
    return _found(_WORKFLOWS.rows(connection, ids), wait_of_workflow)


# -- shared --------------------------------------------------------------------------------------------


def _found(rows: Sequence[_Row], wait_of: Callable[[_Row], Wait | None]) -> dict[str, Wait]:
    """Return by id what unfinished rows wait for."""
    return {row["id"]: wait for row in rows if (wait := wait_of(row)) is not None}


_COMMANDS = ListStatement(
    lambda ids: sa.select(_i.seq, _i.subject_id, _i.created_at).where(_i.root_execution_id.in_(ids))
)


def _commands(rows: Sequence[_Row], task_ids: Sequence[str]) -> dict[str, Wait]:
    """Return by task the oldest row of the inbox that is about it."""
    ids = set(task_ids)
    found: dict[str, Wait] = {}
    for row in sorted(rows, key=itemgetter("seq")):
        if row["subject_id"] in ids:
            wait = Wait(kind=WaitKind.INBOX, since=row["created_at"], id=str(row["seq"]))
            found.setdefault(row["subject_id"], wait)
    return found


_TIMERS = ListStatement(
    lambda ids: sa.select(_m.id, _m.subject_id, _m.kind, _m.due_at).where(_m.root_execution_id.in_(ids))
)


def _timers(rows: Sequence[_Row], task_ids: Sequence[str]) -> dict[str, dict[str, _Row]]:
    """Return by task and kind the timers that are set."""
    found: dict[str, dict[str, _Row]] = {task_id: {} for task_id in task_ids}
    for row in rows:
        if row["subject_id"] in found:
            found[row["subject_id"]][row["kind"]] = row
    return found


def _below(table: sa.Table) -> ListStatement:
    return ListStatement(
        lambda ids: (
            sa.select(
                table.c.task_execution_id,
                sa.func.min(table.c.id).label("id"),
                sa.func.min(table.c.created_at).label("since"),
            )
            .where(table.c.task_execution_id.in_(ids), is_unfinished(table.c.state))
            .group_by(table.c.task_execution_id)
        )
    )


_WORKFLOWS_BELOW = _below(workflow_executions)
_ACTIONS_BELOW = _below(action_executions)


_MOVING = ListStatement(
    lambda ids: (
        sa.select(
            _t.workflow_execution_id,
            sa.func.min(_t.id).label("id"),
            sa.func.min(_t.created_at).label("since"),
        )
        .where(_t.workflow_execution_id.in_(ids), _is_moving())
        .group_by(_t.workflow_execution_id)
    )
)


def _oldest(rows: Sequence[_Row], kind: WaitKind, key: str) -> dict[str, Wait]:
    """Return by the column ``key`` the oldest of the rows that somebody waits for; identifiers sort by time."""
    return {row[key]: Wait(kind=kind, since=row["since"], id=row["id"]) for row in rows}


_FINDERS: Mapping[Noun, Callable[[sa.Connection, Sequence[str]], dict[str, Wait]]] = {
    Noun.WORKFLOW: _find_workflows,
    Noun.TASK: _find_tasks,
    Noun.ACTION: _find_actions,
}
_TABLES: Mapping[Noun, sa.Table] = {
    Noun.WORKFLOW: workflow_executions,
    Noun.TASK: task_executions,
    Noun.ACTION: action_executions,
}
