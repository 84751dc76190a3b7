"""Work that an engine process does from time to time beside its turns, each in a thread of its own.

The turn loop knows nothing of it. The work is a function that may fail: it is called again after the next
interval, whatever happened.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from mistral_lite import log
from mistral_lite.errors import UnavailableError

LOG = logging.getLogger(__name__)


class Periodic:
    """Calls ``work`` at once, and again ``interval_s`` seconds after it returned or when woken, until stopped."""

    def __init__(self, name: str, interval_s: float, work: Callable[[], None]) -> None:
        self._interval_s = interval_s
        self._work = work
        self._is_stopped = False
        self._woken = threading.Event()
        self._is_out = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after what is being done."""
        self._is_stopped = True
        self._woken.set()
        self._thread.join(timeout_s)

    def wake(self) -> None:
        """Work now; once more if work is under way."""
        self._woken.set()

    def _run(self) -> None:
        while not self._is_stopped:
            self._woken.clear()
            try:
                self._work()
                self._is_out = False
            except UnavailableError as error:
                self._note_outage(error)
            except Exception:  # noqa: BLE001 - a bug; the next interval may be better, and others go on
                log.write(LOG, logging.ERROR, log.Event.INTERNAL_ERROR, "Periodic work failed", exc_info=True)
            if not self._is_stopped:
                self._woken.wait(self._interval_s)

    def _note_outage(self, error: UnavailableError) -> None:
        if not self._is_out:
            self._is_out = True
            log.write(
                LOG,
                logging.WARNING,
                log.Event.DATABASE_UNAVAILABLE,
                "The database does not answer; trying again until it does",
                reason=str(error),
            )
