"""Named points at which a test may kill this process; owns nothing else and does nothing in production.

``MISTRAL_LITE_CRASH_AT="name"`` (or ``"name:3"``) makes the first (or third) ``reach(name)`` end the process
with SIGKILL: no handler runs, nothing is flushed, as in a power cut. The variable is read once, at import,
because a crash point must cost nothing where it is not armed. Points are named ``<part>.<moment>``.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping

VARIABLE = "MISTRAL_LITE_CRASH_AT"


class CrashPoint:
    """One armed point: the ``count``-th reach of ``name`` kills the process."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self._remaining = count
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> CrashPoint | None:
        """Return the point that ``environment`` arms, or None. Raises ``ValueError`` on a bad count."""
        text = environment.get(VARIABLE, "")
        if not text:
            return None
        name, _, count = text.partition(":")
        return cls(name, int(count or 1))

    def reached(self, name: str) -> None:
        """Count one reach of ``name`` and die if it was the one."""
        if name != self.name:
            return
        with self._lock:
            self._remaining -= 1
            if self._remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_ARMED = CrashPoint.from_environment(os.environ)


def reach(name: str) -> None:
    """Say that the process is at crash point ``name``."""
    if _ARMED is not None:
        _ARMED.reached(name)
