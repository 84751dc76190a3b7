"""One HTTP client for whatever is measured, the same for each deployment. Knows nothing of workloads."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from typing import Any

import requests

_FINISHED = frozenset({"SUCCESS", "ERROR", "CANCELLED"})
# Between two looks at the same execution: a part of the time waited so far, within these bounds. So looking
# costs the server little and blurs a measurement by a few per cent at most.
_SHORTEST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.25
_PAUSE_SHARE = 0.04


class BenchError(Exception):
    """What was measured did not do what it was to do."""


class Client:
    """Calls one base URL, which ends in ``/v2``. Each thread has a keep-alive session of its own."""

    def __init__(self, base_url: str, *, timeout_s: float = 60.0) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._local = threading.local()

    def request(self, method: str, path: str, *, expect: int | None = None, **arguments: Any) -> Any:
        """Return the JSON body of an answer. Raises ``BenchError`` for an unexpected status."""
        response = self._session().request(
            method, f"{self.base_url}/{path}", timeout=self._timeout_s, **arguments
        )
        if response.status_code == expect or (expect is None and response.ok):
            return response.json() if response.content else None
        raise BenchError(f"{method} {path} was answered {response.status_code}: {response.text[:500]}")

    def define(self, text: str, names: Iterable[str]) -> None:
        """Make workflows from ``text``, in place of those that have these names already."""
        for name in names:
            self._session().delete(f"{self.base_url}/workflows/{name}", timeout=self._timeout_s)
        self.request(
            "POST", "workflows", expect=201, data=text.encode(), headers={"Content-Type": "text/plain"}
        )

    def start(self, workflow: str, workflow_input: dict[str, Any] | None = None) -> str:
        """Start a workflow and return the id of the execution."""
        body = {"workflow_name": workflow, "input": json.dumps(workflow_input or {})}
        execution_id = self.request("POST", "executions", expect=201, json=body)["id"]
        assert isinstance(execution_id, str)
        return execution_id

    def wait(self, execution_id: str, *, first_look_s: float = 0.0, deadline_s: float = 600.0) -> Any:
        """Return an execution once it is SUCCESS, looking at it from ``first_look_s`` on, ever less often.

        Raises ``BenchError`` if it ends otherwise, or not within ``deadline_s``.
        """
        began = time.perf_counter()
        time.sleep(first_look_s)
        while True:
            execution = self.request("GET", f"executions/{execution_id}")
            waited = time.perf_counter() - began
            if execution["state"] in _FINISHED:
                break
            if waited > deadline_s:
                raise BenchError(f"Execution {execution_id} is not finished after {deadline_s:g} s.")
            time.sleep(min(max(waited * _PAUSE_SHARE, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S))
        if execution["state"] != "SUCCESS":
            info = str(execution.get("state_info"))[:500]
            raise BenchError(f"Execution {execution_id} ended in {execution['state']}: {info}")
        return execution

    def action_ids(self, execution_id: str) -> list[str]:
        """Return the ids of the action executions of all tasks of an execution."""
        tasks = self.request("GET", f"executions/{execution_id}/tasks")["tasks"]
        found: list[str] = []
        for task in tasks:
            actions = self.request("GET", f"tasks/{task['id']}/action_executions")["action_executions"]
            found.extend(action["id"] for action in actions)
        return found

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            # No proxy settings of the environment between two processes of one machine.
            session.trust_env = False
        return session
