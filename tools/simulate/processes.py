"""The processes of a simulated service: the real engine, the real state of an executor, what an API writes.

The engine's loop, its turns and its database code are those of the service; only the thread is missing. Of the
executor the ledger and the calls are real; threads, actions and the bus between the two are played here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mistral_lite import faults
from mistral_lite.engine.mailbox import Ticket
from mistral_lite.engine.service import Engine
from mistral_lite.errors import UnavailableError
from mistral_lite.executor.calls import Calls
from mistral_lite.executor.ledger import Ledger
from mistral_lite.rpc.protocol import ActionReport, ActionRequest, ExchangeReply, ExchangeRequest
from tools.simulate.world import Crash, Process, World

Answer = Callable[[ExchangeReply | None], None]

SLOTS = 3
HEARTBEAT_S = 1.0
POLL_S = 2.0
# An executor gives a call up after this, beyond the time that it may be parked.
PATIENCE_S = 4.0


@dataclass(slots=True)
class Fault:
    """Kills its process at a point, or makes what was done there look as if it had failed."""

    world: World

    def reached(self, name: str) -> None:
        if name == "database.after_commit":
            if self.world.says(self.world.chances.fail):
                raise UnavailableError("simulated: the answer to the commit was lost")
        elif self.world.says(self.world.chances.crash):
            self.world.note(f"dies at {name}")
            raise Crash(name)


class EngineProcess(Process):
    """One engine."""

    def __init__(
        self,
        name: str,
        world: World,
        make: Callable[[EngineProcess], Engine],
        on_crash: Callable[[Process], None],
    ) -> None:
        super().__init__(name)
        self._world = world
        self._on_crash = on_crash
        # Its clock starts anywhere and is its own.
        self._clock_offset_s = world.random.uniform(0, 1000)
        self.engine = make(self)
        self._waiting: list[tuple[Ticket, Answer]] = []
        self._next_s: float | None = None
        self.wake(0.0)

    def monotonic(self) -> float:
        return self._world.now_s + self._clock_offset_s

    def take(self, request: ExchangeRequest, answer: Answer) -> None:
        """Take a call from the bus."""
        self._waiting.append((self.engine.accept(request), answer))
        self.wake(self._world.random.choice([0.0, 0.0, 0.01, 0.1]))

    def ring(self, root_id: str) -> None:
        self.engine.ring([root_id])
        self.wake(0.0)

    def notice_work(self) -> None:
        self.engine.notice_work()
        self.wake(0.0)

    def wake(self, delay_s: float) -> None:
        """Go on after ``delay_s``, or earlier if that is planned already."""
        at_s = self._world.now_s + delay_s
        if self._next_s is not None and self._next_s <= at_s:
            return
        self._next_s = at_s
        self._world.after(delay_s, self._go_on, self)

    def _go_on(self) -> None:
        if self._next_s is None or self._world.now_s < self._next_s:
            # An earlier wake has done it.
            return
        self._next_s = None
        if self._world.says(self._world.chances.freeze):
            self.frozen_until = self._world.now_s + self._world.random.uniform(1, 12)
            self._world.note(f"{self.name} is frozen until {self.frozen_until:.3f}")
        faults.arm(Fault(self._world))
        try:
            self.engine.go_on(0.0)
        except Crash:
            # What was answered before is on its way.
            self._answer()
            self._on_crash(self)
            return
        finally:
            faults.arm(None)
        self._answer()
        self.wake(max(self.engine.wait_s(), 0.001))

    def _answer(self) -> None:
        answered = [each for each in self._waiting if each[0].is_answered]
        self._waiting = [each for each in self._waiting if not each[0].is_answered]
        for ticket, answer in answered:
            try:
                reply: ExchangeReply | None = ticket.wait(0.0)
            except UnavailableError:
                reply = None
            answer(reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What running an attempt comes to: how long it takes, and what its executor reports then."""

    duration_s: float
    report: ActionReport


class ExecutorProcess(Process):
    """One executor: claims, runs and reports as ``executor.service`` does, without its threads."""

    def __init__(
        self,
        name: str,
        world: World,
        send: Callable[[ExecutorProcess, ExchangeRequest, Answer], None],
        begin: Callable[[ActionRequest, str], Work],
        on_crash: Callable[[Process], None],
    ) -> None:
        super().__init__(name)
        self._world = world
        self._send = send
        self._begin = begin
        self._on_crash = on_crash
        self._ledger = Ledger(SLOTS, 0.1, 2.0)
        self._calls = Calls(name, self._ledger, (), HEARTBEAT_S, world)
        self._is_reporting = False
        self._report_count = 0
        world.after(world.random.uniform(0, 0.2), self._claim, self)

    def drain(self) -> None:
        """Be told to stop: hand back what was not begun, report the rest."""
        self._ledger.drain()
        self._report_soon(0.0)

    @property
    def is_idle(self) -> bool:
        return self._ledger.wait_until_idle(0.0)

    # -- claiming --------------------------------------------------------------------------------------

    def _claim(self) -> None:
        reserved = self._ledger.reserve()
        request = self._calls.compose((), reserved, POLL_S if reserved else 0.0, self._world.now_s)

        def go_on(reply: ExchangeReply | None) -> None:
            pause_s = 0.01 if reply is not None and reply.actions else 0.1
            if not reserved or reply is None:
                pause_s = 0.5
            self._world.after(pause_s, self._claim, self)

        self._call(request, go_on)

    def _call(self, request: ExchangeRequest, then: Callable[[ExchangeReply | None], None]) -> None:
        is_open = True

        def take(reply: ExchangeReply | None) -> None:
            nonlocal is_open
            if not is_open:
                return
            is_open = False
            if reply is None:
                self._calls.fail(request)
            else:
                admitted, lost = self._calls.take(request, reply, self._world.now_s)
                for ref in lost:
                    self._world.note(f"{self.name} lost {ref.action_execution_id[-6:]}/{ref.attempt}")
                for action in admitted:
                    self._world.after(self._world.random.choice([0.0, 0.01, 0.3]), self._runner(action), self)
            then(reply)

        self._send(self, request, take)
        self._world.after(request.wait_s + PATIENCE_S, lambda: take(None), self)

    # -- running ---------------------------------------------------------------------------------------

    def _runner(self, action: ActionRequest) -> Callable[[], None]:
        return lambda: self._run(action)

    def _run(self, action: ActionRequest) -> None:
        if self._dies() or not self._ledger.begin(action.ref):
            return
        work = self._begin(action, self.name)

        def finish() -> None:
            if self._dies():
                return
            if self._ledger.finish(work.report):
                self._report_soon(self._world.random.choice([0.0, 0.0, 0.05]))

        self._world.after(work.duration_s, finish, self)

    def _dies(self) -> bool:
        if self._world.says(self._world.chances.crash / 2):
            self._world.note(f"{self.name} dies")
            self._on_crash(self)
            return True
        if self._world.says(self._world.chances.freeze):
            self.frozen_until = self._world.now_s + self._world.random.uniform(1, 12)
        return False

    # -- reporting -------------------------------------------------------------------------------------

    def _report_soon(self, delay_s: float) -> None:
        self._world.after(delay_s, self._report, self)

    def _report(self) -> None:
        if self._is_reporting:
            return
        reports = self._ledger.take_reports(self._world.now_s)
        if not reports:
            due_in_s = self._ledger.next_report_in_s(self._world.now_s)
            if due_in_s is not None:
                self._report_soon(max(due_in_s, 0.01))
            return
        if self._dies():
            return
        self._is_reporting = True

        def go_on(reply: ExchangeReply | None) -> None:
            self._is_reporting = False
            self._ledger.settle(reports, reply.settled if reply else (), self._world.now_s)
            self._report_soon(0.0)

        # Every other one may be parked with what it reports, as when no other call is.
        reserved = self._ledger.reserve()
        self._report_count += 1
        wait_s = POLL_S if reserved and self._report_count % 2 else 0.0
        self._call(self._calls.compose(reports, reserved, wait_s, self._world.now_s), go_on)
