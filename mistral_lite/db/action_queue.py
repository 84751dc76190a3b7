"""Leases on queued actions: claimed, renewed, run out.

A lease is no part of an execution tree: taking or renewing one needs no lock on a root. Only the engine's
decisions add and remove rows, and only they count attempts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from mistral_lite.db.rows import pending_from
from mistral_lite.db.statements import IDS, chunks
from mistral_lite.db.tables import action_queue
from mistral_lite.workflow.model import PendingAction

_q = action_queue.c

_CLAIM = (
    sa.select(action_queue)
    .where(
        _q.lease_until.is_(None),
        _q.available_at <= sa.bindparam("now"),
        sa.or_(_q.target.is_(None), _q.target.in_(sa.bindparam("targets", expanding=True))),
    )
    .order_by(_q.available_at, _q.action_execution_id)
    .limit(sa.bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
_LEASE = (
    sa.update(action_queue)
    .where(_q.action_execution_id.in_(IDS))
    .values(
        executor_id=sa.bindparam("to_executor_id"),
        claim_id=sa.bindparam("to_claim_id"),
        lease_until=sa.bindparam("until"),
    )
)
_IS_MINE = (_q.action_execution_id.in_(IDS), _q.executor_id == sa.bindparam("mine"))
_RENEW = sa.update(action_queue).where(*_IS_MINE).values(lease_until=sa.bindparam("until"))
_HELD = sa.select(_q.action_execution_id, _q.attempt).where(*_IS_MINE)
_ROOTS = sa.select(_q.action_execution_id, _q.root_execution_id).where(_q.action_execution_id.in_(IDS))


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
    wanted = {"now": now, "targets": list(targets), "most": most}
    claimed = [pending_from(row) for row in connection.execute(_CLAIM, wanted).mappings()]
    lease = {"to_executor_id": executor_id, "to_claim_id": claim_id, "until": lease_until}
    for chunk in chunks([attempt.action_id for attempt in claimed]):
        connection.execute(_LEASE, {"ids": chunk, **lease})
    return claimed


def renew(
    connection: sa.Connection,
    *,
    executor_id: str,
    attempts: Sequence[tuple[str, int]],
    lease_until: datetime,
) -> list[tuple[str, int]]:
    """Renew the leases on ``attempts`` (action id, attempt) and return those that the executor lost."""
    held: set[tuple[str, int]] = set()
    for chunk in chunks([action_id for action_id, _ in attempts]):
        mine = {"ids": chunk, "mine": executor_id}
        connection.execute(_RENEW, {**mine, "until": lease_until})
        rows = connection.execute(_HELD, mine)
        held.update((row.action_execution_id, row.attempt) for row in rows)
    return [attempt for attempt in attempts if attempt not in held]


def find_roots(connection: sa.Connection, action_ids: Sequence[str]) -> dict[str, str]:
    """Return the root of each queued action; an action that is not queued is left out."""
    found: dict[str, str] = {}
    for chunk in chunks(action_ids):
        rows = connection.execute(_ROOTS, {"ids": chunk})
        found.update((row.action_execution_id, row.root_execution_id) for row in rows)
    return found


def lock_expired(connection: sa.Connection, now: datetime, most: int) -> list[LostAttempt]:
    """Lock and return attempts whose lease has run out, so that no heartbeat revives them meanwhile."""
    statement = (
        sa.select(_q.action_execution_id, _q.root_execution_id, _q.attempt)
        .where(_q.lease_until < now)
        .order_by(_q.lease_until)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return _lost(connection, statement)


def list_claimed(connection: sa.Connection, claim_ids: Sequence[str]) -> list[LostAttempt]:
    """Return the attempts that were leased to these calls of an executor."""
    statement = sa.select(_q.action_execution_id, _q.root_execution_id, _q.attempt).where(
        _q.claim_id.in_(claim_ids)
    )
    return _lost(connection, statement)


def _lost(connection: sa.Connection, statement: sa.Select[Any]) -> list[LostAttempt]:
    return [
        LostAttempt(action_id=row.action_execution_id, root_id=row.root_execution_id, attempt=row.attempt)
        for row in connection.execute(statement)
    ]


def has_waiting(connection: sa.Connection, now: datetime) -> bool:
    """Tell whether any attempt waits for an executor."""
    statement = sa.select(_q.action_execution_id).where(_q.lease_until.is_(None), _q.available_at <= now)
    return connection.execute(statement.limit(1)).first() is not None
