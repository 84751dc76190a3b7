"""Every crash point in every deployment: die there, come up again, and end as an undisturbed run does.

The processes die one point after the other, each with an execution of its own on the way: what comes up after one
death is armed for the next, and takes over what the last one left.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from conftest import SHORT_LEASES
from deployments import AllInOne, Deployment, OnMariaDB, ThreeProcesses, eventually

# By part what its process is armed with. Counts let the death come in the midst of an execution.
POINTS = {
    "api": (
        "inbox.before_commit",
        "api.after_insert",
        "api.before_answer",
        "inbox.before_commit:2",
        # Nobody dies here, or at the other one: what was committed looks as if it had failed.
        "api.after_insert:1:fail",
    ),
    "engine": (
        "engine.before_commit:3",
        "engine.after_commit:3",
        "engine.after_reply:3",
        "database.after_commit:6:fail",
    ),
    "executor": (
        "executor.before_run:2",
        "executor.after_run:2",
        "executor.before_report",
        "executor.after_report",
    ),
}

WORKFLOW = """
version: '2.0'
NAME:
  output:
    sum: <% $.a + $.b %>
    answer: <% $.answer %>
  tasks:
    first: {action: std.noop, safe-rerun: true, on-success: [a, b, called]}
    a: {action: std.echo output=1, safe-rerun: true, publish: {a: <% task().result %>}, on-success: both}
    b:
      with-items: i in [1, 2]
      action: std.echo output=<% $.i %>
      safe-rerun: true
      publish: {b: <% task().result.sum() %>}
      on-success: both
    called: {action: std.async_noop, safe-rerun: true, publish: {answer: <% task().result %>}, on-success: both}
    both: {join: all, action: std.noop, safe-rerun: true, wait-before: 1}
"""


@pytest.fixture(params=[AllInOne.kind, ThreeProcesses.kind, OnMariaDB.kind])
def shaky(request: pytest.FixtureRequest, make_deployment: Callable[..., Deployment]) -> Iterator[Deployment]:
    """Each deployment, with short leases."""
    deployment = make_deployment(request.param, SHORT_LEASES)
    yield deployment
    # Nobody uses it again.
    deployment.kill(*deployment.processes)


def outcome(deployment: Deployment, execution_id: str) -> Any:
    """Return everything about an ended execution that a run may not change."""
    ended = deployment.finished(execution_id)
    tasks = deployment.tasks(execution_id)
    return {
        "state": ended["state"],
        "output": json.loads(ended["output"]),
        "tasks": {name: (task["state"], task["published"]) for name, task in sorted(tasks.items())},
        "actions": sorted((each["name"], each["state"]) for each in deployment.actions(execution_id)),
    }


class Client:
    """Somebody who starts an execution and answers what it asks for, each until somebody says yes."""

    def __init__(self, deployment: Deployment, workflow: str) -> None:
        self.execution_id = str(uuid.uuid4())
        self._deployment = deployment
        self._workflow = workflow
        self._steps = [self._start, self._answer]

    def go_on(self) -> bool:
        """Try what is to be done next; tell whether everything is done."""
        try:
            while self._steps and self._steps[0]():
                self._steps.pop(0)
        except (AssertionError, requests.RequestException):
            # Refused, or nobody there: the next try comes.
            return False
        return not self._steps

    def _start(self) -> bool:
        body = {"id": self.execution_id, "workflow_name": self._workflow}
        return self._deployment.call("POST", "/v2/executions", body).status == 201

    def _answer(self) -> bool:
        asking = (
            each for each in self._deployment.actions(self.execution_id) if each["name"] == "std.async_noop"
        )
        action = next(asking, None)
        if action is None:
            return False
        path = f"/v2/action-executions/{action['id']}"
        return self._deployment.call("PUT", path, {"state": "SUCCESS", "output": "yes"}).status == 200


@pytest.mark.timeout(900)
def test_a_death_at_any_point_changes_no_outcome(shaky: Deployment) -> None:
    shaky.start()
    workflow = shaky.create_workflow(WORKFLOW)
    calm = Client(shaky, workflow)
    eventually(calm.go_on, what="the undisturbed execution is answered")
    expected = outcome(shaky, calm.execution_id)
    assert expected["state"] == "SUCCESS"
    assert expected["output"] == {"sum": 4, "answer": "yes"}

    clients: dict[str, Client] = {}
    for part, points in POINTS.items():
        if part == "executor" and shaky.kind == OnMariaDB.kind:
            # It has no database, so that this one makes no difference to it.
            continue
        role = shaky.role_of(part)
        for point in points:
            if shaky.is_running(role):
                shaky.kill(role)
            clients[point] = Client(shaky, workflow)
            shaky.start_armed(role, point)
            disturb(shaky, role, point, list(clients.values()))
        shaky.start()

    eventually(
        lambda: not [client for client in clients.values() if not client.go_on()],
        what="all is answered",
    )
    for point, client in clients.items():
        assert outcome(shaky, client.execution_id) == expected, point


def disturb(deployment: Deployment, role: str, point: str, clients: list[Client]) -> None:
    """Let clients do what they can until ``role`` has died at ``point``, or has survived a failure there."""
    armed = deployment.processes[role]

    def is_over() -> bool:
        assert armed.is_alive or not point.endswith(":fail"), armed.said()
        for client in clients:
            client.go_on()
        return clients[-1].go_on() if point.endswith(":fail") else not armed.is_alive

    eventually(is_over, what=f"{role} meets {point}")
    if not point.endswith(":fail"):
        deployment.await_crash(role)
