"""The servers that the plugin is run against: this tree, or a genuine Mistral. Both believe one Keystone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import requests
from identity.server import Keystone

_READY_S = 90.0
_END_S = 20.0
# What the plugin asks of a server: one of its tests deletes an action execution.
_OPTIONS = "[pecan]\nauth_enable = true\n"


class Server:
    """Processes that serve one API; ``url`` ends in ``/v2``."""

    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}/v2"
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def launch(self, name: str, command: list[str]) -> None:
        """Start one process; its log is ``name`` in the folder."""
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder))

    def wait_ready(self) -> None:
        """Wait until the API answers; whoever asks without a token gets 401."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{self.url}/workflows", timeout=5).status_code == 401:
                    return
            except requests.ConnectionError:
                time.sleep(0.2)
        raise RuntimeError(f"no answer at {self.url}; see the logs in {self._folder}")

    def stop(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=_END_S)
            except subprocess.TimeoutExpired:
                # The genuine API does not always heed the signal.
                process.kill()
                process.wait()


def here(folder: Path, keystone: Keystone) -> Server:
    """Start all parts of this tree in one process, on SQLite."""
    port = _free_port()
    config = folder / "service.conf"
    config.write_text(
        f"{_OPTIONS}[api]\nallow_action_execution_deletion = true\n"
        f"{keystone.service_options(keystone.create_account('mistral', 'service'))}"
    )
    server = Server(port, folder)
    place = ["--port", str(port), "--state-dir", str(folder / "state"), "--config-file", str(config)]
    server.launch("serve", [sys.executable, "-P", "-m", "mistral_lite.cli.main", "serve", *place])
    return server


@dataclass(frozen=True, slots=True, kw_only=True)
class Genuine:
    """A genuine Mistral: where its programs are, an empty database and a message bus, as URLs."""

    programs: Path
    database: str
    bus: str

    def start(self, folder: Path, keystone: Keystone) -> Server:
        """Make its tables and start its four processes."""
        port = _free_port()
        config = folder / "mistral.conf"
        config.write_text(
            f"[DEFAULT]\ntransport_url = {self.bus}\n[database]\nconnection = {self.database}\n{_OPTIONS}"
            f"[api]\nhost = 127.0.0.1\nport = {port}\napi_workers = 1\nallow_action_execution_deletion = true\n"
            f"{keystone.service_options(keystone.create_account('mistral', 'admin'))}"
        )
        for step in ("upgrade", "populate"):
            target = ["head"] if step == "upgrade" else []
            manage = [str(self.programs / "mistral-db-manage"), "--config-file", str(config), step, *target]
            subprocess.run(manage, check=True, capture_output=True, env=os.environ)
        server = Server(port, folder)
        for role in ("api", "engine", "executor", "event-engine"):
            program = str(self.programs / "mistral-server")
            server.launch(role, [program, "--config-file", str(config), "--server", role])
        return server


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
