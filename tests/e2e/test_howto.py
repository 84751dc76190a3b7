"""The how-to on asynchronous actions, word for word, with a real web service on another port."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from deployments import Deployment, eventually
from neighbours import WebService, compute_sum

# The text of the how-to; only the host name is replaced.
WORKFLOW = """\
---
  version: '2.0'

  my_workflow:
    tasks:
      one_plus_two:
        action: mistral_http url=http://my.webservice.com
        input:
          params:
            a: 1
            b: 2
"""

HEADERS = {
    "Mistral-Workflow-Name",
    "Mistral-Workflow-Execution-Id",
    "Mistral-Task-Id",
    "Mistral-Action-Execution-Id",
    "Mistral-Callback-URL",
}


@pytest.fixture
def upload(deployment: Deployment, tmp_path: Path) -> Callable[[str], None]:
    """Upload the workflow of the how-to for a web service at an URL, with the client."""

    def send(url: str) -> None:
        text = WORKFLOW.replace("http://my.webservice.com", url)
        path = tmp_path / "my_workflow.yaml"
        path.write_text(text)
        if deployment.try_mistral("workflow-get", "my_workflow").returncode == 0:
            deployment.mistral("workflow-delete", "my_workflow")
        deployment.mistral("workflow-create", str(path))

    return send


def start(deployment: Deployment) -> str:
    execution_id: str = json.loads(
        deployment.mistral_process("execution-create", "my_workflow", "-f", "json")
    )["ID"]
    return execution_id


def test_a_web_service_delivers_the_result(
    deployment: Deployment, upload: Callable[[str], None], make_web_service: Callable[..., WebService]
) -> None:
    service = make_web_service(compute_sum)
    upload(service.url)
    execution_id = start(deployment)

    assert deployment.finished(execution_id)["state"] == "SUCCESS"
    task = deployment.tasks(execution_id)["one_plus_two"]
    assert json.loads(deployment.get(f"/v2/tasks/{task['id']}")["result"]) == 3
    assert json.loads(deployment.mistral("task-get-result", task["id"])) == 3

    (request,) = service.requests
    assert request.query == {"a": "1", "b": "2"}
    assert set(request.headers) >= HEADERS
    assert request.headers["Mistral-Workflow-Name"] == "my_workflow"
    assert request.headers["Mistral-Workflow-Execution-Id"] == execution_id
    assert request.headers["Mistral-Task-Id"] == task["id"]
    assert request.headers["Mistral-Callback-URL"] == deployment.url


def test_a_human_delivers_the_result(
    deployment: Deployment, upload: Callable[[str], None], make_web_service: Callable[..., WebService]
) -> None:
    service = make_web_service()
    upload(service.url)
    execution_id = start(deployment)
    (request,) = eventually(lambda: list(service.requests), what="the web service is asked")
    action_id = request.action_execution_id

    deployment.mistral_process("action-execution-update", action_id, "--state", "SUCCESS", "--output", "3")

    assert deployment.finished(execution_id)["state"] == "SUCCESS"
    task = deployment.tasks(execution_id)["one_plus_two"]
    assert json.loads(deployment.mistral("task-get-result", task["id"])) == 3


def test_a_web_service_that_is_faster_than_its_own_answer(
    deployment: Deployment, make_web_service: Callable[..., WebService]
) -> None:
    service = make_web_service(is_slow=True)
    execution_id = deployment.run(
        "version: '2.0'\n"
        f"NAME: {{tasks: {{t: {{action: std.mistral_http, input: {{url: '{service.url}/{uuid.uuid4()}'}}}}}}}}\n"
    )
    (request,) = eventually(lambda: list(service.requests), what="the web service is asked")
    path = f"/v2/action-executions/{request.action_execution_id}"
    assert deployment.call("POST", path, {"state": "SUCCESS", "output": "early"}).status == 200
    assert deployment.finished(execution_id)["state"] == "SUCCESS"
    service.release()
    assert deployment.finished(execution_id)["state"] == "SUCCESS"
    (action,) = deployment.actions(execution_id)
    assert json.loads(deployment.get(f"/v2/action_executions/{action['id']}")["output"]) == {
        "result": "early"
    }
