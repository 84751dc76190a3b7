"""``serve`` on SQLite under many clients at once: it never meets a lock of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from conftest import MakeDeployment
from deployments import AllInOne

CHAIN = """
version: '2.0'
NAME:
  tasks:
    t1: {action: std.echo output=1, on-success: t2}
    t2: {action: std.echo output=2}
"""


def test_eight_clients_at_once_meet_no_lock(make_deployment: MakeDeployment) -> None:
    deployment = make_deployment(AllInOne.kind)
    deployment.start()

    def be_a_client(_number: int) -> None:
        workflow = deployment.create_workflow(CHAIN)
        for _ in range(8):
            execution_id = deployment.start_execution(workflow)
            answer = deployment.call("PUT", f"/v2/executions/{execution_id}", {"description": "d"})
            assert answer.status == 200, answer
            assert deployment.finished(execution_id)["state"] == "SUCCESS"

    with ThreadPoolExecutor(max_workers=8) as clients:
        list(clients.map(be_a_client, range(8)))

    said = deployment.processes["serve"].said()
    assert "locked" not in said
    assert "event=database.unavailable" not in said
    deployment.kill("serve")
