"""Starts and stops what is measured: own ports, own state folder, own database, own topic.

A deployment is one or more child processes of this one; its log files stay in the folder that it was given.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import requests
from psycopg import sql

from tools.bench.client import BenchError, Client

_START_S = 120.0
_STOP_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Where the distributed deployment finds its services; the database URL must be allowed to make databases."""

    postgresql_url: str
    transport_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Something that answers. ``pids``: its processes by role; none for one that was not started here."""

    name: str
    client: Client
    pids: dict[str, int]

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds that each process has used so far (Linux; none elsewhere)."""
        found: dict[str, float] = {}
        for role, pid in self.pids.items():
            with contextlib.suppress(OSError):
                # After the name in brackets: state is field 3, utime and stime are 14 and 15.
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                found[role] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return found


@contextmanager
def embedded(folder: Path) -> Iterator[Deployment]:
    """All in one process over SQLite in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    command = ["serve", "--port", str(port), "--state-dir", str(folder / "state")]
    with _process(command, folder / "serve.log") as process:
        url = _wait_ready(port, [process])
        yield Deployment(name="embedded", client=Client(url), pids={"serve": process.pid})


@contextmanager
def distributed(folder: Path, services: Services, *, engines: int = 1) -> Iterator[Deployment]:
    """API, engines and an executor as processes over PostgreSQL and RabbitMQ; the database is dropped in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    name = f"mistral_lite_bench_{os.getpid()}"
    config = folder / "mistral-lite.conf"
    with _database(services.postgresql_url, name) as connection:
        config.write_text(_config(connection, services.transport_url, name, port))
        arguments = ["--config-file", str(config)]
        subprocess.run(_command(["db", "upgrade", *arguments]), check=True, stdout=subprocess.DEVNULL)
        roles = ["executor", "api", *(f"engine{number}" for number in range(1, engines + 1))]
        with ExitStack() as stack:
            processes = {
                role: stack.enter_context(
                    _process([role.rstrip("0123456789"), *arguments], folder / f"{role}.log")
                )
                for role in roles
            }
            url = _wait_ready(port, list(processes.values()))
            pids = {role: process.pid for role, process in processes.items()}
            yield Deployment(name="distributed", client=Client(url), pids=pids)


def external(name: str, base_url: str) -> Deployment:
    """Return a deployment that somebody else started, by its base URL with or without ``/v2``."""
    url = base_url.rstrip("/")
    return Deployment(name=name, client=Client(url if url.endswith("/v2") else f"{url}/v2"), pids={})


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


@contextmanager
def _database(admin_url: str, name: str) -> Iterator[str]:
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
def _process(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(_command(arguments), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "mistral_lite.cli.main", *arguments]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_ready(port: int, processes: list[subprocess.Popen[bytes]]) -> str:
    """Return the base URL once the API answers. Raises ``BenchError`` if a process ends before."""
    url = f"http://127.0.0.1:{port}/v2"
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                raise BenchError(f"{process.args!r} ended with {process.returncode}; its log says why.")
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/workflows?limit=1", timeout=5).ok:
                return url
        time.sleep(0.05)
    raise BenchError(f"Nothing answers at {url} after {_START_S:g} s.")
