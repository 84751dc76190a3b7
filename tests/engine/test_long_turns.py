"""A turn that takes longer than a lease: no action is given up because the engine was busy.

The engine runs in the test's thread; time passes only where the test says so.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from mistral_lite.actions.registry import ActionRegistry, ActionSettings
from mistral_lite.db import tables
from mistral_lite.db.transaction import Database
from mistral_lite.engine.service import Engine, EngineSettings
from mistral_lite.errors import UnavailableError
from mistral_lite.expressions.base import ExpressionSettings
from mistral_lite.expressions.evaluator import Evaluator
from mistral_lite.rpc.protocol import (
    REPLY_PATIENCE_S,
    ActionRequest,
    AttemptRef,
    ExchangeRequest,
    Outcome,
)
from mistral_lite.workflow.library import Library
from tests.engine.conftest import FakeApi, said

TEXT = "version: '2.0'\none: {tasks: {only: {action: std.noop}}}"
LONG_S = 40.0


class Clockwork(Database):
    """SQLite in memory, for one thread; its time goes on when it is told to."""

    def __init__(self) -> None:
        super().__init__("sqlite://", pool_size=1)
        tables.metadata.create_all(self.engine)
        self.passed_s = 0.0

    def now(self, connection: sa.Connection) -> datetime:
        return datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=self.passed_s)


class Busy:
    """An engine, and a decision that takes ``LONG_S`` when it is wanted."""

    def __init__(self) -> None:
        self.database = Clockwork()
        evaluator = Evaluator(ExpressionSettings())
        self.api = FakeApi(self.database, evaluator)
        self.api.upload(TEXT)
        self._registry = ActionRegistry.load(ActionSettings(load_plugins=False))
        self._is_slow = False
        library = Library(evaluator=evaluator, find_python_action=self._find)
        self.engine = Engine(
            self.database, library, EngineSettings(), monotonic=lambda: self.database.passed_s
        )
        self._calls = 0

    def _find(self, name: str):
        if self._is_slow:
            self.database.passed_s += LONG_S
            self._is_slow = False
        return self._registry.find(name)

    def call(self, tell=None, **values):
        self._calls += 1
        given = {"executor_id": "e1", "call_id": f"call-{self._calls}", **values}
        return self.engine.accept(ExchangeRequest(**given), tell)

    def start(self, *, is_slow: bool = False) -> ActionRequest:
        """Start a workflow and take its action; the turn that starts it may be a slow one."""
        self.engine.ring([self.api.start("one")])
        ticket = self.call(capacity=1)
        self._is_slow = is_slow
        self.engine.go_on(0)
        (action,) = ticket.wait(0).actions
        return action

    def report(self, action: ActionRequest) -> None:
        ticket = self.call(reports=(said(action, None, Outcome.SUCCESS),))
        self.engine.go_on(0)
        ticket.wait(0)

    def pass_time(self, seconds: float) -> None:
        self.database.passed_s += seconds
        self.engine.go_on(0)

    def state(self, action: ActionRequest) -> str:
        table = tables.action_executions
        with self.database.read() as connection:
            found = sa.select(table.c.state).where(table.c.id == action.action_execution_id)
            state: str = connection.execute(found).scalar_one()
        return state


@pytest.fixture
def busy():
    made = Busy()
    yield made
    made.database.dispose()


def test_what_a_long_turn_hands_out_is_leased_from_its_end(busy):
    action = busy.start(is_slow=True)

    # Another engine would look at the lease only.
    with busy.database.read() as connection:
        lease_until = connection.execute(sa.select(tables.action_queue.c.lease_until)).scalar_one()
        assert lease_until > busy.database.now(connection)
    busy.report(action)
    assert busy.state(action) == "SUCCESS"


def test_a_renewal_that_waited_for_a_long_turn_counts(busy):
    held = busy.start()
    busy.start(is_slow=True)

    ref = AttemptRef(action_execution_id=held.action_execution_id, attempt=held.attempt)
    renewal = busy.call(running=(ref,))
    busy.engine.go_on(0)

    assert renewal.wait(0).lost == ()
    busy.report(held)
    assert busy.state(held) == "SUCCESS"


def test_an_executor_that_is_silent_after_a_long_turn_as_well_loses_its_leases(busy):
    held = busy.start()
    busy.start(is_slow=True)

    busy.pass_time(1)
    assert busy.state(held) == "RUNNING"
    busy.pass_time(LONG_S)
    assert busy.state(held) == "ERROR"


def test_a_call_that_another_one_disowns_gets_no_work(busy):
    # Both arrived during a long turn: the executor has given the first one up, and will not say so again.
    first = busy.call(capacity=1)
    second = busy.call(capacity=1, disowned=(first.request.call_id,))
    busy.engine.ring([busy.api.start("one")])
    busy.engine.go_on(0)

    with pytest.raises(UnavailableError):
        first.wait(0)
    (action,) = second.wait(0).actions
    busy.report(action)
    assert busy.state(action) == "SUCCESS"


def test_a_parked_call_that_another_one_disowns_gets_no_work(busy):
    parked = busy.call(capacity=1, wait_s=60)
    busy.engine.go_on(0)
    assert not parked.is_answered
    busy.call(disowned=(parked.request.call_id,))
    busy.engine.go_on(0)
    action = busy.start()

    with pytest.raises(UnavailableError):
        parked.wait(0)
    busy.report(action)
    assert busy.state(action) == "SUCCESS"


def test_a_call_over_the_bus_that_waited_too_long_gets_no_work(busy):
    # Its executor may have said so to another engine.
    late = busy.call(capacity=1, wait_s=2, tell=lambda _: None)
    busy.database.passed_s += 2 + REPLY_PATIENCE_S + 1
    action = busy.start()

    with pytest.raises(UnavailableError):
        late.wait(0)
    busy.report(action)
    assert busy.state(action) == "SUCCESS"
