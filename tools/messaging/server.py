"""One Zaqar process on a port of its own, over a Redis of its own, and what tests ask of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from free_ports import free_port

_START_S = 120.0


class Zaqar:
    """A genuine Zaqar at ``url``. Without Keystone it believes whoever names a project."""

    def __init__(self, python: Path, folder: Path, *, keystone_options: str = "") -> None:
        """Make an instance in ``folder``. ``keystone_options``: with what it checks tokens; else it asks for none."""
        self._python = python
        self._folder = folder
        folder.mkdir(parents=True)
        self._port, self._redis_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._config = folder / "zaqar.conf"
        self._config.write_text(_configuration(self._redis_port, keystone_options))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    # -- the processes -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start what does not run and wait until it answers."""
        if "redis" not in self._processes:
            place = ("--bind", "127.0.0.1", "--port", self._redis_port, "--dir", self._folder)
            self._launch("redis", "redis-server", *place, "--save", "", "--appendonly", "no")
        script = Path(__file__).with_name("serve_wsgi.py")
        process = self._launch("zaqar", self._python, script, self._config, self._port)
        deadline = time.monotonic() + _START_S
        pause = threading.Event()
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                self.remove()
                raise RuntimeError(f"Zaqar did not start:\n{self.said()}")
            pause.wait(0.1)

    def stop(self) -> None:
        """End Zaqar; its messages stay, and ``start`` goes on at the same address."""
        self._end("zaqar")

    def remove(self) -> None:
        """End everything."""
        for name in list(self._processes):
            self._end(name)

    def said(self) -> str:
        """Return what it logged."""
        return "\n".join(log.read_text(errors="replace") for log in sorted(self._folder.glob("*.log")))

    def _launch(self, name: str, *command: object) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(part) for part in command],
                cwd=self._folder,
                env=dict(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self._processes[name]

    def _end(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return self._request("GET", "/v2/ping", project="anybody").status_code in {204, 401}
        return False

    # -- what is in it -----------------------------------------------------------------------------

    def post(self, queue: str, bodies: Sequence[Any], *, project: str, token: str | None = None) -> list[str]:
        """Post messages, 20 in a request, and return their paths."""
        paths: list[str] = []
        for start in range(0, len(bodies), 20):
            messages = [{"body": body, "ttl": 3600} for body in bodies[start : start + 20]]
            answer = self._request(
                "POST", f"/v2/queues/{queue}/messages", {"messages": messages}, project=project, token=token
            )
            assert answer.status_code == 201, answer.text
            paths += answer.json()["resources"]
        return paths

    def stats(self, queue: str, *, project: str, token: str | None = None) -> dict[str, Any]:
        """Return how many messages a queue has."""
        answer = self._request("GET", f"/v2/queues/{queue}/stats", project=project, token=token)
        assert answer.status_code == 200, answer.text
        counts: dict[str, Any] = answer.json()["messages"]
        return counts

    def is_empty(self, queue: str, *, project: str) -> bool:
        """Tell whether a queue has no messages. Zaqar cannot count them while some are being deleted."""
        answer = self._request("GET", f"/v2/queues/{queue}/stats", project=project)
        return answer.status_code == 200 and answer.json()["messages"]["total"] == 0

    def end_claim(self, queue: str, *, project: str, token: str | None = None) -> None:
        """End the claim of the oldest message, if there is one, as time would."""
        oldest = self.stats(queue, project=project, token=token).get("oldest", {})
        if oldest.get("claim_id") is not None:
            path = f"/v2/queues/{queue}/claims/{oldest['claim_id']}"
            answer = self._request("DELETE", path, project=project, token=token)
            assert answer.status_code == 204, answer.text

    def subscribers(self, queue: str, *, project: str, token: str | None = None) -> list[str]:
        """Return the addresses that are called for messages of a queue."""
        answer = self._request("GET", f"/v2/queues/{queue}/subscriptions", project=project, token=token)
        assert answer.status_code == 200, answer.text
        return [found["subscriber"] for found in answer.json()["subscriptions"]]

    def _request(
        self, method: str, path: str, body: Any = None, *, project: str, token: str | None = None
    ) -> requests.Response:
        identity = {"X-Project-Id": project} if token is None else {"X-Auth-Token": token}
        return requests.request(
            method,
            f"{self.url}{path}",
            json=body,
            headers={"Client-ID": str(uuid.uuid4()), **identity},
            timeout=30,
        )


def _configuration(redis_port: int, keystone_options: str) -> str:
    stores = "".join(
        f"[drivers:{kind}_store:redis]\nuri = redis://127.0.0.1:{redis_port}?socket_timeout=10\n"
        for kind in ("management", "message")
    )
    return (
        f"[DEFAULT]\nauth_strategy = {'keystone' if keystone_options else ''}\n"
        f"[drivers]\ntransport = wsgi\nmanagement_store = redis\nmessage_store = redis\n"
        # Without it subscribers are not called.
        "[storage]\nmessage_pipeline = zaqar.notification.notifier\n"
        f"{stores}{keystone_options}"
    )
