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
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa

from mistral_lite import faults, log
from mistral_lite.db import action_queue, applied, definitions, inbox, trees
from mistral_lite.db.statements import pipelined
from mistral_lite.engine import lookups, translate
from mistral_lite.engine.agenda import Agenda, Outcome, TurnSettings
from mistral_lite.engine.cache import SnapshotCache
from mistral_lite.engine.leasing import Leasing
from mistral_lite.engine.mailbox import Ticket
from mistral_lite.errors import UnavailableError
from mistral_lite.rpc.protocol import ActionReport, AttemptRef
from mistral_lite.rpc.protocol import Outcome as ReportedAs
from mistral_lite.workflow import events
from mistral_lite.workflow.decide import decide
from mistral_lite.workflow.decision import Decision, apply
from mistral_lite.workflow.library import Library, LookupNeeded
from mistral_lite.workflow.snapshot import Snapshot
from mistral_lite.workflow.states import is_finished

LOG = logging.getLogger(__name__)

# A decision asks for one thing at a time; more than this is a circle.
_MOST_LOOKUPS = 10_000

_BUG = "An internal error of the service stopped this workflow; the operator's log has the details."


class Turn:
    """One transaction. Made, run once, and thrown away."""

    def __init__(
        self,
        connection: sa.Connection,
        library: Library,
        cache: SnapshotCache,
        settings: TurnSettings,
        clock: Callable[[], datetime],
    ) -> None:
        """``clock``: the time of the database; decisions go by that of the turn's beginning."""
        self._connection = connection
        self._library = library
        self._cache = cache
        self._settings = settings
        self._clock = clock
        self._now = clock()
        self._changes = trees.Changes()
        self._consumed: list[int] = []
        self._outcome = Outcome()
        self._snapshots: dict[str, Snapshot] = {}
        self._deleted: set[str] = set()
        # The trees that this turn works on, or tried to.
        self.concerned: frozenset[str] = frozenset()
        self._unsettled: set[AttemptRef] = set()

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
        """Do everything; only the commit may be left to be done."""
        reports = self._reports_by_root(agenda)
        expired = self._expired_by_root() if agenda.look_for_expired else {}
        disowned = self._disowned_by_root(agenda)
        timers: dict[str, list[str]] = {}
        for timer_id, root_id in agenda.timers:
            timers.setdefault(root_id, []).append(timer_id)
        wanted = agenda.root_ids | set(reports) | set(expired) | set(disowned) | set(timers)
        wanted = (wanted if agenda.only is None else wanted & {agenda.only}) - agenda.excluded
        self.concerned = frozenset(wanted)
        self._unsettled = {
            report.ref for root_id in agenda.excluded & reports.keys() for _, report in reports[root_id]
        }
        # A report of success alone is no reason to look into an inbox; what ends an action otherwise is, as
        # somebody may have been told already that another result was taken.
        failed = {
            root_id for root_id, pairs in reports.items() if any(_is_failure(each) for _, each in pairs)
        }
        rung = agenda.root_ids | failed | set(expired) | set(timers)
        entries = self._open(wanted, rung & wanted)
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
        if agenda.only is None:
            # Deciding may have taken as long as a lease.
            now = max(self._now, self._clock())
            leasing = Leasing(
                self._connection,
                self._library,
                self._settings,
                now,
                self._changes,
                self._cache.origins,
            )
            leasing.serve(agenda, self._outcome, unsettled=self._unsettled, has_deleted=bool(self._deleted))
        self._write(agenda)
        return self._outcome

    def _write(self, agenda: Agenda) -> None:
        """Write everything, and commit unless results must be looked for first; whoever owns the transaction does then."""
        self._outcome.applied = (*map(str, self._consumed), *self._ended_alone())
        ended = self._ended_without_callback()
        with pipelined(self._connection, commits=not ended):
            trees.write(self._connection, self._changes)
            inbox.delete(self._connection, self._consumed)
            applied.tell(self._connection, self._outcome.applied)
            # Their rows are written, so from here on nobody is promised anything more about them.
            overruled = inbox.ask_results(self._connection, ended)
            faults.reach("engine.before_commit")
        if overruled():
            # A result was taken meanwhile, and that one counts.
            agenda.root_ids |= overruled()
            raise UnavailableError("A result arrived for an action that had just ended.", transient=True)

    def _ended_without_callback(self) -> list[str]:
        return [
            action.id
            for action in (change.after for change in self._changes.actions.values())
            if action is not None and action.is_finished and action.callback_digest is None
        ]

    def _ended_alone(self) -> Iterable[str]:
        for root_id, snapshot in self._snapshots.items():
            alone = snapshot.actions.get(root_id)
            if alone is not None and is_finished(alone.state):
                yield root_id

    # -- events ------------------------------------------------------------------------------------

    def _reports_by_root(self, agenda: Agenda) -> dict[str, list[tuple[Ticket, ActionReport]]]:
        """Return the reports by tree. Those about attempts that nobody queues any more are settled as old."""
        reported = [
            (ticket, report)
            for ticket in agenda.tickets
            if ticket.has_news
            for report in ticket.request.reports
        ]
        action_ids = {report.action_execution_id for _, report in reported}
        roots = {action_id: self._cache.origins.take(action_id) for action_id in action_ids}
        unknown = [action_id for action_id, root_id in roots.items() if root_id is None]
        roots |= action_queue.find_roots(self._connection, unknown)
        by_root: dict[str, list[tuple[Ticket, ActionReport]]] = {}
        for ticket, report in reported:
            root_id = roots[report.action_execution_id]
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
        entries: dict[str, list[inbox.Entry]] = {}
        if not wanted:
            return entries
        with pipelined(self._connection):
            generation = definitions.generation(self._connection)
            locking = trees.lock(self._connection, wanted)
            # Read when they are locked, as whoever held them before may have applied something.
            waiting = inbox.load_waiting(self._connection, rung)
        lookups.refresh(self._library, generation())
        versions = locking()
        new, stale = [], {}
        for root_id, version in versions.items():
            cached = self._cache.find(root_id, version)
            if cached is not None:
                self._snapshots[root_id] = cached
            elif version:
                stale[root_id] = version
            else:
                new.append(root_id)
        if new:
            self._snapshots.update(trees.load_new(self._connection, new, self._library))
        if stale:
            self._snapshots.update(trees.load(self._connection, stale, self._library))
        for entry in waiting():
            if entry.root_execution_id in versions:
                entries.setdefault(entry.root_execution_id, []).append(entry)
        if len(versions) < len(wanted):
            self._open_alone(wanted - versions.keys(), rung - versions.keys(), entries)
        return entries

    def _open_alone(self, wanted: set[str], rung: set[str], entries: dict[str, list[inbox.Entry]]) -> None:
        """Lock and load actions without a workflow; add what waits in their inboxes."""
        with pipelined(self._connection):
            locking = trees.lock_alone(self._connection, wanted)
            waiting = inbox.load_waiting(self._connection, rung)
            # A request to run an action stands for a tree that does not exist yet; its inbox row is the lock.
            requests = inbox.claim_run_requests(self._connection, rung)
        versions = locking()
        if versions:
            self._snapshots.update(trees.load(self._connection, versions, self._library))
        for entry in waiting():
            if entry.root_execution_id in versions:
                entries.setdefault(entry.root_execution_id, []).append(entry)
        for entry in requests():
            if entry.root_execution_id not in versions:
                self._snapshots[entry.root_execution_id] = Snapshot(entry.root_execution_id, 0, self._library)
                entries.setdefault(entry.root_execution_id, []).append(entry)

    def _take_entry(self, root_id: str, entry: inbox.Entry) -> None:
        self._consumed.append(entry.seq)
        if root_id in self._deleted:
            return
        if entry.kind == translate.DELETE:
            self._delete(root_id, entry.subject_id)
            return
        if entry.kind == inbox.MEND:
            self._read_again(root_id)
        self._decide(self._snapshots[root_id], entry)

    def _read_again(self, root_id: str) -> None:
        """Forget what is remembered of a tree whose rows may have been changed by others."""
        trees.write(self._connection, self._changes)
        self._changes = trees.Changes()
        version = self._snapshots[root_id].version
        self._snapshots.update(trees.load(self._connection, {root_id: version}, self._library))

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
        with self._library.evaluator.one_step():
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
        opened = self._snapshots.keys() | agenda.excluded
        self._outcome.skipped_root_ids = agenda.root_ids - opened
        self._outcome.skipped_timers = [
            (timer_id, root_id)
            for root_id, timer_ids in timers.items()
            if root_id not in opened
            for timer_id in timer_ids
        ]
        for root_id, pairs in reports.items():
            if root_id not in opened:
                self._outcome.unreported.update(ticket for ticket, _ in pairs)
        if not disowned.keys() <= opened:
            self._outcome.unreported.update(ticket for ticket in agenda.tickets if ticket.request.disowned)


def _is_failure(report: ActionReport) -> bool:
    return report.outcome in {ReportedAs.ERROR, ReportedAs.CANCELLED}


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
