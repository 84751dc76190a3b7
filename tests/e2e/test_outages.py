"""Parts that are away for a while: what was accepted is done when they are back."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator

import pytest
from amqp import PreconditionFailed
from deployments import Deployment, Template, ThreeProcesses, eventually
from neighbours import WebService

from tools.chaos.processes import ChaosError
from tools.chaos.servers import RabbitMQ

ECHO = "version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.echo output=1}\n"
WAITING = "version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.async_noop}\n"
CHAIN = """
version: '2.0'
NAME:
  tasks:
    t1: {action: std.echo output=1, safe-rerun: true, on-success: t2}
    t2: {action: std.echo output=2, safe-rerun: true, on-success: t3}
    t3: {action: std.echo output=3, safe-rerun: true}
"""
HTTP = "version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.http, input: {url: 'URL'}}\n"
RESULT = {"state": "SUCCESS", "output": 3}


def result_of(deployment: Deployment, execution_id: str) -> object:
    task_id = deployment.tasks(execution_id)["t"]["id"]
    return json.loads(deployment.get(f"/v2/tasks/{task_id}")["result"])


def test_what_waits_and_an_accepted_result_survive_the_death_of_every_process(anywhere: Deployment) -> None:
    workflow = anywhere.create_workflow(WAITING)
    before, after = (anywhere.start_execution(workflow) for _ in range(2))
    paths = [f"/v2/action-executions/{anywhere.waiting_action(each)}" for each in (before, after)]

    assert anywhere.call("POST", paths[0], RESULT).status == 200
    anywhere.kill(*anywhere.roles)
    anywhere.start()

    assert anywhere.execution(after)["state"] == "RUNNING"
    assert [action["state"] for action in anywhere.actions(after)] == ["RUNNING"]
    assert anywhere.call("POST", paths[1], RESULT).status == 200
    for execution_id in (before, after):
        assert anywhere.finished(execution_id)["state"] == "SUCCESS"
        assert result_of(anywhere, execution_id) == 3


def test_accepted_executions_survive_the_death_of_every_process(impatient: Deployment) -> None:
    workflow = impatient.create_workflow(CHAIN)
    started = [impatient.start_execution(workflow) for _ in range(5)]
    impatient.kill(*impatient.roles)
    impatient.start()
    for execution_id in started:
        assert impatient.finished(execution_id)["state"] == "SUCCESS"
        assert set(impatient.tasks(execution_id)) == {"t1", "t2", "t3"}


def test_a_client_that_repeats_itself_gets_the_same_execution(deployment: Deployment) -> None:
    workflow = deployment.create_workflow(WAITING)
    first = deployment.start_execution(workflow)
    again = deployment.call("POST", "/v2/executions", {"id": first, "workflow_name": workflow})
    assert again.status == 201
    assert again.body["id"] == first
    assert len(deployment.get(f"/v2/executions?workflow_name={workflow}")["executions"]) == 1


def test_callbacks_while_the_engine_is_stopped(apart: Deployment) -> None:
    execution_id = apart.run(WAITING)
    action_id = apart.waiting_action(execution_id)
    path = f"/v2/action-executions/{action_id}"
    apart.stop("engine")

    assert apart.call("POST", path, RESULT).status == 200
    assert apart.call("POST", path, RESULT).status == 200
    assert apart.call("POST", path, {"state": "SUCCESS", "output": 4}).status == 409
    assert apart.execution(execution_id)["state"] == "RUNNING"

    apart.start("engine")
    assert apart.finished(execution_id)["state"] == "SUCCESS"
    assert result_of(apart, execution_id) == 3


def test_executions_while_the_engine_is_stopped(apart: Deployment) -> None:
    apart.stop("engine")
    execution_id = apart.run(CHAIN)
    assert apart.execution(execution_id)["state"] not in {"SUCCESS", "ERROR"}
    apart.start("engine")
    assert apart.finished(execution_id)["state"] == "SUCCESS"


def test_executions_while_the_executor_is_stopped(apart: Deployment) -> None:
    apart.stop("executor")
    started = [apart.run(CHAIN) for _ in range(3)]
    for execution_id in started:
        eventually(lambda found=execution_id: apart.actions(found), what="the first action is queued")
        assert apart.execution(execution_id)["state"] == "RUNNING"
    apart.start("executor")
    for execution_id in started:
        assert apart.finished(execution_id)["state"] == "SUCCESS"
        assert len(apart.actions(execution_id)) == 3


def test_the_engine_is_killed_while_actions_run(
    apart: Deployment, make_web_service: Callable[..., WebService]
) -> None:
    service = make_web_service(is_slow=True)
    execution_id = apart.run(HTTP.replace("URL", service.url))
    eventually(lambda: service.requests, what="the action runs")
    apart.kill("engine")
    service.release()
    apart.start("engine")
    assert apart.finished(execution_id)["state"] == "SUCCESS"
    assert len(service.requests) == 1


def test_rabbitmq_is_away(apart: Deployment) -> None:
    assert isinstance(apart, ThreeProcesses)
    waiting = apart.run(WAITING)
    action_id = apart.waiting_action(waiting)
    apart.proxy.cut()
    try:
        # The API needs no bus to accept.
        started = [apart.run(CHAIN) for _ in range(3)]
        assert apart.call("POST", f"/v2/action-executions/{action_id}", RESULT).status == 200
        # Nor does the engine, to decide what needs no executor.
        assert apart.finished(waiting)["state"] == "SUCCESS"
        eventually(lambda: all(apart.tasks(found) for found in started), what="the first tasks are begun")
    finally:
        apart.proxy.mend()
    for execution_id in started:
        assert apart.finished(execution_id)["state"] == "SUCCESS"
        assert len(apart.actions(execution_id)) == 3
    assert all(apart.is_running(role) for role in apart.roles)


def test_rabbitmq_is_away_while_an_action_ends(
    apart: Deployment, make_web_service: Callable[..., WebService]
) -> None:
    assert isinstance(apart, ThreeProcesses)
    service = make_web_service(is_slow=True)
    execution_id = apart.run(HTTP.replace("URL", service.url))
    eventually(lambda: service.requests, what="the action runs")
    apart.proxy.cut()
    try:
        service.release()
        # A new execution is begun without the bus; by then the report has failed at least once.
        other = apart.run(ECHO)
        eventually(lambda: apart.tasks(other), what="the engine goes on")
    finally:
        apart.proxy.mend()
    assert apart.finished(execution_id)["state"] == "SUCCESS"
    assert apart.finished(other)["state"] == "SUCCESS"
    assert len(service.requests) == 1


@pytest.mark.parametrize("loss", ["queue_purge", "queue_delete"])
def test_rabbitmq_loses_what_it_was_given(apart: Deployment, loss: str) -> None:
    assert isinstance(apart, ThreeProcesses)
    workflow = apart.create_workflow(CHAIN)
    started = []
    for _ in range(3):
        started.append(apart.start_execution(workflow))
        for queue in apart.queues:
            apart.on_broker(lambda channel, name=queue: getattr(channel, loss)(name))
    for execution_id in started:
        assert apart.finished(execution_id)["state"] == "SUCCESS"
        assert len(apart.actions(execution_id)) == 3
    assert apart.finished(apart.start_execution(workflow))["state"] == "SUCCESS"
    assert all(apart.is_running(role) for role in apart.roles)


def test_quorum_queues(make_deployment: Callable[..., Deployment]) -> None:
    deployment = make_deployment(
        ThreeProcesses.kind,
        # An exchange of its own: that of others on this broker may be declared in another way.
        f"[DEFAULT]\ncontrol_exchange = quorum_{uuid.uuid4().hex}\n"
        "[oslo_messaging_rabbit]\nrabbit_quorum_queue = true\n",
    )
    assert isinstance(deployment, ThreeProcesses)
    deployment.start()
    assert deployment.finished(deployment.run(CHAIN))["state"] == "SUCCESS"
    # The broker says what is there when something else is asked for.
    classic = {"x-queue-type": "classic"}
    with pytest.raises(PreconditionFailed, match="quorum"):
        deployment.on_broker(
            lambda channel: channel.queue_declare(
                deployment.queues[0], durable=True, auto_delete=False, arguments=classic
            )
        )
    deployment.kill(*deployment.roles)


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A broker that nobody else uses."""
    try:
        broker = RabbitMQ(tmp_path_factory.mktemp("broker"))
    except ChaosError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    broker.start()
    broker.wait_ready()
    yield broker
    broker.kill()


def test_rabbitmq_is_killed_and_started(
    broker: RabbitMQ, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("restarts")
    deployment = ThreeProcesses(folder, template=template, rabbitmq=broker.url)
    try:
        deployment.start()
        workflow = deployment.create_workflow(CHAIN)
        before = deployment.start_execution(workflow)
        broker.kill()
        during = deployment.start_execution(workflow)
        eventually(lambda: deployment.tasks(during), what="the engine goes on")
        broker.start()
        broker.wait_ready()
        for execution_id in (before, during, deployment.start_execution(workflow)):
            assert deployment.finished(execution_id)["state"] == "SUCCESS"
        assert all(deployment.is_running(role) for role in deployment.roles)
    finally:
        deployment.remove()


def test_an_executor_that_was_frozen_longer_than_a_lease(
    impatient_apart: Deployment, make_web_service: Callable[..., WebService]
) -> None:
    service = make_web_service(is_slow=True)
    execution_id = impatient_apart.run(HTTP.replace("URL", service.url))
    eventually(lambda: service.requests, what="the action runs")
    executor = impatient_apart.processes["executor"]
    executor.signal(signal.SIGSTOP)
    try:
        ended = impatient_apart.finished(execution_id)
        before = impatient_apart.actions(execution_id)
        service.release()
    finally:
        executor.signal(signal.SIGCONT)

    # The late report comes before the next action of the same executor, and changes nothing.
    next_one = impatient_apart.run(CHAIN)
    assert impatient_apart.finished(next_one)["state"] == "SUCCESS"
    assert ended["state"] == "ERROR"
    assert impatient_apart.execution(execution_id) == ended
    assert impatient_apart.actions(execution_id) == before


@pytest.mark.parametrize("role", ["api", "engine"])
def test_a_process_that_was_frozen_for_a_while(apart: Deployment, role: str) -> None:
    workflow = apart.create_workflow(CHAIN)
    before = apart.start_execution(workflow)
    process = apart.processes[role]
    process.signal(signal.SIGSTOP)
    try:
        if role == "engine":
            during = apart.start_execution(workflow)
            assert apart.execution(during)["state"] in {"IDLE", "RUNNING"}
        else:
            during = before
    finally:
        process.signal(signal.SIGCONT)
    for execution_id in (before, during, apart.start_execution(workflow)):
        assert apart.finished(execution_id)["state"] == "SUCCESS"
