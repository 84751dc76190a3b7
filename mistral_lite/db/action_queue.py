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
from mistral_lite.db.tables import action_queue
from mistral_lite.db.trees import chunks
from mistral_lite.workflow.model import PendingAction

_q = action_queue.c


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
    statement = (
        sa.select(action_queue)
        .where(
            _q.lease_until.is_(None),
            _q.available_at <= now,
            sa.or_(_q.target.is_(None), _q.target.in_(targets)),
        )
        .order_by(_q.available_at, _q.action_execution_id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    claimed = [pending_from(row) for row in connection.execute(statement).mappings()]
    for chunk in chunks([attempt.action_id for attempt in claimed]):
        connection.execute(
            sa.update(action_queue)
            .where(_q.action_execution_id.in_(chunk))
            .values(executor_id=executor_id, claim_id=claim_id, lease_until=lease_until)
        )
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
        mine = (_q.action_execution_id.in_(chunk), _q.executor_id == executor_id)
        connection.execute(sa.update(action_queue).where(*mine).values(lease_until=lease_until))
        rows = connection.execute(sa.select(_q.action_execution_id, _q.attempt).where(*mine))
        held.update((row.action_execution_id, row.attempt) for row in rows)
    return [attempt for attempt in attempts if attempt not in held]


def find_roots(connection: sa.Connection, action_ids: Sequence[str]) -> dict[str, str]:
    """Return the root of each queued action; an action that is not queued is left out."""
    found: dict[str, str] = {}
    for chunk in chunks(action_ids):
        statement = sa.select(_q.action_execution_id, _q.root_execution_id).where(
            _q.action_execution_id.in_(chunk)
        )
        found.update(
            (row.action_execution_id, row.root_execution_id) for row in connection.execute(statement)
        )
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
