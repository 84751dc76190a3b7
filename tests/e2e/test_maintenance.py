"""Maintenance from outside: it begins and ends whatever is killed meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
from deployments import AllInOne, Deployment, ThreeProcesses, eventually

ADMIN = {"X-Roles": "admin"}

WORKFLOW = """
version: '2.0'
NAME:
  tasks:
    wait:
      action: std.async_noop
      on-success: after
    after:
      action: std.noop
"""


@pytest.fixture(params=[AllInOne.kind, ThreeProcesses.kind])
def deployment(request: pytest.FixtureRequest, _make: Callable[..., Deployment]) -> Iterator[Deployment]:
    """A deployment of its own: maintenance concerns everything in it."""
    made = _make(request.param)
    made.start()
    yield made
    sys.stdout.write(made.said())
    made.kill(*made.processes)


def set_status(deployment: Deployment, status: str) -> str:
    answer = deployment.call("PUT", "/maintenance", {"status": status}, headers=ADMIN)
    assert answer.status == 200, answer
    shown: str = answer.body["status"]
    return shown


def status_of(deployment: Deployment) -> str:
    shown: str = deployment.call("GET", "/maintenance", headers=ADMIN).body["status"]
    return shown


def crash(deployment: Deployment, *roles: str) -> None:
    deployment.kill(*roles)
    deployment.start()


def test_a_service_is_paused_and_resumed_through_crashes(deployment: Deployment) -> None:
    workflow = deployment.create_workflow(WORKFLOW)
    mine, theirs = deployment.start_execution(workflow), deployment.start_execution(workflow)
    deployment.call("PUT", f"/v2/executions/{theirs}", {"state": "PAUSED"})
    actions = [deployment.running_action(each) for each in (mine, theirs)]

    assert set_status(deployment, "PAUSED") == "PAUSING"
    refused = deployment.call("POST", "/v2/executions", {"workflow_name": workflow})
    assert (refused.status, "PAUSING" in refused.body) == (423, True)
    crash(deployment, *deployment.roles)
    deployment.in_state(mine, "PAUSED")
    # The results that it waits for are still taken.
    assert status_of(deployment) == "PAUSING"
    for action in actions:
        path = f"/v2/action_executions/{action}"
        assert deployment.call("PUT", path, {"state": "SUCCESS", "output": {}}).status == 200
    crash(deployment, deployment.role_of("engine"))
    eventually(lambda: status_of(deployment) == "PAUSED", what="the service is paused")
    assert set(deployment.tasks(mine)) == {"wait"}

    assert set_status(deployment, "RUNNING") == "RUNNING"
    crash(deployment, deployment.role_of("engine"))
    assert deployment.finished(mine)["state"] == "SUCCESS"
    assert deployment.execution(theirs)["state"] == "PAUSED"
