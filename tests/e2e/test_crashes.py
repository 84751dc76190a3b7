"""Processes that die at the worst moments: the end is that of an undisturbed run, or an ERROR that says why."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable

import pytest
import requests
from deployments import Deployment, ThreeProcesses, eventually
from neighbours import WebService

WORKFLOW = """
version: '2.0'
NAME:
  output:
    sum: <% $.a + $.b %>
  tasks:
    first: {action: std.noop, safe-rerun: true, on-success: [a, b]}
    a:
      action: std.echo output=1
      safe-rerun: true
      publish: {a: <% task().result %>}
      on-success: both
    b:
      action: std.echo output=2
      safe-rerun: true
      publish: {b: <% task().result %>}
      on-success: both
    both: {action: std.noop, safe-rerun: true, join: all}
"""

CALL = """
version: '2.0'
NAME:
  tasks:
    t:
      action: ACTION
      input: {url: 'URL'}
      safe-rerun: SAFE
"""


def call(action: str, url: str, *, is_safe: bool) -> str:
    text = CALL.replace("ACTION", action).replace("URL", url)
    return text.replace("SAFE", str(is_safe).lower())


def start_in_spite_of_crashes(deployment: Deployment, workflow: str, role: str) -> str:
    """Ask for an execution until ``role`` is dead or has answered; return the id that was asked for."""
    execution_id = str(uuid.uuid4())

    def has_asked() -> bool:
        if not deployment.is_running(role):
            return True
        # All-in-one, the API comes up and dies together with what is to crash.
        with contextlib.suppress(requests.RequestException):
            return bool(deployment.start_execution(workflow, id=execution_id))
        return False

    eventually(has_asked, what=f"{role} answers or dies")
    return execution_id


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("point", ["engine.before_commit", "engine.after_commit"])
def test_the_engine_dies_at_a_turn(impatient: Deployment, point: str, count: int) -> None:
    workflow = impatient.create_workflow(WORKFLOW)
    role = impatient.role_of("engine")
    impatient.stop(role)
    impatient.start_armed(role, f"{point}:{count}")
    execution_id = start_in_spite_of_crashes(impatient, workflow, role)
    impatient.await_crash(role)

    impatient.start()
    assert impatient.start_execution(workflow, id=execution_id) == execution_id
    ended = impatient.finished(execution_id)
    assert ended["state"] == "SUCCESS"
    assert json.loads(ended["output"]) == {"sum": 3}
    tasks = impatient.tasks(execution_id)
    assert {name: task["state"] for name, task in tasks.items()} == dict.fromkeys(
        ["first", "a", "b", "both"], "SUCCESS"
    )


@pytest.mark.parametrize("is_safe", [True, False])
def test_the_executor_dies_while_an_action_runs(
    impatient: Deployment, make_web_service: Callable[..., WebService], is_safe: bool
) -> None:
    service = make_web_service(is_slow=True)
    execution_id = impatient.run(call("std.http", service.url, is_safe=is_safe))
    eventually(lambda: service.requests, what="the action runs")
    impatient.kill(impatient.role_of("executor"))
    service.release()
    impatient.start()

    assert_decided_by_safe_rerun(impatient, execution_id, service, is_safe=is_safe)


@pytest.mark.parametrize("is_safe", [True, False])
def test_the_executor_dies_before_it_reports(
    impatient_apart: Deployment, make_web_service: Callable[..., WebService], is_safe: bool
) -> None:
    service = make_web_service()
    impatient_apart.stop("executor")
    impatient_apart.start_armed("executor", "executor.before_report")
    execution_id = impatient_apart.run(call("std.http", service.url, is_safe=is_safe))
    impatient_apart.await_crash("executor")
    impatient_apart.start()

    assert_decided_by_safe_rerun(impatient_apart, execution_id, service, is_safe=is_safe)


def assert_decided_by_safe_rerun(
    deployment: Deployment, execution_id: str, service: WebService, *, is_safe: bool
) -> None:
    ended = deployment.finished(execution_id)
    (action,) = deployment.actions(execution_id)
    if is_safe:
        assert ended["state"] == action["state"] == "SUCCESS"
        # More if the second attempt lost its lease as well, on a machine with too much to do.
        assert len(service.requests) >= 2
    else:
        assert ended["state"] == action["state"] == "ERROR"
        assert "executor" in ended["state_info"]
        assert "safe-rerun" in ended["state_info"]
        assert len(service.requests) == 1


@pytest.mark.parametrize("is_safe", [True, False])
def test_the_executor_dies_before_it_says_that_an_asynchronous_action_is_on_its_way(
    impatient: Deployment, make_web_service: Callable[..., WebService], is_safe: bool
) -> None:
    service = make_web_service()
    role = impatient.role_of("executor")
    workflow = impatient.create_workflow(call("std.mistral_http", service.url, is_safe=is_safe))
    impatient.stop(role)
    impatient.start_armed(role, "executor.before_report")
    execution_id = start_in_spite_of_crashes(impatient, workflow, role)
    impatient.await_crash(role)
    impatient.start()

    if is_safe:
        first, second, *_ = eventually(
            lambda: service.requests if len(service.requests) >= 2 else [], what="the request is made again"
        )
        assert first.action_execution_id == second.action_execution_id
        answer = impatient.call(
            "POST", f"/v2/action-executions/{second.action_execution_id}", {"state": "SUCCESS", "output": 3}
        )
        assert answer.status == 200
        assert impatient.finished(execution_id)["state"] == "SUCCESS"
    else:
        ended = impatient.finished(execution_id)
        assert ended["state"] == "ERROR"
        assert "safe-rerun" in ended["state_info"]
        assert len(service.requests) == 1


def test_the_executor_dies_after_it_said_so(
    impatient: Deployment, make_web_service: Callable[..., WebService]
) -> None:
    service = make_web_service()
    role = impatient.role_of("executor")
    workflow = impatient.create_workflow(call("std.mistral_http", service.url, is_safe=False))
    impatient.stop(role)
    impatient.start_armed(role, "executor.after_report")
    execution_id = start_in_spite_of_crashes(impatient, workflow, role)
    impatient.await_crash(role)
    impatient.start()

    # A later action whose lease runs out shows that the time of the first is over, too.
    slow = make_web_service(is_slow=True)
    doomed = impatient.run(call("std.http", slow.url, is_safe=False))
    eventually(lambda: slow.requests, what="the later action runs")
    impatient.kill(role)
    impatient.start()
    assert impatient.finished(doomed)["state"] == "ERROR"

    assert impatient.execution(execution_id)["state"] == "RUNNING"
    (request,) = service.requests
    path = f"/v2/action-executions/{request.action_execution_id}"
    assert impatient.call("POST", path, {"state": "SUCCESS", "output": 3}).status == 200
    assert impatient.finished(execution_id)["state"] == "SUCCESS"


def test_of_two_engines_one_dies(impatient_apart: Deployment) -> None:
    assert isinstance(impatient_apart, ThreeProcesses)
    workflow = impatient_apart.create_workflow(WORKFLOW)
    impatient_apart.start_armed("engine-2", "engine.after_commit:3")
    started = [impatient_apart.start_execution(workflow) for _ in range(20)]
    impatient_apart.await_crash("engine-2")
    for execution_id in started:
        assert impatient_apart.finished(execution_id)["state"] == "SUCCESS"
        assert len(impatient_apart.actions(execution_id)) == 4
