"""The engine's loop: collect, take a turn, answer, and sweep.

One thread decides. Calls of executors and doorbells reach it through the mailbox; what no message told it
about is found by the sweep, once a second: trees with something in their inbox, timers that come due before
the next sweep, leases that ran out, actions that wait for an executor. So any message may be lost.

While the database is away the loop waits and tries again. Nothing is lost meanwhile: executors keep their
reports until they are settled, and everything else is in the database already.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from heapq import heappop, heappush
from time import monotonic

import sqlalchemy as sa

from mistral_lite import faults, log
from mistral_lite.db import action_queue, inbox, timers
from mistral_lite.db.transaction import Database, DatabaseClock
from mistral_lite.engine.cache import SnapshotCache
from mistral_lite.engine.housekeeping import keep_house
from mistral_lite.engine.mailbox import Mailbox, Ticket
from mistral_lite.engine.turn import Agenda, Outcome, Turn, TurnSettings
from mistral_lite.errors import UnavailableError
from mistral_lite.rpc.protocol import ExchangeReply, ExchangeRequest
from mistral_lite.workflow.library import Library

LOG = logging.getLogger(__name__)

# How long a caller waits for the loop beyond the time that it asked to be parked.
_PATIENCE_S = 30.0
# A tree that another engine holds is tried again after this.
_RETRY_S = 0.01
# Trees in one transaction: enough to share the cost of a commit, few enough to let others in.
_MOST_TREES = 200
# Rows that a sweep takes up at most; the next sweep takes the rest.
_MOST_SWEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Settings of the loop; times are seconds.

    ``sweep_s``: how often to look for what no message told. ``outage_pause_s``: pause between tries while
    the database is away. ``housekeeping_s``: how often to remove what is left over.
    ``most_cached_rows``: bound of the snapshots kept between turns.
    """

    sweep_s: float = 1.0
    outage_pause_s: float = 0.5
    housekeeping_s: float = 30.0
    most_cached_rows: int = 200_000
    turn: TurnSettings = TurnSettings()


class Engine:
    """An engine process's one thread, and the calls that others make on it."""

    def __init__(
        self,
        database: Database,
        library: Library,
        settings: EngineSettings,
        offer: Callable[[], None] | None = None,
        wake_notifier: Callable[[], None] | None = None,
    ) -> None:
        """``offer`` tells other engines that actions are queued which no executor parked here takes.

        ``wake_notifier`` is called after a commit that wrote notifications; it must not block.
        """
        self._offer = offer
        self._wake_notifier = wake_notifier
        self._database = database
        self._library = library
        self._settings = settings
        self._clock = DatabaseClock(database)
        self._cache = SnapshotCache(settings.most_cached_rows)
        self._mailbox = Mailbox()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._parked: list[Ticket] = []
        # (monotonic time, timer id, root id), earliest first; and the ids in it.
        self._timers: list[tuple[float, str, str]] = []
        self._known_timers: set[str] = set()
        self._skipped_root_ids: set[str] = set()
        self._may_have_waiting = True
        self._next_sweep = 0.0
        self._next_housekeeping = 0.0
        self._is_out = False

    # -- calls from other threads ------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish the present turn, send the parked calls home and end."""
        self._mailbox.close()
        self._thread.join(timeout_s)

    def exchange(self, request: ExchangeRequest) -> ExchangeReply:
        """Take an executor's reports, renew its leases and give it work. Raises ``UnavailableError``."""
        ticket = Ticket(request)
        self._mailbox.put(ticket)
        return ticket.wait(request.wait_s + _PATIENCE_S)

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """Look at the inboxes of these trees soon."""
        self._mailbox.ring(root_execution_ids)

    def notice_work(self) -> None:
        """Look for queued actions that no executor has."""
        self._mailbox.notice_work()

    # -- the loop ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._mailbox.is_closed:
            batch = self._mailbox.take(self._wait_s())
            self._may_have_waiting = self._may_have_waiting or batch.has_offer
            agenda = self._agenda(batch.root_ids, batch.tickets)
            try:
                self._take_turn(agenda)
            except UnavailableError as error:
                self._wait_out(agenda, error)
                continue
            except Exception:  # noqa: BLE001 - a bug outside of decisions; the engine must go on for everybody else
                log.write(LOG, logging.ERROR, log.Event.INTERNAL_ERROR, "A turn failed", exc_info=True)
                self._give_back(agenda)
                self._pause()
            self._keep_house()
        for ticket in (*self._parked, *self._mailbox.take(0).tickets):
            ticket.answer(None if ticket.has_news else ExchangeReply())

    def _wait_s(self) -> float:
        now = monotonic()
        until = self._next_sweep
        if self._timers:
            until = min(until, self._timers[0][0])
        if self._parked:
            until = min(until, *(ticket.deadline for ticket in self._parked))
        if self._skipped_root_ids:
            until = min(until, now + _RETRY_S)
        return max(0.0, until - now)

    def _agenda(self, root_ids: set[str], tickets: list[Ticket]) -> Agenda:
        # An executor that takes no more work wants its parked call back.
        leaving = {ticket.request.executor_id for ticket in tickets if not ticket.request.capacity}
        for ticket in self._parked:
            if ticket.request.executor_id in leaving and not ticket.has_news:
                ticket.deadline = 0.0
        waiting = sorted(root_ids | self._skipped_root_ids)
        agenda = Agenda(
            root_ids=set(waiting[:_MOST_TREES]),
            tickets=[*tickets, *self._parked],
            may_have_waiting=self._may_have_waiting,
        )
        self._skipped_root_ids = set(waiting[_MOST_TREES:])
        self._parked = []
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, timer_id, root_id = heappop(self._timers)
            self._known_timers.discard(timer_id)
            agenda.timers.append((timer_id, root_id))
        return agenda

    def _take_turn(self, agenda: Agenda) -> None:
        is_sweep = monotonic() >= self._next_sweep
        if not is_sweep and not _has_work(agenda):
            self._park(agenda.tickets, Outcome())
            return
        turn = None
        try:
            with self._database.write() as connection:
                if is_sweep:
                    self._sweep(connection, agenda)
                turn = Turn(
                    connection,
                    self._library,
                    self._cache,
                    self._settings.turn,
                    self._clock.now(),
                )
                outcome = turn.run(agenda)
        except BaseException:
            for root_id in turn.touched_root_ids if turn is not None else ():
                self._cache.drop(root_id)
            raise
        faults.reach("engine.after_commit")
        turn.keep_snapshots()
        if is_sweep:
            self._next_sweep = monotonic() + self._settings.sweep_s
        self._after(agenda, outcome)

    def _after(self, agenda: Agenda, outcome: Outcome) -> None:
        """Tell and remember what a committed turn did."""
        self._is_out = False
        self._may_have_waiting = outcome.may_have_waiting
        self._skipped_root_ids |= outcome.skipped_root_ids
        for timer in outcome.new_timers:
            delay_s = (timer.due_at - self._clock.now()).total_seconds()
            if delay_s <= 2 * self._settings.sweep_s:
                self._remember_timer(timer.id, timer.root_id, delay_s)
        for timer_id, root_id in outcome.skipped_timers:
            self._remember_timer(timer_id, root_id, _RETRY_S)
        for ticket, reply in outcome.replies.items():
            ticket.answer(reply)
        self._park([ticket for ticket in agenda.tickets if ticket not in outcome.replies], outcome)
        if outcome.is_work_left and self._offer is not None and not self._parked:
            self._offer()
        if outcome.has_notifications and self._wake_notifier is not None:
            self._wake_notifier()

    def _keep_house(self) -> None:
        if monotonic() < self._next_housekeeping:
            return
        self._next_housekeeping = monotonic() + self._settings.housekeeping_s
        # Left for the next time if the database goes away just now.
        with suppress(UnavailableError):
            keep_house(self._database, self._clock.now())

    def _park(self, tickets: list[Ticket], outcome: Outcome) -> None:
        now = monotonic()
        for ticket in tickets:
            if ticket in outcome.unreported:
                self._parked.append(ticket)
                continue
            if ticket.deadline <= now:
                ticket.answer(ExchangeReply(settled=tuple(report.ref for report in ticket.request.reports)))
            else:
                self._parked.append(ticket)

    def _remember_timer(self, timer_id: str, root_id: str, delay_s: float) -> None:
        if timer_id not in self._known_timers:
            self._known_timers.add(timer_id)
            heappush(self._timers, (monotonic() + delay_s, timer_id, root_id))

    # -- the sweep, and outages --------------------------------------------------------------------

    def _sweep(self, connection: sa.Connection, agenda: Agenda) -> None:
        """Find in the database what no message told about."""
        self._clock.synchronize(connection)
        now = self._clock.now()
        waiting = inbox.list_roots(connection, most=_MOST_SWEPT)
        agenda.root_ids.update(waiting[:_MOST_TREES])
        self._skipped_root_ids.update(waiting[_MOST_TREES:])
        agenda.look_for_expired = True
        agenda.may_have_waiting = agenda.may_have_waiting or action_queue.has_waiting(connection, now)
        horizon = now + timedelta(seconds=2 * self._settings.sweep_s)
        for timer in timers.list_due(connection, horizon, most=_MOST_SWEPT):
            self._remember_timer(timer.id, timer.root_id, (timer.due_at - now).total_seconds())

    def _wait_out(self, agenda: Agenda, error: UnavailableError) -> None:
        if not self._is_out:
            self._is_out = True
            log.write(
                LOG,
                logging.WARNING,
                log.Event.DATABASE_UNAVAILABLE,
                "The database does not take a turn; trying again until it does",
                reason=str(error),
            )
        self._give_back(agenda)
        if not error.details.get("transient"):
            self._pause()

    def _give_back(self, agenda: Agenda) -> None:
        """After a turn that did not commit: callers repeat, the rest is found by the next sweep."""
        for ticket in agenda.tickets:
            if not ticket.has_news and ticket.deadline > monotonic():
                ticket.is_renewed = False
                self._parked.append(ticket)
            else:
                ticket.answer(None)
        self._skipped_root_ids |= agenda.root_ids
        for timer_id, root_id in agenda.timers:
            self._remember_timer(timer_id, root_id, 0.0)
        self._may_have_waiting = True
        self._next_sweep = 0.0

    def _pause(self) -> None:
        self._mailbox.wait_closed(self._settings.outage_pause_s)


def _has_work(agenda: Agenda) -> bool:
    if agenda.root_ids or agenda.timers:
        return True
    if any(ticket.has_news or not ticket.is_renewed for ticket in agenda.tickets):
        return True
    return agenda.may_have_waiting and any(ticket.request.capacity for ticket in agenda.tickets)
