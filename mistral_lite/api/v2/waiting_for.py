"""``waiting_for``: what an unfinished execution waits for, an addition to what Mistral shows.

Workflow and action executions are read with what it follows from. Rows of tasks are completed by it, within the
transaction that read them, where it is to be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from mistral_lite.api import schemas, wire
from mistral_lite.api.resources import Attribute, Completion
from mistral_lite.db import waits
from mistral_lite.db.listing import Row
from mistral_lite.db.waits import Noun, Wait, WaitKind
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow.states import State, is_finished

NAME = "waiting_for"

_OF_ROW = ("id", "state", "created_at", "updated_at")
_SCHEMA = schemas.or_null(
    schemas.object_of(
        {
            "kind": schemas.one_of(WaitKind),
            "since": schemas.MOMENT,
            "until": schemas.or_null(schemas.MOMENT),
            "id": schemas.or_null(schemas.TEXT),
        }
    )
)


def complete(connection: sa.Connection, rows: Sequence[Row], names: Sequence[str]) -> Sequence[Row]:
    """Return rows of tasks with what each waits for, if that is among the attributes ``names``."""
    if NAME not in names or not rows:
        return rows
    unfinished = [row["id"] for row in rows if not is_finished(State(row["state"]))]
    found = waits.find(connection, Noun.TASK, unfinished)
    return [{**row, NAME: found.get(row["id"])} for row in rows]


def completion(names: Sequence[str]) -> Completion | None:
    """Return what completes rows of tasks, None where ``names`` do not ask for it."""
    return complete if NAME in names else None


def _attribute(
    needs: tuple[str, ...], wait_of: Callable[[Mapping[str, JsonValue]], Wait | None]
) -> Attribute:
    def render(row: Mapping[str, JsonValue]) -> JsonObject | None:
        wait = wait_of(row)
        if wait is None:
            return None
        return {
            "kind": str(wait.kind),
            "since": wire.time_text(wait.since),
            "until": wire.time_text(wait.until),
            "id": wait.id,
        }

    return Attribute(needs=needs, render=render, schema=_SCHEMA)


OF_WORKFLOW = _attribute((*_OF_ROW, *waits.WORKFLOW_FACTS), waits.wait_of_workflow)
OF_TASK = _attribute(("state",), lambda row: row[NAME])
OF_ACTION = _attribute((*_OF_ROW, "is_sync", *waits.ACTION_FACTS), waits.wait_of_action)
