"""The commands of the official client, each as a user types it."""

from __future__ import annotations

import json
import uuid
from typing import Any

from deployments import Deployment

TEXT = """
version: '2.0'
NAME:
  description: greets
  input: [who, greeting: Hello]
  output:
    said: <% $.said %>
  tasks:
    greet:
      action: std.echo output="<% $.greeting %>, <% $.who %>"
      publish:
        said: <% task().result %>
      on-success: wait
    wait:
      action: std.async_noop
"""


def rows(deployment: Deployment, *arguments: str) -> Any:
    return json.loads(deployment.mistral(*arguments, "-f", "json"))


def test_the_life_of_a_workflow(deployment: Deployment) -> None:
    name = f"greeting_{uuid.uuid4().hex[:8]}"
    path = deployment.folder / f"{name}.yaml"
    path.write_text(TEXT.replace("NAME", name))

    (created,) = rows(deployment, "workflow-create", str(path))
    assert created["Name"] == name
    assert name in [row["Name"] for row in rows(deployment, "workflow-list")]
    shown = rows(deployment, "workflow-get", name)
    assert (shown["ID"], shown["Name"]) == (created["ID"], name)
    assert "who" in shown["Input"]
    assert deployment.mistral("workflow-get-definition", name).strip() == path.read_text().strip()
    assert rows(deployment, "workflow-validate", str(path))["Valid"] is True

    started = rows(deployment, "execution-create", name, '{"who": "world"}', "-d", "by hand")
    execution_id = started["ID"]
    assert started["Workflow name"] == name
    assert execution_id in [row["ID"] for row in rows(deployment, "execution-list")]
    action_id = deployment.waiting_action(execution_id)
    assert rows(deployment, "execution-get", execution_id)["State"] == "RUNNING"
    assert rows(deployment, "execution-update", execution_id, "-d", "new words")["Description"] == "new words"

    tasks = {row["Name"]: row for row in rows(deployment, "task-list", execution_id)}
    assert {name: row["State"] for name, row in tasks.items()} == {"greet": "SUCCESS", "wait": "RUNNING"}
    assert rows(deployment, "task-get", tasks["greet"]["ID"])["Name"] == "greet"
    assert json.loads(deployment.mistral("task-get-result", tasks["greet"]["ID"])) == "Hello, world"
    assert json.loads(deployment.mistral("task-get-published", tasks["greet"]["ID"])) == {
        "said": "Hello, world"
    }

    assert action_id in [row["ID"] for row in rows(deployment, "action-execution-list")]
    (listed,) = rows(deployment, "action-execution-list", tasks["wait"]["ID"])
    assert (listed["ID"], listed["Name"], listed["State"]) == (action_id, "std.async_noop", "RUNNING")
    assert rows(deployment, "action-execution-get", action_id)["Name"] == "std.async_noop"
    updated = rows(deployment, "action-execution-update", action_id, "--state", "SUCCESS", "--output", "3")
    assert updated["State"] == "SUCCESS"
    assert json.loads(deployment.mistral("action-execution-get-output", action_id)) == {"result": 3}

    assert deployment.finished(execution_id)["state"] == "SUCCESS"
    assert json.loads(deployment.mistral("execution-get-output", execution_id)) == {"said": "Hello, world"}
    assert json.loads(deployment.mistral("execution-get-input", execution_id)) == {
        "who": "world",
        "greeting": "Hello",
    }

    deployment.mistral("execution-delete", execution_id)
    assert deployment.try_mistral("execution-get", execution_id).returncode != 0
    deployment.mistral("workflow-delete", name)
    assert deployment.try_mistral("workflow-get", name).returncode != 0


def test_an_execution_is_steered(deployment: Deployment) -> None:
    workflow = deployment.create_workflow(TEXT)
    execution_id = deployment.start_execution(workflow, input={"who": "you"})
    deployment.waiting_action(execution_id)
    for state in ("PAUSED", "RUNNING", "CANCELLED"):
        assert rows(deployment, "execution-update", execution_id, "-s", state)["State"] == state


def test_an_action_runs_on_its_own(deployment: Deployment) -> None:
    said = deployment.mistral("run-action", "std.echo", '{"output": [1, "two"]}')
    assert json.loads(said) == {"result": [1, "two"]}
    failed = deployment.try_mistral("run-action", "std.fail")
    assert "fail" in (failed.stdout + failed.stderr).lower()
    saved = rows(deployment, "run-action", "std.async_noop", "--save-result")
    done = rows(deployment, "action-execution-update", saved["ID"], "--state", "SUCCESS", "--output", "3")
    assert done["State"] == "SUCCESS"
