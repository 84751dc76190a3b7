"""A journal of dictionary writes: what makes it cheap to decide without leaving a trace.

A decision works on the snapshot itself, writes through the journal, and is taken back at its end. What it
wrote is kept and can be written again in one pass. The cost is that of what changed, never that of the
whole snapshot.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any, Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")

# The value of a key that is not there.
ABSENT: Final = object()

# (mapping, key, value before, value after); absence is a value.
Entry = tuple[MutableMapping[Any, Any], object, object, object]


class Journal:
    """Records writes to plain dictionaries, so that they can be undone and done again."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def set(self, mapping: MutableMapping[K, V], key: K, value: V) -> None:
        """Write ``mapping[key] = value``."""
        self._entries.append((mapping, key, mapping.get(key, ABSENT), value))
        mapping[key] = value

    def remove(self, mapping: MutableMapping[K, V], key: K) -> None:
        """Remove ``key`` if it is there."""
        if key in mapping:
            self._entries.append((mapping, key, mapping[key], ABSENT))
            del mapping[key]

    def mark(self) -> int:
        """Return a point to which ``undo`` can go back."""
        return len(self._entries)

    def since(self, mark: int) -> Sequence[Entry]:
        """Return the writes after ``mark``, in order."""
        return self._entries[mark:]

    def undo(self, mark: int) -> None:
        """Take back every write after ``mark``."""
        for mapping, key, before, _ in reversed(self._entries[mark:]):
            if before is ABSENT:
                mapping.pop(key, None)
            else:
                mapping[key] = before
        del self._entries[mark:]

    def forget(self) -> None:
        """Make all writes so far final."""
        self._entries.clear()


def redo(entries: Sequence[Entry]) -> None:
    """Do writes again that were undone."""
    for mapping, key, _, after in entries:
        if after is ABSENT:
            mapping.pop(key, None)
        else:
            mapping[key] = after
