"""The service as real processes, in both deployments, for tests that see it only from outside.

A ``Deployment`` owns its folder, its port, its database and its topic on the bus, and removes them at its end.
Roles are named as their command is (``engine``), and further processes of a role with a number (``engine-2``).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import kombu
import psycopg
import requests
import sqlalchemy as sa
from client_commands.runner import in_this_process
from free_ports import free_port
from neighbours import TcpProxy

from mistral_lite.cli import db

FINISHED = frozenset({"SUCCESS", "ERROR", "CANCELLED"})

T = TypeVar("T")


# A deadline takes time only where a test fails, and the machine may be a slow one with much to do.
PATIENCE_S = 120.0


def eventually(check: Callable[[], T], *, what: str, within_s: float = PATIENCE_S) -> T:
    """Return the first true value of ``check``; fail after ``within_s`` seconds, saying ``what`` was awaited."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {within_s:g} s: {what}. Last seen: {value!r}")
        pause.wait(0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API said."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def is_refusal(self) -> bool:
        """Tell whether it asks to come back later."""
        return self.status == 503 and int(self.headers["Retry-After"]) > 0


class Process:
    """One process of the service, with its log."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self.log = log
        self._offset = log.stat().st_size if log.exists() else 0
        with log.open("ab") as sink:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", "mistral_lite.cli.main", *arguments],
                cwd=log.parent,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def said(self) -> str:
        """Return what this process logged."""
        return self.log.read_bytes()[self._offset :].decode(errors="replace")

    def wait_ready(self) -> None:
        def is_ready() -> bool:
            assert self.is_alive, f"ended at start:\n{self.said()}"
            return "event=service.started" in self.said()

        eventually(is_ready, what=f"{self.log.stem} is ready")

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self, timeout_s: float = 2 * PATIENCE_S) -> int:
        return self._popen.wait(timeout_s)


class Deployment(ABC):
    """Processes that serve one API together."""

    kind: str
    roles: tuple[str, ...]
    # Whether what tests do in passing is done again while the API refuses it, as users do: for tests that disturb what
    # the API stands on. Elsewhere a refusal is a failure.
    is_patient = False

    def __init__(self, folder: Path, options: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.processes: dict[str, Process] = {}
        self.config_file = folder / "service.conf"
        self.config_file.write_text(f"{self._config()}\n{options}\n")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @abstractmethod
    def _config(self) -> str:
        """Return the configuration file."""

    @property
    @abstractmethod
    def database_url(self) -> str:
        """Return where the database is."""

    @abstractmethod
    def role_of(self, part: str) -> str:
        """Return the process that ``part`` (api, engine, executor) runs in."""

    def remove(self) -> None:
        """End everything and leave nothing behind."""
        self.kill(*self.processes)

    # -- processes ---------------------------------------------------------------------------------

    def start(self, *roles: str) -> None:
        """Start ``roles`` (default: all that are not running) and wait until they are ready."""
        wanted = [role for role in roles or self.roles if not self.is_running(role)]
        for role in wanted:
            self._launch(role, {})
        for role in wanted:
            self.processes[role].wait_ready()

    def start_armed(self, role: str, crash_point: str) -> None:
        """Start ``role`` so that it dies at ``crash_point``, which may be before it is ready."""
        self._launch(role, {"MISTRAL_LITE_CRASH_AT": crash_point})

    def _launch(self, role: str, environment: dict[str, str]) -> None:
        self.processes[role] = Process(
            self._arguments(role.partition("-")[0]), self.folder / f"{role}.log", environment
        )

    def _arguments(self, command: str) -> list[str]:
        return [command, *self._place()]

    def _place(self) -> list[str]:
        """Return the options that say where configuration and database are."""
        return ["--config-file", str(self.config_file)]

    def run_command(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command that ends by itself, with the configuration of the service."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "mistral_lite.cli.main", command, *self._place(), *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def is_running(self, role: str) -> bool:
        return role in self.processes and self.processes[role].is_alive

    def kill(self, *roles: str) -> None:
        """End ``roles`` with SIGKILL, all at once."""
        chosen = [self._forget(role) for role in roles]
        for process in chosen:
            if process.is_alive:
                process.signal(signal.SIGKILL)
        for process in chosen:
            process.wait()

    def stop(self, *roles: str) -> list[int]:
        """End ``roles`` with SIGTERM and return their exit codes."""
        chosen = [self._forget(role) for role in roles]
        for process in chosen:
            process.signal(signal.SIGTERM)
        return [process.wait() for process in chosen]

    def await_crash(self, role: str) -> None:
        """Wait until an armed crash point has ended ``role``."""
        process = self._forget(role)
        assert process.wait() == -signal.SIGKILL, process.said()

    def _forget(self, role: str) -> Process:
        return self.processes.pop(role)

    def restore(self) -> None:
        """Bring the deployment back to one process of each role."""
        self.kill(*(set(self.processes) - set(self.roles)))
        self.start()

    # -- calls -------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one request to the API; ``raw`` is sent as it is, ``headers`` besides the usual ones."""
        response = requests.request(
            method,
            f"{self.url}{path}",
            data=raw if raw is not None or body is None else json.dumps(body),
            headers={"Content-Type": "application/json", **(headers or {})},
            timeout=PATIENCE_S,
        )
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return Answer(
            status=response.status_code,
            body=response.json() if is_json and response.content else response.text,
            headers=dict(response.headers),
        )

    def ask(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None) -> Answer:
        """Make one request, again and again as long as a patient deployment refuses it."""
        if not self.is_patient:
            return self.call(method, path, body, raw=raw)

        def taken() -> Answer | None:
            answer = self.call(method, path, body, raw=raw)
            return None if answer.is_refusal else answer

        answer = eventually(taken, what=f"{method} {path} is not refused")
        assert answer is not None
        return answer

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.body

    def mistral(self, *arguments: str) -> str:
        """Run the official client and return what it printed."""
        done = self.try_mistral(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def try_mistral(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the official client. In this process: most of its time is that of its imports."""
        done = in_this_process(list(arguments), {"OS_MISTRAL_URL": f"{self.url}/v2"})
        return subprocess.CompletedProcess(arguments, done.code, done.out, done.err)

    def mistral_process(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run the official client as a user does, by default with its address in the environment."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        done = subprocess.run(
            [str(Path(sys.executable).with_name("mistral")), *arguments],
            cwd=self.folder,
            env={**inherited, **(environment or {"OS_MISTRAL_URL": f"{self.url}/v2"})},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # -- what most tests do ------------------------------------------------------------------------

    def create_workflow(self, text: str) -> str:
        """Upload a workflow whose text holds NAME in place of its name, and return the name it got."""
        name = f"w{uuid.uuid4().hex[:12]}"
        answer = self.ask("POST", "/v2/workflows", raw=text.replace("NAME", name).encode())
        # What was refused may have been done.
        assert answer.status == 201 or (self.is_patient and answer.status == 409), answer
        return name

    def start_execution(self, workflow: str, **more: Any) -> str:
        if self.is_patient:
            # What was refused may have been done; with an id of its own it is done once.
            more = {"id": str(uuid.uuid4()), **more}
        answer = self.ask("POST", "/v2/executions", {"workflow_name": workflow, **more})
        assert answer.status == 201, answer
        execution_id: str = answer.body["id"]
        return execution_id

    def run(self, text: str, **more: Any) -> str:
        """Upload a workflow, start it and return the id of the execution."""
        return self.start_execution(self.create_workflow(text), **more)

    def execution(self, execution_id: str) -> Any:
        return self.get(f"/v2/executions/{execution_id}")

    def finished(self, execution_id: str) -> Any:
        """Wait for the end of an execution and return it."""
        return self.in_state(execution_id, *FINISHED)

    def in_state(self, execution_id: str, *states: str) -> Any:
        def look() -> Any:
            found = self.execution(execution_id)
            return found if found["state"] in states else None

        return eventually(look, what=f"execution {execution_id} is in {states}")

    def tasks(self, execution_id: str) -> dict[str, Any]:
        """Return the tasks of an execution by name; a name may not occur twice."""
        found = self.get(f"/v2/executions/{execution_id}/tasks")["tasks"]
        by_name = {task["name"]: task for task in found}
        assert len(by_name) == len(found), found
        return by_name

    def actions(self, execution_id: str) -> list[Any]:
        """Return the action executions of all tasks of an execution."""
        return [
            action
            for task in self.tasks(execution_id).values()
            for action in self.get(f"/v2/tasks/{task['id']}/action_executions")["action_executions"]
        ]

    def running_action(self, execution_id: str) -> str:
        """Wait for the first action that runs in an execution and return its id."""
        return str(
            eventually(
                lambda: next(
                    (item["id"] for item in self.actions(execution_id) if item["state"] == "RUNNING"), None
                ),
                what=f"an action of {execution_id} runs",
            )
        )

    def waiting_action(self, execution_id: str) -> str:
        """Wait for an action of an execution that waits for nothing but its callback, and return its id."""
        return str(
            eventually(
                lambda: self.find_waiting_action(execution_id),
                what=f"an action of {execution_id} waits for its callback",
            )
        )

    def find_waiting_action(self, execution_id: str) -> str | None:
        """Return an action of an execution that waits for nothing but its callback, if there is one now."""
        for action in self.actions(execution_id):
            wait = self.get(f"/v2/action_executions/{action['id']}")["waiting_for"]
            if wait is not None and wait["kind"] == "callback":
                return str(action["id"])
        return None

    def said(self) -> str:
        """Return the end of every log."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}"
            for log in sorted(self.folder.glob("*.log"))
        )


class AllInOne(Deployment):
    """``mistral-lite serve``: one process on SQLite."""

    kind = "all-in-one"
    roles = ("serve",)

    def _config(self) -> str:
        # The web services of the tests listen on this machine, which HTTP actions may not call by default.
        return "[action_std_http]\ndenied_cidrs =\n"

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    def _arguments(self, command: str) -> list[str]:
        return [*super()._arguments(command), "--port", str(self.port)]

    def _place(self) -> list[str]:
        return [*super()._place(), "--state-dir", str(self.state_dir)]

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.state_dir}/mistral.sqlite"

    def role_of(self, part: str) -> str:
        return "serve"


class ThreeProcesses(Deployment):
    """``api``, ``engine`` and ``executor`` over PostgreSQL and RabbitMQ, the latter behind a proxy."""

    kind = "three-processes"
    roles = ("api", "engine", "executor")

    def __init__(
        self, folder: Path, options: str = "", *, template: Template | MariaDB, rabbitmq: str
    ) -> None:
        self.name = f"mistral_lite_e2e_{uuid.uuid4().hex[:10]}"
        self._rabbitmq = rabbitmq
        bus = urlsplit(rabbitmq)
        self.proxy = TcpProxy((bus.hostname or "127.0.0.1", bus.port or 5672))
        self._bus_url = urlunsplit(
            bus._replace(netloc=f"{bus.username}:{bus.password}@127.0.0.1:{self.proxy.port}")
        )
        self._template = template
        self._database = template.copy(self.name)
        super().__init__(folder, options)

    def _config(self) -> str:
        return (
            f"[DEFAULT]\ntransport_url = {self._bus_url}\n"
            f"[database]\nconnection = {self._database}\n"
            "[pecan]\nauth_enable = false\n"
            f"[api]\nhost = 127.0.0.1\nport = {self.port}\n"
            f"[engine]\ntopic = {self.name}\n"
            "[action_std_http]\ndenied_cidrs =\n"
        )

    @property
    def database_url(self) -> str:
        return self._database

    def role_of(self, part: str) -> str:
        return part

    def remove(self) -> None:
        super().remove()
        self.proxy.close()
        self._template.drop(self.name)
        self._delete_queues()

    @property
    def queues(self) -> tuple[str, str]:
        """Return the names of the queues that engines take their calls from."""
        topic = f"mistral_lite.{self.name}"
        return topic, f"{topic}.0.0.0.0"

    def on_broker(self, work: Callable[[Any], object]) -> None:
        """Do something on a channel to the broker of our own."""
        with kombu.Connection(self._rabbitmq.replace("rabbit://", "amqp://", 1)) as connection:
            work(connection.default_channel)

    def _delete_queues(self) -> None:
        for name in self.queues:
            self.on_broker(lambda channel, name=name: channel.queue_delete(name))


class MariaDB:
    """Databases on a MariaDB server, in place of copies of a ``Template``."""

    def __init__(self, server: str) -> None:
        self._server = sa.make_url(server).set(drivername="mysql+pymysql")

    def copy(self, name: str) -> str:
        """Make the database ``name`` with all tables and return its URL."""
        self._execute(f"CREATE DATABASE {name}")
        url = self._server.set(database=name).render_as_string(hide_password=False)
        db.upgrade(url)
        return url

    def drop(self, name: str) -> None:
        """Drop a database that was made here."""
        self._execute(f"DROP DATABASE IF EXISTS {name}")

    def _execute(self, statement: str) -> None:
        engine = sa.create_engine(self._server, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


class OnMariaDB(ThreeProcesses):
    """The same three processes over MariaDB."""

    kind = "mariadb"


class Template:
    """An empty database with all tables, from which each deployment gets its copy."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._name = f"mistral_lite_e2e_template_{uuid.uuid4().hex[:10]}"
        self._execute(f'CREATE DATABASE "{self._name}"')
        # In this process: one of its own needs more time to start than for the work.
        db.upgrade(self._url(self._name))

    def copy(self, name: str) -> str:
        """Make the database ``name`` and return its URL."""

        def is_made() -> bool:
            # On the server a connection to the template ends a moment later than here.
            with contextlib.suppress(psycopg.errors.ObjectInUse):
                self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{self._name}"')
                return True
            return False

        eventually(is_made, what=f"{name} is a copy of the template")
        return self._url(name)

    def drop(self, name: str | None = None) -> None:
        """Drop a copy, or the template itself."""
        self._execute(f'DROP DATABASE IF EXISTS "{name or self._name}" WITH (FORCE)')

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self._server)._replace(path=f"/{name}"))

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement)
