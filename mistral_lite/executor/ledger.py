"""What an executor holds and what it still owes the engine: the one shared state of its threads.

One lock guards everything, so that a finished attempt gives its slot free in the same moment in which its
report appears: the next call can carry the report and offer the slot. Runs nothing and calls nobody.

An attempt is *held* from its claim until it is finished. Its report is *owed* until the engine settles it. A slot
is *reserved* while a call that offered it is under way, so that two calls never offer the same slot.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mistral_lite.rpc.protocol import ActionReport, ActionRequest, AttemptRef, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A call to be made: what it reports, the slots reserved for it, and whether it may be held open."""

    reports: tuple[ActionReport, ...]
    reserved: int
    may_park: bool


@dataclass(slots=True, kw_only=True)
class _Held:
    request: ActionRequest
    renewed_s: float
    begun: bool = False
    lost: bool = False


@dataclass(slots=True, kw_only=True)
class _Owed:
    report: ActionReport
    sending: bool = False
    failures: int = 0
    not_before_s: float = 0.0


class Ledger:
    """Attempts held and reports owed by one executor with ``capacity`` slots. All times are monotonic seconds."""

    def __init__(self, capacity: int, backoff_min_s: float, backoff_max_s: float) -> None:
        self._capacity = capacity
        self._backoff_min_s = backoff_min_s
        self._backoff_max_s = backoff_max_s
        # Reentrant: methods call each other. What is waited for: a reason for a call, the end of what came with the
        # last call, and that nothing is held or owed. Each wakes only those who have something to do then.
        self._lock = threading.RLock()
        self._reason = threading.Condition(self._lock)
        self._company = threading.Condition(self._lock)
        self._idle = threading.Condition(self._lock)
        self._company_waiters = 0
        self._held: dict[AttemptRef, _Held] = {}
        self._owed: dict[AttemptRef, _Owed] = {}
        # Held, and no report has waited for them yet.
        self._fresh: set[AttemptRef] = set()
        self._reserved = 0
        # Whether a call is under way that may be held open; and when the next one may begin.
        self._is_parked = False
        self._park_not_before_s = 0.0
        self._draining = False
        self._closed = False

    @property
    def is_draining(self) -> bool:
        """Tell whether nothing new is taken any more."""
        return self._draining

    # Slots and attempts

    def reserve(self) -> int:
        """Reserve all free slots for one call and return how many; none while draining."""
        with self._lock:
            count = self._free()
            self._reserved += count
            return count

    def admit(self, reserved: int, requests: Iterable[ActionRequest], now_s: float) -> list[ActionRequest]:
        """Give ``reserved`` slots back and hold what the call brought; return what is to be run.

        An attempt that is held or reported already is ignored. While draining, everything is handed back.
        """
        with self._lock:
            self._reserved -= reserved
            admitted: list[ActionRequest] = []
            for request in requests:
                if request.ref in self._held or request.ref in self._owed:
                    continue
                if self._draining:
                    self._owe(_returned(request.ref))
                else:
                    self._held[request.ref] = _Held(request=request, renewed_s=now_s)
                    self._fresh.add(request.ref)
                    admitted.append(request)
            return admitted

    def begin(self, ref: AttemptRef) -> bool:
        """Mark an attempt as begun; False if it was lost or handed back meanwhile and must not run."""
        with self._lock:
            held = self._held.get(ref)
            if held is None:
                return False
            if held.lost:
                del self._held[ref]
                self._fresh.discard(ref)
                self._tell_change()
                return False
            held.begun = True
            return True

    def finish(self, report: ActionReport) -> bool:
        """End an attempt and owe its report; False if its lease was lost, then the report is dropped."""
        with self._lock:
            held = self._held.pop(report.ref, None)
            self._fresh.discard(report.ref)
            accepted = held is not None and not held.lost
            if accepted:
                self._owe(report)
            self._tell_change()
            return accepted

    def lose(self, refs: Iterable[AttemptRef]) -> list[AttemptRef]:
        """Take note of lost leases; return those whose attempts are held here and were not known as lost.

        A report that is owed for a lost attempt is dropped: the engine would refuse it.
        """
        with self._lock:
            news: list[AttemptRef] = []
            for ref in refs:
                held = self._held.get(ref)
                if held is not None and not held.lost:
                    held.lost = True
                    news.append(ref)
                elif held is None:
                    self._owed.pop(ref, None)
            self._tell_idle()
            return news

    def running(self, renewed_before_s: float) -> tuple[AttemptRef, ...]:
        """Return the attempts whose leases were last renewed, or given, before ``renewed_before_s``."""
        with self._lock:
            return tuple(
                ref
                for ref, held in self._held.items()
                if not held.lost and held.renewed_s <= renewed_before_s
            )

    def renew(self, refs: Iterable[AttemptRef], now_s: float) -> None:
        """Take note that the engine has heard that these attempts run."""
        with self._lock:
            for ref in refs:
                if ref in self._held:
                    self._held[ref].renewed_s = now_s

    def drain(self) -> None:
        """Take nothing new from now on and hand back what was not begun."""
        with self._lock:
            self._draining = True
            for ref in [ref for ref, held in self._held.items() if not held.begun]:
                self._fresh.discard(ref)
                if not self._held.pop(ref).lost:
                    self._owe(_returned(ref))
            self._tell_change()

    def close(self) -> None:
        """Let nobody wait for reports any more: the thread that sends them is to end."""
        with self._lock:
            self._closed = True
            self._reason.notify_all()
            self._company.notify_all()

    # Reports

    def take_reports(self, now_s: float, limit: int | None = None) -> tuple[ActionReport, ...]:
        """Return the reports that are due, oldest first, and mark them as being sent."""
        with self._lock:
            due = [item for item in self._owed.values() if not item.sending and item.not_before_s <= now_s]
            for item in due[:limit]:
                item.sending = True
            return tuple(item.report for item in due[:limit])

    def settle(self, sent: Iterable[ActionReport], settled: Collection[AttemptRef], now_s: float) -> None:
        """Forget the ``settled`` ones among ``sent``; the others become due again after a growing delay."""
        with self._lock:
            done = set(settled)
            for report in sent:
                item = self._owed.get(report.ref)
                if item is None:
                    continue
                if report.ref in done:
                    del self._owed[report.ref]
                    continue
                delay_s = min(self._backoff_min_s * 2**item.failures, self._backoff_max_s)
                item.sending = False
                item.failures = min(item.failures + 1, 30)
                item.not_before_s = now_s + delay_s
            self._tell_idle()

    def next_report_in_s(self, now_s: float) -> float | None:
        """Return the seconds until a report is due (0: now), or None if none is owed."""
        with self._lock:
            times = [item.not_before_s for item in self._owed.values() if not item.sending]
            return max(min(times) - now_s, 0.0) if times else None

    # Calls

    def next_call(
        self, now_s: float, look_s: float, renew_after_s: float, limit: int | None = None
    ) -> Opening | None:
        """Return the call to be made now; None after a wait of at most ``look_s`` for something to change.

        Due reports are a reason, at most ``limit`` of them. So are free slots, or leases that were not renewed for
        ``renew_after_s``, as long as no other call is parked. Whoever gets a call must end it with ``end_call``.
        """
        with self._lock:
            if self._closed:
                return None
            renewed_before_s = now_s - renew_after_s
            reports = self.take_reports(now_s, limit)
            if reports or (self._may_park(now_s) and (self._free() > 0 or self.running(renewed_before_s))):
                may_park = self._may_park(now_s) and self._free() > 0
                self._is_parked = self._is_parked or may_park
                if self._owes_unsent():
                    # Due later: somebody else must see to it if this call lasts.
                    self._reason.notify()
                return Opening(reports=reports, reserved=self.reserve(), may_park=may_park)
            self._reason.wait(self._next_reason_in_s(now_s, look_s, renew_after_s))
            return None

    def end_call(self, opening: Opening, park_not_before_s: float) -> None:
        """Take note that a call has ended; the next one is not parked before ``park_not_before_s``."""
        with self._lock:
            if opening.may_park:
                self._is_parked = False
            self._park_not_before_s = max(self._park_not_before_s, park_not_before_s)

    def wait_for_company(self, timeout_s: float) -> None:
        """Let the next call wait, at most ``timeout_s``, for attempts that came with the last one.

        Short actions that began together then go back together, and with the call that asks for more. Each attempt
        is waited for only once, and only if there is a call to be made.
        """
        with self._lock:
            if self._fresh and (self._owes_unsent() or not self._is_parked):
                self._company_waiters += 1
                self._company.wait_for(lambda: self._closed or not self._fresh, timeout_s)
                self._company_waiters -= 1
                self._fresh.clear()

    def _may_park(self, now_s: float) -> bool:
        return not self._is_parked and now_s >= self._park_not_before_s

    def _next_reason_in_s(self, now_s: float, look_s: float, renew_after_s: float) -> float:
        times = [look_s]
        due_in_s = self.next_report_in_s(now_s)
        if due_in_s is not None:
            times.append(due_in_s)
        if not self._is_parked:
            renewals = [held.renewed_s + renew_after_s for held in self._held.values() if not held.lost]
            next_s = now_s if self._free() > 0 else min(renewals, default=now_s + look_s)
            times.append(max(next_s, self._park_not_before_s) - now_s)
        return min(times)

    # Waiting

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is held or owed; False if that did not happen in ``timeout_s``."""
        with self._lock:
            return self._idle.wait_for(lambda: not self._held and not self._owed, timeout_s)

    def _free(self) -> int:
        return 0 if self._draining else max(self._capacity - len(self._held) - self._reserved, 0)

    def _owes_unsent(self) -> bool:
        return any(not item.sending for item in self._owed.values())

    def _owe(self, report: ActionReport) -> None:
        self._owed[report.ref] = _Owed(report=report)

    def _tell_change(self) -> None:
        """Wake one of those who make calls, as all look for the same, and who waits for the end."""
        if self._company_waiters == 0:
            self._reason.notify()
        elif not self._fresh:
            self._company.notify_all()
        self._tell_idle()

    def _tell_idle(self) -> None:
        if not self._held and not self._owed:
            self._idle.notify_all()


def _returned(ref: AttemptRef) -> ActionReport:
    return ActionReport(
        action_execution_id=ref.action_execution_id, attempt=ref.attempt, outcome=Outcome.RETURNED
    )
