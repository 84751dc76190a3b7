"""The callback contract: what each delivery is answered, and that refused ones change nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from deployments import Deployment, eventually

WAITING = "version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.async_noop}\n"
TIMED = "version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.async_noop, timeout: 1}\n"
THEN_ECHO = """
version: '2.0'
NAME:
  tasks:
    t: {action: std.async_noop, on-success: after}
    after: {action: std.echo output=1}
"""

SPELLINGS = ("action_executions", "action-executions")
RESULT = {"state": "SUCCESS", "output": 3}


def deliver(
    deployment: Deployment,
    action_id: str,
    body: Any,
    *,
    method: str = "POST",
    spelling: str = "action-executions",
) -> int:
    return deployment.call(method, f"/v2/{spelling}/{action_id}", body).status


def result_of(deployment: Deployment, execution_id: str, task: str = "t") -> Any:
    task_id = deployment.tasks(execution_id)[task]["id"]
    return json.loads(deployment.get(f"/v2/tasks/{task_id}")["result"])


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("output", "result"),
    [
        (3, 3),
        (None, None),
        ('{"a": 1}', {"a": 1}),
        ({"a": [1, None, "ü"]}, {"a": [1, None, "ü"]}),
        ("not JSON", "not JSON"),
    ],
)
def test_first_again_and_another(
    deployment: Deployment, method: str, spelling: str, output: Any, result: Any
) -> None:
    execution_id = deployment.run(WAITING)
    action_id = deployment.running_action(execution_id)
    body = {"state": "SUCCESS", "output": output}

    assert deliver(deployment, action_id, body, method=method, spelling=spelling) == 200
    assert deployment.finished(execution_id)["state"] == "SUCCESS"
    assert result_of(deployment, execution_id) == result
    before = deployment.actions(execution_id)

    assert deliver(deployment, action_id, body, method=method, spelling=spelling) == 200
    for other in ({"state": "SUCCESS", "output": "other"}, {"state": "ERROR", "output": output}):
        assert deliver(deployment, action_id, other, method=method, spelling=spelling) == 409
    assert deployment.actions(execution_id) == before
    assert deployment.execution(execution_id)["state"] == "SUCCESS"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b'{"state": "SUCCESS", "output": ', 400),
        (b"[]", 400),
        (b"3", 400),
        (b"", 400),
        (b'{"output": 3}', 400),
        (b'{"state": "DONE", "output": 3}', 400),
        (b'{"state": 3}', 400),
        (b"\xff\xfe", 400),
        (b'{"state": "SUCCESS", "output": "' + b"x" * 1_100_000 + b'"}', (400, 413)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_refused_delivery_leaves_the_action_open(
    deployment: Deployment, raw: bytes, status: int | tuple[int, ...]
) -> None:
    execution_id = deployment.run(WAITING)
    action_id = deployment.running_action(execution_id)
    before = deployment.actions(execution_id)

    answer = deployment.call("POST", f"/v2/action-executions/{action_id}", raw=raw)
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer
    assert answer.body["faultstring"]
    assert deployment.actions(execution_id) == before

    assert deliver(deployment, action_id, RESULT) == 200
    assert deployment.finished(execution_id)["state"] == "SUCCESS"


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("action_id", ["00000000-0000-7000-8000-000000000000", "no-such-id"])
def test_an_unknown_id(deployment: Deployment, method: str, spelling: str, action_id: str) -> None:
    assert deliver(deployment, action_id, RESULT, method=method, spelling=spelling) == 404


def test_an_action_whose_task_timed_out(anywhere: Deployment) -> None:
    execution_id = anywhere.run(TIMED)
    assert anywhere.finished(execution_id)["state"] == "ERROR"
    (action,) = anywhere.actions(execution_id)
    assert_too_late(anywhere, execution_id, action["id"], "ERROR")


def test_an_action_that_was_cancelled(deployment: Deployment) -> None:
    execution_id = deployment.run(WAITING)
    action_id = deployment.running_action(execution_id)
    assert deliver(deployment, action_id, {"state": "CANCELLED"}) == 200
    assert deployment.finished(execution_id)["state"] == "CANCELLED"
    assert_too_late(deployment, execution_id, action_id, "CANCELLED")


def test_an_action_that_outlives_its_cancelled_execution(deployment: Deployment) -> None:
    execution_id = deployment.run(WAITING)
    action_id = deployment.running_action(execution_id)
    path = f"/v2/executions/{execution_id}"
    assert deployment.call("PUT", path, {"state": "CANCELLED"}).status == 200
    assert deployment.finished(execution_id)["state"] == "CANCELLED"

    # The result is kept with the action; the execution stays as it is.
    assert deliver(deployment, action_id, RESULT) == 200
    assert deliver(deployment, action_id, RESULT) == 200
    assert deliver(deployment, action_id, {"state": "SUCCESS", "output": 4}) == 409
    assert deployment.execution(execution_id)["state"] == "CANCELLED"


def assert_too_late(deployment: Deployment, execution_id: str, action_id: str, state: str) -> None:
    before = deployment.actions(execution_id)
    for _ in range(2):
        answer = deployment.call("POST", f"/v2/action-executions/{action_id}", RESULT)
        assert answer.status == 409, answer
        assert state in answer.body["faultstring"]
    assert deployment.actions(execution_id) == before
    assert deployment.execution(execution_id)["state"] == state


def test_while_the_execution_is_paused(anywhere: Deployment) -> None:
    execution_id = anywhere.run(THEN_ECHO)
    action_id = anywhere.running_action(execution_id)
    path = f"/v2/executions/{execution_id}"
    assert anywhere.call("PUT", path, {"state": "PAUSED"}).status == 200
    anywhere.in_state(execution_id, "PAUSED")

    assert deliver(anywhere, action_id, RESULT) == 200
    assert deliver(anywhere, action_id, RESULT) == 200
    assert deliver(anywhere, action_id, {"state": "SUCCESS", "output": 4}) == 409
    assert anywhere.execution(execution_id)["state"] == "PAUSED"
    assert set(anywhere.tasks(execution_id)) == {"t"}

    assert anywhere.call("PUT", path, {"state": "RUNNING"}).status == 200
    assert anywhere.finished(execution_id)["state"] == "SUCCESS"
    assert result_of(anywhere, execution_id) == 3
    assert result_of(anywhere, execution_id, "after") == 1


def test_before_an_executor_has_begun_the_action(apart: Deployment) -> None:
    apart.stop("executor")
    execution_id = apart.run(WAITING)
    (action_id,) = eventually(
        lambda: [action["id"] for action in apart.actions(execution_id)], what="the action is queued"
    )
    assert deliver(apart, action_id, RESULT) == 200
    assert deliver(apart, action_id, RESULT) == 200
    assert deliver(apart, action_id, {"state": "ERROR"}) == 409
    assert apart.finished(execution_id)["state"] == "SUCCESS"
    apart.start("executor")
    assert result_of(apart, execution_id) == 3
