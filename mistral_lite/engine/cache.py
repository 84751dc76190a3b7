"""Snapshots kept between turns. One is valid as long as its version is that of the locked root."""

from __future__ import annotations

from collections import OrderedDict

from mistral_lite.engine.origins import Origins
from mistral_lite.jsontext import JsonObject, dump
from mistral_lite.workflow.snapshot import Snapshot

# What a row takes, about; and what a snapshot takes besides its rows, in rows.
_ROW_BYTES = 1200
_ROWS_OF_A_SNAPSHOT = 2


class SnapshotCache:
    """The most recently used snapshots, up to ``most_rows`` rows in all; large inputs count as several.

    ``origins``: of the actions in them that were handed out.
    """

    def __init__(self, most_rows: int) -> None:
        self.origins = Origins()
        self._most_rows = most_rows
        self._rows = 0
        self._kept: OrderedDict[str, tuple[Snapshot, int]] = OrderedDict()

    def find(self, root_id: str, version: int) -> Snapshot | None:
        """Return the snapshot of a tree at exactly this version, or None."""
        kept = self._kept.get(root_id)
        return kept[0] if kept is not None and kept[0].version == version else None

    def keep(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, and let go of those that were not used for longest."""
        self.drop(snapshot.root_id)
        rows = _weight(snapshot)
        self._kept[snapshot.root_id] = (snapshot, rows)
        self._rows += rows
        while self._rows > self._most_rows and len(self._kept) > 1:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._rows -= dropped

    def drop(self, root_id: str) -> None:
        """Let go of a snapshot."""
        kept = self._kept.pop(root_id, None)
        if kept is not None:
            self._rows -= kept[1]


def _weight(snapshot: Snapshot) -> int:
    """Return about how many rows take the memory that ``snapshot`` does."""
    rows = len(snapshot.workflows) + len(snapshot.tasks) + len(snapshot.actions)
    root = snapshot.workflows.get(snapshot.root_id)
    return _ROWS_OF_A_SNAPSHOT + rows + (0 if root is None else _input_rows(snapshot, root.input))


def _input_rows(snapshot: Snapshot, given: JsonObject) -> int:
    # Measured once: an input does not change.
    remembered = snapshot.memory.get("input rows")
    if remembered is None or remembered[0] is not given:
        remembered = (given, len(dump(given)) // _ROW_BYTES)
        snapshot.memory["input rows"] = remembered
    rows = remembered[1]
    assert isinstance(rows, int)
    return rows
