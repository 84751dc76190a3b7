"""Parsed workflows by the hash of their content, kept for the next request."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

import sqlalchemy as sa

from mistral_lite.db import definitions
from mistral_lite.errors import NotFoundError
from mistral_lite.lang.specs import WorkflowSpec


class SpecCache:
    """The last used workflow specs. They never change, so nothing here can be out of date."""

    def __init__(self, max_count: int = 2000) -> None:
        self._max_count = max_count
        self._specs: OrderedDict[str, WorkflowSpec] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, connection: sa.Connection, spec_hash: str) -> WorkflowSpec:
        """Return one spec. Raises ``NotFoundError``."""
        found = self.get_all(connection, [spec_hash])
        if spec_hash not in found:
            raise NotFoundError(f"Spec not found [hash={spec_hash}].")
        return found[spec_hash]

    def get_all(self, connection: sa.Connection, spec_hashes: Iterable[str]) -> dict[str, WorkflowSpec]:
        """Return specs by hash; unknown ones are left out."""
        wanted = set(spec_hashes)
        with self._lock:
            found = {key: self._specs[key] for key in wanted if key in self._specs}
        missing = sorted(wanted - found.keys())
        if missing:
            found.update(definitions.load_specs(connection, missing))
        with self._lock:
            for key, spec in found.items():
                self._specs[key] = spec
                self._specs.move_to_end(key)
            while len(self._specs) > self._max_count:
                self._specs.popitem(last=False)
        return found
