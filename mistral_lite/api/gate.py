"""Whether maintenance holds up changes, for every request that is one."""

from __future__ import annotations

import threading
import time

from mistral_lite.db import maintenance
from mistral_lite.db.maintenance import Status
from mistral_lite.db.transaction import Database

_KEPT_S = 0.2


class Gate:
    """Remembers for a moment that there is no maintenance, so that busy processes do not ask each time.

    What slips in meanwhile is paused by the engines. That there is maintenance is never remembered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open_until = 0.0
        self._closings = 0

    def status(self, database: Database) -> Status:
        """Return the present status."""
        with self._lock:
            if time.monotonic() < self._open_until:
                return Status.RUNNING
            closings = self._closings
        with database.read() as connection:
            status = maintenance.find_status(connection)
        with self._lock:
            # Not if this process has closed it since the look.
            if not status.is_maintenance and closings == self._closings:
                self._open_until = time.monotonic() + _KEPT_S
        return status

    def close(self) -> None:
        """Forget what is remembered: this process has begun maintenance."""
        with self._lock:
            self._closings += 1
            self._open_until = 0.0
