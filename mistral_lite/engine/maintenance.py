"""Pausing the whole service and resuming it, as the status in the database says.

Every engine looks once a second; one of them at a time acts. Each order to a tree is an inbox row, so whatever
dies in between, the next look goes on from the rows. While the service is paused, what slips in (a start that
was on its way) is paused as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from mistral_lite import log
from mistral_lite.db import maintenance
from mistral_lite.db.maintenance import Status
from mistral_lite.db.transaction import Database, DatabaseClock

LOG = logging.getLogger(__name__)

# Trees that are told in one transaction.
_MOST = 500


class Maintenance:
    """Works off the status of one database."""

    def __init__(self, database: Database, ring: Callable[[Sequence[str]], None]) -> None:
        """``ring`` tells an engine of trees with something in their inbox."""
        self._database = database
        self._ring = ring
        self._clock = DatabaseClock(database)

    def work(self) -> None:
        """Tell all trees what they have not been told yet; note when the last one has followed."""
        with self._database.read() as connection:
            if maintenance.find_status(connection) is Status.RUNNING:
                return
            self._clock.synchronize(connection)
        told: Sequence[str] = [""] * _MOST
        while len(told) == _MOST:
            told = self._database.run(self._step)
            self._ring(told)

    def _step(self, connection: sa.Connection) -> Sequence[str]:
        """Tell some trees; return their roots."""
        match maintenance.try_lock_status(connection):
            case Status.PAUSING | Status.PAUSED as status:
                found = maintenance.list_running(connection, _MOST)
                maintenance.order(connection, maintenance.BEGAN, found, self._clock.now())
                if status is Status.PAUSING and maintenance.is_quiet(connection):
                    self._enter(connection, Status.PAUSED)
                return found
            case Status.RESUMING:
                # What is still to be paused is known to nobody yet; it comes first.
                if maintenance.is_ordered(connection, maintenance.BEGAN):
                    return ()
                found = maintenance.list_paused(connection, _MOST)
                maintenance.order(connection, maintenance.ENDED, found, self._clock.now())
                if not maintenance.is_anything_paused(connection):
                    self._enter(connection, Status.RUNNING)
                return found
            case _:
                return ()

    def _enter(self, connection: sa.Connection, status: Status) -> None:
        maintenance.set_status(connection, status, self._clock.now())
        log.write(
            LOG,
            logging.INFO,
            log.Event.MAINTENANCE_CHANGED,
            "The status of maintenance changed",
            to_state=status.value,
        )
