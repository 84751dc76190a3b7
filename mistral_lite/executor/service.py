"""The executor as a service: who calls the engine when.

Two threads like each other talk to the engine, a pool runs the actions. Whenever nothing else is to be done, one of
their calls is parked at an engine: it offers the free slots and brings work to an idle executor. The other one sends
what finishes meanwhile, at once, everything in one call, with the slots that became free since, so that result and
next action need one round trip. If no call is parked, the one that reports stays there: reporting and asking for more
are one call as well. A report is sent again, after growing delays, until the engine has settled it.

Nothing here is the truth: if the process dies, leases run out and the engine decides by ``safe-rerun``.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from mistral_lite import faults, log
from mistral_lite.actions.source_loader import SourceLoader
from mistral_lite.clock import Clock, SystemClock
from mistral_lite.errors import UnavailableError
from mistral_lite.executor.calls import Calls
from mistral_lite.executor.credentials import Credentials
from mistral_lite.executor.ledger import Ledger, Opening
from mistral_lite.executor.runner import ActionRunner, ActionSource
from mistral_lite.ids import new_id
from mistral_lite.pool import WorkerPool
from mistral_lite.rpc.protocol import (
    ActionReport,
    ActionRequest,
    AttemptRef,
    EngineGateway,
    ExchangeReply,
    Outcome,
)

LOG = logging.getLogger(__name__)

# A parked call that comes back empty sooner than this was not parked; then the next one waits a little.
_PROMPT_S = 0.05
# How long a result may wait for those of short actions that began together with its own: much less than a call.
_COMPANY_S = 0.002
# Threads look at their own state at least this often.
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSettings:
    """How one executor works.

    ``threads``: actions run at a time. ``targets``: names that tasks may address it by. ``heartbeat_s``: longest
    time between two renewals of leases, to be well below a lease. ``poll_wait_s``: how long an engine may hold a
    call open. ``backoff_min_s``, ``backoff_max_s``: first and longest delay before a call is repeated.
    ``runs_uploaded_code``: whether it runs dynamic actions.
    """

    threads: int = 64
    targets: tuple[str, ...] = ()
    heartbeat_s: float = 10.0
    poll_wait_s: float = 2.0
    backoff_min_s: float = 0.1
    backoff_max_s: float = 5.0
    runs_uploaded_code: bool = False


class Executor:
    """Claims, runs and reports actions between ``start`` and ``stop``; not to be started twice."""

    def __init__(
        self,
        gateway: EngineGateway,
        source: ActionSource,
        settings: ExecutorSettings,
        clock: Clock | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """``credentials``: what whom actions work for is opened with."""
        self._clock = clock or SystemClock()
        self.executor_id = f"{socket.gethostname()}/{new_id(self._clock.now())}"
        self._gateway = gateway
        self._settings = settings
        loader = SourceLoader() if settings.runs_uploaded_code else None
        self._runner = ActionRunner(source, loader, credentials)
        self._ledger = Ledger(settings.threads, settings.backoff_min_s, settings.backoff_max_s)
        self._pool: WorkerPool[ActionRequest] = WorkerPool(settings.threads, self._run_attempt, "action")
        self._stopped = threading.Event()
        self._calls = Calls(
            self.executor_id, self._ledger, settings.targets, settings.heartbeat_s, self._clock
        )
        self._outage = _Outage(self.executor_id)
        # One may be parked while the other one reports.
        self._threads = [
            threading.Thread(target=self._call_forever, name=f"executor-caller-{number}", daemon=True)
            for number in (1, 2)
        ]
        # How many reports a call may carry (None: all), and how long to wait after calls that failed, or that came
        # back empty at once.
        self._report_limit: int | None = None
        self._failing_s = self._empty_s = 0.0

    def start(self) -> None:
        """Begin to take work."""
        for thread in self._threads:
            thread.start()

    def stop(self, drain_s: float) -> bool:
        """Take no more work, hand back what was not begun, and wait for what runs and for its reports.

        Waits at most ``drain_s`` seconds for them, and longer only for the parked call (at most ``poll_wait_s``):
        it may bring work, which must be handed back or an action that may start only once would be given up.
        Returns False if something was still running or unheard; the engine decides when its leases run out.
        """
        deadline_s = time.monotonic() + drain_s
        self._ledger.drain()
        self._call_home()
        self._ledger.wait_until_idle(drain_s)
        self._stopped.set()
        self._ledger.close()
        self._pool.stop()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(deadline_s - time.monotonic(), self._settings.poll_wait_s + _LOOK_S))
        # Away engines had the whole time; one that is there takes even what was finished at the last moment.
        grace_s = 0.0 if self._outage.is_on else _LOOK_S
        return self._send_rest(max(deadline_s, time.monotonic() + grace_s))

    def _call_home(self) -> None:
        """Say that nothing more is taken, so that the engine answers the parked call now."""
        with suppress(Exception):  # logged by _exchange; without it the parked call ends by itself
            self._exchange((), 0, 0.0)

    # Running

    def _run_attempt(self, request: ActionRequest) -> None:
        if not self._ledger.begin(request.ref):
            return
        faults.reach("executor.before_run")
        try:
            report = self._runner.run(request)
        except Exception as error:  # noqa: BLE001 - a bug in the runner must not keep a slot for ever
            self._log_bug("Running an action failed", error)
            report = ActionReport(
                action_execution_id=request.action_execution_id,
                attempt=request.attempt,
                outcome=Outcome.ERROR,
                result=f"The executor failed while it ran the action [action={request.name}]",
            )
        faults.reach("executor.after_run")
        if not self._ledger.finish(report):
            self._log_attempt(
                "The lease of an attempt was lost while it ran; its result is dropped", request.ref
            )

    # Calling

    def _call_forever(self) -> None:
        while not self._stopped.is_set():
            self._ledger.wait_for_company(_COMPANY_S)
            opening = self._ledger.next_call(
                time.monotonic(), _LOOK_S, self._calls.renew_after_s, self._report_limit
            )
            if opening is not None:
                self._call(opening)

    def _call(self, opening: Opening) -> None:
        """Make one call. After an error that is not an outage reports go one by one.

        So a report that an engine cannot digest holds up no other.
        """
        reports = opening.reports
        settled: tuple[AttemptRef, ...] = ()
        began_s = time.monotonic()
        _reach("executor.before_report", reports)
        try:
            reply = self._exchange(
                reports, opening.reserved, self._settings.poll_wait_s if opening.may_park else 0.0
            )
        except Exception as error:  # noqa: BLE001 - logged by _exchange; the loop must live
            self._report_limit = None if isinstance(error, UnavailableError) else 1
            pause_s = self._failing_s = self._longer(self._failing_s)
        else:
            settled = reply.settled
            self._failing_s = 0.0
            if reports:
                self._report_limit = None
            pause_s = self._pause_s(opening, reply, time.monotonic() - began_s)
        _reach("executor.after_report", reports)
        now_s = time.monotonic()
        self._ledger.settle(reports, settled, now_s)
        self._ledger.end_call(opening, now_s + pause_s)

    def _pause_s(self, opening: Opening, reply: ExchangeReply, elapsed_s: float) -> float:
        """Return how long to wait before the next call is parked, after one that was answered."""
        if opening.may_park:
            is_empty = not opening.reports and not reply.actions and elapsed_s <= _PROMPT_S
            self._empty_s = self._longer(self._empty_s) if is_empty else 0.0
            return self._empty_s
        return 0.0

    def _longer(self, delay_s: float) -> float:
        return min(max(delay_s * 2, self._settings.backoff_min_s), self._settings.backoff_max_s)

    def _send_rest(self, deadline_s: float) -> bool:
        """Send what is owed after the threads have ended; False if something is left.

        Actions that still run are not waited for.
        """
        while not self._ledger.wait_until_idle(0.0):
            due_in_s = self._ledger.next_report_in_s(time.monotonic())
            if due_in_s is None or time.monotonic() + due_in_s >= deadline_s:
                return False
            self._ledger.wait_until_idle(due_in_s)
            reports = self._ledger.take_reports(time.monotonic())
            if reports:
                self._call(Opening(reports=reports, reserved=0, may_park=False))
        return True

    def _exchange(self, reports: Sequence[ActionReport], reserved: int, wait_s: float) -> ExchangeReply:
        """Make one call, take in what it brought and give the reserved slots back. Logs and passes errors on."""
        request = self._calls.compose(reports, reserved, wait_s, time.monotonic())
        try:
            reply = self._gateway.exchange(request)
        except UnavailableError as error:
            self._calls.fail(request)
            self._outage.begin(error)
            raise
        except Exception as error:
            self._calls.fail(request)
            self._log_bug("A call to the engine failed", error)
            raise
        self._outage.end()
        admitted, lost = self._calls.take(request, reply, time.monotonic())
        for action in admitted:
            self._pool.submit(action)
        for ref in lost:
            self._log_attempt("The engine has given an attempt up that runs here", ref)
        return reply

    def _log_attempt(self, message: str, ref: AttemptRef) -> None:
        log.write(
            LOG,
            logging.WARNING,
            log.Event.LEASE_LOST,
            message,
            executor_id=self.executor_id,
            action_execution_id=ref.action_execution_id,
            attempt=ref.attempt,
        )

    def _log_bug(self, message: str, error: Exception) -> None:
        log.write(
            LOG,
            logging.ERROR,
            log.Event.INTERNAL_ERROR,
            message,
            exc_info=True,
            executor_id=self.executor_id,
            error_type=type(error).__name__,
        )


def _reach(point: str, reports: Sequence[ActionReport]) -> None:
    if reports:
        faults.reach(point)


class _Outage:
    """Says once that the engine is away and once that it is back."""

    def __init__(self, executor_id: str) -> None:
        self._executor_id = executor_id
        self._lock = threading.Lock()
        self._away = False

    @property
    def is_on(self) -> bool:
        return self._away

    def begin(self, error: UnavailableError) -> None:
        with self._lock:
            news, self._away = not self._away, True
        if news:
            self._write(logging.WARNING, "No engine can be reached; trying again", str(error))

    def end(self) -> None:
        if not self._away:
            return
        with self._lock:
            news, self._away = self._away, False
        if news:
            self._write(logging.INFO, "An engine can be reached again", "")

    def _write(self, level: int, message: str, reason: str) -> None:
        log.write(
            LOG,
            level,
            log.Event.BUS_UNAVAILABLE,
            message,
            executor_id=self._executor_id,
            reason=reason,
        )
