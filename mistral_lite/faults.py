"""Named points at which a test may kill this process, or make a call fail that succeeded; nothing in production.

``MISTRAL_LITE_CRASH_AT="name"`` (or ``"name:3"``) makes the first (or third) ``reach(name)`` end the process
with SIGKILL: no handler runs, nothing is flushed, as in a power cut. ``"name:3:fail"`` raises
``UnavailableError`` there instead, as if the answer to what was just done had been lost. The variable is read
once, at import, because a crash point must cost nothing where it is not armed. Points are named
``<part>.<moment>``.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from typing import Protocol

from mistral_lite.errors import UnavailableError

VARIABLE = "MISTRAL_LITE_CRASH_AT"


class Fault(Protocol):
    """What an armed process does at its points."""

    def reached(self, name: str) -> None:
        """Go on, or not, at the point ``name``."""


class CrashPoint:
    """One armed point: the ``count``-th reach of ``name`` kills the process, or fails if ``is_failure``."""

    def __init__(self, name: str, count: int, *, is_failure: bool = False) -> None:
        self.name = name
        self._remaining = count
        self._is_failure = is_failure
        self._lock = threading.Lock()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> CrashPoint | None:
        """Return the point that ``environment`` arms, or None. Raises ``ValueError`` on a bad count or mode."""
        text = environment.get(VARIABLE, "")
        if not text:
            return None
        name, count, mode, *_ = *text.split(":"), "", ""
        if mode not in {"", "kill", "fail"}:
            raise ValueError(f"{VARIABLE}: {mode} is neither kill nor fail")
        return cls(name, int(count or 1), is_failure=mode == "fail")

    def reached(self, name: str) -> None:
        """Count one reach of ``name``, and die or fail if it was the one."""
        if name != self.name:
            return
        with self._lock:
            self._remaining -= 1
            if self._remaining != 0:
                return
        if self._is_failure:
            raise UnavailableError(f"The answer was lost, as a test wants it [point={name}].")
        os.kill(os.getpid(), signal.SIGKILL)


_armed: Fault | None = CrashPoint.from_environment(os.environ)


def arm(fault: Fault | None) -> None:
    """Have ``fault`` hear of every point that this process reaches; None for nobody."""
    global _armed  # noqa: PLW0603 - whether this process is armed is a fact about the process
    _armed = fault


def reach(name: str) -> None:
    """Say that the process is at crash point ``name``."""
    if _armed is not None:
        _armed.reached(name)
