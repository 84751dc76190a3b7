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
from mistral_lite.engine.agenda import Agenda, Outcome, TurnSettings
from mistral_lite.engine.cache import SnapshotCache
from mistral_lite.engine.housekeeping import keep_house
from mistral_lite.engine.isolation import Isolation
from mistral_lite.engine.mailbox import Mailbox, Ticket
from mistral_lite.engine.turn import Turn
from mistral_lite.errors import InternalError, UnavailableError
from mistral_lite.rpc.protocol import REPLY_PATIENCE_S, ExchangeReply, ExchangeRequest
from mistral_lite.workflow.library import Library

LOG = logging.getLogger(__name__)

# How long a caller waits for the loop beyond the time that it asked to be parked.
_PATIENCE_S = 30.0
# A tree that another engine holds is tried again after this.
_RETRY_S = 0.01
# Trees in one transaction: enough to share the cost of a commit, few enough to let others in.
_MOST_TREES = 200
# A turn is long if it takes this part of a lease; executors wait no longer for an answer.
_LONG_TURN_SHARE = 0.2
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
    most_cached_rows: int = 100_000
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
        tell_applied: Callable[[Sequence[str]], None] | None = None,
        wake_queues: Callable[[], None] | None = None,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        """``offer`` tells other engines that actions are queued which no executor parked here takes.

        ``wake_notifier`` is called after a commit that wrote notifications, ``wake_queues`` after one that queued
        actions on embedded queues, ``tell_applied`` after each with what it applied (``Outcome.applied``); they must not block. ``monotonic`` is all that the loop knows of time,
        besides the time of the database.
        """
        self._monotonic = monotonic
        self._offer = offer
        self._wake_notifier = wake_notifier
        self._tell_applied = tell_applied
        self._wake_queues = wake_queues
        self._database = database
        self._library = library
        self._settings = settings
        self._clock = DatabaseClock(database, monotonic)
        self._cache = SnapshotCache(settings.most_cached_rows)
        self._mailbox = Mailbox()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._heard: set[str] = set()
        self._parked: list[Ticket] = []
        # (monotonic time, timer id, root id), earliest first; and the ids in it.
        self._timers: list[tuple[float, str, str]] = []
        self._known_timers: set[str] = set()
        self._skipped_root_ids: set[str] = set()
        self._may_have_waiting = True
        self._next_sweep = 0.0
        # No lease is taken for one that ran out before this: after a long turn executors may have called in vain.
        self._patient_until = 0.0
        # The last sweep did not see everything that is due; the last turn met trees that another engine holds.
        self._has_backlog = False
        self._is_blocked = False
        self._next_housekeeping = 0.0
        self._is_out = False
        # The trees of the last turn, if it failed.
        self._suspects: frozenset[str] = frozenset()
        self._isolation = Isolation(database, self._take_alone, monotonic, self._clock.now)

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
        return self.accept(request).wait(request.wait_s + _PATIENCE_S)

    def accept(
        self, request: ExchangeRequest, tell: Callable[[ExchangeReply | None], None] | None = None
    ) -> Ticket:
        """Put a call where the loop finds it; the ticket will have the answer, and ``tell`` is given it.

        Raises ``UnavailableError``.
        """
        if request.capacity or request.running:
            self._heard.add(request.executor_id)
        deadline = self._monotonic() + request.wait_s
        patience_s = _PATIENCE_S if tell is None else REPLY_PATIENCE_S
        ticket = Ticket(request, deadline, deadline + patience_s, tell)
        self._mailbox.put(ticket)
        return ticket

    def take_heard(self) -> set[str]:
        """Return the ids of the executors that have called since the last time this was asked."""
        heard, self._heard = self._heard, set()
        return heard

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """Look at the inboxes of these trees soon."""
        self._mailbox.ring(root_execution_ids)

    def ring_queues(self) -> None:
        """Look for messages that somebody waits for."""
        if self._wake_queues is not None:
            self._wake_queues()

    def notice_work(self) -> None:
        """Look for queued actions that no executor has."""
        self._mailbox.notice_work()

    # -- the loop ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._mailbox.is_closed:
            self.go_on(self.wait_s())
        for ticket in (*self._parked, *self._mailbox.take(0).tickets):
            ticket.send_home()

    def go_on(self, timeout_s: float) -> None:
        """Do one round of the loop: wait up to ``timeout_s`` for something to arrive, then take a turn."""
        batch = self._mailbox.take(timeout_s)
        self._may_have_waiting = self._may_have_waiting or batch.has_offer
        agenda = self._agenda(batch.root_ids, batch.tickets)
        try:
            self._take_turn(agenda)
        except UnavailableError as error:
            self._wait_out(agenda, error)
            return
        except Exception as error:  # noqa: BLE001 - a bug outside of decisions; the engine must go on for everybody else
            self._take_apart(agenda, error)
        self._retry_parked()
        self._keep_house()

    def wait_s(self) -> float:
        """Return the seconds until the loop has something to do of its own."""
        now = self._monotonic()
        until = self._next_sweep
        if self._timers:
            until = min(until, self._timers[0][0])
        if self._parked:
            until = min(until, *(ticket.deadline for ticket in self._parked))
        if self._has_backlog and not self._is_blocked:
            until = now
        if self._skipped_root_ids:
            until = min(until, now + _RETRY_S)
        if self._isolation.next_at is not None:
            until = min(until, self._isolation.next_at)
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
            tickets=self._without_abandoned([*tickets, *self._parked]),
            may_have_waiting=self._may_have_waiting,
            excluded=self._isolation.excluded,
        )
        self._skipped_root_ids = set(waiting[_MOST_TREES:])
        self._parked = []
        now = self._monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, timer_id, root_id = heappop(self._timers)
            self._known_timers.discard(timer_id)
            agenda.timers.append((timer_id, root_id))
        return agenda

    def _without_abandoned(self, tickets: list[Ticket]) -> list[Ticket]:
        """Leave out the calls that their executors have given up: what such a call is given, nobody holds."""
        now = self._monotonic()
        disowned = {call_id for ticket in tickets for call_id in ticket.request.disowned}
        kept = []
        for ticket in tickets:
            if ticket.request.call_id in disowned or ticket.given_up_at < now:
                ticket.answer(None)
            else:
                kept.append(ticket)
        return kept

    def _take_turn(self, agenda: Agenda) -> None:
        is_sweep = self._monotonic() >= self._next_sweep or (self._has_backlog and not self._skipped_root_ids)
        if not is_sweep and not _has_work(agenda):
            self._park(agenda.tickets, Outcome())
            return
        began = self._monotonic()
        outcome = self._commit(agenda, is_sweep=is_sweep)
        ended = self._monotonic()
        if is_sweep:
            self._next_sweep = ended + self._settings.sweep_s
        if ended - began > _LONG_TURN_SHARE * self._settings.turn.lease_s and began >= self._patient_until:
            self._patient_until = ended + (ended - began)
        self._after(agenda, outcome)

    def _commit(self, agenda: Agenda, *, is_sweep: bool) -> Outcome:
        turn = None
        self._suspects = frozenset()
        try:
            with self._database.write() as connection:
                if is_sweep:
                    self._sweep(connection, agenda)
                turn = Turn(
                    connection,
                    self._library,
                    self._cache,
                    self._settings.turn,
                    self._clock.now,
                )
                outcome = turn.run(agenda)
        except BaseException:
            if turn is not None:
                self._suspects = turn.concerned
                for root_id in turn.touched_root_ids:
                    self._cache.drop(root_id)
            raise
        faults.reach("engine.after_commit")
        turn.keep_snapshots()
        return outcome

    def _take_alone(self, agenda: Agenda) -> None:
        """Take a turn with one tree, for ``Isolation``; calls of executors are answered by another turn."""
        outcome = self._commit(agenda, is_sweep=False)
        self._remember(outcome)
        self._may_have_waiting = True
        self._wake_others(outcome)

    def _take_apart(self, agenda: Agenda, error: Exception) -> None:
        """After a turn that failed by itself: find the trees that made it fail, and keep them from the others."""
        suspects, known = self._suspects, self._isolation.excluded
        log.write(
            LOG,
            logging.ERROR,
            log.Event.INTERNAL_ERROR,
            "A turn failed; its executions are taken one at a time",
            exc_info=True,
            execution_count=len(suspects),
        )
        damaged = error.details.get("root_execution_id") if isinstance(error, InternalError) else None
        try:
            if damaged is not None:
                self._isolation.park(str(damaged), error)
            else:
                self._isolation.examine(agenda, suspects)
        except UnavailableError as outage:
            self._wait_out(agenda, outage)
            return
        self._give_back(agenda)
        if self._isolation.excluded <= known:
            # Not the fault of one tree: nothing is gained by trying again at once.
            self._pause()

    def _retry_parked(self) -> None:
        # They stay parked if the database is away, which the next turn notices.
        with suppress(UnavailableError):
            self._isolation.retry()

    def _after(self, agenda: Agenda, outcome: Outcome) -> None:
        """Tell and remember what a committed turn did."""
        self._is_out = False
        self._may_have_waiting = outcome.may_have_waiting
        self._is_blocked = bool(outcome.skipped_root_ids)
        self._skipped_root_ids |= outcome.skipped_root_ids
        self._remember(outcome)
        for timer_id, root_id in outcome.skipped_timers:
            self._remember_timer(timer_id, root_id, _RETRY_S)
        for ticket, reply in outcome.replies.items():
            ticket.answer(reply)
        self._park([ticket for ticket in agenda.tickets if ticket not in outcome.replies], outcome)
        if outcome.is_work_left and self._offer is not None and not self._parked:
            self._offer()
        self._wake_others(outcome)
        if outcome.applied and self._tell_applied is not None:
            self._tell_applied(outcome.applied)
        faults.reach("engine.after_reply")

    def _wake_others(self, outcome: Outcome) -> None:
        if outcome.has_notifications and self._wake_notifier is not None:
            self._wake_notifier()
        if outcome.has_queue_orders and self._wake_queues is not None:
            self._wake_queues()

    def _keep_house(self) -> None:
        if self._monotonic() < self._next_housekeeping:
            return
        self._next_housekeeping = self._monotonic() + self._settings.housekeeping_s
        # Left for the next time if the database goes away just now.
        with suppress(UnavailableError):
            keep_house(self._database, self._clock.now())

    def _park(self, tickets: list[Ticket], outcome: Outcome) -> None:
        now = self._monotonic()
        for ticket in tickets:
            if ticket in outcome.unreported:
                self._parked.append(ticket)
                continue
            # What it told is committed.
            ticket.has_news = False
            if ticket.deadline <= now:
                ticket.send_home()
            else:
                self._parked.append(ticket)

    def _remember(self, outcome: Outcome) -> None:
        for timer in outcome.new_timers:
            delay_s = (timer.due_at - self._clock.now()).total_seconds()
            if delay_s <= 2 * self._settings.sweep_s:
                self._remember_timer(timer.id, timer.root_id, delay_s)

    def _remember_timer(self, timer_id: str, root_id: str, delay_s: float) -> None:
        if timer_id not in self._known_timers:
            self._known_timers.add(timer_id)
            heappush(self._timers, (self._monotonic() + delay_s, timer_id, root_id))

    # -- the sweep, and outages --------------------------------------------------------------------

    def _sweep(self, connection: sa.Connection, agenda: Agenda) -> None:
        """Find in the database what no message told about."""
        self._clock.synchronize(connection)
        now = self._clock.now()
        waiting, is_more = inbox.list_roots(connection, most=_MOST_SWEPT, without=agenda.excluded)
        agenda.root_ids.update(waiting[:_MOST_TREES])
        self._skipped_root_ids.update(waiting[_MOST_TREES:])
        agenda.look_for_expired = self._monotonic() >= self._patient_until
        agenda.may_have_waiting = agenda.may_have_waiting or action_queue.has_waiting(connection, now)
        horizon = now + timedelta(seconds=2 * self._settings.sweep_s)
        due = timers.list_due(connection, horizon, most=_MOST_SWEPT)
        for timer in due:
            self._remember_timer(timer.id, timer.root_id, (timer.due_at - now).total_seconds())
        self._has_backlog = is_more or (len(due) == _MOST_SWEPT and due[-1].due_at <= now)

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
            if not ticket.has_news and ticket.deadline > self._monotonic():
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
