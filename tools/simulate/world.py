"""Virtual time, and the order of things: one heap of what happens next, one random source for everything.

What belongs to a process happens only while that process lives, and later if it is frozen. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from random import Random

BEGIN = datetime(2026, 11, 22, tzinfo=UTC)


class Crash(BaseException):
    """The process that is at this point dies."""


class Process:
    """Something that may die and be frozen; what is planned for it goes with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.frozen_until = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """How likely what is, from 0 to 1; all 0 in a calm world."""

    lose: float = 0.0
    repeat: float = 0.0
    crash: float = 0.0
    fail: float = 0.0
    hold: float = 0.0
    freeze: float = 0.0

    @classmethod
    def draw(cls, random: Random) -> Chances:
        """Return chances of a random severity."""
        if random.random() < 0.15:
            return cls()

        def some(most: float) -> float:
            return random.choice([0.0, most / 4, most])

        return cls(
            lose=some(0.2),
            repeat=some(0.1),
            crash=some(0.08),
            fail=some(0.06),
            hold=some(0.2),
            freeze=some(0.03),
        )


class World:
    """Time, chance, and what happens next."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.chances = Chances.draw(self.random)
        self.now_s = 0.0
        self.is_loud = False
        self._heap: list[tuple[float, int, Process | None, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> datetime:
        """Return the time of the database."""
        return BEGIN + timedelta(seconds=self.now_s)

    def says(self, chance: float) -> bool:
        """Tell whether something of this likelihood happens now."""
        return chance > 0 and self.random.random() < chance

    def after(self, delay_s: float, do: Callable[[], None], owner: Process | None = None) -> None:
        """Have something happen later."""
        self._count += 1
        heappush(self._heap, (self.now_s + max(delay_s, 0.0), self._count, owner, do))

    def note(self, text: str) -> None:
        """Write a line of the trace, if somebody wants one."""
        if self.is_loud:
            print(f"{self.now_s:9.3f} {text}", flush=True)

    def run_until(self, is_over: Callable[[], bool], deadline_s: float) -> bool:
        """Let things happen until ``is_over`` (asked after each) or the deadline; tell whether it is over."""
        while self._heap and self._heap[0][0] <= deadline_s:
            at_s, _, owner, do = heappop(self._heap)
            self.now_s = max(self.now_s, at_s)
            if owner is not None:
                if not owner.is_alive:
                    continue
                if owner.frozen_until > self.now_s:
                    self.after(owner.frozen_until - self.now_s, do, owner)
                    continue
            do()
            if is_over():
                return True
        return is_over()

    def be_calm(self) -> None:
        """Let no further faults happen."""
        self.chances = Chances()
