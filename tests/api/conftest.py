"""The API over SQLite, called as a WSGI application; the engine is played by SQL.

``FakeEngine`` is the other side of the doorbell: it takes rows out of the inbox when it is rung, remembers
them and does to the execution tables what a test tells it to.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import webob

from mistral_lite.actions.registry import ActionRegistry, ActionSettings
from mistral_lite.api.app import build_app
from mistral_lite.api.context import CONTEXT_KEY, RequestContext
from mistral_lite.api.services import ApiServices, ApiSettings
from mistral_lite.db import tables
from mistral_lite.db.transaction import Database, normalize_url
from mistral_lite.expressions.base import ExpressionSettings
from mistral_lite.expressions.evaluator import Evaluator
from mistral_lite.jsontext import load

# Tests are imported without a package; what they share stands beside them.
sys.path.insert(0, str(Path(__file__).parent))

from contract import Contract

NOW = datetime(2026, 11, 21, 22, 37, 10, 250_000, tzinfo=UTC)
PROJECT = "<default-project>"
JSON = {"Content-Type": "application/json"}
ADMIN = {"X-Roles": "admin"}


class FixedClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.value = NOW

    def now(self) -> datetime:
        """Return the time that the test has set."""
        return self.value


@dataclass
class FakeEngine:
    """Takes what is in the inbox when it is rung; ``effects`` say what a kind of command does then."""

    database: Database
    is_away: bool = False
    taken: list[dict[str, Any]] = field(default_factory=list)
    effects: dict[str, Callable[[sa.Connection, Mapping[str, Any]], None]] = field(default_factory=dict)
    queue_rings: int = 0

    def ring_queues(self) -> None:
        """Count."""
        self.queue_rings += 1

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """Consume the rows of these trees, unless away."""
        if self.is_away:
            return
        with self.database.write() as connection:
            found = connection.execute(
                sa.select(tables.inbox).where(tables.inbox.c.root_execution_id.in_(root_execution_ids))
            ).mappings()
            for row in found.all():
                entry = {**row, "payload": load(row["payload"])}
                self.taken.append(entry)
                if entry["kind"] in self.effects:
                    self.effects[entry["kind"]](connection, entry)
                connection.execute(sa.delete(tables.inbox).where(tables.inbox.c.seq == row["seq"]))

    def commands(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return what was taken as (kind, subject, payload)."""
        return [(entry["kind"], entry["subject_id"], entry["payload"]) for entry in self.taken]


class Answer:
    """What came back."""

    def __init__(self, response: webob.Response) -> None:
        self.status: int = response.status_int
        self.headers = response.headers
        self.text: str = response.body.decode()

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.text)

    @property
    def fault(self) -> str:
        """Return what an error answer says."""
        said: str = self.json["faultstring"]
        return said


class Api:
    """A caller of the application, and the tables behind it. No answer may be one that is not described."""

    _contract: Contract | None = None

    def __init__(self, database: Database, evaluator: Evaluator, registry: ActionRegistry) -> None:
        self.database = database
        self.evaluator = evaluator
        self.registry = registry
        self.engine = FakeEngine(database)
        self.clock = FixedClock()
        self.configure()

    def configure(self, **settings: Any) -> None:
        """Build the application anew with other settings."""
        waits = {
            "start_wait_s": 0.0,
            "change_wait_s": 0.0,
            "callback_wait_s": 0.0,
            "rpc_response_timeout_s": 0.0,
        }
        self.services = ApiServices(
            database=self.database,
            doorbell=self.engine,
            registry=self.registry,
            evaluator=self.evaluator,
            settings=ApiSettings(**{**waits, **settings}),
            clock=self.clock,
        )
        self.app = build_app(self.services)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        caller: RequestContext | None = None,
    ) -> Answer:
        """Send one request; a body that is no text or bytes is sent as JSON.

        ``caller``: whom an authentication has found; None for one who is not asked.
        """
        sent = {**(headers or {})}
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
            sent = {**JSON, **sent}
        raw = body.encode() if isinstance(body, str) else body
        request = webob.Request.blank(path, method=method, body=raw or b"", headers=sent)
        if "Content-Type" not in sent:
            request.environ.pop("CONTENT_TYPE", None)
        if caller is not None:
            request.environ[CONTEXT_KEY] = caller
        answer = Answer(request.get_response(self.app))
        # Bugs, which some tests plant, are not foreseen.
        if answer.status != 500:
            self.contract.check(method, path, answer.status, answer.headers.get("Content-Type"), answer.text)
        return answer

    @property
    def contract(self) -> Contract:
        """What the description of the API promises. The settings of a test hardly change it, so one is enough."""
        if Api._contract is None:
            response = webob.Request.blank("/v2/openapi.json").get_response(self.app)
            Api._contract = Contract(json.loads(response.body))
        return Api._contract

    def get(self, path: str, **headers: str) -> Answer:
        """Send a GET."""
        return self.call("GET", path, headers=headers)

    def put_rows(self, table: sa.Table, *rows: Mapping[str, Any]) -> None:
        """Insert rows."""
        with self.database.write() as connection:
            for row in rows:
                connection.execute(sa.insert(table).values(**row))

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """Return all rows of a table."""
        with self.database.read() as connection:
            return [dict(row) for row in connection.execute(sa.select(table)).mappings()]

    def put_workflow(self, number: int, **values: Any) -> str:
        """Insert a workflow execution and return its id, which ends in ``number``."""
        identifier = ident(number)
        row = {
            "id": identifier,
            "root_execution_id": identifier,
            "workflow_id": ident(900),
            "workflow_name": "wf",
            "spec_hash": "0" * 64,
            "state": "RUNNING",
            "input": "{}",
            "params": '{"env":{},"namespace":""}',
            "context": "{}",
            "project_id": PROJECT,
            "created_at": NOW + timedelta(seconds=number),
        }
        self.put_rows(tables.workflow_executions, {**row, **values})
        return identifier

    def put_task(self, number: int, workflow_number: int, **values: Any) -> str:
        """Insert a task execution of a workflow execution."""
        row = {
            "id": ident(number),
            "root_execution_id": ident(workflow_number),
            "workflow_execution_id": ident(workflow_number),
            "name": f"t{number}",
            "type": "ACTION",
            "state": "RUNNING",
            "project_id": PROJECT,
            "created_at": NOW + timedelta(seconds=number),
        }
        self.put_rows(tables.task_executions, {**row, **values})
        return ident(number)

    def put_action(self, number: int, task_number: int | None = None, **values: Any) -> str:
        """Insert an action execution, stand-alone without a task."""
        row = {
            "id": ident(number),
            "root_execution_id": ident(number),
            "task_execution_id": None if task_number is None else ident(task_number),
            "name": "std.async_noop",
            "state": "RUNNING",
            "input": "{}",
            "is_sync": False,
            "project_id": PROJECT,
            "created_at": NOW + timedelta(seconds=number),
        }
        self.put_rows(tables.action_executions, {**row, **values})
        return ident(number)


def ident(number: int) -> str:
    """Return an identifier that ends in ``number``."""
    return f"00000000-0000-7000-8000-{number:012d}"


@pytest.fixture(scope="session")
def server_url() -> Iterator[str | None]:
    """A database of its own on the server that MISTRAL_LITE_TEST_API_SERVER names by an URL; else None."""
    admin_url = os.environ.get("MISTRAL_LITE_TEST_API_SERVER")
    if not admin_url:
        yield None
        return
    name = f"ml_api_{os.getpid()}"
    admin = sa.create_engine(normalize_url(admin_url), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    url = admin.url.set(database=name).render_as_string(hide_password=False)
    schema = Database(url)
    tables.metadata.create_all(schema.engine)
    schema.dispose()
    yield url
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    admin.dispose()


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with all tables, to copy: making them takes ten times as long."""
    path = tmp_path_factory.mktemp("empty") / "empty.sqlite"
    database = Database(f"sqlite:///{path}")
    tables.metadata.create_all(database.engine)
    database.dispose()
    return path


@pytest.fixture
def database(tmp_path: Path, server_url: str | None, empty_file: Path) -> Iterator[Database]:
    """An empty database with all tables: SQLite, or the one on the server."""
    if server_url is None:
        shutil.copy(empty_file, tmp_path / "test.sqlite")
    database = Database(server_url or f"sqlite:///{tmp_path}/test.sqlite")
    yield database
    if server_url is not None:
        # A test may have dropped a table.
        tables.metadata.create_all(database.engine)
        with database.write() as connection:
            for table in tables.metadata.tables.values():
                connection.execute(sa.delete(table))
    database.dispose()


@pytest.fixture(scope="session")
def evaluator() -> Evaluator:
    """The expression languages; without state, so one is enough."""
    return Evaluator(ExpressionSettings())


@pytest.fixture(scope="session")
def registry() -> ActionRegistry:
    """The standard actions."""
    return ActionRegistry.load(ActionSettings(load_plugins=False))


@pytest.fixture
def api(database: Database, evaluator: Evaluator, registry: ActionRegistry) -> Api:
    """The application over an empty database."""
    return Api(database, evaluator, registry)


@pytest.fixture
def new_api(evaluator: Evaluator, registry: ActionRegistry) -> Callable[[Database], Api]:
    """Make an application over a database of the test's own."""
    return lambda database: Api(database, evaluator, registry)
