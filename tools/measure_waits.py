"""Measure how long a message takes to a workflow that waits for it, in an idle service.

From just before the message is posted until the API shows the execution in SUCCESS, for the queues of the service
itself and for those of a genuine Zaqar that calls the service, on SQLite in one process: ::

    python tools/measure_waits.py [--count 30]

Needs an environment with the libraries of the tests, and ``redis-server`` for the Zaqar.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from free_ports import free_port
from messaging.install import installed
from messaging.server import Zaqar

LIMIT_S = 60.0
# Between two looks at an execution: what is measured is as much too long at most.
LOOK_S = 0.005
# In between, so that nothing is left to do of what was before.
REST_S = 0.5
QUEUE = "measured"
PROJECT = "<default-project>"
WORKFLOW = f"""
version: '2.0'
measured:
  tasks:
    wait: {{action: zaqar.queue_wait, input: {{queue_name: {QUEUE}}}}}
"""

Post = Callable[[int], object]


class Service:
    """The API of one process, over one connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()

    def get(self, path: str) -> Any:
        answer = self._session.get(f"{self._url}/v2/{path}", timeout=LIMIT_S)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        answer = self._session.post(f"{self._url}/v2/{path}", timeout=LIMIT_S, **body)
        answer.raise_for_status()
        return answer.json()

    def is_ready(self) -> bool:
        try:
            return bool(self.get("workflows?limit=1"))
        except requests.RequestException:
            return False

    def post_message(self, number: int) -> None:
        given = {"queue_name": QUEUE, "messages": {"body": number}}
        self.post("action_executions", json={"name": "zaqar.queue_post", "input": given})

    def is_waiting(self, execution_id: str) -> bool:
        (task,) = self.get(f"executions/{execution_id}/tasks")["tasks"] or (None,)
        if task is None:
            return False
        actions = self.get(f"tasks/{task['id']}/action_executions")["action_executions"]
        waits = [self.get(f"action_executions/{each['id']}")["waiting_for"] for each in actions]
        return any(wait is not None and wait["kind"] == "callback" for wait in waits)


@contextmanager
def running(folder: Path, options: str) -> Iterator[Service]:
    """The service on a port of its own; ``options`` may hold its address as ``URL``."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    folder.mkdir()
    config = folder / "service.conf"
    config.write_text(options.replace("URL", url))
    command = [sys.executable, "-m", "mistral_lite.cli.main", "serve", "--port", str(port)]
    place = ["--config-file", str(config), "--state-dir", str(folder / "state")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, *place], stdout=log, stderr=log)
    try:
        service = Service(url)
        until(service.is_ready)
        service.post("workflows", data=WORKFLOW)
        yield service
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def until(check: Callable[[], bool], pause_s: float = 0.05) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not check():
        if time.monotonic() > deadline:
            sys.exit("What was waited for did not happen.")
        time.sleep(pause_s)


def measure(service: Service, post: Post, count: int) -> list[float]:
    """Return the seconds of ``count`` messages, one after the other."""
    taken: list[float] = []
    for number in range(count):
        execution_id: str = service.post("executions", json={"workflow_name": "measured"})["id"]
        until(lambda execution_id=execution_id: service.is_waiting(execution_id))  # type: ignore[misc]
        time.sleep(REST_S)
        began = time.perf_counter()
        post(number)
        until(
            lambda execution_id=execution_id: (  # type: ignore[misc]
                service.get(f"executions/{execution_id}")["state"] == "SUCCESS"
            ),
            LOOK_S,
        )
        taken.append(time.perf_counter() - began)
    return taken


def show(name: str, taken: list[float]) -> None:
    ordered = sorted(taken)
    slow = ordered[int(0.9 * (len(ordered) - 1))]
    print(
        f"{name:<24} median {statistics.median(ordered) * 1000:4.0f} ms, nine in ten within {slow * 1000:4.0f} ms, "
        f"longest {ordered[-1] * 1000:4.0f} ms (n={len(ordered)}, load average {os.getloadavg()[0]:.1f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how long messages take to who waits for them.")
    parser.add_argument("--count", type=int, default=30, help="messages for each kind of queue (default: 30)")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        with running(Path(folder) / "embedded", "") as service:
            show("queues of our own", measure(service, service.post_message, count))
        zaqar = Zaqar(installed(), Path(folder) / "zaqar")
        zaqar.start()
        try:
            # As good as never by itself: every message is found because Zaqar calls.
            options = f"[queues]\nzaqar_endpoint = {zaqar.url}\nzaqar_callback_url = URL\nzaqar_poll_interval = 3600\n"
            with running(Path(folder) / "called", options) as service:
                taken = measure(service, lambda number: zaqar.post(QUEUE, [number], project=PROJECT), count)
                show("a Zaqar that calls", taken)
        finally:
            zaqar.remove()


if __name__ == "__main__":
    main()
