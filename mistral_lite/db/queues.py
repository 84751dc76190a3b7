"""Queues: who waits for messages; of our own their messages and claims, of those in a Zaqar when to look there.

Whoever touches what a queue holds locks its row first, so all that happens to one queue happens one after the
other, in the same order everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mistral_lite.db.statements import Statement
from mistral_lite.db.states import is_unfinished
from mistral_lite.db.tables import (
    action_executions,
    queue_messages,
    queue_waiters,
    queues,
    taken_messages,
    task_executions,
    workflow_executions,
)
from mistral_lite.db.transaction import Database
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, JsonValue, dump, load
from mistral_lite.workflow.states import State, is_finished

_m, _w, _q, _t = queue_messages.c, queue_waiters.c, queues.c, taken_messages.c


def _free(now: datetime | sa.BindParameter[datetime]) -> sa.ColumnElement[bool]:
    return sa.or_(_m.claimed_until.is_(None), _m.claimed_until <= now)


_AWAITED = Statement(
    sa.select(_q.id)
    .where(
        sa.exists().where(_w.queue_id == _q.id),
        sa.exists().where(
            _m.queue_id == _q.id, _m.expires_at > sa.bindparam("now"), _free(sa.bindparam("now"))
        ),
    )
    .order_by(_q.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """An action that waits for up to ``most_messages``; ``expression``: what must hold for each, None for nothing."""

    seq: int
    action_execution_id: str
    expression: str | None
    most_messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """An unfinished action execution whose row is locked."""

    root_execution_id: str
    project_id: str
    task_execution_id: str | None
    workflow_execution_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ZaqarQueue:
    """A queue in a Zaqar that this engine looks at until ``leased_until``. ``called_until``: until when Zaqar calls."""

    id: str
    name: str
    project_id: str
    called_until: datetime | None
    leased_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is waited for in a queue.

    ``first``: who waits longest, None if nobody does, and ``root_execution_id`` its tree. ``most_messages`` are wanted in
    all. ``has_conditions``: some do not take every message.
    """

    first: Waiter | None
    root_execution_id: str | None
    most_messages: int
    has_conditions: bool


class ProjectQueues:
    """The queues of one project inside one transaction, for one action; an ``actions.queues.QueueStore``."""

    def __init__(
        self,
        database: Database,
        connection: sa.Connection,
        *,
        project_id: str,
        action_execution_id: str,
        now: datetime,
    ) -> None:
        self._database = database
        self._connection = connection
        self._project_id = project_id
        self._action_id = action_execution_id
        self._now = now

    def create(self, queue: str, metadata: JsonObject) -> None:
        """Make sure that there is a queue, with this metadata."""
        queue_id = self._lock(queue)
        self._connection.execute(sa.update(queues).where(_q.id == queue_id).values(metadata=dump(metadata)))

    def delete(self, queue: str) -> None:
        """Remove a queue with its messages; its row stays while somebody waits."""
        queue_id = self._lock(queue)
        self._connection.execute(sa.delete(queue_messages).where(_m.queue_id == queue_id))
        self._connection.execute(
            sa.delete(queues).where(_q.id == queue_id, ~sa.exists().where(_w.queue_id == queue_id))
        )

    def list_queues(self, marker: str | None, most: int) -> list[JsonObject]:
        """Return ``name`` and ``metadata`` of queues after ``marker`` by name."""
        statement = (
            sa.select(_q.name, _q.metadata)
            .where(_q.project_id == self._project_id, *([_q.name > marker] if marker is not None else []))
            .order_by(_q.name)
            .limit(most)
        )
        rows = self._connection.execute(statement)
        return [{"name": name, "metadata": load(metadata)} for name, metadata in rows]

    def stats(self, queue: str) -> JsonObject:
        """Return how many messages are ``free``, ``claimed`` and there in ``total``, and the ends of the queue."""
        present = self._present(self._lock(queue))
        total = self._count(present)
        free = self._count((*present, _free(self._now)))
        counts: JsonObject = {"free": free, "claimed": total - free, "total": total}
        for name, order in (("oldest", _m.seq.asc()), ("newest", _m.seq.desc())):
            row = self._connection.execute(
                sa.select(queue_messages).where(*present).order_by(order).limit(1)
            ).one_or_none()
            if row is not None:
                counts[name] = {"age": _age(row, self._now), "created": row.created_at.isoformat()}
        return counts

    def post(self, queue: str, messages: Sequence[tuple[JsonValue, int]]) -> list[str]:
        """Add messages (body, seconds to live) and return their ids."""
        queue_id = self._lock(queue)
        rows = [
            {
                "id": new_id(self._now),
                "queue_id": queue_id,
                "body": dump(body),
                "ttl_s": ttl_s,
                "created_at": self._now,
                "expires_at": self._now + timedelta(seconds=ttl_s),
                "claim_count": 0,
            }
            for body, ttl_s in messages
        ]
        for row in rows:
            # One by one: the numbers are to be in their order.
            self._connection.execute(sa.insert(queue_messages), row)
        return [str(row["id"]) for row in rows]

    def pop(self, queue: str, most: int) -> list[JsonObject]:
        """Remove and return the oldest messages that are not claimed."""
        found = find_free(self._connection, self._lock(queue), self._now, most)
        delete_messages(self._connection, [message["id"] for message in found])
        return found

    def read(self, queue: str, marker: str | None, most: int, *, with_claimed: bool) -> list[JsonObject]:
        """Return messages after the one that is called ``marker``."""
        conditions = self._present(self._lock(queue))
        if not with_claimed:
            conditions = (*conditions, _free(self._now))
        if marker is not None:
            seq = self._connection.execute(sa.select(_m.seq).where(_m.id == marker)).scalar_one_or_none()
            # Identifiers sort by time, which serves where the message is gone.
            conditions = (*conditions, _m.id > marker if seq is None else _m.seq > seq)
        return _read(self._connection, conditions, self._now, most)

    def claim(self, queue: str, ttl_s: int, grace_s: int, most: int) -> list[JsonObject]:
        """Claim the oldest messages that are not, for ``ttl_s``; they live ``grace_s`` longer at least."""
        found = find_free(self._connection, self._lock(queue), self._now, most)
        claim_id = new_id(self._now)
        ids = [message["id"] for message in found]
        until = self._now + timedelta(seconds=ttl_s)
        kept_until = until + timedelta(seconds=grace_s)
        self._connection.execute(
            sa.update(queue_messages)
            .where(_m.id.in_(ids))
            .values(
                claim_id=claim_id,
                claimed_until=until,
                claim_count=_m.claim_count + 1,
                expires_at=sa.case((_m.expires_at < kept_until, kept_until), else_=_m.expires_at),
            )
        )
        return _read(self._connection, (_m.id.in_(ids),), self._now, most)

    def read_claim(self, queue: str, claim_id: str) -> list[JsonObject]:
        """Return the messages of a claim that has not run out."""
        held = (_m.claim_id == claim_id, _m.claimed_until > self._now)
        return _read(self._connection, (*self._present(self._lock(queue)), *held), self._now, None)

    def delete_messages(self, queue: str, ids: Sequence[str]) -> None:
        """Remove messages; those that are gone do not matter."""
        queue_id = self._lock(queue)
        self._connection.execute(sa.delete(queue_messages).where(_m.queue_id == queue_id, _m.id.in_(ids)))

    def wait(self, queue: str, match: str | None, most: int) -> None:
        """Let the action be the last of those that wait for messages of a queue, which is looked at now."""
        queue_id = self._lock(queue)
        self._connection.execute(sa.update(queues).where(_q.id == queue_id).values(look_at=None))
        self._connection.execute(
            sa.insert(queue_waiters).values(
                action_execution_id=self._action_id,
                queue_id=queue_id,
                expression=match,
                most_messages=most,
                created_at=self._now,
            )
        )

    def _lock(self, queue: str) -> str:
        """Lock the row of a queue, made now if there is none, and return its id."""
        statement = (
            sa.select(_q.id).where(_q.project_id == self._project_id, _q.name == queue).with_for_update()
        )
        found = self._connection.execute(statement).scalar_one_or_none()
        if found is None:
            self._connection.execute(
                self._database.insert_ignoring(queues).values(
                    id=new_id(self._now),
                    name=queue,
                    project_id=self._project_id,
                    metadata="{}",
                    created_at=self._now,
                )
            )
            found = self._connection.execute(statement).scalar_one()
        return str(found)

    def _present(self, queue_id: str) -> tuple[sa.ColumnElement[bool], ...]:
        return (_m.queue_id == queue_id, _m.expires_at > self._now)

    def _count(self, conditions: Sequence[sa.ColumnElement[bool]]) -> int:
        statement = sa.select(sa.func.count()).select_from(queue_messages).where(*conditions)
        return int(self._connection.execute(statement).scalar_one())


# -- who carries out and delivers ------------------------------------------------------------------------


def lock_queue(connection: sa.Connection, queue_id: str) -> str | None:
    """Lock a queue and return its name, None if there is no such queue."""
    return connection.execute(
        sa.select(_q.name).where(_q.id == queue_id).with_for_update()
    ).scalar_one_or_none()


def lock_unfinished(connection: sa.Connection, action_execution_id: str) -> Claimant | None:
    """Lock the row of an action execution; None if it has ended or is gone."""
    a = action_executions.c
    row = connection.execute(
        sa.select(a.root_execution_id, a.project_id, a.state, a.task_execution_id, a.workflow_execution_id)
        .where(a.id == action_execution_id)
        .with_for_update()
    ).one_or_none()
    if row is None or is_finished(State(row.state)):
        return None
    return Claimant(
        root_execution_id=row.root_execution_id,
        project_id=row.project_id,
        task_execution_id=row.task_execution_id,
        workflow_execution_id=row.workflow_execution_id,
    )


def is_counted(connection: sa.Connection, claimant: Claimant) -> bool:
    """Tell whether anybody is interested in a result: the task and the workflow, if any, have not ended."""
    for table, row_id in (
        (task_executions, claimant.task_execution_id),
        (workflow_executions, claimant.workflow_execution_id),
    ):
        if row_id is not None:
            state = connection.execute(
                sa.select(table.c.state).where(table.c.id == row_id)
            ).scalar_one_or_none()
            if state is None or is_finished(State(state)):
                return False
    return True


def find_free(connection: sa.Connection, queue_id: str, now: datetime, most: int) -> list[JsonObject]:
    """Return the oldest messages of a locked queue that are neither claimed nor expired."""
    return _read(connection, (_m.queue_id == queue_id, _m.expires_at > now, _free(now)), now, most)


def delete_messages(connection: sa.Connection, ids: Sequence[str]) -> None:
    """Remove messages of a locked queue."""
    if ids:
        connection.execute(sa.delete(queue_messages).where(_m.id.in_(ids)))


def list_waiters(connection: sa.Connection, queue_id: str, after: int, most: int) -> list[Waiter]:
    """Return those that wait for messages of a queue, in their order, beginning behind number ``after``."""
    rows = connection.execute(
        sa.select(_w.seq, _w.action_execution_id, _w.expression, _w.most_messages)
        .where(_w.queue_id == queue_id, _w.seq > after)
        .order_by(_w.seq)
        .limit(most)
    )
    return [Waiter(**row) for row in rows.mappings()]


def delete_waiter(connection: sa.Connection, seq: int) -> None:
    """Let an action wait no more."""
    connection.execute(sa.delete(queue_waiters).where(_w.seq == seq))


def list_awaited(connection: sa.Connection, now: datetime) -> list[str]:
    """Return the queues that have both a free message and somebody who waits."""
    return [row["id"] for row in _AWAITED.rows(connection, {"now": now})]


def prune(connection: sa.Connection, now: datetime) -> None:
    """Remove messages whose time is over, and those that wait for actions that have ended."""
    a = action_executions.c
    connection.execute(sa.delete(queue_messages).where(_m.expires_at <= now))
    is_awaited = sa.exists().where(a.id == _w.action_execution_id, is_unfinished(a.state))
    connection.execute(sa.delete(queue_waiters).where(~is_awaited))
    connection.execute(sa.delete(taken_messages).where(_t.expires_at <= now))


# -- looking into a Zaqar --------------------------------------------------------------------------------


def list_due(connection: sa.Connection, now: datetime, most: int, *, with_taken: bool) -> list[str]:
    """Return queues that are to be looked at: somebody waits, or (``with_taken``) messages are still to be deleted."""
    reasons = [sa.exists().where(_w.queue_id == _q.id)]
    if with_taken:
        reasons.append(sa.exists().where(_t.queue_id == _q.id))
    statement = sa.select(_q.id).where(_is_due(now), sa.or_(*reasons)).order_by(_q.look_at, _q.id).limit(most)
    return list(connection.execute(statement).scalars())


def begin_look(
    connection: sa.Connection, queue_id: str, now: datetime, leased_until: datetime
) -> ZaqarQueue | None:
    """Let one engine look at a queue that is due; None if another one does, or it is not due any more."""
    leased = connection.execute(
        sa.update(queues).where(_q.id == queue_id, _is_due(now)).values(look_at=leased_until)
    )
    if not leased.rowcount:
        return None
    found = connection.execute(
        sa.select(_q.id, _q.name, _q.project_id, _q.called_until).where(_q.id == queue_id)
    )
    return ZaqarQueue(**found.mappings().one(), leased_until=leased_until)


def end_look(connection: sa.Connection, queue: ZaqarQueue, look_at: datetime) -> None:
    """Say when to look again, unless somebody asked for a look meanwhile."""
    connection.execute(
        sa.update(queues).where(_q.id == queue.id, _q.look_at == queue.leased_until).values(look_at=look_at)
    )


def set_doorbell(connection: sa.Connection, queue_id: str, doorbell_hash: str, until: datetime) -> None:
    """Record with which secret Zaqar calls, and how long; an earlier one is forgotten."""
    connection.execute(
        sa.update(queues).where(_q.id == queue_id).values(doorbell_hash=doorbell_hash, called_until=until)
    )


def ring(connection: sa.Connection, doorbell_hash: str, now: datetime) -> bool:
    """Have the queue looked at that has this doorbell; False if there is none."""
    rung = connection.execute(sa.update(queues).where(_q.doorbell_hash == doorbell_hash).values(look_at=now))
    return bool(rung.rowcount)


def read_wanted(connection: sa.Connection, queue_id: str) -> Wanted:
    """Return what is waited for in a queue."""
    most, conditions = connection.execute(
        sa.select(sa.func.sum(_w.most_messages), sa.func.count(_w.expression)).where(_w.queue_id == queue_id)
    ).one()
    first = next(iter(list_waiters(connection, queue_id, 0, 1)), None)
    a = action_executions.c
    root_id = None
    if first is not None:
        root_id = connection.execute(
            sa.select(a.root_execution_id).where(a.id == first.action_execution_id)
        ).scalar_one_or_none()
    return Wanted(
        first=first,
        root_execution_id=root_id,
        most_messages=int(most or 0),
        has_conditions=bool(conditions),
    )


def take(connection: sa.Connection, queue_id: str, expiries: Mapping[str, datetime]) -> None:
    """Record messages that an action has got: their ids, and when Zaqar forgets them in any case."""
    rows = [
        {"queue_id": queue_id, "message_id": message_id, "expires_at": expires_at}
        for message_id, expires_at in expiries.items()
    ]
    if rows:
        connection.execute(sa.insert(taken_messages), rows)


def list_taken(connection: sa.Connection, queue_id: str, among: Sequence[str] | None = None) -> list[str]:
    """Return the ids of messages that actions have got and that may still be in Zaqar."""
    conditions = [_t.queue_id == queue_id]
    if among is not None:
        conditions.append(_t.message_id.in_(among))
    return list(connection.execute(sa.select(_t.message_id).where(*conditions)).scalars())


def forget_taken(connection: sa.Connection, queue_id: str, ids: Sequence[str]) -> None:
    """Remove what is recorded of messages that Zaqar has deleted."""
    if ids:
        connection.execute(sa.delete(taken_messages).where(_t.queue_id == queue_id, _t.message_id.in_(ids)))


def _is_due(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(_q.look_at.is_(None), _q.look_at <= now)


def _read(
    connection: sa.Connection,
    conditions: Sequence[sa.ColumnElement[bool]],
    now: datetime,
    most: int | None,
) -> list[JsonObject]:
    statement = sa.select(queue_messages).where(*conditions).order_by(_m.seq).limit(most)
    return [_message(row, now) for row in connection.execute(statement)]


def _message(row: sa.Row[Any], now: datetime) -> JsonObject:
    is_claimed = row.claimed_until is not None and row.claimed_until > now
    return {
        "id": row.id,
        "body": load(row.body),
        "ttl": row.ttl_s,
        "age": _age(row, now),
        "claim_count": row.claim_count,
        "claim_id": row.claim_id if is_claimed else None,
    }


def _age(row: sa.Row[Any], now: datetime) -> int:
    return max(0, int((now - row.created_at).total_seconds()))
