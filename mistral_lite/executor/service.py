"""The executor as a service: who calls the engine when.

Two threads talk to the engine, a pool runs the actions.

- The **claimer** keeps one call parked at an engine. It offers the slots that are free as the call begins,
  renews the leases of what runs, and brings work to an idle executor.
- The **reporter** calls as soon as an attempt is finished. It sends everything that finished meanwhile in one call
  and offers the slots that became free since the parked call began, so that result and next action need one
  round trip. It sends a report again, after growing delays, until the engine has settled it.

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
from mistral_lite.executor.ledger import Ledger
from mistral_lite.executor.pool import WorkerPool
from mistral_lite.executor.runner import ActionRunner, ActionSource
from mistral_lite.ids import new_id
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
# The claimer and the reporter look at their own state at least this often.
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
        self._threads = [
            threading.Thread(target=self._claim_forever, name="executor-claimer", daemon=True),
            threading.Thread(target=self._report_forever, name="executor-reporter", daemon=True),
        ]

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

    # Claiming

    def _claim_forever(self) -> None:
        empty_s = failing_s = 0.0
        while not self._stopped.is_set():
            reserved = self._ledger.reserve()
            began_s = time.monotonic()
            try:
                reply = self._exchange((), reserved, self._settings.poll_wait_s if reserved else 0.0)
            except Exception:  # noqa: BLE001 - logged by _exchange; the loop must live
                failing_s = self._longer(failing_s)
                self._stopped.wait(failing_s)
                continue
            failing_s = 0.0
            if not reserved:
                # Nothing to offer: this was a heartbeat. The next is due soon, or a slot gets free before.
                self._wait_without_slots()
            elif reply.actions or time.monotonic() - began_s > _PROMPT_S:
                empty_s = 0.0
            else:
                empty_s = self._longer(empty_s)
                self._stopped.wait(min(empty_s, self._settings.heartbeat_s))

    def _wait_without_slots(self) -> None:
        if self._ledger.is_draining:
            self._stopped.wait(min(self._settings.heartbeat_s, _LOOK_S))
        else:
            self._ledger.wait_for_slot(self._settings.heartbeat_s)

    def _longer(self, delay_s: float) -> float:
        return min(max(delay_s * 2, self._settings.backoff_min_s), self._settings.backoff_max_s)

    # Reporting

    def _report_forever(self) -> None:
        limit: int | None = None
        while not self._stopped.is_set():
            self._ledger.wait_for_company(_COMPANY_S)
            reports = self._ledger.take_reports(time.monotonic(), limit)
            if reports:
                limit = self._report(reports)
            else:
                self._ledger.wait_for_report(time.monotonic(), _LOOK_S)

    def _report(self, reports: tuple[ActionReport, ...]) -> int | None:
        """Send reports once and return how many the next call may carry (None: all).

        After an error that is not an outage they go one by one, so that a report that an engine cannot digest
        holds up no other.
        """
        reserved = self._ledger.reserve()
        settled: tuple[AttemptRef, ...] = ()
        limit: int | None = None
        faults.reach("executor.before_report")
        try:
            settled = self._exchange(reports, reserved, 0.0).settled
        except UnavailableError:
            pass
        except Exception:  # noqa: BLE001 - logged by _exchange; the loop must live
            limit = 1
        faults.reach("executor.after_report")
        self._ledger.settle(reports, settled, time.monotonic())
        return limit

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
                self._report(reports)
        return True

    # Calling

    def _exchange(self, reports: Sequence[ActionReport], reserved: int, wait_s: float) -> ExchangeReply:
        """Make one call, take in what it brought and give the reserved slots back. Logs and passes errors on."""
        request = self._calls.compose(reports, reserved, wait_s)
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
        admitted, lost = self._calls.take(request, reply)
        for action in admitted:
            self._pool.submit(action)
        self._outage.end()
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
