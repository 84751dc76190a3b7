"""One HTTP client for whatever is measured, the same for each deployment. Knows nothing of workloads.

It runs on the machine that is measured, so it is cheap: connections are kept, a look at what runs asks for one
column of one row, and there are few looks (``pause_s``).
"""

from __future__ import annotations

import http.client
import json
import select
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

# No look before this part of the shortest time that it took before; from then on a pause is a part of the time
# waited so far, within these bounds. So a figure is blurred by a few per cent at most.
_FIRST_LOOK_SHARE = 0.8
_PAUSE_SHARE = 0.04
_SHORTEST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.25


class BenchError(Exception):
    """What was measured did not do what it was to do."""


def pause_s(waited_s: float, expected_s: float) -> float:
    """Return how long to wait before the next look, ``waited_s`` after the beginning.

    ``expected_s``: the shortest time that it took before; 0 if that is not known.
    """
    unseen_s = expected_s * _FIRST_LOOK_SHARE - waited_s
    if unseen_s > 0:
        return unseen_s
    return min(max(waited_s * _PAUSE_SHARE, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)


class Client:
    """Calls one base URL, which ends in ``/v2``, from any number of threads, over connections that are kept."""

    def __init__(self, base_url: str, *, timeout_s: float = 120.0) -> None:
        self.base_url = base_url.rstrip("/")
        parts = urlsplit(self.base_url)
        if parts.hostname is None:
            raise BenchError(f"{base_url} is no URL of a server.")
        self._host, self._port, self._path = (parts.hostname, parts.port or 80, parts.path)
        # What ``Client.wait`` may expect, by what is waited for; kept by those who wait.
        self.shortest_s: dict[str, float] = {}
        self._timeout_s = timeout_s
        self._idle: SimpleQueue[http.client.HTTPConnection] = SimpleQueue()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        text: str | None = None,
        expect: int | None = None,
    ) -> Any:
        """Return the JSON body of an answer. ``body`` is sent as JSON, ``text`` as it is.

        Raises ``BenchError`` for a status other than ``expect`` (None: any of success).
        """
        status, content = self._exchange(method, path, body, text)
        if status == expect or (expect is None and 200 <= status < 300):
            return json.loads(content) if content else None
        raise BenchError(f"{method} {path} was answered {status}: {content[:500].decode(errors='replace')}")

    def is_ready(self) -> bool:
        """Tell whether the server answers."""
        try:
            return self._exchange("GET", "workflows?limit=1", None, None)[0] == 200
        except BenchError:
            return False

    def close(self) -> None:
        """Close the connections; they are made anew when they are needed."""
        while not self._idle.empty():
            self._idle.get().close()

    def define(self, text: str, names: Iterable[str]) -> None:
        """Make workflows from ``text``, in place of those that have these names already."""
        for name in names:
            self._exchange("DELETE", f"workflows/{name}", None, None)
        self.request("POST", "workflows", text=text, expect=201)

    def start(self, workflow: str, workflow_input: Mapping[str, Any] | None = None) -> str:
        """Start a workflow and return the id of the execution."""
        body = {"workflow_name": workflow, "input": json.dumps(workflow_input or {})}
        execution_id = self.request("POST", "executions", body=body, expect=201)["id"]
        assert isinstance(execution_id, str)
        return execution_id

    def wait(
        self, workflow: str, *, began: float, expected_s: float = 0.0, deadline_s: float = 600.0
    ) -> float:
        """Return once no execution of ``workflow`` is RUNNING: the seconds since ``began`` (``perf_counter``).

        ``expected_s`` as for ``pause_s``. Raises ``BenchError`` if that is not so within ``deadline_s``.
        """
        waited_s = time.perf_counter() - began
        while waited_s < expected_s * _FIRST_LOOK_SHARE or self.find(workflow, "RUNNING"):
            time.sleep(pause_s(time.perf_counter() - began, expected_s))
            waited_s = time.perf_counter() - began
            if waited_s > deadline_s:
                raise BenchError(f"An execution of {workflow} is not finished after {deadline_s:g} s.")
        return time.perf_counter() - began

    def find(self, workflow: str, state: str) -> list[Any]:
        """Return one execution of ``workflow`` in ``state`` with its info, or nothing."""
        path = f"executions?workflow_name={workflow}&state={state}&limit=1&fields=state_info"
        found = self.request("GET", path)["executions"]
        assert isinstance(found, list)
        return found

    def check(self, workflow: str, execution_id: str) -> Any:
        """Return an execution that must be SUCCESS, as must all others of ``workflow``.

        Raises ``BenchError`` otherwise.
        """
        for state in ("ERROR", "PAUSED", "CANCELLED"):
            for failed in self.find(workflow, state):
                raise BenchError(f"{workflow} ended in {state}: {str(failed.get('state_info'))[:500]}")
        execution = self.request("GET", f"executions/{execution_id}")
        if execution["state"] != "SUCCESS":
            raise BenchError(f"Execution {execution_id} of {workflow} is {execution['state']}.")
        return execution

    def action_ids(self, execution_id: str) -> list[str]:
        """Return the ids of the action executions of all tasks of an execution."""
        tasks = self.request("GET", f"executions/{execution_id}/tasks")["tasks"]
        found: list[str] = []
        for task in tasks:
            actions = self.request("GET", f"tasks/{task['id']}/action_executions")["action_executions"]
            found.extend(action["id"] for action in actions)
        return found

    def _exchange(self, method: str, path: str, body: object, text: str | None) -> tuple[int, bytes]:
        headers = {"Accept": "*/*"}
        content = None
        if text is not None:
            headers["Content-Type"] = "text/plain"
            content = text.encode()
        elif body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        connection = self._connection()
        try:
            connection.request(method, f"{self._path}/{path}", content, headers)
            answer = connection.getresponse()
            status, found = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            # A connection that broke within an exchange is good for nothing.
            connection.close()
            raise BenchError(f"{method} {path} was not answered: {error!r}") from error
        self._idle.put(connection)
        return status, found

    def _connection(self) -> http.client.HTTPConnection:
        while not self._idle.empty():
            with suppress(Empty):
                connection = self._idle.get_nowait()
                # Between two exchanges a server has nothing to say but that it closed the connection.
                if not (connection.sock and select.select([connection.sock], [], [], 0)[0]):
                    return connection
                connection.close()
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
