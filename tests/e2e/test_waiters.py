"""Many executions wait on one queue, as many messages are posted, and engine and executor die meanwhile.

``MISTRAL_LITE_TEST_WAITERS=200`` makes it that many and five deaths, and lets the claims of the dead run out by
themselves.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable

import pytest
from conftest import MakeDeployment
from deployments import Deployment, ThreeProcesses, eventually
from messaging.server import Zaqar

pytestmark = pytest.mark.timeout(900)

_GIVEN = os.environ.get("MISTRAL_LITE_TEST_WAITERS")
WAITERS = int(_GIVEN or 30)
DEATHS = 5 if _GIVEN else 2

WAIT = """
version: '2.0'
NAME:
  input: [queue]
  output: {got: <% task(wait).result.body %>}
  tasks:
    wait: {action: zaqar.queue_wait queue_name=<% $.queue %>}
"""

POST = """
version: '2.0'
NAME:
  input: [queue, bodies]
  tasks:
    post:
      action: zaqar.queue_post
      input:
        queue_name: <% $.queue %>
        messages: <% $.bodies.select({body => $}) %>
"""

Post = Callable[[list[int]], object]


def overwhelm(deployment: Deployment, queue: str, post: Post, bury: Callable[[], object]) -> None:
    """Post to many that wait; ``bury`` is called while engine and executor are dead."""
    workflow = deployment.create_workflow(WAIT)
    executions = [deployment.start_execution(workflow, input={"queue": queue}) for _ in range(WAITERS)]
    for execution_id in executions:
        deployment.waiting_action(execution_id)

    def count_ended() -> int:
        page = deployment.get(f"/v2/executions?workflow_name={workflow}&state=SUCCESS&fields=id")
        return len(page["executions"])

    share = WAITERS // DEATHS
    for death in range(DEATHS):
        ended = count_ended()
        post(list(range(death * share, (death + 1) * share if death < DEATHS - 1 else WAITERS)))
        # Amid the work.
        eventually(lambda ended=ended: count_ended() > ended, what="another one has got its message")
        deployment.kill("engine", "executor")
        bury()
        deployment.start("engine", "executor")

    finished = [deployment.finished(execution_id) for execution_id in executions]
    assert [each["state"] for each in finished] == ["SUCCESS"] * WAITERS
    got = [json.loads(each["output"])["got"] for each in finished]
    assert sorted(got) == [[number] for number in range(WAITERS)]


def test_each_message_of_an_embedded_queue_reaches_one_of_many(apart: Deployment) -> None:
    queue = f"q-{uuid.uuid4().hex[:12]}"
    workflow = apart.create_workflow(POST)

    def post(numbers: list[int]) -> None:
        apart.start_execution(workflow, input={"queue": queue, "bodies": numbers})

    overwhelm(apart, queue, post, lambda: None)


def test_each_message_of_a_zaqar_reaches_one_of_many(zaqar: Zaqar, make_deployment: MakeDeployment) -> None:
    queue, project = f"q-{uuid.uuid4().hex[:12]}", "<default-project>"
    deployment = make_deployment(ThreeProcesses.kind)
    with deployment.config_file.open("a") as file:
        file.write(f"[queues]\nzaqar_endpoint = {zaqar.url}\nzaqar_callback_url = {deployment.url}\n")
    deployment.start()

    def post(numbers: list[int]) -> None:
        zaqar.post(queue, numbers, project=project)

    overwhelm(deployment, queue, post, lambda: None if _GIVEN else zaqar.end_claim(queue, project=project))
    eventually(lambda: zaqar.is_empty(queue, project=project), what="Zaqar has deleted what was taken")
