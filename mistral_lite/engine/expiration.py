"""Removing old executions, as ``[execution_expiration_policy]`` says: whole trees, by their finished root.

Several engines may do it at once. Transactions are short, so that work goes on in between.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from mistral_lite import faults, log
from mistral_lite.db import expiration
from mistral_lite.db.transaction import Database, DatabaseClock
from mistral_lite.workflow.states import FINISHED, State

LOG = logging.getLogger(__name__)

# Trees in one transaction if the operator names no number.
_BATCH = 50
# Trees looked up at a time.
_MOST_FOUND = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpirationPolicy:
    """Which executions are removed.

    ``older_than_s``: those that ended longer ago, None for no limit. ``max_finished``: all but the newest so
    many, 0 for no limit. ``ignored_states`` are never removed, nor counted. ``batch_size``: executions
    removed in one transaction, 0 for the service's own number.
    """

    older_than_s: int | None = None
    max_finished: int = 0
    ignored_states: frozenset[State] = frozenset()
    batch_size: int = 0


class Expiration:
    """Removes old executions of one database."""

    def __init__(self, database: Database, policy: ExpirationPolicy) -> None:
        self._database = database
        self._policy = policy
        self._clock = DatabaseClock(database)
        self._states = sorted(str(state) for state in FINISHED - policy.ignored_states)

    def work(self) -> None:
        """Remove what is old by the time of the database."""
        with self._database.read() as connection:
            self._clock.synchronize(connection)
        count = self.expire(self._clock.now())
        if count:
            log.write(
                LOG,
                logging.INFO,
                log.Event.EXECUTIONS_EXPIRED,
                "Old executions were removed",
                execution_count=count,
            )

    def expire(self, now: datetime) -> int:
        """Remove what is old at ``now``; return the number of trees."""
        total = 0
        while True:
            found = self._find(now)
            removed = sum(self._delete(batch) for batch in self._batches(found))
            total += removed
            # Nothing removed: engines work on all of them just now.
            if len(found) < _MOST_FOUND or not removed:
                return total

    def _find(self, now: datetime) -> list[str]:
        age_s, keep = self._policy.older_than_s, self._policy.max_finished
        with self._database.read() as connection:
            return expiration.list_superfluous(
                connection,
                states=self._states,
                before=None if age_s is None else now - timedelta(seconds=age_s),
                keep=keep or None,
                most=_MOST_FOUND,
            )

    def _batches(self, root_ids: list[str]) -> list[list[str]]:
        size = self._policy.batch_size or _BATCH
        return [root_ids[start : start + size] for start in range(0, len(root_ids), size)]

    def _delete(self, root_ids: list[str]) -> int:
        def work(connection: sa.Connection) -> int:
            count = expiration.delete_trees(connection, root_ids, states=self._states)
            faults.reach("expiration.before_commit")
            return count

        return self._database.run(work)
