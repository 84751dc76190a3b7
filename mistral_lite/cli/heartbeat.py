"""This process in the table of services, and the executors that it hears of; for the operator only."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from datetime import timedelta

import sqlalchemy as sa

from mistral_lite.db import services
from mistral_lite.db.services import Service
from mistral_lite.db.transaction import Database
from mistral_lite.engine.periodic import Periodic
from mistral_lite.errors import UnavailableError
from mistral_lite.ids import new_id

_INTERVAL_S = 10.0
# For an operator who asks what ran here.
_KEPT = timedelta(minutes=10)


def _nobody() -> Collection[str]:
    return ()


class Heartbeat:
    """Writes the lines of a process into ``database``."""

    def __init__(self, database: Database, role: str, heard: Callable[[], Collection[str]] = _nobody) -> None:
        """``heard`` returns the ids of the executors (``host/id``) that were heard of since the last call."""
        self._database = database
        self._role = role
        self._heard = heard
        self._self: Service | None = None

    def work(self) -> None:
        """Say that this process lives, and the executors that it heard of."""
        heard = self._heard()

        def write(connection: sa.Connection) -> None:
            now = self._database.now(connection)
            if self._self is None:
                self._self = Service(
                    id=new_id(now), role=self._role, host=socket.gethostname(), started_at=now
                )
            executors = (executor_id.rpartition("/") for executor_id in sorted(heard))
            others = [
                Service(id=key, role="executor", host=host, started_at=now) for host, _, key in executors
            ]
            services.beat(connection, [self._self, *others], now)
            services.prune(connection, now - _KEPT)

        self._database.run(write)

    def end(self) -> None:
        """Take the line of this process away."""
        if self._self is None:
            return
        own_id = self._self.id
        # A line that stays is taken for a process that was killed; nothing worse.
        with suppress(UnavailableError):
            self._database.run(lambda connection: services.remove(connection, [own_id]))


def start_heartbeat(
    database: Database, role: str, stack: ExitStack, heard: Callable[[], Collection[str]] = _nobody
) -> None:
    """Show this process as a service until ``stack`` unwinds."""
    heartbeat = Heartbeat(database, role, heard)
    periodic = Periodic("heartbeat", _INTERVAL_S, heartbeat.work)
    stack.callback(heartbeat.end)
    periodic.start()
    stack.callback(periodic.stop)
