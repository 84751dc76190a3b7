"""Leases on queued actions: claimed, renewed, run out.

A lease is no part of an execution tree: taking or renewing one needs no lock on a root. Only the engine's
decisions add and remove rows, and only they count attempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from mistral_lite.db.rows import pending_from
from mistral_lite.db.statements import ListStatement, Row, Statement
from mistral_lite.db.tables import action_queue
from mistral_lite.errors import InternalError
from mistral_lite.workflow.model import PendingAction

_q = action_queue.c


def _waiting_for(targets: Sequence[sa.BindParameter[Any]]) -> sa.Select[Any]:
    return (
        sa.select(action_queue)
        .where(
            _q.lease_until.is_(None),
            _q.available_at <= sa.bindparam("now"),
            sa.or_(_q.target.is_(None), _q.target.in_(targets)) if targets else _q.target.is_(None),
        )
        .order_by(_q.available_at, _q.action_execution_id)
        .limit(sa.bindparam("most", type_=sa.Integer))
        .with_for_update(skip_locked=True)
    )


_CLAIM_FOR_ANYBODY = Statement(_waiting_for(()))
_CLAIM = ListStatement(_waiting_for)
_LEASE = ListStatement(
    lambda ids: (
        sa.update(action_queue)
        .where(_q.action_execution_id.in_(ids))
        .values(
            executor_id=sa.bindparam("to_executor_id"),
            claim_id=sa.bindparam("to_claim_id"),
            lease_until=sa.bindparam("until"),
        )
    )
)
_RENEW = ListStatement(
    lambda ids: (
        sa.update(action_queue)
        .where(_q.action_execution_id.in_(ids), _q.executor_id == sa.bindparam("mine"))
        .values(lease_until=sa.bindparam("until"))
    )
)
_HELD = ListStatement(
    lambda ids: sa.select(_q.action_execution_id, _q.attempt).where(
        _q.action_execution_id.in_(ids), _q.executor_id == sa.bindparam("mine")
    )
)
_ROOTS = ListStatement(
    lambda ids: sa.select(_q.action_execution_id, _q.root_execution_id).where(_q.action_execution_id.in_(ids))
)
_EXPIRED = Statement(
    sa.select(_q.action_execution_id, _q.root_execution_id, _q.attempt)
    .where(_q.lease_until < sa.bindparam("now"))
    .order_by(_q.lease_until)
    .limit(sa.bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
_CLAIMED_BY = ListStatement(
    lambda claim_ids: sa.select(_q.action_execution_id, _q.root_execution_id, _q.attempt).where(
        _q.claim_id.in_(claim_ids)
    )
)
_WAITING_FOR_WORKER = Statement(
    sa.select(action_queue)
    .where(
        _q.lease_until.is_(None),
        _q.available_at <= sa.bindparam("now"),
        _q.target == sa.bindparam("worker"),
    )
    .order_by(_q.available_at, _q.action_execution_id)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
# Who takes an attempt over delivers its outcome in the same transaction, so there is nothing to run out.
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_HAS_WAITING = Statement(
    sa.select(_q.action_execution_id)
    .where(_q.lease_until.is_(None), _q.available_at <= sa.bindparam("now"))
    .limit(1)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LostAttempt:
    """An attempt whose executor fell silent, or never learned of it."""

    action_id: str
    root_id: str
    attempt: int


def claim(
    connection: sa.Connection,
    *,
    executor_id: str,
    claim_id: str,
    targets: Sequence[str],
    most: int,
    now: datetime,
    lease_until: datetime,
) -> list[PendingAction]:
    """Lease up to ``most`` waiting attempts to an executor and return them, longest waiting first."""
    bounds = {"now": now, "most": most}
    if targets:
        found = _CLAIM.rows(connection, targets, **bounds)
    else:
        found = _CLAIM_FOR_ANYBODY.rows(connection, bounds)
    claimed = [_read(row) for row in found]
    _LEASE.run(
        connection,
        [attempt.action_id for attempt in claimed],
        to_executor_id=executor_id,
        to_claim_id=claim_id,
        until=lease_until,
    )
    return claimed


def _read(row: Row) -> PendingAction:
    """Return a row in the core's form. Raises ``InternalError`` that names the tree of a damaged one."""
    try:
        return pending_from(row)
    except (TypeError, ValueError) as error:
        raise InternalError(
            "A row of the action queue cannot be read.", root_execution_id=row["root_execution_id"]
        ) from error


def renew(
    connection: sa.Connection,
    *,
    executor_id: str,
    attempts: Sequence[tuple[str, int]],
    lease_until: datetime,
) -> list[tuple[str, int]]:
    """Renew the leases on ``attempts`` (action id, attempt) and return those that the executor lost."""
    action_ids = [action_id for action_id, _ in attempts]
    _RENEW.run(connection, action_ids, mine=executor_id, until=lease_until)
    rows = _HELD.rows(connection, action_ids, mine=executor_id)
    held = {(row["action_execution_id"], row["attempt"]) for row in rows}
    return [attempt for attempt in attempts if attempt not in held]


def find_roots(connection: sa.Connection, action_ids: Sequence[str]) -> dict[str, str]:
    """Return the root of each queued action; an action that is not queued is left out."""
    rows = _ROOTS.rows(connection, action_ids)
    return {row["action_execution_id"]: row["root_execution_id"] for row in rows}


def lock_expired(connection: sa.Connection, now: datetime, most: int) -> list[LostAttempt]:
    """Lock and return attempts whose lease has run out, so that no heartbeat revives them meanwhile."""
    return [_lost(row) for row in _EXPIRED.rows(connection, {"now": now, "most": most})]


def list_claimed(connection: sa.Connection, claim_ids: Sequence[str]) -> list[LostAttempt]:
    """Return the attempts that were leased to these calls of an executor."""
    return [_lost(row) for row in _CLAIMED_BY.rows(connection, claim_ids)]


def _lost(row: Row) -> LostAttempt:
    return LostAttempt(
        action_id=row["action_execution_id"], root_id=row["root_execution_id"], attempt=row["attempt"]
    )


def has_waiting(connection: sa.Connection, now: datetime) -> bool:
    """Tell whether any attempt waits for an executor."""
    return bool(_HAS_WAITING.rows(connection, {"now": now}))


def list_waiting(connection: sa.Connection, worker: str, now: datetime, most: int) -> list[PendingAction]:
    """Return attempts that wait for a worker that is no executor, longest waiting first; nothing is locked."""
    found = _WAITING_FOR_WORKER.rows(connection, {"now": now, "worker": worker, "most": most})
    return [_read(row) for row in found]


def take_over(connection: sa.Connection, pending: PendingAction, worker: str) -> bool:
    """Keep an attempt from all others for good; False if it does not wait any more."""
    statement = (
        sa.update(action_queue)
        .where(
            _q.action_execution_id == pending.action_id,
            _q.attempt == pending.attempt,
            _q.lease_until.is_(None),
        )
        .values(executor_id=worker, lease_until=_NEVER)
    )
    return connection.execute(statement).rowcount == 1
