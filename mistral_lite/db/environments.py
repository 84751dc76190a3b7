"""Rows of ``environments``: variables under a name, for executions to use. Written by the API only."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mistral_lite.db.listing import Row, Source, Viewer, only_row, own_or_public
from mistral_lite.db.tables import environments
from mistral_lite.errors import AlreadyExistsError


def source(viewer: Viewer) -> Source:
    """Return the environments that ``viewer`` may list."""
    return Source(
        noun="Environment",
        select_from=environments,
        columns=dict(environments.c),
        conditions=own_or_public(environments, viewer),
    )


def find_environment(connection: sa.Connection, name: str, viewer: Viewer) -> Row | None:
    """Return the environment ``name``, the viewer's own before a public one of others, or None.

    Being an administrator does not widen the search: names of other projects mean nothing here.
    """
    statement = (
        sa.select(environments)
        .where(
            environments.c.name == name,
            *own_or_public(environments, Viewer(project_id=viewer.project_id)),
        )
        .order_by(sa.case((environments.c.project_id == viewer.project_id, 0), else_=1), environments.c.id)
        .limit(1)
    )
    return only_row(connection.execute(statement))


def insert_environment(connection: sa.Connection, values: Mapping[str, object]) -> None:
    """Insert one row. Raises ``AlreadyExistsError`` if the project has this name already."""
    try:
        connection.execute(sa.insert(environments), dict(values))
    except IntegrityError as error:
        raise AlreadyExistsError(f"Environment already exists [name={values['name']}].") from error


def update_environment(connection: sa.Connection, environment_id: str, values: Mapping[str, object]) -> None:
    """Change the given columns of one row."""
    connection.execute(sa.update(environments).where(environments.c.id == environment_id).values(**values))


def delete_environment(connection: sa.Connection, environment_id: str) -> None:
    """Delete one row."""
    connection.execute(sa.delete(environments).where(environments.c.id == environment_id))
