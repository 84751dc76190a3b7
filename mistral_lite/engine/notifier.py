"""Delivery of notifications: a part of each engine process that no workflow ever waits for.

One thread claims due rows of the outbox in short transactions; others deliver them, all rows for one
publisher in order and by one thread, so that a publisher which is slow or away holds up nobody but itself.
They are daemon threads: a publisher that never returns must not keep the process from ending.
What was told is deleted afterwards: delivery is at least once. What failed is tried again after growing
pauses and given up after the last one, with a line in the log.

The engine wakes the thread after a commit that wrote notifications. Without that it looks every few seconds,
for what a process that died has left.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from time import monotonic

from mistral_lite import faults, log
from mistral_lite.db import notifications
from mistral_lite.db.notifications import OutboxRow
from mistral_lite.db.transaction import Database
from mistral_lite.engine.publishers import Message, PublishError, Publishers
from mistral_lite.errors import UnavailableError
from mistral_lite.jsontext import load

LOG = logging.getLogger(__name__)

# Rows that somebody else has locked for a moment look due; do not ask in a circle.
_LEAST_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierSettings:
    """Settings of the delivery; times are seconds.

    ``pauses_s``: before each further attempt; there is one attempt more than pauses. ``sweep_s``: how often to
    look unasked. ``lease_s``: after which others take over rows of a process that died. ``most_rows``: claimed
    at once. ``most_busy``: while so many publishers are spoken to nothing is claimed, but those that take longer
    than ``stuck_s`` do not count.
    """

    pauses_s: tuple[float, ...] = (1.0, 2.0, 5.0, 15.0, 30.0)
    sweep_s: float = 5.0
    outage_pause_s: float = 1.0
    lease_s: float = 300.0
    most_rows: int = 100
    most_busy: int = 8
    stuck_s: float = 30.0


class Notifier:
    """The threads that deliver."""

    def __init__(self, database: Database, publishers: Publishers, settings: NotifierSettings) -> None:
        self._database = database
        self._publishers = publishers
        self._settings = settings
        self._condition = threading.Condition()
        self._is_rung = False
        self._is_closed = False
        # Publishers (as their JSON text) that a thread speaks to now, and since when (monotonic).
        self._busy: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self, timeout_s: float = 15.0) -> None:
        """Let the deliveries under way end; what is left comes back after its lease."""
        deadline = monotonic() + timeout_s
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()
        self._thread.join(timeout_s)
        with self._condition:
            self._condition.wait_for(lambda: not self._busy, max(0.0, deadline - monotonic()))

    def wake(self) -> None:
        """Look at the outbox now."""
        with self._condition:
            self._is_rung = True
            self._condition.notify_all()

    def _run(self) -> None:
        while not self._is_closed:
            try:
                pause_s = self._look()
            except UnavailableError:
                # The engine's loop logs that the database is away.
                pause_s = self._settings.outage_pause_s
            except Exception:  # noqa: BLE001 - a bug; later notifications must not suffer
                log.write(LOG, logging.ERROR, log.Event.INTERNAL_ERROR, "The notifier failed", exc_info=True)
                pause_s = self._settings.sweep_s
            with self._condition:
                self._condition.wait_for(lambda: self._is_rung or self._is_closed, pause_s)
                self._is_rung = False

    def _look(self) -> float:
        """Hand out what is due; return the seconds until there may be more, unless rung."""
        with self._condition:
            busy = tuple(self._busy)
            is_stuck_from = monotonic() - self._settings.stuck_s
            count = sum(since > is_stuck_from for since in self._busy.values())
        if count >= self._settings.most_busy:
            # The next that ends rings.
            return self._settings.sweep_s
        with self._database.read() as connection:
            now = self._database.now(connection)
            due_at = notifications.next_at(connection, busy)
        if due_at is None:
            return self._settings.sweep_s
        if due_at > now:
            return min(self._settings.sweep_s, max((due_at - now).total_seconds(), _LEAST_PAUSE_S))
        deadline = monotonic() + self._settings.lease_s / 2
        claimed = self._database.run(
            lambda connection: notifications.claim(
                connection,
                now=now,
                lease_until=now + timedelta(seconds=self._settings.lease_s),
                most=self._settings.most_rows,
                without=busy,
            )
        )
        # Sorting is stable: the rows of each publisher stay in their order.
        for publisher, rows in groupby(sorted(claimed, key=_publisher_of), key=_publisher_of):
            with self._condition:
                self._busy[publisher] = monotonic()
            threading.Thread(
                target=self._deliver_all,
                args=(publisher, list(rows), deadline),
                name="publisher",
                daemon=True,
            ).start()
        return _LEAST_PAUSE_S

    def _deliver_all(self, publisher: str, rows: Sequence[OutboxRow], deadline: float) -> None:
        """Deliver the rows of one publisher and settle them; leave what does not fit into the lease."""
        try:
            delivery = _Delivery(self._publishers, publisher, self._settings.pauses_s)
            for index, row in enumerate(rows):
                if delivery.is_away:
                    delivery.give_up_or_postpone(row)
                elif monotonic() > deadline or self._is_closed:
                    delivery.put_back(rows[index:])
                    break
                else:
                    delivery.deliver(row)
            faults.reach("notifier.before_settle")
            self._settle(delivery)
        except UnavailableError:
            # Not lost: the leases run out, and publishers hear twice of what they were told.
            pass
        except Exception:  # noqa: BLE001 - a bug; the rows come back when their lease is over
            log.write(LOG, logging.ERROR, log.Event.INTERNAL_ERROR, "A delivery failed", exc_info=True)
        finally:
            with self._condition:
                del self._busy[publisher]
            self.wake()

    def _settle(self, delivery: _Delivery) -> None:
        with self._database.write() as connection:
            now = self._database.now(connection)
            notifications.delete(connection, delivery.done)
            for (attempts, pause_s), ids in delivery.postponed.items():
                notifications.postpone(connection, ids, now + timedelta(seconds=pause_s), attempts)


class _Delivery:
    """What became of the rows of one publisher."""

    def __init__(self, publishers: Publishers, publisher: str, pauses_s: tuple[float, ...]) -> None:
        self._publishers = publishers
        self._options = load(publisher)
        self._pauses_s = pauses_s
        self._reason = ""
        self.is_away = False
        self.done: list[str] = []
        # (attempts made, seconds to wait) → ids.
        self.postponed: dict[tuple[int, float], list[str]] = {}

    def deliver(self, row: OutboxRow) -> None:
        """Tell the publisher of one row."""
        message = Message(
            execution_id=row.execution_id,
            payload=row.payload,
            event=row.event,
            timestamp=row.created_at,
            options=self._options,
        )
        try:
            self._publishers.publish(message)
        except PublishError as error:
            self._reason = str(error)
            self.is_away = error.is_away
            if error.is_final:
                self._give_up(row)
            else:
                self.give_up_or_postpone(row)
        else:
            self.done.append(row.id)

    def give_up_or_postpone(self, row: OutboxRow) -> None:
        """Count an attempt that failed, or would have: a publisher that is away is not asked row by row."""
        if row.attempts >= len(self._pauses_s):
            self._give_up(row)
        else:
            key = (row.attempts + 1, self._pauses_s[row.attempts])
            self.postponed.setdefault(key, []).append(row.id)

    def put_back(self, rows: Sequence[OutboxRow]) -> None:
        """Give back rows that there was no time for."""
        for row in rows:
            self.postponed.setdefault((row.attempts, 0.0), []).append(row.id)

    def _give_up(self, row: OutboxRow) -> None:
        self.done.append(row.id)
        log.write(
            LOG,
            logging.WARNING,
            log.Event.NOTIFICATION_DROPPED,
            "A notification was given up",
            kind=row.event,
            workflow_execution_id=str(row.payload.get("workflow_execution_id") or row.execution_id),
            attempt=row.attempts + 1,
            reason=self._reason,
        )


def _publisher_of(row: OutboxRow) -> str:
    return row.publisher
