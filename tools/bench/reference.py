"""The genuine Mistral, installed and started by this tool: three processes on the same PostgreSQL and RabbitMQ.

It gets what ours gets: one process a role, a database and topics of its own, no authentication, and otherwise
its own defaults.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tools.bench import installs
from tools.bench.client import BenchError
from tools.bench.deployments import (
    Deployment,
    Services,
    database,
    forget_topic,
    running,
    wait_ready,
)
from tools.free_ports import free_port

NAME = "reference"
_ROLES = ("engine", "executor", "api")


@contextmanager
def genuine(folder: Path, services: Services, cache: Path) -> Iterator[Deployment]:
    """Mistral 23.0.0; its database is dropped in the end."""
    scripts = installs.scripts_of(installs.REFERENCE, cache)
    folder.mkdir(parents=True, exist_ok=True)
    own = f"mistral_bench_{os.getpid()}"
    port = free_port()
    with ExitStack() as stack:
        for role in _ROLES:
            stack.callback(forget_topic, services.transport_url, f"{own}_{role}")
        url = stack.enter_context(database(services.postgresql_url, own))
        config = folder / "mistral.conf"
        config.write_text(_config(url, services.transport_url, own, port))
        for step in (["upgrade", "head"], ["populate"]):
            _prepare([str(scripts / "mistral-db-manage"), "--config-file", str(config), *step])
        server = [str(scripts / "mistral-server"), "--config-file", str(config), "--server"]
        started = {
            role: stack.enter_context(running([*server, role], folder / f"{role}.log")) for role in _ROLES
        }
        client = wait_ready(port, list(started.values()))
        stack.callback(client.close)
        pids = {role: process.pid for role, process in started.items()}
        yield Deployment(name=NAME, client=client, pids=pids, database_url=url)


def _prepare(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-1000:]}")


def _config(url: str, transport_url: str, own: str, port: int) -> str:
    return "\n".join(
        [
            "[DEFAULT]",
            f"transport_url = {transport_url}",
            # Beside another Mistral on the same RabbitMQ.
            f"control_exchange = {own}",
            "[oslo_messaging_rabbit]",
            "amqp_auto_delete = true",
            "[database]",
            f"connection = {url.replace('postgresql://', 'postgresql+psycopg2://', 1)}",
            "[api]",
            "host = 127.0.0.1",
            f"port = {port}",
            "api_workers = 1",
            "[pecan]",
            "auth_enable = false",
            *(line for role in ("engine", "executor") for line in (f"[{role}]", f"topic = {own}_{role}")),
            "",
        ]
    )
