"""Rows of ``resource_members``: which other projects a private workflow is shared with. Written by the API only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mistral_lite.db import definitions
from mistral_lite.db.listing import Row, all_rows, only_row
from mistral_lite.db.tables import resource_members
from mistral_lite.errors import AlreadyExistsError
from mistral_lite.jsontext import JsonValue

_m = resource_members.c


def list_members(connection: sa.Connection, workflow_id: str, viewer_project: str) -> list[Row]:
    """Return the shares of a workflow that a project sees: all of its own workflow, else its own one only."""
    statement = _visible(workflow_id, viewer_project).order_by(_m.created_at, _m.id)
    return all_rows(connection.execute(statement))


def find_member(
    connection: sa.Connection, workflow_id: str, member_id: str, viewer_project: str
) -> Row | None:
    """Return the share of a workflow with the project ``member_id`` if the viewer sees it, or None."""
    statement = _visible(workflow_id, viewer_project).where(_m.member_id == member_id)
    return only_row(connection.execute(statement))


def insert_member(connection: sa.Connection, values: Mapping[str, JsonValue]) -> None:
    """Insert one row. Raises ``AlreadyExistsError`` if the workflow is shared with that project already."""
    try:
        connection.execute(
            sa.insert(resource_members), {**values, "resource_type": definitions.SHARED_WORKFLOW}
        )
    except IntegrityError as error:
        raise AlreadyExistsError(
            f"Member already exists [resource_id={values['resource_id']}, member_id={values['member_id']}]."
        ) from error


def set_status(connection: sa.Connection, row_id: str, status: str, now: datetime) -> None:
    """Change what the other project says to the offer."""
    connection.execute(
        sa.update(resource_members).where(_m.id == row_id).values(status=status, updated_at=now)
    )
    definitions.note_change(connection)


def delete_member(connection: sa.Connection, row_id: str) -> None:
    """Delete one row; the other project sees the workflow no more."""
    connection.execute(sa.delete(resource_members).where(_m.id == row_id))
    definitions.note_change(connection)


def _visible(workflow_id: str, viewer_project: str) -> sa.Select[tuple[JsonValue, ...]]:
    return sa.select(resource_members).where(
        _m.resource_id == workflow_id,
        _m.resource_type == definitions.SHARED_WORKFLOW,
        sa.or_(_m.project_id == viewer_project, _m.member_id == viewer_project),
    )
