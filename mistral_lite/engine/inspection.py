"""A look, from time to time, for rows that nothing will wake. There are none; if there is one, the log says so."""

from __future__ import annotations

import logging

from mistral_lite import log
from mistral_lite.db import executions, waits
from mistral_lite.db.transaction import Database
from mistral_lite.db.waits import Stuck

LOG = logging.getLogger(__name__)

# Workflow executions looked at in one go; the next go takes the following ones.
_MOST = 200


class Inspector:
    """Walks over the running executions of one database, some at a time, round and round."""

    def __init__(self, database: Database, most: int = _MOST) -> None:
        self._database = database
        self._most = most
        self._after = ""
        # What was told already in this round and the last one.
        self._known: set[str] = set()
        self._told: set[str] = set()

    def work(self) -> None:
        """Look at the next executions."""
        with self._database.read(is_snapshot=True) as connection:
            found = executions.list_running_roots(connection, after=self._after, most=self._most)
            stuck = waits.find_stuck(connection, found)
        for row in stuck:
            self._tell(row)
        self._after = found[-1] if len(found) == self._most else ""
        if not self._after:
            self._known, self._told = self._told, set()

    def _tell(self, row: Stuck) -> None:
        self._told.add(row.id)
        if row.id in self._known:
            return
        self._known.add(row.id)
        log.write(
            LOG,
            logging.ERROR,
            log.Event.ROW_STUCK,
            "Nothing will wake this execution; 'mistral-lite doctor --fix' asks the engine to",
            kind=str(row.noun),
            root_execution_id=row.root_id,
            **{f"{row.noun}_execution_id": row.id},  # type: ignore[arg-type]
        )
