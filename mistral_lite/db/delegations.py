"""Rows of ``security_contexts`` and ``trusts``: whom executions work for.

Contents are JSON objects of ``security.SecurityContext`` whose secrets are sealed; nothing here can read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from mistral_lite.db.statements import chunks
from mistral_lite.db.states import is_unfinished
from mistral_lite.db.tables import (
    action_executions,
    cron_triggers,
    event_triggers,
    inbox,
    security_contexts,
    trusts,
    workflow_executions,
)
from mistral_lite.jsontext import JsonObject, dump, load

_s = security_contexts.c

_IS_OF_ROOTS = _s.root_execution_id.in_(sa.bindparam("ids", expanding=True))
_LOAD = sa.select(_s.root_execution_id, _s.content).where(_IS_OF_ROOTS)
_DELETE = sa.delete(security_contexts).where(_IS_OF_ROOTS)
_EXAMINE = (
    sa.select(
        _s.root_execution_id,
        sa.or_(
            # A command that starts it, or makes a finished execution run again.
            sa.exists().where(inbox.c.root_execution_id == _s.root_execution_id),
            sa.exists().where(
                workflow_executions.c.id == _s.root_execution_id,
                is_unfinished(workflow_executions.c.state),
            ),
            sa.exists().where(
                action_executions.c.id == _s.root_execution_id,
                is_unfinished(action_executions.c.state),
            ),
        ).label("is_needed"),
    )
    .where(_s.root_execution_id > sa.bindparam("after"))
    .order_by(_s.root_execution_id)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_UNUSED = (
    sa.select(trusts.c.id)
    .where(
        *(
            ~sa.exists().where(table.c.trust_id == trusts.c.id)
            for table in (cron_triggers, event_triggers, security_contexts)
        )
    )
    .order_by(trusts.c.created_at)
    .limit(sa.bindparam("most", type_=sa.Integer))
)


def insert_context(
    connection: sa.Connection, root_execution_id: str, content: JsonObject, now: datetime
) -> None:
    """Record whom an execution works for."""
    values = {
        "root_execution_id": root_execution_id,
        "content": dump(content),
        "trust_id": content["trust_id"],
        "created_at": now,
    }
    connection.execute(sa.insert(security_contexts), values)


def renew_context(
    connection: sa.Connection, root_execution_id: str, content: JsonObject, now: datetime
) -> bool:
    """Record anew whom an execution works for; False, and nothing is changed, if it has a trust."""
    found = connection.execute(
        sa.select(_s.trust_id).where(_s.root_execution_id == root_execution_id)
    ).first()
    if found is not None and found.trust_id is not None:
        return False
    connection.execute(_DELETE, {"ids": [root_execution_id]})
    insert_context(connection, root_execution_id, content, now)
    return True


def load_contexts(connection: sa.Connection, root_execution_ids: Sequence[str]) -> dict[str, JsonObject]:
    """Return whom executions work for, by root; those of which nothing is known are left out."""
    return {
        row.root_execution_id: load(row.content)
        for chunk in chunks(list(root_execution_ids))
        for row in connection.execute(_LOAD, {"ids": chunk})
    }


def remove_ended(connection: sa.Connection, after: str, most: int) -> str:
    """Remove what ended executions no longer need among the next ``most`` rows after a root's id.

    Return the id to go on after, "" to begin anew.
    """
    rows = connection.execute(_EXAMINE, {"after": after, "most": most}).all()
    ended = [row.root_execution_id for row in rows if not row.is_needed]
    for chunk in chunks(ended):
        connection.execute(_DELETE, {"ids": chunk})
    return rows[-1].root_execution_id if len(rows) == most else ""


def insert_trust(connection: sa.Connection, trust_id: str, now: datetime) -> None:
    """Record a trust, in the transaction that stores what uses it."""
    connection.execute(sa.insert(trusts), {"id": trust_id, "created_at": now})


def list_unused_trusts(connection: sa.Connection, most: int) -> list[str]:
    """Return trusts that no trigger and no execution has, oldest first."""
    return list(connection.execute(_UNUSED, {"most": most}).scalars())


def delete_trust(connection: sa.Connection, trust_id: str) -> bool:
    """Forget a trust; False if it was forgotten already."""
    return connection.execute(sa.delete(trusts).where(trusts.c.id == trust_id)).rowcount == 1
