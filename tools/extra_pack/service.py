"""API, engine and executor as processes of the environment with the pack, over a database and a topic of their own."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import kombu
import psycopg
from free_ports import free_port

ROLES = ("api", "engine", "executor")

_START_S = 120.0
_POSTGRESQL = os.environ.get("MISTRAL_LITE_TEST_POSTGRESQL") or (
    "postgresql://postgres@127.0.0.1:5432/postgres"
)
_RABBITMQ = os.environ.get("MISTRAL_LITE_TEST_RABBITMQ") or "rabbit://guest:guest@127.0.0.1:5672/"


class ExtraPackError(Exception):
    """Something is not as it should be; the text says what."""


def check(is_right: bool, what: str, seen: object) -> None:
    """Raise ``ExtraPackError`` unless ``is_right``."""
    if not is_right:
        raise ExtraPackError(f"{what}: {seen}")


class Service:
    """Three processes that serve one API at ``url``, with the modules in ``plugins`` installed besides."""

    def __init__(self, python: Path, folder: Path, plugins: Path) -> None:
        self._python = python
        self._folder = folder
        folder.mkdir()
        self._environment = {**os.environ, "PYTHONPATH": str(plugins)}
        self._name = f"mistral_lite_extra_{uuid.uuid4().hex[:10]}"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/v2"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, options: str) -> None:
        """Make the database and start all, with ``options`` in the configuration file."""
        self._execute(f"CREATE DATABASE {self._name}")
        database = urlunsplit(urlsplit(_POSTGRESQL)._replace(path=f"/{self._name}"))
        config = self._folder / "service.conf"
        config.write_text(
            f"[DEFAULT]\ndebug = true\ntransport_url = {_RABBITMQ}\nauth_type = keystone\n"
            f"[database]\nconnection = {database}\n"
            "[pecan]\nauth_enable = true\n"
            f"[api]\nhost = 127.0.0.1\nport = {self._port}\n"
            f"[engine]\ntopic = {self._name}\n{options}"
        )
        subprocess.run(
            self._command("db", "upgrade", "--config-file", str(config)), check=True, capture_output=True
        )
        for role in ROLES:
            with (self._folder / f"{role}.log").open("wb") as output:
                self._processes[role] = subprocess.Popen(
                    self._command(role, "--config-file", str(config)),
                    cwd=self._folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
        deadline = time.monotonic() + _START_S
        pause = threading.Event()
        while not all("event=service.started" in self.said(role) for role in ROLES):
            for role, process in self._processes.items():
                check(process.poll() is None and time.monotonic() < deadline, f"the {role}", self.said(role))
            pause.wait(0.1)

    def remove(self) -> None:
        """End the processes and remove what they had."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait()
        self._execute(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
        topic = f"mistral_lite.{self._name}"
        with kombu.Connection(_RABBITMQ.replace("rabbit://", "amqp://", 1)) as connection:
            for name in (topic, f"{topic}.0.0.0.0"):
                connection.default_channel.queue_delete(name)

    def said(self, role: str) -> str:
        """Return what a process logged."""
        return (self._folder / f"{role}.log").read_text(errors="replace")

    def _command(self, *arguments: str) -> list[str]:
        return [str(self._python), "-P", "-m", "mistral_lite.cli.main", *arguments]

    @staticmethod
    def _execute(statement: str) -> None:
        with psycopg.connect(_POSTGRESQL, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]  # the name is our own


class Client:
    """The official client for one account, whose ``environment`` says how it logs in."""

    def __init__(self, python: Path, environment: Mapping[str, str]) -> None:
        self._python = python
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        self._environment = {**inherited, **environment}

    def __call__(self, *arguments: str) -> Any:
        """Run a command and return the JSON that it prints."""
        done = self.attempt(*arguments)
        check(done.returncode == 0, " ".join(arguments), done.stderr)
        return json.loads(done.stdout)

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        return subprocess.run(
            (str(self._python), "-m", "mistralclient.shell", *arguments),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def act(self, name: str, **given: Any) -> Any:
        """Run an action and return its result."""
        return self("run-action", name, json.dumps(given))["result"]

    def finished(self, execution_id: str, within_s: float = 60.0) -> Any:
        """Return an execution once it does not run any more, or as it is after that time."""
        deadline = time.monotonic() + within_s
        found = self("execution-get", execution_id, "-f", "json")
        while found["State"] == "RUNNING" and time.monotonic() < deadline:
            found = self("execution-get", execution_id, "-f", "json")
        return found
