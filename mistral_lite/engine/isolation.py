"""One tree must never hold up the others: what failed together is taken apart, tree by tree.

A turn may fail outside of a decision: the database refuses a row, a row cannot be read, there is a bug. Then
each tree of that turn is taken alone. Those that fail again are parked: left out of the turns of others and tried
alone after growing pauses. What the database refuses as data it will always refuse; such a tree ends in ERROR.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from sqlalchemy.exc import DataError, IntegrityError

from mistral_lite import log
from mistral_lite.db import parking, timers
from mistral_lite.db.transaction import Database
from mistral_lite.engine.agenda import Agenda
from mistral_lite.engine.quarantine import Quarantine
from mistral_lite.errors import LimitExceededError, UnavailableError

LOG = logging.getLogger(__name__)

# Refusals after which an execution is ended: by then it was no accident.
_MOST_REFUSALS = 3
_MOST_TIMERS = 200

_REFUSED = (
    "The database refuses to store what follows in this execution, so it cannot go on. The operator's log says "
    "what was refused."
)


class Isolation:
    """Takes trees alone, and remembers which are to be left out."""

    def __init__(
        self,
        database: Database,
        take: Callable[[Agenda], None],
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        """``take`` commits a turn or raises; ``monotonic`` is the time of pauses, ``now`` that of the database."""
        self._database = database
        self._take = take
        self._monotonic = monotonic
        self._now = now
        self._quarantine = Quarantine()

    @property
    def excluded(self) -> frozenset[str]:
        """Return the trees to be left out of every turn."""
        return self._quarantine.root_ids

    @property
    def next_at(self) -> float | None:
        """Return the monotonic time at which ``retry`` has something to do."""
        return self._quarantine.next_at

    def examine(self, agenda: Agenda, suspects: Iterable[str]) -> None:
        """Take the trees of a turn that failed one at a time. Raises ``UnavailableError``."""
        for root_id in sorted(suspects):
            alone = Agenda(
                only=root_id,
                root_ids=agenda.root_ids & {root_id},
                tickets=agenda.tickets,
                timers=[item for item in agenda.timers if item[1] == root_id],
                look_for_expired=agenda.look_for_expired,
            )
            self._take_alone(alone, root_id)

    def retry(self) -> None:
        """Take the parked trees whose time has come, each with all that waits for it."""
        for root_id in self._quarantine.due(self._monotonic()):
            with self._database.read() as connection:
                due = timers.list_due_of(connection, root_id, self._now(), most=_MOST_TIMERS)
            alone = Agenda(only=root_id, root_ids={root_id}, timers=due, look_for_expired=True)
            if self._take_alone(alone, root_id):
                self._quarantine.release(root_id)

    def _take_alone(self, agenda: Agenda, root_id: str) -> bool:
        """Take a turn with one tree; return whether it was committed, else the tree is parked or ended."""
        try:
            self._take(agenda)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be kept from the others
            self.park(root_id, error)
            return False
        return True

    def park(self, root_id: str, error: Exception) -> None:
        """Leave a tree out from now on, for a while, or end it. Raises ``UnavailableError``."""
        failures, pause_s = self._quarantine.park(root_id, self._monotonic())
        is_refused = isinstance(error, (DataError, IntegrityError, LimitExceededError))
        is_over = is_refused and failures >= _MOST_REFUSALS
        log.write(
            LOG,
            logging.ERROR,
            log.Event.TREE_BROKEN_OFF if is_over else log.Event.TREE_PARKED,
            "An execution is ended, because the database refuses what follows in it"
            if is_over
            else "An execution cannot be taken further; it is tried again after a pause",
            exc_info=True,
            root_execution_id=root_id,
            error_type=type(error).__name__,
            attempt=failures,
            duration_s=pause_s,
        )
        now = self._now()
        with self._database.write() as connection:
            if is_over and parking.break_off(connection, root_id, _REFUSED, now):
                self._quarantine.release(root_id)
            else:
                # Not to be found by every sweep and every claim meanwhile.
                parking.postpone(connection, root_id, now + timedelta(seconds=pause_s))
