"""Waiting, bounded, for an engine to apply what the API has made durable.

An answer never depends on it: when the time is up the caller is told what is known. Engines tell which inbox rows
they have applied and which stand-alone actions have ended (``tell``); where nobody tells, or a word is lost, the
database is asked in growing steps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

_FIRST_STEP_S = 0.002
_LAST_STEP_S = 0.05
# Where engines tell: words are hardly ever lost, and looks of many who wait would slow down what they wait for.
_TOLD_STEP_S = 0.2


class Waiting:
    """The requests of one process that wait; shared by all its threads.

    ``is_told``: whether engines tell this process. Keys are the numbers of inbox rows, as text, and the ids of
    stand-alone action executions.
    """

    def __init__(self) -> None:
        self.is_told = False
        self._lock = threading.Lock()
        self._bells: dict[str, list[threading.Event]] = {}

    def tell(self, keys: Iterable[str]) -> None:
        """Wake those who wait for one of ``keys``."""
        with self._lock:
            for key in keys:
                for bell in self._bells.get(key, ()):
                    bell.set()

    @contextmanager
    def expect(self, key: str) -> Iterator[Expectation]:
        """Listen for ``key`` from now on; the engine is to be rung within the block."""
        bell = threading.Event()
        with self._lock:
            self._bells.setdefault(key, []).append(bell)
        try:
            yield Expectation(self, bell)
        finally:
            with self._lock:
                self._bells[key].remove(bell)
                if not self._bells[key]:
                    del self._bells[key]


class Expectation:
    """One request that waits for one thing."""

    def __init__(self, waiting: Waiting, bell: threading.Event) -> None:
        self._waiting = waiting
        self._bell = bell

    def wait(self, is_done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` seconds; return whether it is done, by what was told or ``is_done`` says."""
        deadline = time.monotonic() + timeout_s
        step_s = _TOLD_STEP_S if self._waiting.is_told else _FIRST_STEP_S
        while True:
            remaining_s = deadline - time.monotonic()
            if self._bell.wait(max(0.0, min(step_s, remaining_s))) or is_done():
                return True
            if remaining_s <= 0:
                return False
            step_s = max(step_s, min(step_s * 2, _LAST_STEP_S))
