"""What the API reads of executions, and the one row it inserts: the root of a new execution tree.

All other writing to these tables is the engine's, but for one column: the description of a workflow
execution belongs to the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache, lru_cache

import sqlalchemy as sa

from mistral_lite.db import tables, waits
from mistral_lite.db.listing import Column, Row, Source, Viewer, all_rows, only_row
from mistral_lite.db.statements import Later, ListStatement, Statement, inserting

# Identifiers in one IN list; far below what any of the databases takes.
_CHUNK = 500
# Runs of a workflow among which successful ones are looked for.
_LATEST_RUNS = 200

_workflows = tables.workflow_executions
_tasks = tables.task_executions
_actions = tables.action_executions

WORKFLOW_COLUMNS: Mapping[str, Column] = {
    **dict(_workflows.c),
    # A root names itself in its row; the API calls that "no root".
    "root_execution_id": sa.func.nullif(_workflows.c.root_execution_id, _workflows.c.id),
    "own_root_id": _workflows.c.root_execution_id,
    **waits.WORKFLOW_FACTS,
}
TASK_COLUMNS: Mapping[str, Column] = {
    **dict(_tasks.c),
    "workflow_name": _workflows.c.workflow_name,
    "workflow_namespace": _workflows.c.workflow_namespace,
    "workflow_id": _workflows.c.workflow_id,
    "workflow_state": _workflows.c.state,
    "spec_hash": _workflows.c.spec_hash,
}
ACTION_COLUMNS: Mapping[str, Column] = {**dict(_actions.c), **waits.ACTION_FACTS}


def workflow_source(viewer: Viewer) -> Source:
    """Return the workflow executions that ``viewer`` may list."""
    return _for_viewer(_WORKFLOW_SOURCE, viewer)


def task_source(viewer: Viewer) -> Source:
    """Return the task executions that ``viewer`` may list, with columns of their workflow execution."""
    return _for_viewer(_TASK_SOURCE, viewer)


def action_source(viewer: Viewer) -> Source:
    """Return the action executions that ``viewer`` may list; runs that nobody asked to keep are not."""
    return _for_viewer(_ACTION_SOURCE, viewer)


_WORKFLOW_SOURCE = Source(
    noun="Execution",
    select_from=_workflows,
    columns=WORKFLOW_COLUMNS,
    narrowing={"root_execution_id": _workflows.c.root_execution_id},
    null_narrowing={"root_execution_id": _workflows.c.task_execution_id},
    shape=("workflows",),
)
_TASK_SOURCE = Source(
    noun="Task execution",
    select_from=_tasks.join(_workflows, _workflows.c.id == _tasks.c.workflow_execution_id),
    columns=TASK_COLUMNS,
    shape=("tasks",),
)
_ACTION_SOURCE = Source(
    noun="Action execution",
    select_from=_actions,
    columns=ACTION_COLUMNS,
    conditions=(_actions.c.is_ephemeral.is_(sa.false()),),
    shape=("actions",),
)


def _for_viewer(source: Source, viewer: Viewer) -> Source:
    """Return the part of ``source`` that ``viewer`` may see: executions are never shared."""
    if viewer.is_admin:
        return source
    return replace(_of_one_project(source), parameters={"viewer_project": viewer.project_id})


@cache
def _of_one_project(source: Source) -> Source:
    own = source.column("project_id") == sa.bindparam("viewer_project")
    return replace(source, conditions=(*source.conditions, own), shape=(*(source.shape or ()), "own"))


def find_one(
    connection: sa.Connection, source: Source, identifier: str, names: Sequence[str] | None = None
) -> Row | None:
    """Return one row of ``source`` by its id with the columns ``names`` (all for None), or None."""
    statement = _finding(source, tuple(source.columns if names is None else names))
    rows = statement.rows(connection, {**source.parameters, "identifier": identifier})
    return rows[0] if rows else None


# Callers choose the attributes that they see.
@lru_cache(maxsize=500)
def _finding(source: Source, names: tuple[str, ...]) -> Statement:
    return Statement(
        sa.select(*(source.column(name).label(name) for name in names))
        .select_from(source.select_from)
        .where(source.column("id") == sa.bindparam("identifier"), *source.conditions)
    )


def lock_action(connection: sa.Connection, source: Source, action_execution_id: str) -> Later[Sequence[Row]]:
    """Lock an action execution of ``source``; return its tree, its state and the digest of its result, if it is there."""
    return _locking(source).ask(connection, {**source.parameters, "identifier": action_execution_id})


@cache
def _locking(source: Source) -> Statement:
    return Statement(
        sa.select(_actions.c.root_execution_id, _actions.c.state, _actions.c.callback_digest)
        .where(_actions.c.id == sa.bindparam("identifier"), *source.conditions)
        .with_for_update()
    )


def insert_root(connection: sa.Connection, values: Mapping[str, object]) -> None:
    """Insert the root of a new execution tree."""
    inserting(_workflows, tuple(values)).run(connection, values)


def set_description(connection: sa.Connection, execution_id: str, text: str, now: datetime) -> None:
    """Change the description of a workflow execution."""
    connection.execute(
        sa.update(_workflows).where(_workflows.c.id == execution_id).values(description=text, updated_at=now)
    )


def list_running_roots(connection: sa.Connection, *, after: str, most: int) -> list[str]:
    """Return the roots of up to ``most`` trees with a running workflow, in order of id, behind ``after``."""
    root_id = _workflows.c.root_execution_id
    running = sa.select(root_id).where(_workflows.c.state == "RUNNING", root_id > after)
    return list(connection.execute(running.distinct().order_by(root_id).limit(most)).scalars())


def find_action_state(connection: sa.Connection, action_execution_id: str) -> str | None:
    """Return the state of an action execution, ephemeral or not, or None if there is none."""
    return connection.execute(
        sa.select(_actions.c.state).where(_actions.c.id == action_execution_id)
    ).scalar_one_or_none()


def find_action_row(connection: sa.Connection, action_execution_id: str) -> Row | None:
    """Return an action execution, ephemeral or not, or None."""
    statement = sa.select(_actions).where(_actions.c.id == action_execution_id)
    return only_row(connection.execute(statement))


def children_of_workflows(
    connection: sa.Connection, execution_ids: Sequence[str], names: Sequence[str], *, errors_only: bool
) -> list[Row]:
    """Return the nested workflow executions one level below, in order of creation.

    Each row also has ``parent_execution_id``. ``errors_only``: only those whose task is in ERROR.
    """
    rows: list[Row] = []
    for chunk in _chunks(execution_ids):
        statement = (
            sa.select(
                *(WORKFLOW_COLUMNS[name].label(name) for name in names),
                _tasks.c.workflow_execution_id.label("parent_execution_id"),
            )
            .select_from(_tasks.join(_workflows, _workflows.c.task_execution_id == _tasks.c.id))
            .where(_tasks.c.workflow_execution_id.in_(chunk))
            .order_by(_workflows.c.created_at, _workflows.c.id)
        )
        if errors_only:
            statement = statement.where(_tasks.c.state == "ERROR")
        rows.extend(all_rows(connection.execute(statement)))
    return rows


def children_of_tasks(
    connection: sa.Connection, task_ids: Sequence[str], names: Sequence[str]
) -> Later[Sequence[Row]]:
    """Return the nested workflow executions that the tasks started, in order of creation."""
    return _children_of_tasks(tuple(names)).ask(connection, task_ids)


@cache
def _children_of_tasks(names: tuple[str, ...]) -> ListStatement:
    return ListStatement(
        lambda task_ids: (
            sa.select(*(WORKFLOW_COLUMNS[name].label(name) for name in names))
            .where(_workflows.c.task_execution_id.in_(task_ids))
            .order_by(_workflows.c.created_at, _workflows.c.id)
        )
    )


def tasks_of_workflows(
    connection: sa.Connection, execution_ids: Sequence[str], names: Sequence[str], *, errors_only: bool
) -> list[Row]:
    """Return the task executions of the workflow executions, in order of creation."""
    rows: list[Row] = []
    for chunk in _chunks(execution_ids):
        statement = (
            sa.select(*(_tasks.c[name] for name in names))
            .where(_tasks.c.workflow_execution_id.in_(chunk))
            .order_by(_tasks.c.created_at, _tasks.c.id)
        )
        if errors_only:
            statement = statement.where(_tasks.c.state == "ERROR")
        rows.extend(all_rows(connection.execute(statement)))
    return rows


def actions_of_tasks(
    connection: sa.Connection, task_ids: Sequence[str], names: Sequence[str], *, accepted_only: bool = False
) -> Later[Sequence[Row]]:
    """Return the action executions of the tasks, in order of creation."""
    return _actions_of_tasks(tuple(names), accepted_only=accepted_only).ask(connection, task_ids)


@cache
def _actions_of_tasks(names: tuple[str, ...], *, accepted_only: bool) -> ListStatement:
    is_wanted = _actions.c.accepted.is_(sa.true()) if accepted_only else sa.true()
    return ListStatement(
        lambda task_ids: (
            sa.select(*(_actions.c[name] for name in names))
            .where(_actions.c.task_execution_id.in_(task_ids), is_wanted)
            .order_by(_actions.c.created_at, _actions.c.id)
        )
    )


def recent_durations_s(
    connection: sa.Connection, workflow_id: str, workflow_name: str, project_id: str, count: int
) -> list[float]:
    """Return the durations in seconds of the last ``count`` successful runs of a workflow in a project.

    Only the latest runs under its name are looked at, so that this costs the same however many there are.
    """
    latest = (
        sa.select(
            *(
                _workflows.c[name]
                for name in ("id", "workflow_id", "project_id", "state", "created_at", "updated_at")
            )
        )
        .where(_workflows.c.workflow_name == workflow_name)
        .order_by(_workflows.c.created_at.desc(), _workflows.c.id.desc())
        .limit(_LATEST_RUNS)
        .subquery()
    )
    statement = (
        sa.select(latest.c.created_at, latest.c.updated_at)
        .where(
            latest.c.workflow_id == workflow_id,
            latest.c.project_id == project_id,
            latest.c.state == "SUCCESS",
        )
        .order_by(latest.c.created_at.desc(), latest.c.id.desc())
        .limit(count)
    )
    return [
        (row.updated_at - row.created_at).total_seconds()
        for row in connection.execute(statement)
        if row.updated_at is not None
    ]


def _chunks(identifiers: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(identifiers), _CHUNK):
        yield identifiers[start : start + _CHUNK]
