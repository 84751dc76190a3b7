"""What waits for a decision: callbacks and commands, written by the API, consumed by the engine.

A row goes in the transaction that applies it, so whatever was answered with a 2xx is either still here or
part of the execution. ``once`` is unique: a second result for an action execution cannot even be stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from mistral_lite.db.statements import IDS, chunks
from mistral_lite.db.tables import action_executions, inbox, workflow_executions
from mistral_lite.db.transaction import Database
from mistral_lite.errors import ConflictError, NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue, dump, load
from mistral_lite.workflow.states import State, is_finished

RUN_ACTION = "run_action"
RESULT = "result"

_INSERT = sa.insert(inbox)
_IS_WAITING = sa.select(inbox.c.seq).where(inbox.c.seq == sa.bindparam("seq"))
_WAITING = sa.select(inbox).where(inbox.c.root_execution_id.in_(IDS)).order_by(inbox.c.seq)
_CLAIM_RUN_REQUESTS = _WAITING.where(inbox.c.kind == RUN_ACTION).with_for_update(skip_locked=True)
_DELETE = sa.delete(inbox).where(inbox.c.seq.in_(IDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the inbox."""

    seq: int
    root_execution_id: str
    kind: str
    subject_id: str
    payload: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a result was taken: for which tree, and whether the same one had been delivered before."""

    root_execution_id: str
    is_repeated: bool


def append(
    connection: sa.Connection,
    *,
    root_execution_id: str,
    kind: str,
    subject_id: str,
    payload: JsonObject,
    now: datetime,
    once: str | None = None,
) -> int:
    """Add a row and return its number."""
    result = connection.execute(
        _INSERT,
        {
            "root_execution_id": root_execution_id,
            "kind": kind,
            "subject_id": subject_id,
            "payload": dump(payload),
            "once": once,
            "created_at": now,
        },
    )
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def is_consumed(connection: sa.Connection, seq: int) -> bool:
    """Tell whether the engine has applied the row numbered ``seq``."""
    return connection.execute(_IS_WAITING, {"seq": seq}).first() is None


def deliver_result(
    database: Database, *, action_execution_id: str, state: str, output: JsonValue, now: datetime
) -> Delivery:
    """Store the result of an action execution, unless it has one.

    The same result again is no error. Raises ``NotFoundError`` for an unknown action execution and
    ``ConflictError`` for one that has another result, or ended without one (a time-out, a cancellation).
    """
    digest = sha256(dump([state, output]).encode()).hexdigest()

    def work(connection: sa.Connection) -> Delivery:
        row = connection.execute(
            sa.select(
                action_executions.c.root_execution_id,
                action_executions.c.state,
                action_executions.c.callback_digest,
            )
            .where(action_executions.c.id == action_execution_id)
            .with_for_update()
        ).one_or_none()
        if row is None:
            raise NotFoundError(f"Action execution not found [id={action_execution_id}]")
        if is_finished(State(row.state)):
            is_same = row.callback_digest == digest
            return _repeated(action_execution_id, row.root_execution_id, is_same, row.state)
        once = f"{RESULT}:{action_execution_id}"
        waiting = connection.execute(sa.select(inbox.c.payload).where(inbox.c.once == once)).one_or_none()
        if waiting is not None:
            payload = load(waiting.payload)
            is_same = payload["digest"] == digest
            return _repeated(action_execution_id, row.root_execution_id, is_same, payload["state"])
        append(
            connection,
            root_execution_id=row.root_execution_id,
            kind=RESULT,
            subject_id=action_execution_id,
            payload={"state": state, "output": output, "digest": digest},
            now=now,
            once=once,
        )
        return Delivery(root_execution_id=row.root_execution_id, is_repeated=False)

    return database.run(work)


def _repeated(action_execution_id: str, root_execution_id: str, is_same: bool, state: str) -> Delivery:
    if is_same:
        return Delivery(root_execution_id=root_execution_id, is_repeated=True)
    raise ConflictError(
        f"Action execution {action_execution_id} is already in {state}, and this is not the result it ended "
        "with; a finished action execution does not change.",
        state=state,
    )


def load_waiting(connection: sa.Connection, root_ids: Iterable[str]) -> list[Entry]:
    """Return the rows about locked trees, oldest first."""
    found: list[Entry] = []
    for chunk in chunks(sorted(root_ids)):
        found.extend(_entry(row) for row in connection.execute(_WAITING, {"ids": chunk}))
    return sorted(found, key=lambda entry: entry.seq)


def claim_run_requests(connection: sa.Connection, root_ids: Iterable[str]) -> list[Entry]:
    """Lock and return requests to run actions that have no row of their own yet to be locked by."""
    found: list[Entry] = []
    for chunk in chunks(sorted(root_ids)):
        found.extend(_entry(row) for row in connection.execute(_CLAIM_RUN_REQUESTS, {"ids": chunk}))
    return found


def list_roots(connection: sa.Connection, most: int) -> list[str]:
    """Return the trees of the ``most`` oldest rows, those first that have waited longest."""
    statement = sa.select(inbox.c.root_execution_id).order_by(inbox.c.seq).limit(most)
    return list(dict.fromkeys(connection.execute(statement).scalars()))


def delete(connection: sa.Connection, seqs: Sequence[int]) -> None:
    """Remove rows that were applied."""
    for start in range(0, len(seqs), 500):
        connection.execute(_DELETE, {"ids": seqs[start : start + 500]})


def delete_orphans(connection: sa.Connection, root_ids: Sequence[str]) -> int:
    """Remove rows about trees that exist no more; return how many there were."""
    workflow, action = workflow_executions, action_executions
    statement = sa.delete(inbox).where(
        inbox.c.root_execution_id.in_(root_ids),
        inbox.c.kind != RUN_ACTION,
        ~sa.exists().where(workflow.c.id == inbox.c.root_execution_id),
        ~sa.exists().where(action.c.id == inbox.c.root_execution_id),
    )
    return connection.execute(statement).rowcount


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(
        seq=row.seq,
        root_execution_id=row.root_execution_id,
        kind=row.kind,
        subject_id=row.subject_id,
        payload=load(row.payload),
    )
