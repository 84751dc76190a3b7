"""``waiting_for``: what an unfinished execution waits for, an addition to what Mistral shows.

It is no column: rows are completed by it, within the transaction that read them, where it is to be shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import sqlalchemy as sa

from mistral_lite.api import schemas, wire
from mistral_lite.api.resources import Attribute, Completion
from mistral_lite.db import waits
from mistral_lite.db.listing import Row
from mistral_lite.db.waits import Noun, Wait, WaitKind
from mistral_lite.jsontext import JsonObject, JsonValue

NAME = "waiting_for"


def complete(
    noun: Noun, connection: sa.Connection, rows: Sequence[Row], names: Sequence[str]
) -> Sequence[Row]:
    """Return ``rows`` with what each waits for, if that is among the attributes ``names``."""
    if NAME not in names or not rows:
        return rows
    found = waits.find(connection, noun, [row["id"] for row in rows])
    return [{**row, NAME: found.get(row["id"])} for row in rows]


def completion(noun: Noun, names: Sequence[str]) -> Completion | None:
    """Return what completes rows of ``noun``, None where ``names`` do not ask for it."""
    return partial(complete, noun) if NAME in names else None


def _render(row: Mapping[str, JsonValue]) -> JsonObject | None:
    wait: Wait | None = row[NAME]
    if wait is None:
        return None
    return {
        "kind": str(wait.kind),
        "since": wire.time_text(wait.since),
        "until": wire.time_text(wait.until),
        "id": wait.id,
    }


ATTRIBUTE = Attribute(
    needs=(),
    render=_render,
    schema=schemas.or_null(
        schemas.object_of(
            {
                "kind": schemas.one_of(WaitKind),
                "since": schemas.MOMENT,
                "until": schemas.or_null(schemas.MOMENT),
                "id": schemas.or_null(schemas.TEXT),
            }
        )
    ),
)
