"""Interactive workflows over the embedded queues: the document word for word, and the form that waits by itself."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import requests
from deployments import AllInOne, Deployment, eventually
from interaction import poll, run_action, type_session, upload

WAIT = """\
version: '2.0'
NAME:
  input: [queue]
  output:
    got: <% task(wait).result[0].body %>
  tasks:
    wait:
      action: zaqar.queue_wait queue_name=<% $.queue %>
"""

POST = """\
version: '2.0'
NAME:
  input: [queue, messages]
  tasks:
    post:
      action: zaqar.queue_post
      input:
        queue_name: <% $.queue %>
        messages: <% $.messages %>
"""


@pytest.fixture(scope="module")
def alone(make_deployment: Callable[..., Deployment]) -> Deployment:
    """One process that tests kill."""
    return make_deployment(AllInOne.kind)


def some_queue() -> str:
    return f"q-{uuid.uuid4().hex[:12]}"


def post(deployment: Deployment, queue: str, *bodies: object) -> None:
    given = {"queue_name": queue, "messages": [{"body": body} for body in bodies]}
    answer = deployment.call("POST", "/v2/action_executions", {"name": "zaqar.queue_post", "input": given})
    assert answer.status == 201, answer
    assert json.loads(answer.body["output"])["result"]["resources"], answer


def left_in(deployment: Deployment, queue: str) -> Any:
    return run_action(deployment.mistral, "zaqar.queue_messages", json.dumps({"queue_name": queue}))


def test_the_session_of_the_document(deployment: Deployment) -> None:
    type_session(deployment.mistral)


def test_the_form_that_waits_needs_nobody_to_resume_it(deployment: Deployment) -> None:
    upload(deployment.mistral, "interactive-wait", "interactive_wait.yaml")
    input_queue, output_queue = some_queue(), some_queue()
    execution_id = deployment.start_execution(
        "interactive-wait", input={"input_queue": input_queue, "output_queue": output_queue}
    )
    eventually(
        lambda: "read_user_input" in deployment.tasks(execution_id), what="the user was asked for input"
    )
    waiting = deployment.waiting_action(execution_id)

    post(deployment, input_queue, {"testing": 123})

    assert deployment.finished(execution_id)["state"] == "SUCCESS"
    output = json.loads(deployment.get(f"/v2/action_executions/{waiting}")["output"])
    assert [message["body"] for message in output["result"]] == [{"testing": 123}]
    bodies = [message["body"] for message in left_in(deployment, output_queue)]
    assert bodies == [f"Send some input to '{input_queue}'", "You sent: '{'testing': 123}'"]
    assert left_in(deployment, input_queue) == []


def test_the_task_that_polls(deployment: Deployment) -> None:
    poll(deployment.mistral, some_queue())


@pytest.mark.parametrize(
    "point",
    ["queues.before_commit", "queues.after_commit", "queues.before_delivery:2", "queues.after_delivery:2"],
)
def test_each_message_reaches_one_waiter_in_order_though_the_service_dies(
    alone: Deployment, point: str
) -> None:
    alone.restore()
    queue, count = some_queue(), 4
    waits = alone.create_workflow(WAIT)
    posts = alone.create_workflow(POST)
    executions = []
    for _ in range(count):
        executions.append(alone.start_execution(waits, input={"queue": queue}))
        # The next one shall come behind it.
        alone.waiting_action(executions[-1])
    alone.stop("serve")
    alone.start_armed("serve", point)
    process = alone.processes["serve"]
    process.wait_ready()

    order = {
        "id": str(uuid.uuid4()),
        "workflow_name": posts,
        "input": {"queue": queue, "messages": [{"body": number} for number in range(count)]},
    }
    with suppress(requests.RequestException):
        alone.call("POST", "/v2/executions", order)
    alone.await_crash("serve")
    alone.start("serve")
    # The answer may not have come; the same start again is no second one.
    assert alone.call("POST", "/v2/executions", order).status == 201

    assert alone.finished(order["id"])["state"] == "SUCCESS"
    got = [json.loads(alone.finished(execution_id)["output"])["got"] for execution_id in executions]
    assert got == list(range(count))
    assert left_in(alone, queue) == []
