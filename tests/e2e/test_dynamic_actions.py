"""Uploaded code becomes an action that an executor of another process runs."""

from __future__ import annotations

from deployments import ThreeProcesses

OPTIONS = "[dynamic_actions]\nenabled = true\n"
ADMIN = {"X-Roles": "admin"}

SOURCE = """
import os
from mistral_lib.actions import Action

class WhereAmI(Action):
    def __init__(self, greeting):
        self.greeting = greeting

    def run(self, context):
        return {"greeting": self.greeting, "pid": os.getpid(), "project": context.security.project_id}
"""
WORKFLOW = """
version: '2.0'
NAME:
  output: {found: <% $.found %>}
  tasks:
    look:
      action: my.where greeting="hello"
      publish: {found: <% task().result %>}
"""


def test_an_uploaded_class_is_run_by_the_executor(make_deployment):
    deployment = make_deployment(ThreeProcesses.kind, OPTIONS)
    deployment.start()
    try:
        source = deployment.call("POST", "/v2/code_sources?name=src", raw=SOURCE.encode(), headers=ADMIN)
        assert source.status == 201, source
        body = {"name": "my.where", "class_name": "WhereAmI", "code_source_name": "src"}
        made = deployment.call("POST", "/v2/dynamic_actions", body, headers=ADMIN)
        assert made.status == 201, made

        workflow = deployment.create_workflow(WORKFLOW)
        execution = deployment.finished(deployment.start_execution(workflow))

        assert execution["state"] == "SUCCESS", execution
        executor = deployment.processes["executor"].pid
        assert f'"pid": {executor}' in execution["output"]
        assert '"greeting": "hello"' in execution["output"]

        # Broken later: the next run fails with the line, and the executor goes on.
        changed = deployment.call(
            "PUT",
            "/v2/code_sources?identifier=src",
            raw=f"import os\nos.nothing\n{SOURCE}".encode(),
            headers=ADMIN,
        )
        assert changed.status == 200, changed
        failed = deployment.finished(deployment.start_execution(workflow))
        assert failed["state"] == "ERROR"
        (task,) = deployment.tasks(failed["id"]).values()
        path = f"/v2/tasks/{task['id']}/action_executions?include_output=true"
        (action,) = deployment.get(path)["action_executions"]
        assert "cannot be loaded" in action["output"]
        assert "(line 2)" in action["output"]
    finally:
        deployment.kill(*deployment.processes)
