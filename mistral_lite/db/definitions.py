"""Definitions as uploaded (workflows, workbooks, ad-hoc actions) and their parsed form by content.

The API writes them; the engine only looks definitions up and loads specs. A spec is stored under the hash
of its content and never changes, so an execution that points to one is immune to later uploads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from hashlib import sha256
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mistral_lite.db import tables
from mistral_lite.db.listing import Row, Source, Viewer, all_rows, only_row
from mistral_lite.db.statements import Later, Statement
from mistral_lite.db.transaction import Database
from mistral_lite.errors import AlreadyExistsError, NotFoundError
from mistral_lite.jsontext import JsonObject, dump, load
from mistral_lite.lang import parse
from mistral_lite.lang.specs import ActionSpec, WorkflowSpec

WORKFLOW = "workflow"
ACTION = "action"
# The type of resource that rows of ``resource_members`` are about.
SHARED_WORKFLOW = "workflow"

_NOUNS = {
    tables.workflow_definitions.name: "Workflow",
    tables.workbooks.name: "Workbook",
    tables.action_definitions.name: "Action",
    tables.code_sources.name: "Code source",
    tables.dynamic_actions.name: "Dynamic action",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What an execution needs to know of a workflow or an ad-hoc action definition."""

    id: str
    name: str
    namespace: str
    spec_hash: str
    tags: tuple[str, ...]
    project_id: str
    workbook_name: str | None


_OF_DEFINITION = tuple(field.name for field in fields(Definition))


def save_spec(database: Database, connection: sa.Connection, kind: str, source: JsonObject) -> str:
    """Store a parsed form (``kind`` is WORKFLOW or ACTION) unless it is there already; return its hash.

    The order of keys counts: the order of tasks has a meaning.
    """
    text = dump(source)
    digest = sha256(f"{kind}:{text}".encode()).hexdigest()
    connection.execute(database.insert_ignoring(tables.specs), {"hash": digest, "kind": kind, "source": text})
    return digest


def load_spec(connection: sa.Connection, spec_hash: str) -> WorkflowSpec:
    """Return the workflow spec stored under ``spec_hash``. Raises ``NotFoundError``."""
    return parse.workflow_from_source(_source_of(connection, spec_hash))


def load_specs(connection: sa.Connection, spec_hashes: Sequence[str]) -> dict[str, WorkflowSpec]:
    """Return the workflow specs stored under ``spec_hashes``, by hash; unknown ones are left out."""
    statement = sa.select(tables.specs.c.hash, tables.specs.c.source).where(
        tables.specs.c.hash.in_(spec_hashes)
    )
    return {row.hash: parse.workflow_from_source(load(row.source)) for row in connection.execute(statement)}


def load_action_spec(connection: sa.Connection, spec_hash: str) -> ActionSpec:
    """Return the ad-hoc action spec stored under ``spec_hash``. Raises ``NotFoundError``."""
    return parse.action_from_source(_source_of(connection, spec_hash))


def load_any_spec(connection: sa.Connection, spec_hash: str) -> WorkflowSpec | ActionSpec:
    """Return the spec stored under ``spec_hash``, whatever it is of. Raises ``NotFoundError``."""
    statement = sa.select(tables.specs.c.kind).where(tables.specs.c.hash == spec_hash)
    kind = connection.execute(statement).scalar_one_or_none()
    return load_action_spec(connection, spec_hash) if kind == ACTION else load_spec(connection, spec_hash)


def find_workflow(
    connection: sa.Connection, name_or_id: str, namespace: str, project_id: str, *, is_exact: bool = False
) -> Definition | None:
    """Return the workflow definition that ``project_id`` means by a name or an id, or None.

    A name is looked for in ``namespace``, then (unless ``is_exact``) in the default one.
    """
    row = find_row(
        connection,
        tables.workflow_definitions,
        name_or_id,
        namespace,
        Viewer(project_id=project_id),
        is_exact=is_exact,
        columns=_OF_DEFINITION,
    )
    return None if row is None else _definition(row)


def find_action(connection: sa.Connection, name: str, namespace: str, project_id: str) -> Definition | None:
    """Return the ad-hoc action that ``project_id`` means by a name or an id, or None.

    It is looked for in ``namespace``, then in the default one.
    """
    row = find_row(
        connection,
        tables.action_definitions,
        name,
        namespace,
        Viewer(project_id=project_id),
        columns=_OF_DEFINITION,
    )
    return None if row is None else _definition(row)


def source(table: sa.Table, viewer: Viewer) -> Source:
    """Return the definitions in ``table`` that ``viewer`` may list."""
    return Source(
        noun=_NOUNS[table.name],
        select_from=table,
        columns=dict(table.c),
        conditions=_visible(table, viewer),
    )


def find_row(
    connection: sa.Connection,
    table: sa.Table,
    name_or_id: str,
    namespace: str,
    viewer: Viewer,
    *,
    is_exact: bool = False,
    is_by_id: bool = True,
    columns: tuple[str, ...] | None = None,
) -> Row | None:
    """Return the row, or these columns of it, that ``viewer`` means by a name or an id, or None.

    Own definitions come before shared ones, the given namespace before the default one (which only counts
    if not ``is_exact``). ``is_by_id`` false: the text is always a name.
    """
    identifier = _as_uuid(name_or_id) if is_by_id else None
    statement = _lookup(table, columns, is_by_id=identifier is not None, is_admin=viewer.is_admin)
    values = {
        "identifier": identifier or name_or_id,
        "namespace": namespace,
        "other_namespace": namespace if is_exact else "",
        "viewer_project": viewer.project_id,
    }
    rows = statement.rows(connection, values)
    return rows[0] if rows else None


@cache
def _lookup(table: sa.Table, columns: tuple[str, ...] | None, *, is_by_id: bool, is_admin: bool) -> Statement:
    viewer_project: sa.BindParameter[str] = sa.bindparam("viewer_project")
    statement = sa.select(*(table.c if columns is None else (table.c[name] for name in columns))).limit(1)
    if not is_admin:
        statement = statement.where(sa.or_(*_ways_to_see(table, viewer_project)))
    if is_by_id:
        return Statement(statement.where(table.c.id == sa.bindparam("identifier")))
    return Statement(
        statement.where(
            table.c.name == sa.bindparam("identifier"),
            table.c.namespace.in_([sa.bindparam("namespace"), sa.bindparam("other_namespace")]),
        ).order_by(
            sa.case((table.c.namespace == sa.bindparam("namespace"), 0), else_=1),
            sa.case((table.c.project_id == viewer_project, 0), else_=1),
            table.c.created_at,
            table.c.id,
        )
    )


def _visible(table: sa.Table, viewer: Viewer) -> tuple[sa.ColumnElement[bool], ...]:
    return () if viewer.is_admin else (sa.or_(*_ways_to_see(table, viewer.project_id)),)


def _ways_to_see(table: sa.Table, project: str | sa.BindParameter[str]) -> tuple[sa.ColumnElement[bool], ...]:
    own_or_public = (table.c.project_id == project, table.c.scope == "public")
    if table is not tables.workflow_definitions:
        return own_or_public
    members = tables.resource_members.c
    shared = sa.select(members.resource_id).where(
        members.member_id == project,
        members.resource_type == SHARED_WORKFLOW,
        members.status == "accepted",
    )
    return (*own_or_public, table.c.id.in_(shared))


def find_own(
    connection: sa.Connection, table: sa.Table, name: str, namespace: str, project_id: str
) -> Row | None:
    """Return the row with exactly this name, namespace and project, or None."""
    statement = sa.select(table).where(
        table.c.name == name, table.c.namespace == namespace, table.c.project_id == project_id
    )
    return only_row(connection.execute(statement))


def list_actions(connection: sa.Connection, namespace: str, viewer: Viewer) -> Sequence[Row]:
    """Return all ad-hoc actions of a namespace that ``viewer`` may see, by name."""
    table = tables.action_definitions
    statement = (
        sa.select(table)
        .where(table.c.namespace == namespace, *_visible(table, viewer))
        .order_by(table.c.name, table.c.id)
    )
    return all_rows(connection.execute(statement))


def insert_definition(connection: sa.Connection, table: sa.Table, values: Mapping[str, object]) -> None:
    """Insert one row. Raises ``AlreadyExistsError`` if name, namespace and project are taken."""
    try:
        connection.execute(sa.insert(table), dict(values))
    except IntegrityError as error:
        raise _already_exists(table, values) from error
    note_change(connection)


def update_definition(
    connection: sa.Connection, table: sa.Table, definition_id: str, values: Mapping[str, object]
) -> None:
    """Change the given columns of one row. Raises ``AlreadyExistsError`` if the new name is taken."""
    try:
        connection.execute(sa.update(table).where(table.c.id == definition_id).values(**values))
    except IntegrityError as error:
        raise _already_exists(table, values) from error
    note_change(connection)


def delete_definition(connection: sa.Connection, table: sa.Table, definition_id: str) -> None:
    """Delete one row with its shares. Executions keep their spec."""
    connection.execute(sa.delete(table).where(table.c.id == definition_id))
    if table is tables.workflow_definitions:
        shares = tables.resource_members
        connection.execute(sa.delete(shares).where(shares.c.resource_id == definition_id))
    note_change(connection)


_GENERATION = Statement(sa.select(tables.definition_changes.c.count))


def lock_workflow(connection: sa.Connection, definition_id: str) -> bool:
    """Keep a workflow definition from being deleted or shared less meanwhile; False if it is gone."""
    return lock_row(connection, tables.workflow_definitions, definition_id)


def lock_row(connection: sa.Connection, table: sa.Table, row_id: str) -> bool:
    """Keep a row from being changed or deleted until the transaction ends; False if it is gone."""
    statement = sa.select(table.c.id).where(table.c.id == row_id).with_for_update()
    return connection.execute(statement).one_or_none() is not None


def generation(connection: sa.Connection) -> Later[int]:
    """Return a number that is another one after any change of a definition."""
    found = _GENERATION.ask(connection, {})
    return lambda: int(found()[0]["count"])


def note_change(connection: sa.Connection) -> None:
    """Make engines look definitions up again; part of every change of what a project finds."""
    changes = tables.definition_changes
    connection.execute(sa.update(changes).values(count=changes.c.count + 1))


def _already_exists(table: sa.Table, values: Mapping[str, object]) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"{_NOUNS[table.name]} already exists "
        f"[name={values.get('name')}, namespace={values.get('namespace', '')}]."
    )


def _source_of(connection: sa.Connection, spec_hash: str) -> JsonObject:
    text = connection.execute(
        sa.select(tables.specs.c.source).where(tables.specs.c.hash == spec_hash)
    ).scalar_one_or_none()
    if text is None:
        raise NotFoundError(f"Spec not found [hash={spec_hash}].")
    found: JsonObject = load(text)
    return found


def _definition(row: Row) -> Definition:
    return Definition(
        id=row["id"],
        name=row["name"],
        namespace=row["namespace"],
        spec_hash=row["spec_hash"],
        tags=tuple(load(row["tags"])),
        project_id=row["project_id"],
        workbook_name=row["workbook_name"],
    )


def _as_uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
