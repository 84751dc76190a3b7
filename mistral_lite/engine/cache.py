"""Snapshots kept between turns. One is valid as long as its version is that of the locked root."""

from __future__ import annotations

from collections import OrderedDict

from mistral_lite.workflow.snapshot import Snapshot


class SnapshotCache:
    """The most recently used snapshots, up to ``most_rows`` rows in all."""

    def __init__(self, most_rows: int) -> None:
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
        rows = len(snapshot.workflows) + len(snapshot.tasks) + len(snapshot.actions)
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
