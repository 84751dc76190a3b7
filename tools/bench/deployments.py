"""Starts and stops what is measured: own ports, own state folder, own database, own topic.

A deployment is one or more child processes of this one; its log files stay in the folder that it was given.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from psycopg import sql

from tools.bench import processes
from tools.bench.client import BenchError, Client
from tools.free_ports import free_port

_START_S = 120.0
_STOP_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Where deployments find their services; the database URL must be allowed to make databases."""

    postgresql_url: str
    transport_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Something that answers.

    ``pids``: its processes by role; none for one that was not started here. ``database_url``: of its database
    on PostgreSQL, if it has one of its own there.
    """

    name: str
    client: Client
    pids: Mapping[str, int] = field(default_factory=dict)
    database_url: str | None = None

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds used so far by role.

        Beside its processes: ``postgresql`` for the database's work for it, where that runs on this machine.
        """
        found = {role: processes.cpu_s(pid) for role, pid in self.pids.items()}
        if self.database_url is not None:
            servers = [pid for pid in self._server_pids() if processes.is_called(pid, "postgres")]
            if servers:
                found["postgresql"] = sum(map(processes.cpu_s, servers))
        return found

    def _server_pids(self) -> list[int]:
        assert self.database_url is not None
        query = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return [pid for (pid,) in connection.execute(query)]


@contextmanager
def embedded(
    folder: Path, *, name: str = "embedded", postgresql_url: str | None = None
) -> Iterator[Deployment]:
    """All in one process over SQLite in ``folder``, or over a database that is made on a PostgreSQL server."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = ["serve", "--port", str(port), "--state-dir", str(folder / "state")]
    with ExitStack() as stack:
        url = None
        if postgresql_url is not None:
            url = stack.enter_context(database(postgresql_url, f"mistral_lite_bench_{os.getpid()}_serve"))
            config = folder / "mistral-lite.conf"
            config.write_text(f"[database]\nconnection = {url}\n")
            command += ["--config-file", str(config)]
        process = stack.enter_context(running(_command(command), folder / "serve.log"))
        client = wait_ready(port, [process])
        stack.callback(client.close)
        yield Deployment(name=name, client=client, pids={"serve": process.pid}, database_url=url)


@contextmanager
def distributed(
    folder: Path, services: Services, *, name: str = "distributed", engines: int = 1
) -> Iterator[Deployment]:
    """API, engines and an executor as processes over PostgreSQL and RabbitMQ; all of it is removed in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    own = f"mistral_lite_bench_{os.getpid()}_{engines}"
    config = folder / "mistral-lite.conf"
    with ExitStack() as stack:
        stack.callback(forget_topic, services.transport_url, f"mistral_lite.{own}")
        url = stack.enter_context(database(services.postgresql_url, own))
        config.write_text(_config(url, services.transport_url, own, port))
        arguments = ["--config-file", str(config)]
        subprocess.run(_command(["db", "upgrade", *arguments]), check=True, stdout=subprocess.DEVNULL)
        roles = ["executor", "api", *(f"engine{number}" for number in range(1, engines + 1))]
        started = {
            role: stack.enter_context(
                running(_command([role.rstrip("0123456789"), *arguments]), folder / f"{role}.log")
            )
            for role in roles
        }
        client = wait_ready(port, list(started.values()))
        stack.callback(client.close)
        pids = {role: process.pid for role, process in started.items()}
        yield Deployment(name=name, client=client, pids=pids, database_url=url)


def external(name: str, base_url: str) -> Deployment:
    """Return a deployment that somebody else started, by its base URL with or without ``/v2``."""
    url = base_url.rstrip("/")
    return Deployment(name=name, client=Client(url if url.endswith("/v2") else f"{url}/v2"))


@contextmanager
def database(admin_url: str, name: str) -> Iterator[str]:
    """Make an empty database on a PostgreSQL server, give its URL, drop it in the end."""
    identifier = sql.Identifier(name)
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier)
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(drop)
        admin.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        try:
            yield urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))
        finally:
            admin.execute(drop)


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, its output in ``log``; it is stopped in the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def forget_topic(transport_url: str, topic: str) -> None:
    """Delete the queues and the exchange of a topic, which RabbitMQ keeps when nobody uses them any more."""
    url = transport_url.replace("rabbit://", "amqp://", 1)
    with suppress(OSError, OperationalError), Connection(url) as connection:
        for queue in (topic, f"{topic}.0.0.0.0"):
            connection.default_channel.queue_delete(queue)
        connection.default_channel.exchange_delete(f"{topic}_fanout")


def wait_ready(port: int, started: list[subprocess.Popen[bytes]]) -> Client:
    """Return a client once the API answers. Raises ``BenchError`` if a process ends before."""
    client = Client(f"http://127.0.0.1:{port}/v2")
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        for process in started:
            if process.poll() is not None:
                raise BenchError(f"{process.args!r} ended with {process.returncode}; its log says why.")
        if client.is_ready():
            return client
        time.sleep(0.05)
    raise BenchError(f"Nothing answers at {client.base_url} after {_START_S:g} s.")


def _config(connection: str, transport_url: str, topic: str, port: int) -> str:
    return "\n".join(
        [
            "[DEFAULT]",
            f"transport_url = {transport_url}",
            "[database]",
            f"connection = {connection}",
            "[api]",
            "host = 127.0.0.1",
            f"port = {port}",
            "[pecan]",
            "auth_enable = false",
            "[engine]",
            f"topic = {topic}",
            "",
        ]
    )


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "mistral_lite.cli.main", *arguments]
