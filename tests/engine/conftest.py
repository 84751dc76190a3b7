"""The real engine over a real database; executor and API are played by the test.

Nothing here waits for time to pass: a call of an executor is answered after the commit that took it, so a
call that wants nothing shows that everything that was rung before is done. Leases and timers run out by SQL.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import kombu
import pytest
import sqlalchemy as sa

from mistral_lite.actions.registry import ActionRegistry, ActionSettings
from mistral_lite.db import definitions, executions, inbox, maintenance, tables
from mistral_lite.db.transaction import Database
from mistral_lite.engine.agenda import TurnSettings
from mistral_lite.engine.service import Engine, EngineSettings
from mistral_lite.expressions.base import ExpressionSettings
from mistral_lite.expressions.evaluator import Evaluator
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, JsonValue, dump, load
from mistral_lite.lang import parse
from mistral_lite.rpc.protocol import (
    ActionReport,
    ActionRequest,
    AttemptRef,
    ExchangeReply,
    ExchangeRequest,
    Outcome,
)
from mistral_lite.workflow.library import Library, Rules
from mistral_lite.workflow.starting import prepare_start

# Far away: what a test does not cause does not happen.
NEVER_S = 3600.0
PATIENCE_S = 120.0
PROJECT = "p"


@pytest.fixture(scope="session")
def bus_url() -> str:
    """The broker."""
    url = os.environ.get("MISTRAL_LITE_TEST_RABBITMQ") or "rabbit://guest:guest@127.0.0.1:5672/"
    try:
        with kombu.Connection(url.replace("rabbit://", "amqp://", 1), connect_timeout=30) as connection:
            connection.connect()
    except OSError as error:
        reason = "no RabbitMQ (see MISTRAL_LITE_TEST_RABBITMQ)"
        if os.environ.get("CI") == "true":
            raise AssertionError(reason) from error
        pytest.skip(reason)
    return url


class FakeApi:
    """Writes what the API writes: definitions, root executions and inbox rows."""

    def __init__(self, database: Database, evaluator: Evaluator) -> None:
        self.database = database
        self.evaluator = evaluator

    def upload(self, text: str, project: str = PROJECT, scope: str = "private") -> None:
        """Store the workflows of a document."""
        with self.database.write() as connection:
            for spec in parse.parse_workflow_list(text):
                values = {
                    "id": new_id(datetime.now(UTC)),
                    "name": spec.name,
                    "definition": text,
                    "scope": scope,
                    "project_id": project,
                    "spec_hash": definitions.save_spec(self.database, connection, "workflow", spec.source),
                    "created_at": datetime.now(UTC),
                }
                definitions.insert_definition(connection, tables.workflow_definitions, values)

    def start(
        self,
        name: str,
        workflow_input: JsonObject | None = None,
        env: JsonObject | None = None,
        **params: JsonValue,
    ) -> str:
        """Insert an execution with its start and return its id."""
        now = datetime.now(UTC)
        execution_id = new_id(now)
        with self.database.write() as connection:
            definition = definitions.find_workflow(connection, name, "", PROJECT)
            assert definition is not None
            prepared = prepare_start(
                definitions.load_spec(connection, definition.spec_hash),
                execution_id=execution_id,
                workflow_input=workflow_input or {},
                params={"namespace": "", **params},
                environment=env or {},
                evaluator=self.evaluator,
            )
            values = {
                "id": execution_id,
                "root_execution_id": execution_id,
                "workflow_id": definition.id,
                "workflow_name": definition.name,
                "spec_hash": definition.spec_hash,
                "state": "RUNNING",
                "input": dump(prepared.input),
                "params": dump(prepared.params),
                "context": dump(prepared.context),
                "project_id": PROJECT,
                "created_at": now,
                "updated_at": now,
            }
            executions.insert_root(connection, values)
        self.tell(execution_id, "start")
        return execution_id

    def tell(self, root_id: str, kind: str, subject_id: str | None = None, **payload: JsonValue) -> int:
        """Add a row to the inbox."""
        with self.database.write() as connection:
            return inbox.append(
                connection,
                root_execution_id=root_id,
                kind=kind,
                subject_id=subject_id or root_id,
                payload=payload,
                now=datetime.now(UTC),
            )()

    def run_action(self, name: str, action_input: JsonObject | None = None, **values: JsonValue) -> str:
        """Ask for an action on its own and return its id."""
        action_id = new_id(datetime.now(UTC))
        payload = {
            "name": name,
            "input": action_input or {},
            "namespace": "",
            "project_id": PROJECT,
            "description": "",
            "target": None,
            "timeout": None,
            "is_ephemeral": False,
            **values,
        }
        self.tell(action_id, inbox.RUN_ACTION, **payload)
        return action_id

    def call_back(self, action_id: str, output: JsonValue, state: str = "SUCCESS") -> inbox.Delivery:
        """Deliver a result as a third party."""
        return inbox.deliver_result(
            self.database, action_execution_id=action_id, state=state, output=output, now=datetime.now(UTC)
        )


class Service:
    """One database, one or more engines over it, and the calls of an executor."""

    def __init__(self, database: Database, make_engine: Callable[..., Engine], api: FakeApi) -> None:
        self.database = database
        self.api = api
        self.make_engine = make_engine
        self.engines: list[Engine] = []
        self._calls = count(1)

    def add_engine(self, **settings: Any) -> Engine:
        """Start one more engine over the same database."""
        engine = self.make_engine(self.database, **settings)
        engine.start()
        self.engines.append(engine)
        return engine

    # -- as the API ------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        workflow_input: JsonObject | None = None,
        env: JsonObject | None = None,
        **params: JsonValue,
    ) -> str:
        """Start a workflow and let the engine take it up."""
        execution_id = self.api.start(name, workflow_input, env, **params)
        self.settle(execution_id)
        return execution_id

    def tell(self, root_id: str, kind: str, subject_id: str | None = None, **payload: JsonValue) -> None:
        """Give a command and let the engine take it up."""
        self.api.tell(root_id, kind, subject_id, **payload)
        self.settle(root_id)

    def call_back(self, action_id: str, output: JsonValue, state: str = "SUCCESS") -> None:
        """Deliver a result and let the engine take it up."""
        self.settle(self.api.call_back(action_id, output, state).root_execution_id)

    def set_maintenance(self, status: maintenance.Status) -> None:
        """Change the status of maintenance."""

        def work(connection: sa.Connection) -> None:
            maintenance.lock_status(self.database, connection, datetime.now(UTC))
            maintenance.set_status(connection, status, datetime.now(UTC))

        self.database.run(work)

    def settle(self, *root_ids: str) -> None:
        """Ring, and return once the first engine has done what it was told before."""
        self.engines[0].ring(root_ids)
        self.exchange(executor_id="nobody")

    # -- as an executor --------------------------------------------------------------------------------

    def exchange(self, engine: int = 0, **values: Any) -> ExchangeReply:
        """Call an engine."""
        given = {"executor_id": "e1", "call_id": f"call-{next(self._calls)}", **values}
        return self.engines[engine].exchange(ExchangeRequest(**given))

    def claim(self, capacity: int = 100, **values: Any) -> tuple[ActionRequest, ...]:
        """Take actions."""
        return self.exchange(capacity=capacity, **values).actions

    def report(
        self,
        action: ActionRequest,
        result: JsonValue = None,
        outcome: Outcome = Outcome.SUCCESS,
        **values: Any,
    ) -> ExchangeReply:
        """Report the end of an action."""
        return self.exchange(reports=(said(action, result, outcome),), **values)

    def work(self, results: Mapping[str, Any] | None = None, engine: int = 0) -> list[ActionRequest]:
        """Do all work there is and all that follows; return it in order.

        An action returns its input ``output``, unless ``results`` has something for that output: a value,
        or an exception as the error.
        """
        done: list[ActionRequest] = []
        reports: tuple[ActionReport, ...] = ()
        while True:
            actions = self.exchange(engine, reports=reports, capacity=100).actions
            done += actions
            if not actions:
                return done
            reports = tuple(_outcome(action, results or {}) for action in actions)

    # -- time ------------------------------------------------------------------------------------------

    def expire_leases(self) -> None:
        """Let all leases have run out, and have the engine sweep."""
        self._execute(
            sa.update(tables.action_queue)
            .where(tables.action_queue.c.lease_until.is_not(None))
            .values(lease_until=datetime.now(UTC) - timedelta(hours=1))
        )
        self.sweep()

    def fire_timers(self) -> None:
        """Let all timers be due, and have the engine sweep."""
        self._execute(sa.update(tables.timers).values(due_at=datetime.now(UTC) - timedelta(hours=1)))
        self.sweep()
        # The sweep notes what is due; the turn after it does it.
        self.exchange(executor_id="nobody")

    def sweep(self) -> None:
        """Have the first engine sweep now."""
        self.engines[0]._next_sweep = 0.0
        self.exchange(executor_id="nobody")

    # -- what is stored --------------------------------------------------------------------------------

    def _execute(self, statement: Any) -> None:
        with self.database.write() as connection:
            connection.execute(statement)

    def rows(self, table: sa.Table, *conditions: Any) -> list[JsonObject]:
        """Return rows of a table, oldest first."""
        order = table.c.get("created_at", next(iter(table.c)))
        with self.database.read() as connection:
            statement = sa.select(table).where(*conditions).order_by(order, *table.primary_key)
            return [dict(row) for row in connection.execute(statement).mappings()]

    def workflow(self, execution_id: str) -> JsonObject:
        """Return a workflow execution."""
        (row,) = self.rows(tables.workflow_executions, tables.workflow_executions.c.id == execution_id)
        return {**row, "output": load(row["output"])}

    def state(self, execution_id: str) -> str:
        """Return the state of a workflow execution."""
        state: str = self.workflow(execution_id)["state"]
        return state

    def tasks(self, execution_id: str) -> dict[str, str]:
        """Return the states of the tasks of a workflow execution by name."""
        condition = tables.task_executions.c.workflow_execution_id == execution_id
        rows = self.rows(tables.task_executions, condition)
        assert len({row["name"] for row in rows}) == len(rows), "a task was created twice"
        return {row["name"]: row["state"] for row in rows}

    def task_id(self, execution_id: str, name: str) -> str:
        """Return the id of the only execution of a task."""
        table = tables.task_executions
        (row,) = self.rows(table, table.c.workflow_execution_id == execution_id, table.c.name == name)
        identifier: str = row["id"]
        return identifier

    def actions(self, *conditions: Any) -> list[JsonObject]:
        """Return action executions, oldest first."""
        rows = self.rows(tables.action_executions, *conditions)
        return [{**row, "output": load(row["output"]) if row["output"] else None} for row in rows]

    def action(self, action_id: str) -> JsonObject:
        """Return an action execution."""
        (row,) = self.actions(tables.action_executions.c.id == action_id)
        return row

    def is_at_rest(self) -> bool:
        """Tell whether nothing is queued and nothing waits to be decided."""
        return not (self.rows(tables.inbox) or self.rows(tables.action_queue) or self.rows(tables.timers))


def said(action: ActionRequest, result: JsonValue = None, outcome: Outcome = Outcome.SUCCESS) -> ActionReport:
    """Return a report about an action."""
    return ActionReport(
        action_execution_id=action.action_execution_id,
        attempt=action.attempt,
        outcome=outcome,
        result=result,
    )


def _outcome(action: ActionRequest, results: Mapping[str, Any]) -> ActionReport:
    output = action.input.get("output")
    result = results.get(output, output) if isinstance(output, str) else output
    if isinstance(result, Exception):
        return said(action, str(result), Outcome.ERROR)
    return said(action, result)


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of database; a test may ask for others."""
    name: str = request.param
    return name


@pytest.fixture
def database(backend: str, open_database: Callable[[str], Database]) -> Database:
    """An empty database with all tables."""
    return open_database(backend)


@pytest.fixture(scope="session")
def evaluator() -> Evaluator:
    """The expression languages."""
    return Evaluator(ExpressionSettings())


@pytest.fixture(scope="session")
def registry() -> ActionRegistry:
    """The standard actions."""
    return ActionRegistry.load(ActionSettings(load_plugins=False))


@pytest.fixture
def new_engine(evaluator: Evaluator, registry: ActionRegistry) -> Iterator[Callable[..., Engine]]:
    """Make an engine; stopped after the test."""
    with ExitStack() as stack:

        def new_engine(
            database: Database,
            *,
            sweep_s: float = NEVER_S,
            lease_s: float = NEVER_S,
            evaluator: Any = evaluator,
            find_action: Any = registry.find,
            outage_pause_s: float = 0.01,
            wake_notifier: Callable[[], None] | None = None,
            rules: Rules = Rules(),  # noqa: B008 - unchanging
        ) -> Engine:
            library = Library(evaluator=evaluator, find_python_action=find_action, rules=rules)
            settings = EngineSettings(
                sweep_s=sweep_s, outage_pause_s=outage_pause_s, turn=TurnSettings(lease_s=lease_s)
            )
            engine = Engine(database, library, settings, wake_notifier=wake_notifier)

            def stop() -> None:
                if engine._thread.ident is not None:
                    engine.stop(PATIENCE_S)

            stack.callback(stop)
            return engine

        yield new_engine


@pytest.fixture
def idle(database: Database, new_engine: Callable[..., Engine], evaluator: Evaluator) -> Service:
    """The service before any engine is started."""
    return Service(database, new_engine, FakeApi(database, evaluator))


@pytest.fixture
def service(idle: Service) -> Service:
    """The service with one engine that sweeps only when it is told to."""
    idle.add_engine()
    return idle


@pytest.fixture
def report_of() -> Callable[..., ActionReport]:
    """Make a report about an action."""
    return said


@pytest.fixture
def ref_of() -> Callable[[ActionRequest], AttemptRef]:
    """Name the attempt of an action."""
    return lambda action: action.ref
