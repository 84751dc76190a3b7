"""Waiting, bounded, for the engine to apply what the API has made durable.

An answer never depends on it: when the time is up the caller is told what is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST_STEP_S = 0.001
_LAST_STEP_S = 0.05


def wait_until(is_done: Callable[[], bool], timeout_s: float) -> bool:
    """Ask ``is_done`` in growing steps until it says yes or ``timeout_s`` seconds are over; return its word."""
    deadline = time.monotonic() + timeout_s
    step_s = _FIRST_STEP_S
    while not is_done():
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            return False
        time.sleep(min(step_s, remaining_s))
        step_s = min(step_s * 2, _LAST_STEP_S)
    return True
