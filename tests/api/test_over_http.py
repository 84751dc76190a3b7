"""The application behind a real HTTP server, called by the official client's library and by hand."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cheroot.wsgi import Server
from mistralclient.api import base
from mistralclient.api import client as mistral_client

from mistral_lite.cli.connections import Connection

WORKFLOW = "version: '2.0'\nwf:\n  tasks: {t1: {action: std.noop}}\n"


@pytest.fixture
def address(api: Any) -> Iterator[tuple[str, int]]:
    """The host and port of a server that runs the application."""
    server = Server(("127.0.0.1", 0), api.app, numthreads=4)
    server.ConnectionClass = Connection
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server.bind_addr
    server.stop()
    thread.join()


@pytest.fixture
def client(address: tuple[str, int]) -> Any:
    """The official client."""
    return mistral_client.client(mistral_url=f"http://{address[0]}:{address[1]}/v2", auth_type="none")


def send(
    address: tuple[str, int], method: str, path: str, body: bytes | Iterator[bytes]
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=120)
    connection.request(method, path, body=body, headers={"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = (response.status, response.read())
    connection.close()
    return answer


def test_the_client_manages_definitions(client: Any) -> None:
    (created,) = client.workflows.create(WORKFLOW)
    assert created.name == "wf"
    assert [item.name for item in client.workflows.list()] == ["wf"]
    assert client.workflows.get("wf").id == created.id
    assert [item.name for item in client.workflows.update(WORKFLOW)] == ["wf"]
    assert client.workflows.update(WORKFLOW, id=created.id).name == "wf"
    assert client.workflows.validate(WORKFLOW)["valid"] is True
    client.workflows.delete("wf")
    with pytest.raises(base.APIException) as caught:
        client.workflows.get("wf")
    assert caught.value.error_code == 404
    assert "Workflow not found" in str(caught.value)
    action = "version: '2.0'\na: {base: std.noop}\n"
    assert [item.name for item in client.actions.create(action)] == ["a"]
    assert client.actions.get("a").name == "a"
    assert client.actions.get("std.echo").input == "output, delay=0"
    client.actions.delete("a")
    client.environments.create(name="e", variables={"a": 1}, description="d")
    assert client.environments.update(name="e", variables={"a": 2}).variables == {"a": 2}
    assert client.environments.get("e").name == "e"
    client.environments.delete("e")
    assert client.environments.list() == []


def test_the_client_manages_executions(api: Any, client: Any) -> None:
    client.workflows.create(WORKFLOW)
    started = client.executions.create("wf", workflow_input={}, description="d", env={"a": 1})
    assert (started.state, json.loads(started.params)["env"]) == ("RUNNING", {"a": 1})
    assert [item.id for item in client.executions.list(limit=5)] == [started.id]
    assert client.executions.get(started.id).description == "d"
    assert client.executions.update(started.id, None, description="new").description == "new"
    assert client.executions.update(started.id, "PAUSED").id == started.id
    assert client.tasks.list() == []
    assert client.executions.get_ex_sub_executions(started.id)[0].id == started.id
    assert client.executions.get_report(started.id)["statistics"]["total_tasks_count"] == 0
    client.executions.delete(started.id, force=True)
    assert [kind for kind, _, _ in api.engine.commands()] == ["start", "pause", "delete"]


def test_a_third_party_delivers_a_result(api: Any, address: tuple[str, int], client: Any) -> None:
    identifier = api.put_action(1)
    body = b'{"state": "SUCCESS", "output": 3}'
    status, _ = send(address, "POST", f"/v2/action-executions/{identifier}", body)
    assert status == 200
    assert api.engine.commands()[0][2]["output"] == 3
    other = api.put_action(2)
    assert client.action_executions.update(other, state="SUCCESS", output="3").id == other
    assert api.engine.commands()[1][2]["output"] == 3


def test_a_chunked_body_is_read(api: Any, address: tuple[str, int]) -> None:
    identifier = api.put_action(1)
    pieces = iter([b'{"state": "SUCC', b'ESS", "output": 3}'])
    status, _ = send(address, "PUT", f"/v2/action_executions/{identifier}", pieces)
    assert status == 200
    assert api.engine.commands()[0][2]["output"] == 3


def test_threads_share_the_application(address: tuple[str, int]) -> None:
    outcomes: list[int] = []

    def create(number: int) -> None:
        text = WORKFLOW.replace("wf:", f"wf{number % 4}:").encode()
        outcomes.append(send(address, "POST", "/v2/workflows", text)[0])

    threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [201] * 4 + [409] * 8
