"""What an executor says to an engine and makes of the answer: requests composed, replies taken in.

Sends nothing itself, so that whoever carries a call (a thread, a bus, a simulation) may lose it at any point.
Every composed request must be given to exactly one of ``take`` and ``fail``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from mistral_lite.clock import Clock
from mistral_lite.executor.ledger import Ledger
from mistral_lite.ids import new_id
from mistral_lite.rpc.protocol import ActionReport, ActionRequest, AttemptRef, ExchangeReply, ExchangeRequest


class Calls:
    """The calls of one executor. All times are monotonic seconds.

    ``heartbeat_s`` bounds how long a call may be held open. A lease that was renewed less than ``renew_after_s`` ago
    is not renewed: each renewal is a transaction of the engine.
    """

    def __init__(
        self, executor_id: str, ledger: Ledger, targets: tuple[str, ...], heartbeat_s: float, clock: Clock
    ) -> None:
        self._executor_id = executor_id
        self._ledger = ledger
        self._targets = targets
        self._heartbeat_s = heartbeat_s
        self.renew_after_s = heartbeat_s / 4
        self._clock = clock
        self._unanswered = _Unanswered()

    def compose(
        self, reports: Sequence[ActionReport], reserved: int, wait_s: float, now_s: float
    ) -> ExchangeRequest:
        """Return a request that carries ``reports`` and offers the ``reserved`` slots."""
        return ExchangeRequest(
            executor_id=self._executor_id,
            call_id=new_id(self._clock.now()),
            disowned=self._unanswered.peek(),
            targets=self._targets,
            reports=tuple(reports),
            running=self._ledger.running(now_s - self.renew_after_s),
            capacity=reserved,
            wait_s=min(wait_s, self._heartbeat_s),
        )

    def take(
        self, request: ExchangeRequest, reply: ExchangeReply, now_s: float
    ) -> tuple[list[ActionRequest], list[AttemptRef]]:
        """Take an answer in; return what is to be run now, and attempts held here that are newly lost."""
        self._ledger.renew(request.running, now_s)
        admitted = self._ledger.admit(request.capacity, reply.actions, now_s)
        self._unanswered.remove(request.disowned)
        return admitted, self._ledger.lose(reply.lost)

    def fail(self, request: ExchangeRequest) -> None:
        """Give the slots of a call back that got no answer; the next one says so."""
        self._unanswered.add(request.call_id)
        self._ledger.admit(request.capacity, (), 0.0)


class _Unanswered:
    """Calls whose answers never came, until an engine has heard of them.

    What it leased to such a call is not held here; told so, it can give the attempts out again at once
    instead of failing those that may start only once when their leases run out.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._call_ids: dict[str, None] = {}

    def add(self, call_id: str) -> None:
        with self._lock:
            self._call_ids[call_id] = None

    def peek(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._call_ids)

    def remove(self, call_ids: Sequence[str]) -> None:
        with self._lock:
            for call_id in call_ids:
                self._call_ids.pop(call_id, None)
