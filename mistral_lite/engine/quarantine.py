"""Trees whose turn failed for a reason of their own: left out of the turns of others, tried alone, ever more rarely.

What is remembered here is only when to try again. Everything about the trees stays where it was, in the
database and with the executors that repeat their reports, so a process that ends loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

# Seconds until a tree is tried again after its first failure, doubled with each further one, up to the last.
_FIRST_S = 1.0
_LAST_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parked:
    failures: int
    until: float


class Quarantine:
    """The trees that are set apart. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._parked: dict[str, _Parked] = {}

    @property
    def root_ids(self) -> frozenset[str]:
        """Return the trees that are set apart just now."""
        return frozenset(self._parked)

    @property
    def next_at(self) -> float | None:
        """Return when the next tree is to be tried again, None if there is none."""
        return min((each.until for each in self._parked.values()), default=None)

    def park(self, root_id: str, now: float) -> tuple[int, float]:
        """Set a tree apart; return how often it failed and for how many seconds it is left alone."""
        known = self._parked.get(root_id)
        failures = known.failures + 1 if known is not None else 1
        pause_s = min(_FIRST_S * 2.0 ** min(failures - 1, 10), _LAST_S)
        self._parked[root_id] = _Parked(failures=failures, until=now + pause_s)
        return failures, pause_s

    def release(self, root_id: str) -> None:
        """Take a tree back among the others."""
        self._parked.pop(root_id, None)

    def due(self, now: float) -> list[str]:
        """Return the trees that are to be tried again."""
        return [root_id for root_id, each in self._parked.items() if each.until <= now]
