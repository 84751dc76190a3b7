"""The actions on queues over a genuine Zaqar: the document word for word, and who gets which message, once.

``MISTRAL_LITE_TEST_ZAQAR_OUTAGE_S=60`` keeps Zaqar away for that many seconds more than the test of its absence needs.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from client_commands.runner import in_this_process
from conftest import MakeDeployment, MakeZaqar
from deployments import FINISHED, AllInOne, Deployment, ThreeProcesses, eventually
from identity.server import Keystone
from interaction import poll, run_action, type_session, upload
from messaging.server import Zaqar

# The first test of a machine installs Zaqar and Keystone.
pytestmark = pytest.mark.timeout(600)

OUTAGE_S = float(os.environ.get("MISTRAL_LITE_TEST_ZAQAR_OUTAGE_S") or 0)

# That of everybody where nobody is asked.
PROJECT = "<default-project>"

WAIT = """
version: '2.0'
NAME:
  input: [queue, match: null, wait_s: 600]
  output:
    got: <% task(wait).result.body %>
  output-on-error:
    failed: <% $.failed %>
  tasks:
    wait:
      action: zaqar.queue_wait
      timeout: <% $.wait_s %>
      input:
        queue_name: <% $.queue %>
        match: <% $.match %>
      publish-on-error: {failed: <% task().result %>}
"""

POST = """
version: '2.0'
NAME:
  input: [queue, tries]
  output-on-error:
    failed: <% $.failed %>
  tasks:
    post:
      action: zaqar.queue_post
      retry: {count: <% $.tries %>, delay: 1}
      input:
        queue_name: <% $.queue %>
        messages: {body: from a workflow}
      publish-on-error: {failed: <% task().result %>}
"""


def some_queue() -> str:
    return f"q-{uuid.uuid4().hex[:12]}"


def add_options(deployment: Deployment, *lines: str) -> None:
    with deployment.config_file.open("a") as file:
        file.write("\n".join(("[queues]", *lines, "")))


@pytest.fixture(scope="module")
def called(zaqar: Zaqar, make_deployment: MakeDeployment) -> Deployment:
    """Three processes whose API the Zaqar calls; they hardly ever look by themselves."""
    deployment = make_deployment(ThreeProcesses.kind)
    add_options(
        deployment,
        f"zaqar_endpoint = {zaqar.url}",
        f"zaqar_callback_url = {deployment.url}",
        "zaqar_poll_interval = 3600",
    )
    return deployment


@pytest.fixture(scope="module")
def asking(zaqar: Zaqar, make_deployment: MakeDeployment) -> Deployment:
    """One process that asks the Zaqar."""
    deployment = make_deployment(AllInOne.kind)
    add_options(deployment, f"zaqar_endpoint = {zaqar.url}", "zaqar_poll_interval = 1")
    return deployment


@pytest.fixture(params=["called", "asking"])
def either(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    deployment: Deployment = request.getfixturevalue(request.param)
    deployment.restore()
    yield deployment
    # Shown only if the test failed.
    print(deployment.said())  # noqa: T201


def start_waiting(deployment: Deployment, queue: str, **given: Any) -> str:
    """Start an execution that waits for a message, and return it once it does, or has waited."""
    execution_id = deployment.run(WAIT, input={"queue": queue, **given})
    # The next one shall come behind it.
    eventually(
        lambda: (
            deployment.find_waiting_action(execution_id)
            or deployment.execution(execution_id)["state"] in FINISHED
        ),
        what=f"{execution_id} waits for a message",
    )
    return execution_id


def got(deployment: Deployment, execution_id: str) -> Any:
    finished = deployment.finished(execution_id)
    assert finished["state"] == "SUCCESS", finished
    return json.loads(finished["output"])["got"]


def assert_empty(zaqar: Zaqar, queue: str) -> None:
    """What actions got is deleted a moment after they got it."""
    eventually(lambda: zaqar.is_empty(queue, project=PROJECT), what=f"{queue} is empty")


def test_the_session_of_the_document(either: Deployment) -> None:
    type_session(either.mistral)
    poll(either.mistral, some_queue())


def test_who_waits_first_gets_the_first_message(either: Deployment, zaqar: Zaqar) -> None:
    queue = some_queue()
    (early,) = zaqar.post(queue, ["early"], project=PROJECT)
    executions = [start_waiting(either, queue) for _ in range(3)]

    assert got(either, executions[0]) == ["early"]
    zaqar.post(queue, ["second", "third", "left"], project=PROJECT)

    assert [got(either, execution_id) for execution_id in executions[1:]] == [["second"], ["third"]]
    (left,) = run_action(either.mistral, "zaqar.queue_pop", json.dumps({"queue_name": queue}))
    assert left["body"] == "left"
    assert left["id"] not in early
    assert_empty(zaqar, queue)


def test_zaqar_calls_where_it_can(called: Deployment, asking: Deployment, zaqar: Zaqar) -> None:
    for deployment, count in ((called, 1), (asking, 0)):
        deployment.restore()
        queue = some_queue()
        executions = [start_waiting(deployment, queue) for _ in range(2)]
        zaqar.post(queue, [1], project=PROJECT)
        assert got(deployment, executions[0]) == [1]
        # The first may have been found by the look that a new wait brings about.
        zaqar.post(queue, [2], project=PROJECT)
        assert got(deployment, executions[1]) == [2]
        assert len(zaqar.subscribers(queue, project=PROJECT)) == count


def test_a_doorbell_needs_its_secret(called: Deployment, zaqar: Zaqar) -> None:
    called.restore()
    queue = some_queue()
    start_waiting(called, queue)
    (address,) = eventually(
        lambda: zaqar.subscribers(queue, project=PROJECT), what="Zaqar calls for the messages of the queue"
    )
    path = address.removeprefix(called.url)
    assert called.call("POST", path, raw=b"\x00 no JSON").status == 204
    assert called.call("POST", path[:-1]).status == 404
    assert called.call("GET", path).status == 405


def test_messages_for_others_are_left_alone(asking: Deployment, zaqar: Zaqar) -> None:
    asking.restore()
    queue = some_queue()
    seventh = start_waiting(asking, queue, match="$.body.ticket = 7")
    eighth = start_waiting(asking, queue, match="$.body.ticket = 8")
    # More than fit into one claim.
    zaqar.post(queue, [{"ticket": 1}] * 30, project=PROJECT)
    zaqar.post(queue, [{"ticket": 8}, {"ticket": 1}, {"ticket": 7}], project=PROJECT)

    assert got(asking, seventh) == [{"ticket": 7}]
    assert got(asking, eighth) == [{"ticket": 8}]
    # The others were claimed on the way, and are free again.
    eventually(lambda: zaqar.stats(queue, project=PROJECT)["free"] == 31, what="the others are free again")


def test_a_message_goes_past_waits_that_ended(asking: Deployment, zaqar: Zaqar) -> None:
    asking.restore()
    queue = some_queue()
    overdue = start_waiting(asking, queue, wait_s=1)
    cancelled = start_waiting(asking, queue)
    paused = start_waiting(asking, queue)
    assert asking.finished(overdue)["state"] == "ERROR"
    asking.mistral("execution-update", "-s", "CANCELLED", cancelled)
    asking.mistral("execution-update", "-s", "PAUSED", paused)

    zaqar.post(queue, ["late"], project=PROJECT)
    assert_empty(zaqar, queue)
    asking.mistral("execution-update", "-s", "RUNNING", paused)
    assert got(asking, paused) == ["late"]


@pytest.mark.parametrize(
    "point", ["courier.after_claim", "queues.before_delivery:2", "queues.after_delivery:2"]
)
def test_each_message_reaches_one_waiter_though_the_service_dies(
    asking: Deployment, zaqar: Zaqar, point: str
) -> None:
    asking.restore()
    queue, count = some_queue(), 3
    executions = [start_waiting(asking, queue) for _ in range(count)]
    asking.kill("serve")
    zaqar.post(queue, list(range(count)), project=PROJECT)
    asking.start_armed("serve", point)
    asking.await_crash("serve")
    # What a minute would do: the claim of the process that died runs out.
    zaqar.end_claim(queue, project=PROJECT)
    asking.start("serve")

    assert [got(asking, execution_id) for execution_id in executions] == [[number] for number in range(count)]
    assert_empty(zaqar, queue)


def test_nothing_is_lost_while_zaqar_is_away(called: Deployment, zaqar: Zaqar) -> None:
    called.restore()
    queue, own_queue = some_queue(), some_queue()
    waiting = start_waiting(called, queue)
    zaqar.stop()
    try:
        late = start_waiting(called, queue)
        patient = called.run(POST, input={"queue": own_queue, "tries": 100})
        hasty = called.run(POST, input={"queue": own_queue, "tries": 1})
        failed = json.loads(called.finished(hasty)["output"])["failed"]
        assert "Zaqar does not answer (ConnectionError)." in failed
        assert "Traceback" not in failed
        threading.Event().wait(OUTAGE_S)
        assert {called.execution(each)["state"] for each in (waiting, late, patient)} == {"RUNNING"}
    finally:
        zaqar.start()

    assert called.finished(patient)["state"] == "SUCCESS"
    assert zaqar.stats(own_queue, project=PROJECT)["total"] == 1
    zaqar.post(queue, ["first", "second"], project=PROJECT)
    assert [got(called, each) for each in (waiting, late)] == [["first"], ["second"]]
    (engine,) = (log for log in called.folder.glob("engine.log"))
    said = engine.read_text(errors="replace")
    assert said.count("event=zaqar.unavailable") == 1
    assert "Traceback" not in said


# -- with Keystone ---------------------------------------------------------------------------------------


def test_with_keystone_everybody_has_queues_of_their_own(
    request: pytest.FixtureRequest,
    keystone: Keystone,
    make_zaqar: MakeZaqar,
    make_deployment: MakeDeployment,
) -> None:
    ours, zaqars = (
        keystone.create_account(f"{name}-{uuid.uuid4().hex[:6]}", "admin", "service")
        for name in ("mistral", "zaqar")
    )
    alice, bob = (
        keystone.create_account(f"{name}-{uuid.uuid4().hex[:6]}", "member") for name in ("alice", "bob")
    )
    zaqar = make_zaqar(keystone.service_options(zaqars))
    service_id = keystone.register("messaging", zaqar.url)
    # Other files share this Keystone.
    request.addfinalizer(lambda: keystone.unregister(service_id))
    options = "[pecan]\nauth_enable = true\n[security_context]\ntrust_executions = true\n"
    deployment = make_deployment(AllInOne.kind, f"{options}{keystone.service_options(ours)}")
    add_options(deployment, "zaqar_auth_type = keystone", f"zaqar_callback_url = {deployment.url}")
    deployment.start()

    environment = {**keystone.client_environment(alice), "OS_MISTRAL_URL": f"{deployment.url}/v2"}

    def mistral(*arguments: str) -> str:
        done = in_this_process(list(arguments), environment)
        assert done.code == 0, done
        return done.out

    type_session(mistral)
    upload(mistral, "interactive-wait", "interactive_wait.yaml")
    execution_id = json.loads(mistral("execution-create", "interactive-wait", "-f", "json"))["ID"]
    token = keystone.token(alice)
    eventually(
        lambda: zaqar.subscribers("workflow-input", project=alice.project_id, token=token),
        what="Zaqar calls for the answer",
    )
    # In the queue of the same name of another project, it is no answer.
    zaqar.post("workflow-input", ["of bob"], project=bob.project_id, token=keystone.token(bob))
    zaqar.post("workflow-input", ["of alice"], project=alice.project_id, token=token)

    def has_ended() -> bool:
        found = json.loads(mistral("execution-get", execution_id, "-f", "json"))
        assert found["State"] in {"RUNNING", "SUCCESS"}, found
        return bool(found["State"] == "SUCCESS")

    eventually(has_ended, what="the answer was taken")
    popped = run_action(mistral, "zaqar.queue_pop", '{"queue_name": "workflow-output", "count": 5}')
    assert popped[-1]["body"] == "You sent: 'of alice'"
    assert zaqar.stats("workflow-input", project=bob.project_id, token=keystone.token(bob))["free"] == 1
