"""Rows of ``event_triggers``: which notifications on the bus start which workflow.

Written by the API only; engines read which topics to listen to and which triggers an event is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mistral_lite.db.listing import Row, Source, Viewer, only_row, own_or_public
from mistral_lite.db.tables import event_triggers
from mistral_lite.errors import AlreadyExistsError
from mistral_lite.jsontext import JsonObject, JsonValue, load

_t = event_triggers.c


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTrigger:
    """A trigger as an engine sees it. ``security``: whom it works for, None where nothing is known of that."""

    id: str
    name: str
    workflow_id: str
    workflow_input: JsonObject
    workflow_params: JsonObject
    event: str
    scope: str
    project_id: str
    security: JsonObject | None = None


# -- for the API -----------------------------------------------------------------------------------


def source(viewer: Viewer) -> Source:
    """Return the event triggers that ``viewer`` may list."""
    return Source(
        noun="Event trigger",
        select_from=event_triggers,
        columns=dict(_t),
        conditions=own_or_public(event_triggers, viewer),
    )


def find_trigger(connection: sa.Connection, trigger_id: str, viewer: Viewer) -> Row | None:
    """Return the trigger of this id if ``viewer`` sees it, or None."""
    statement = sa.select(event_triggers).where(_t.id == trigger_id, *own_or_public(event_triggers, viewer))
    return only_row(connection.execute(statement))


def insert_trigger(connection: sa.Connection, values: Mapping[str, JsonValue]) -> None:
    """Insert one row. Raises ``AlreadyExistsError`` if the project has one that does the same."""
    try:
        connection.execute(sa.insert(event_triggers), dict(values))
    except IntegrityError as error:
        raise _taken() from error


def update_trigger(connection: sa.Connection, trigger_id: str, values: Mapping[str, JsonValue]) -> None:
    """Change the given columns of one row. Raises ``AlreadyExistsError`` as ``insert_trigger`` does."""
    try:
        connection.execute(sa.update(event_triggers).where(_t.id == trigger_id).values(**values))
    except IntegrityError as error:
        raise _taken() from error


def delete_trigger(connection: sa.Connection, trigger_id: str) -> None:
    """Delete one row."""
    connection.execute(sa.delete(event_triggers).where(_t.id == trigger_id))


def list_using(connection: sa.Connection, workflow_id: str) -> list[tuple[str, str]]:
    """Return the triggers of all projects that start a workflow, as (trigger id, project id)."""
    statement = sa.select(_t.id, _t.project_id).where(_t.workflow_id == workflow_id).order_by(_t.id)
    return [(row.id, row.project_id) for row in connection.execute(statement)]


def _taken() -> AlreadyExistsError:
    return AlreadyExistsError(
        "Event trigger already exists: this project has one for the same exchange, topic, event and workflow."
    )


# -- for the engine --------------------------------------------------------------------------------


def list_topics(connection: sa.Connection) -> set[tuple[str, str]]:
    """Return the (exchange, topic) pairs that there are triggers for."""
    statement = sa.select(_t.exchange, _t.topic).distinct()
    return {(row.exchange, row.topic) for row in connection.execute(statement)}


def list_matching(connection: sa.Connection, exchange: str, topic: str, event: str) -> list[EventTrigger]:
    """Return the triggers of all projects for an event, oldest first."""
    statement = (
        sa.select(event_triggers)
        .where(_t.exchange == exchange, _t.topic == topic, _t.event == event)
        .order_by(_t.created_at, _t.id)
    )
    return [
        EventTrigger(
            id=row["id"],
            name=row["name"],
            workflow_id=row["workflow_id"],
            workflow_input=load(row["workflow_input"]),
            workflow_params=load(row["workflow_params"]),
            event=row["event"],
            scope=row["scope"],
            project_id=row["project_id"],
            security=load(row["security"]) if row["security"] else None,
        )
        for row in connection.execute(statement).mappings()
    ]
