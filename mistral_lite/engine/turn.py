"""One turn of the engine: one transaction from collected events to committed rows.

Lock the trees concerned, load what is not at hand, decide every event, write all changes, lease new actions
to the executors that wait, consume the inbox rows, commit. Nothing outside this process learns anything
before the commit. If the process dies anywhere in between, the database is as it was before the turn and
every event is still there: in the inbox, in the timers, in the leases, or with the executor that reports it
again until it is told "settled".

A tree that another engine holds is left out; its events are returned and come back in the next turn.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from mistral_lite import faults, log
from mistral_lite.db import action_queue, inbox, trees
from mistral_lite.engine import lookups, translate
from mistral_lite.engine.cache import SnapshotCache
from mistral_lite.engine.mailbox import Ticket
from mistral_lite.rpc.protocol import ActionReport, ActionRequest, AttemptRef, ExchangeReply
from mistral_lite.workflow import events
from mistral_lite.workflow.decide import decide
from mistral_lite.workflow.decision import Decision, apply
from mistral_lite.workflow.library import Library, LookupNeeded
from mistral_lite.workflow.model import PendingAction, Timer
from mistral_lite.workflow.snapshot import Snapshot

LOG = logging.getLogger(__name__)

# A decision asks for one thing at a time; more than this is a circle.
_MOST_LOOKUPS = 10_000

_BUG = "An internal error of the service stopped this workflow; the operator's log has the details."


@dataclass(slots=True, kw_only=True)
class Agenda:
    """What a turn is to work on.

    ``root_ids``: trees with something in their inbox. ``tickets``: calls of executors, new and parked.
    ``timers``: (timer id, root id) that are due. ``expired``: attempts whose lease may have run out.
    ``may_have_waiting``: whether attempts may be queued that nobody has.
    """

    root_ids: set[str] = field(default_factory=set)
    tickets: list[Ticket] = field(default_factory=list)
    timers: list[tuple[str, str]] = field(default_factory=list)
    look_for_expired: bool = False
    may_have_waiting: bool = False


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a turn did, valid once it is committed.

    ``replies``: by ticket, for those that are to be answered now. ``skipped_root_ids``, ``skipped_timers``:
    work on trees that another engine held. ``unreported``: calls of which some reports are still to be
    taken, for the same reason. ``new_timers``: set in this turn. ``may_have_waiting``: attempts may be in
    the queue. ``is_work_left``: some that this turn queued found no executor here. ``has_notifications``:
    some were written to the outbox.
    """

    replies: dict[Ticket, ExchangeReply] = field(default_factory=dict)
    skipped_root_ids: set[str] = field(default_factory=set)
    skipped_timers: list[tuple[str, str]] = field(default_factory=list)
    unreported: set[Ticket] = field(default_factory=set)
    new_timers: list[Timer] = field(default_factory=list)
    may_have_waiting: bool = False
    is_work_left: bool = False
    has_notifications: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSettings:
    """``lease_s``: how long an executor may be silent about an action."""

    lease_s: float = 30.0


class Turn:
    """One transaction. Made, run once, and thrown away."""

    def __init__(
        self,
        connection: sa.Connection,
        library: Library,
        cache: SnapshotCache,
        settings: TurnSettings,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._library = library
        self._cache = cache
        self._settings = settings
        self._now = now
        self._changes = trees.Changes()
        self._consumed: list[int] = []
        self._outcome = Outcome()
        self._snapshots: dict[str, Snapshot] = {}
        self._deleted: set[str] = set()

    def keep_snapshots(self) -> None:
        """After the commit: keep the snapshots of trees in which something may still happen."""
        for root_id, snapshot in self._snapshots.items():
            root = snapshot.workflows.get(root_id)
            if root is None or root.is_finished or root_id in self._deleted:
                self._cache.drop(root_id)
            else:
                self._cache.keep(snapshot)

    @property
    def touched_root_ids(self) -> Iterable[str]:
        """The trees whose cached snapshots this turn changed; to be dropped if it does not commit."""
        return self._snapshots

    def run(self, agenda: Agenda) -> Outcome:
        """Do everything up to, and not including, the commit."""
        lookups.refresh(self._connection, self._library)
        reports = self._reports_by_root(agenda)
        expired = self._expired_by_root() if agenda.look_for_expired else {}
        disowned = self._disowned_by_root(agenda)
        timers: dict[str, list[str]] = {}
        for timer_id, root_id in agenda.timers:
            timers.setdefault(root_id, []).append(timer_id)
        wanted = agenda.root_ids | set(reports) | set(expired) | set(disowned) | set(timers)
        entries = self._open(wanted, agenda.root_ids)
        for root_id, entry_list in entries.items():
            for entry in entry_list:
                self._take_entry(root_id, entry)
        for root_id, snapshot in self._snapshots.items():
            if root_id in self._deleted:
                continue
            for _, report in reports.get(root_id, ()):
                self._decide(snapshot, translate.event_from_report(report))
            for lost in disowned.get(root_id, ()):
                returned = events.ActionReturned(action_execution_id=lost.action_id, attempt=lost.attempt)
                self._decide(snapshot, returned)
            for lost in expired.get(root_id, ()):
                silent = events.LeaseExpired(action_execution_id=lost.action_id, attempt=lost.attempt)
                self._decide(snapshot, silent)
            for timer_id in timers.get(root_id, ()):
                # One that was cancelled since it was noted is no event.
                if timer_id in snapshot.timers:
                    self._decide(snapshot, events.TimerFired(timer_id=timer_id))
        self._note_skipped(agenda, reports, timers, disowned)
        self._serve(agenda)
        trees.write(self._connection, self._changes)
        inbox.delete(self._connection, self._consumed)
        faults.reach("engine.before_commit")
        return self._outcome

    # -- events ------------------------------------------------------------------------------------

    def _reports_by_root(self, agenda: Agenda) -> dict[str, list[tuple[Ticket, ActionReport]]]:
        """Return the reports by tree. Those about attempts that nobody queues any more are settled as old."""
        reported = [
            (ticket, report)
            for ticket in agenda.tickets
            if ticket.has_news
            for report in ticket.request.reports
        ]
        roots = action_queue.find_roots(
            self._connection, [report.action_execution_id for _, report in reported]
        )
        by_root: dict[str, list[tuple[Ticket, ActionReport]]] = {}
        for ticket, report in reported:
            root_id = roots.get(report.action_execution_id)
            if root_id is not None:
                by_root.setdefault(root_id, []).append((ticket, report))
        return by_root

    def _expired_by_root(self) -> dict[str, list[action_queue.LostAttempt]]:
        by_root: dict[str, list[action_queue.LostAttempt]] = {}
        for expired in action_queue.lock_expired(self._connection, self._now, most=200):
            by_root.setdefault(expired.root_id, []).append(expired)
        return by_root

    def _disowned_by_root(self, agenda: Agenda) -> dict[str, list[action_queue.LostAttempt]]:
        """Return by tree what was leased to calls that an executor never got an answer to."""
        claim_ids = [claim_id for ticket in agenda.tickets for claim_id in ticket.request.disowned]
        by_root: dict[str, list[action_queue.LostAttempt]] = {}
        if claim_ids:
            for lost in action_queue.list_claimed(self._connection, claim_ids):
                by_root.setdefault(lost.root_id, []).append(lost)
        return by_root

    def _open(self, wanted: set[str], rung: set[str]) -> dict[str, list[inbox.Entry]]:
        """Lock and load trees; return what waits in their inboxes."""
        if not wanted:
            return {}
        versions = trees.lock(self._connection, wanted)
        stale = {}
        for root_id, version in versions.items():
            cached = self._cache.find(root_id, version) if version else None
            if cached is not None:
                self._snapshots[root_id] = cached
            else:
                stale[root_id] = version
        if stale:
            self._snapshots.update(trees.load(self._connection, stale, self._library))
        entries: dict[str, list[inbox.Entry]] = {}
        # Only where a bell or the sweep says so: a report alone is no reason to look into an inbox.
        for entry in inbox.load_waiting(self._connection, rung & versions.keys()):
            entries.setdefault(entry.root_execution_id, []).append(entry)
        self._open_run_requests(rung - set(versions), entries)
        return entries

    def _open_run_requests(self, root_ids: set[str], entries: dict[str, list[inbox.Entry]]) -> None:
        # A request to run an action stands for a tree that does not exist yet; its inbox row is the lock.
        if not root_ids:
            return
        for entry in inbox.claim_run_requests(self._connection, root_ids):
            self._snapshots[entry.root_execution_id] = Snapshot(entry.root_execution_id, 0, self._library)
            entries.setdefault(entry.root_execution_id, []).append(entry)

    def _take_entry(self, root_id: str, entry: inbox.Entry) -> None:
        self._consumed.append(entry.seq)
        if root_id in self._deleted:
            return
        if entry.kind == translate.DELETE:
            self._delete(root_id, entry.subject_id)
            return
        self._decide(self._snapshots[root_id], entry)

    def _delete(self, root_id: str, workflow_id: str) -> None:
        # What was decided before in this turn must not be written after the rows are gone.
        trees.write(self._connection, self._changes)
        self._changes = trees.Changes()
        trees.delete(self._connection, self._snapshots[root_id], workflow_id)
        self._cache.drop(root_id)
        self._deleted.add(root_id)

    def _decide(self, snapshot: Snapshot, cause: events.Event | inbox.Entry) -> None:
        # Strictly increasing, so that the order of decisions can be told from the times of rows.
        self._now += timedelta(microseconds=1)
        kind = cause.kind if isinstance(cause, inbox.Entry) else type(cause).__name__
        try:
            event = translate.event_from_entry(cause) if isinstance(cause, inbox.Entry) else cause
            decision = self._decided(snapshot, event)
        except Exception:  # noqa: BLE001 - a bug; it must fail its own execution, never the batch
            _log_failure(snapshot, kind)
            decision = self._decided_after_failure(snapshot)
        if decision.ignored:
            log.write(
                LOG,
                logging.INFO,
                log.Event.EVENT_IGNORED,
                "An event changed nothing",
                root_execution_id=snapshot.root_id,
                kind=kind,
                reason=decision.ignored,
            )
        apply(snapshot, decision)
        self._changes.add(snapshot.root_id, decision)
        self._outcome.has_notifications |= bool(decision.notifications)
        self._outcome.new_timers.extend(c.after for c in decision.timers.values() if c.after is not None)

    def _decided_after_failure(self, snapshot: Snapshot) -> Decision:
        failed = events.DecisionFailed(message=_BUG)
        try:
            return self._decided(snapshot, failed)
        except Exception:  # noqa: BLE001 - even the end of this execution has a bug; the others go on
            _log_failure(snapshot, type(failed).__name__)
            return Decision(version=snapshot.version, ignored="not even the failure could be decided")

    def _decided(self, snapshot: Snapshot, event: events.Event) -> Decision:
        for _ in range(_MOST_LOOKUPS):
            try:
                return decide(snapshot, event, self._now)
            except LookupNeeded as needed:
                lookups.answer(self._connection, self._library, needed.lookup)
        raise RecursionError("a decision asked for more than can be looked up")

    def _note_skipped(
        self,
        agenda: Agenda,
        reports: dict[str, list[tuple[Ticket, ActionReport]]],
        timers: dict[str, list[str]],
        disowned: dict[str, list[action_queue.LostAttempt]],
    ) -> None:
        opened = self._snapshots
        self._outcome.skipped_root_ids = {root_id for root_id in agenda.root_ids if root_id not in opened}
        self._outcome.skipped_timers = [
            (timer_id, root_id)
            for root_id, timer_ids in timers.items()
            if root_id not in opened
            for timer_id in timer_ids
        ]
        for root_id, pairs in reports.items():
            if root_id not in opened:
                self._outcome.unreported.update(ticket for ticket, _ in pairs)
        if not disowned.keys() <= opened.keys():
            self._outcome.unreported.update(ticket for ticket in agenda.tickets if ticket.request.disowned)

    # -- executors ---------------------------------------------------------------------------------

    def _serve(self, agenda: Agenda) -> None:
        """Lease actions to executors: first those that this turn queued, then those that wait in the queue."""
        lease_until = self._now + timedelta(seconds=self._settings.lease_s)
        fresh = [
            change.after
            for change in self._changes.pending.values()
            if change.after is not None and change.after.available_at <= self._now
        ]
        # A call whose reports could not be taken yet is not answered, so it must not be given work either.
        tickets = [ticket for ticket in agenda.tickets if ticket not in self._outcome.unreported]
        given: dict[Ticket, list[PendingAction]] = {ticket: [] for ticket in tickets}
        fresh = self._lease_fresh(given, fresh, lease_until)
        # Who bears the same names finds the same actions; what is left may be for somebody else.
        exhausted: set[tuple[str, ...]] = set()
        for ticket in tickets:
            room = ticket.request.capacity - len(given[ticket])
            if room > 0 and agenda.may_have_waiting and ticket.request.targets not in exhausted:
                claimed = self._claim(ticket, room, lease_until)
                given[ticket].extend(claimed)
                if len(claimed) < room:
                    exhausted.add(ticket.request.targets)
        is_left = agenda.may_have_waiting and (
            not exhausted or action_queue.has_waiting(self._connection, self._now)
        )
        self._outcome.is_work_left = bool(fresh)
        self._outcome.may_have_waiting = is_left or bool(fresh) or bool(self._deleted)
        for ticket, actions in given.items():
            self._reply(ticket, actions, lease_until)

    def _lease_fresh(
        self,
        given: dict[Ticket, list[PendingAction]],
        fresh: list[PendingAction],
        lease_until: datetime,
    ) -> list[PendingAction]:
        """Lease this turn's new attempts in the very statement that inserts them; return what is left."""
        for ticket, actions in given.items():
            left = []
            for pending in fresh:
                fits = pending.target is None or pending.target in ticket.request.targets
                if fits and len(actions) < ticket.request.capacity:
                    actions.append(pending)
                    lease = trees.Lease(ticket.request.executor_id, ticket.request.call_id, lease_until)
                    self._changes.leases[pending.action_id] = lease
                else:
                    left.append(pending)
            fresh = left
        return fresh

    def _claim(self, ticket: Ticket, most: int, lease_until: datetime) -> list[PendingAction]:
        claimed = action_queue.claim(
            self._connection,
            executor_id=ticket.request.executor_id,
            claim_id=ticket.request.call_id,
            targets=ticket.request.targets,
            most=most,
            now=self._now,
            lease_until=lease_until,
        )
        # An attempt that ended in this very turn is still in the table; its deletion is not written yet.
        gone = {key for key, change in self._changes.pending.items() if change.after is None}
        return [pending for pending in claimed if pending.action_id not in gone]

    def _reply(self, ticket: Ticket, actions: list[PendingAction], lease_until: datetime) -> None:
        lost = self._renew(ticket, lease_until)
        if actions or ticket.has_news or lost or ticket.request.wait_s <= 0:
            self._outcome.replies[ticket] = ExchangeReply(
                settled=tuple(report.ref for report in ticket.request.reports),
                actions=tuple(self._request(pending) for pending in actions),
                lost=lost,
            )

    def _renew(self, ticket: Ticket, lease_until: datetime) -> tuple[AttemptRef, ...]:
        if ticket.is_renewed:
            return ()
        ticket.is_renewed = True
        lost = action_queue.renew(
            self._connection,
            executor_id=ticket.request.executor_id,
            attempts=[(ref.action_execution_id, ref.attempt) for ref in ticket.request.running],
            lease_until=lease_until,
        )
        return tuple(
            AttemptRef(action_execution_id=action_id, attempt=attempt) for action_id, attempt in lost
        )

    def _request(self, pending: PendingAction) -> ActionRequest:
        return ActionRequest(
            action_execution_id=pending.action_id,
            attempt=pending.attempt,
            lease_s=self._settings.lease_s,
            **pending.request,
        )


def _log_failure(snapshot: Snapshot, kind: str) -> None:
    log.write(
        LOG,
        logging.ERROR,
        log.Event.DECISION_FAILED,
        "Deciding an event failed",
        exc_info=True,
        root_execution_id=snapshot.root_id,
        kind=kind,
    )
