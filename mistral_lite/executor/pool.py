"""Daemon threads that run one callable for each item; started when first needed.

Not ``concurrent.futures``: its threads hold up the end of the process, and an action that hangs must not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
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
        self._count = 0

    def submit(self, item: Item) -> None:
        """Have ``item`` worked on, by a waiting thread, a new one or the next that gets free."""
        if not self._idle.acquire(blocking=False):
            self._add_thread()
        self._items.put(item)

    def stop(self) -> None:
        """Let every thread end after the item it works on."""
        with self._lock:
            for _ in range(self._count):
                self._items.put(None)

    def _add_thread(self) -> None:
        with self._lock:
            if self._count >= self._size:
                return
            self._count += 1
            number = self._count
        threading.Thread(target=self._run, name=f"{self._name}-{number}", daemon=True).start()

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            self._work(item)
            self._idle.release()
