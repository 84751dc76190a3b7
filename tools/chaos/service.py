"""The service as several processes of each kind over one PostgreSQL and one RabbitMQ."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from tools.chaos.processes import Victim, wait_until
from tools.chaos.servers import PostgreSQL, RabbitMQ
from tools.free_ports import free_port

# The shortest lease there is, so that much runs out.
LEASE_S = 2
COUNT = 2


class Service:
    """Two APIs, two engines, two executors, and what they stand on."""

    def __init__(self, folder: Path) -> None:
        self.postgresql = PostgreSQL(folder)
        self.rabbitmq = RabbitMQ(folder)
        ports = [free_port() for _ in range(COUNT)]
        self.urls = [f"http://127.0.0.1:{port}/v2" for port in ports]
        self._config = [folder / f"service-{number}.conf" for number in range(COUNT)]
        for path, port in zip(self._config, ports, strict=True):
            path.write_text(
                f"[DEFAULT]\ntransport_url = {self.rabbitmq.url}\n"
                f"[database]\nconnection = {self.postgresql.url}\n"
                "[pecan]\nauth_enable = false\n"
                f"[api]\nhost = 127.0.0.1\nport = {port}\n"
                f"[engine]\naction_lease_time = {LEASE_S}\n"
                "[action_std_http]\ndenied_cidrs =\n"
            )
        self.roles = [
            Victim(f"{role}-{number + 1}", _command(role, self._config[number]), folder)
            for role in ("api", "engine", "executor")
            for number in range(COUNT)
        ]

    @property
    def victims(self) -> list[Victim]:
        return [*self.roles, self.postgresql, self.rabbitmq]

    def start(self) -> None:
        """Start everything and wait until it answers."""
        self.postgresql.start()
        self.rabbitmq.start()
        self.postgresql.wait_ready()
        self.rabbitmq.wait_ready()
        subprocess.run(
            _command("db", self._config[0], "upgrade"), check=True, stdout=subprocess.DEVNULL, timeout=120
        )
        for victim in self.roles:
            victim.start()
        for url in self.urls:
            wait_until(lambda url=url: _answers(url), f"{url} answers")  # type: ignore[misc]

    def start_again(self) -> None:
        """Start what has ended by itself, as a supervisor does: a process that meets no database at its start does."""
        for victim in self.victims:
            if not victim.is_up:
                victim.start()

    def stop(self) -> None:
        """Leave nothing behind."""
        for victim in self.victims:
            victim.kill()

    def call(self, number: int, method: str, path: str, **more: Any) -> requests.Response | None:
        """Make one request to one of the APIs; None if there was no answer."""
        url = self.urls[number % COUNT] + path
        try:
            return requests.request(method, url, timeout=60, **more)
        except requests.RequestException:
            return None


def _answers(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{url}/workflows?limit=1", timeout=60).ok
    return False


def _command(role: str, config: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "mistral_lite.cli.main", role, *more, "--config-file", str(config)]
