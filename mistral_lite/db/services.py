"""Heartbeats of processes, for the operator. Nothing depends on them.

A process writes its own row, or that of executors which it heard of; a row that nobody renews is removed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mistral_lite.db.tables import services

_s = services.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process. ``id`` is its own for as long as it lives; ``host`` is where it runs."""

    id: str
    role: str
    host: str
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A process and when it was last heard of."""

    service: Service
    heartbeat_at: datetime


def beat(connection: sa.Connection, alive: Sequence[Service], now: datetime) -> None:
    """Note that these processes live."""
    if not alive:
        return
    ids = [service.id for service in alive]
    known = set(connection.execute(sa.select(_s.id).where(_s.id.in_(ids))).scalars())
    if known:
        connection.execute(sa.update(services).where(_s.id.in_(sorted(known))).values(heartbeat_at=now))
    new = [
        {
            "id": service.id,
            "role": service.role,
            "host": service.host,
            "started_at": service.started_at,
            "heartbeat_at": now,
        }
        for service in alive
        if service.id not in known
    ]
    if new:
        connection.execute(sa.insert(services), new)


def remove(connection: sa.Connection, ids: Collection[str]) -> None:
    """Remove processes that ended in order."""
    connection.execute(sa.delete(services).where(_s.id.in_(ids)))


def prune(connection: sa.Connection, before: datetime) -> None:
    """Remove processes that were last heard of before a point in time."""
    connection.execute(sa.delete(services).where(_s.heartbeat_at < before))


def list_all(connection: sa.Connection) -> list[Heartbeat]:
    """Return all processes by role, the one that was heard of last first."""
    rows = connection.execute(sa.select(services).order_by(_s.role, _s.heartbeat_at.desc(), _s.id))
    return [
        Heartbeat(
            service=Service(id=row.id, role=row.role, host=row.host, started_at=row.started_at),
            heartbeat_at=row.heartbeat_at,
        )
        for row in rows
    ]
