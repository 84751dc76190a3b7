"""Code sources, and the dynamic actions that name a class in one. Written by the API only.

Rows are found and changed like all definitions (``db/definitions.py``). The text of a source is kept a second
time under its hash, where it never changes: an action that was ordered runs the text of that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import sqlalchemy as sa

from mistral_lite.db import definitions, tables
from mistral_lite.db.listing import Column, Row, Source, Viewer, all_rows, own_or_public
from mistral_lite.db.tables import code_sources, dynamic_actions
from mistral_lite.db.transaction import Database
from mistral_lite.errors import NotFoundError

_CODE = "code"

_JOINED = dynamic_actions.join(code_sources, code_sources.c.id == dynamic_actions.c.code_source_id)
_COLUMNS: dict[str, Column] = {
    **dict(dynamic_actions.c),
    "code_source_name": code_sources.c.name,
    "content": code_sources.c.content,
    "content_hash": code_sources.c.content_hash,
}


def save_content(database: Database, connection: sa.Connection, content: str) -> str:
    """Keep the text of a source under its hash unless it is there already; return the hash."""
    digest = sha256(f"{_CODE}:{content}".encode()).hexdigest()
    values = {"hash": digest, "kind": _CODE, "source": content}
    connection.execute(database.insert_ignoring(tables.specs), values)
    return digest


def load_content(connection: sa.Connection, content_hash: str) -> str:
    """Return the text that ``save_content`` kept. Raises ``NotFoundError``."""
    found = connection.execute(
        sa.select(tables.specs.c.source).where(tables.specs.c.hash == content_hash)
    ).scalar_one_or_none()
    if found is None:
        raise NotFoundError(f"Code source not found [hash={content_hash}].")
    return str(found)


def source(viewer: Viewer) -> Source:
    """Return the dynamic actions that ``viewer`` may list, each with its code source."""
    return Source(
        noun="Dynamic action",
        select_from=_JOINED,
        columns=_COLUMNS,
        conditions=own_or_public(dynamic_actions, viewer),
    )


def find(
    connection: sa.Connection, name_or_id: str, namespace: str, viewer: Viewer, *, is_exact: bool = False
) -> Row | None:
    """Return the dynamic action that ``viewer`` means, with its code source, or None.

    A name is looked for in ``namespace``, then (unless ``is_exact``) in the default one.
    """
    row = definitions.find_row(connection, dynamic_actions, name_or_id, namespace, viewer, is_exact=is_exact)
    if row is None:
        return None
    code = connection.execute(
        sa.select(code_sources).where(code_sources.c.id == row["code_source_id"])
    ).one_or_none()
    if code is None:
        # Deleted with its source since the row was read.
        return None
    return {**row, "code_source_name": code.name, "content": code.content, "content_hash": code.content_hash}


def list_all(connection: sa.Connection, namespace: str, viewer: Viewer) -> Sequence[Row]:
    """Return all dynamic actions of a namespace that ``viewer`` may see, with their code sources, by name."""
    statement = (
        sa.select(*(column.label(name) for name, column in _COLUMNS.items()))
        .select_from(_JOINED)
        .where(dynamic_actions.c.namespace == namespace, *own_or_public(dynamic_actions, viewer))
        .order_by(dynamic_actions.c.name, dynamic_actions.c.id)
    )
    return all_rows(connection.execute(statement))


def delete_of_source(connection: sa.Connection, code_source_id: str) -> None:
    """Delete the dynamic actions whose class is in a code source."""
    connection.execute(sa.delete(dynamic_actions).where(dynamic_actions.c.code_source_id == code_source_id))
