"""Daemon threads that run one callable for each item; started when first needed.

Not ``concurrent.futures``: its threads hold up the end of the process, and an action that hangs must not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic
from typing import Generic, TypeVar

Item = TypeVar("Item")


class WorkerPool(Generic[Item]):
    """Up to ``size`` threads. ``work`` must not raise: an exception would end its thread."""

    def __init__(self, size: int, work: Callable[[Item], None], name: str) -> None:
        self._size = size
        self._work = work
        self._name = name
        self._items: SimpleQueue[Item | None] = SimpleQueue()
        # Counts the threads that wait for an item and that no submitted item counts on yet.
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def submit(self, item: Item) -> None:
        """Have ``item`` worked on, by a waiting thread, a new one or the next that gets free."""
        if not self._idle.acquire(blocking=False):
            self._add_thread()
        self._items.put(item)

    def stop(self, timeout_s: float = 0.0) -> None:
        """Let every thread end after what was submitted, and wait for that up to ``timeout_s``."""
        deadline = monotonic() + timeout_s
        with self._lock:
            threads = tuple(self._threads)
        for _ in threads:
            self._items.put(None)
        for thread in threads:
            thread.join(max(deadline - monotonic(), 0.0))

    def _add_thread(self) -> None:
        with self._lock:
            if len(self._threads) >= self._size:
                return
            name = f"{self._name}-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            # Before anybody else can see it: a thread that was not started cannot be waited for.
            thread.start()
            self._threads.append(thread)

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            self._work(item)
            self._idle.release()
