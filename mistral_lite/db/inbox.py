"""What waits for a decision: callbacks and commands of the API, orders of maintenance; consumed by the engine.

A row goes in the transaction that applies it, so whatever was answered with a 2xx is either still here or
part of the execution. ``once`` is unique: a second result for an action execution cannot even be stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from mistral_lite import faults
from mistral_lite.db import executions
from mistral_lite.db.listing import Viewer
from mistral_lite.db.statements import Later, ListStatement, Row, Statement, pipelined
from mistral_lite.db.tables import action_executions, inbox, workflow_executions
from mistral_lite.db.transaction import Database
from mistral_lite.errors import ConflictError, NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue, dump, load
from mistral_lite.workflow.states import State, is_finished

RUN_ACTION = "run_action"
RESULT = "result"
SENT = "sent"
MEND = "mend"

_ANYBODY = Viewer(project_id="", is_admin=True)

_APPEND = Statement(
    sa.insert(inbox)
    .values(
        {
            column.name: sa.bindparam(column.name, type_=column.type)
            for column in inbox.c
            if column.name != "seq"
        }
    )
    .returning(inbox.c.seq)
)
_DELIVERED = Statement(sa.select(inbox.c.seq, inbox.c.payload).where(inbox.c.once == sa.bindparam("once")))
_ROOTS = Statement(
    sa.select(inbox.c.root_execution_id).order_by(inbox.c.seq).limit(sa.bindparam("most", type_=sa.Integer))
)
_IS_WAITING = Statement(sa.select(inbox.c.seq).where(inbox.c.seq == sa.bindparam("seq")))


def _waiting(ids: Sequence[sa.BindParameter[Any]]) -> sa.Select[Any]:
    return sa.select(inbox).where(inbox.c.root_execution_id.in_(ids)).order_by(inbox.c.seq)


_WAITING = ListStatement(_waiting)
_CLAIM_RUN_REQUESTS = ListStatement(
    lambda ids: _waiting(ids).where(inbox.c.kind == RUN_ACTION).with_for_update(skip_locked=True)
)
_RESULTS = ListStatement(lambda onces: sa.select(inbox.c.root_execution_id).where(inbox.c.once.in_(onces)))
_DELETE = ListStatement(lambda seqs: sa.delete(inbox).where(inbox.c.seq.in_(seqs)))


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
    """How a result was taken: for which tree, and whether the same one had been delivered before.

    ``seq``: the inbox row that holds it, None once it is applied.
    """

    root_execution_id: str
    is_repeated: bool
    seq: int | None


def append(
    connection: sa.Connection,
    *,
    root_execution_id: str,
    kind: str,
    subject_id: str,
    payload: JsonObject,
    now: datetime,
    once: str | None = None,
) -> Later[int]:
    """Add a row and return what gives its number (``pipelined``)."""
    rows = _APPEND.ask(
        connection,
        {
            "root_execution_id": root_execution_id,
            "kind": kind,
            "subject_id": subject_id,
            "payload": dump(payload),
            "once": once,
            "created_at": now,
        },
    )
    faults.reach("inbox.before_commit")
    return lambda: int(rows()[0]["seq"])


def is_consumed(connection: sa.Connection, seq: int) -> bool:
    """Tell whether the engine has applied the row numbered ``seq``."""
    return not _IS_WAITING.rows(connection, {"seq": seq})


def deliver_result(
    database: Database,
    *,
    action_execution_id: str,
    state: str,
    output: JsonValue,
    now: datetime,
    viewer: Viewer = _ANYBODY,
) -> Delivery:
    """Store the result of an action execution, unless it has one.

    The same result again is no error. Raises ``NotFoundError`` for an action execution that is unknown to
    ``viewer``, and ``ConflictError`` for one that has another result, or ended without one (a time-out, a
    cancellation).
    """
    digest = _digest(state, output)
    source = executions.action_source(viewer)

    def work(connection: sa.Connection) -> Delivery:
        with pipelined(connection):
            locked = executions.lock_action(connection, source, action_execution_id)
            delivered = _DELIVERED.ask(connection, {"once": _once(action_execution_id)})
        if not locked():
            raise NotFoundError(f"ActionExecution not found [id={action_execution_id}]")
        (row,) = locked()
        root_id = row["root_execution_id"]
        if is_finished(State(row["state"])):
            _require_same(action_execution_id, row["callback_digest"] == digest, row["state"])
            return Delivery(root_execution_id=root_id, is_repeated=True, seq=None)
        for waiting in delivered():
            payload = load(waiting["payload"])
            _require_same(action_execution_id, payload["digest"] == digest, payload["state"])
            return Delivery(root_execution_id=root_id, is_repeated=True, seq=waiting["seq"])
        with pipelined(connection, commits=True):
            seq = append_result(connection, root_id, action_execution_id, state, output, now)
        return Delivery(root_execution_id=root_id, is_repeated=False, seq=seq())

    return database.run(work)


def append_result(
    connection: sa.Connection,
    root_execution_id: str,
    action_execution_id: str,
    state: str,
    output: JsonValue,
    now: datetime,
) -> Later[int]:
    """Add the result of an action execution whose row is locked, is unfinished and has none waiting."""
    return append(
        connection,
        root_execution_id=root_execution_id,
        kind=RESULT,
        subject_id=action_execution_id,
        payload={"state": state, "output": output, "digest": _digest(state, output)},
        now=now,
        once=_once(action_execution_id),
    )


def _digest(state: str, output: JsonValue) -> str:
    return sha256(dump([state, output]).encode()).hexdigest()


def _require_same(action_execution_id: str, is_same: bool, state: str) -> None:
    if not is_same:
        raise ConflictError(
            f"Action execution {action_execution_id} is already in {state}, and this is not the result it "
            "ended with; a finished action execution does not change.",
            state=state,
        )


def load_waiting(connection: sa.Connection, root_ids: Iterable[str]) -> Later[list[Entry]]:
    """Return the rows about trees, oldest first; what is about trees that are not locked may not be applied."""
    found = _WAITING.ask(connection, sorted(root_ids))
    return lambda: [_entry(row) for row in sorted(found(), key=itemgetter("seq"))]


def find_results(connection: sa.Connection, action_ids: Sequence[str]) -> set[str]:
    """Return the trees of those of these actions for which a result waits."""
    return ask_results(connection, action_ids)()


def ask_results(connection: sa.Connection, action_ids: Sequence[str]) -> Later[set[str]]:
    """See ``find_results``; for a block of ``pipelined``."""
    found = _RESULTS.ask(connection, [_once(action_id) for action_id in action_ids])
    return lambda: {row["root_execution_id"] for row in found()}


def _once(action_id: str) -> str:
    return f"{RESULT}:{action_id}"


def claim_run_requests(connection: sa.Connection, root_ids: Iterable[str]) -> Later[list[Entry]]:
    """Lock and return requests to run actions that have no row of their own yet to be locked by."""
    found = _CLAIM_RUN_REQUESTS.ask(connection, sorted(root_ids))
    return lambda: [_entry(row) for row in found()]


def list_roots(connection: sa.Connection, most: int, without: Collection[str] = ()) -> tuple[list[str], bool]:
    """Return the trees of the ``most`` oldest rows, those first that have waited longest, and whether there are more.

    ``without``: trees that do not count.
    """
    rows = (
        _ROOTS.rows(connection, {"most": most}) if not without else _roots_without(connection, most, without)
    )
    return list(dict.fromkeys(row["root_execution_id"] for row in rows)), len(rows) == most


def _roots_without(connection: sa.Connection, most: int, without: Collection[str]) -> list[Row]:
    statement = sa.select(inbox.c.root_execution_id).where(inbox.c.root_execution_id.not_in(without))
    found = connection.execute(statement.order_by(inbox.c.seq).limit(most))
    return [dict(row) for row in found.mappings()]


def delete(connection: sa.Connection, seqs: Sequence[int]) -> None:
    """Remove rows that were applied."""
    _DELETE.run(connection, seqs)


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


def _entry(row: Row) -> Entry:
    return Entry(
        seq=row["seq"],
        root_execution_id=row["root_execution_id"],
        kind=row["kind"],
        subject_id=row["subject_id"],
        payload=load(row["payload"]),
    )
