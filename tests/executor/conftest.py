"""The other side of the protocol: an engine in memory, and actions that the tests steer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from mistral_lib.actions import Action

from mistral_lite.errors import NotFoundError
from mistral_lite.executor.service import Executor, ExecutorSettings
from mistral_lite.rpc.protocol import (
    ActionReport,
    ActionRequest,
    AttemptRef,
    ExchangeReply,
    ExchangeRequest,
)

DEADLINE_S = 120.0


class Engine:
    """Leases queued actions, settles reports and keeps a record of every call."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.queue: list[ActionRequest] = []
        self.leased: dict[AttemptRef, ActionRequest] = {}
        self.reports: list[ActionReport] = []
        self.calls: list[ExchangeRequest] = []
        self.lost: set[AttemptRef] = set()
        self.parked = 0
        self.closing = False
        self.parks = True
        # Called with each request before it is handled; may raise or change nothing.
        self.before: Callable[[ExchangeRequest], None] = lambda request: None
        # What to do with a report: True settles it.
        self.settles: Callable[[ActionReport], bool] = lambda report: True
        # Called with a settled report; returns further orders, as a workflow that goes on.
        self.follow_up: Callable[[ActionReport], list[ActionRequest]] = lambda report: []

    def exchange(self, request: ExchangeRequest) -> ExchangeReply:
        with self.changed:
            self.calls.append(request)
            self.changed.notify_all()
        self.before(request)
        with self.changed:
            settled = tuple(self._settle(report) for report in request.reports if self.settles(report))
            lost = tuple(ref for ref in request.running if ref in self.lost)
            if self.parks and request.capacity and request.wait_s and not lost:
                self.parked += 1
                self.changed.notify_all()
                self.changed.wait_for(lambda: self.queue or self.closing, request.wait_s)
                self.parked -= 1
            actions = tuple(self.queue[: request.capacity])
            del self.queue[: request.capacity]
            self.leased.update({action.ref: action for action in actions})
            self.changed.notify_all()
            return ExchangeReply(settled=settled, actions=actions, lost=lost)

    def _settle(self, report: ActionReport) -> AttemptRef:
        self.reports.append(report)
        self.leased.pop(report.ref, None)
        self.queue.extend(self.follow_up(report))
        return report.ref

    def enqueue(self, *orders: ActionRequest) -> None:
        with self.changed:
            self.queue.extend(orders)
            self.changed.notify_all()

    def wait(self, condition: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S), "the engine waited in vain"

    def close(self) -> None:
        with self.changed:
            self.closing = True
            self.changed.notify_all()

    def reported(self) -> list[tuple[str, str]]:
        return [(report.action_execution_id, str(report.outcome)) for report in self.reports]


class Source:
    """Actions by name, each a function of its arguments."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.runs: list[str] = []
        self.lock = threading.Lock()
        self.active = self.most_active = 0
        self.functions: dict[str, Callable[[], object]] = {
            "echo": lambda: "done",
            "block": self._block,
        }

    def _block(self) -> str:
        self.begun.release()
        assert self.gate.wait(DEADLINE_S)
        return "unblocked"

    def instantiate(self, name: str, arguments: dict) -> Action:
        if name not in self.functions:
            raise NotFoundError(f"Failed to find action [action_name={name}]")
        return FunctionAction(self, self.functions[name])

    def await_begun(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.begun.acquire(timeout=DEADLINE_S)


class FunctionAction(Action):
    def __init__(self, source: Source, function: Callable[[], object]) -> None:
        self.source = source
        self.function = function

    def run(self, context: object) -> object:
        with self.source.lock:
            self.source.runs.append(context.execution.action_execution_id)
            self.source.active += 1
            self.source.most_active = max(self.source.most_active, self.source.active)
        try:
            return self.function()
        finally:
            with self.source.lock:
                self.source.active -= 1


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    yield source
    source.gate.set()


@pytest.fixture
def start(engine, source) -> Iterator[Callable[..., Executor]]:
    started: list[Executor] = []

    def start_executor(**settings) -> Executor:
        chosen = {"threads": 4, "poll_wait_s": 0.2, "backoff_min_s": 0.01, "backoff_max_s": 0.05, **settings}
        executor = Executor(engine, source, ExecutorSettings(**chosen))
        executor.start()
        started.append(executor)
        return executor

    yield start_executor
    source.gate.set()
    engine.before = lambda request: None
    engine.settles = lambda report: True
    engine.close()
    for executor in started:
        if not executor._stopped.is_set():
            executor.stop(DEADLINE_S)
