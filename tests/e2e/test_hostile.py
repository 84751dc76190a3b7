"""Hostile workflows in a running service: each ends as a refusal or an error, and the service goes on for the others."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import MakeDeployment
from deployments import AllInOne, Deployment, eventually
from fuzz.attacks import DEEP, ENDLESS, ESCAPES, HUGE, REGULAR
from fuzz.documents import Documents, bombs

# The processes of the service, those that evaluate included. At rest they take about 150 MiB.
MOST_BYTES = 1200 * 2**20
GENERATED = 200
OPTIONS = """
[expressions]
max_time = 0.2
[api]
enable_info_endpoint = false
"""

# Stands before the resolver of the service's process; that is where a hostile name server would answer.
RESOLVER = """
import socket

_ANSWERS = {
    "inside.test": ["127.0.0.2"],
    "both.test": ["203.0.113.7", "127.0.0.2"],
    "mapped.test": ["::ffff:127.0.0.2"],
    "translated.test": ["64:ff9b::7f00:2"],
    "metadata.test": ["169.254.169.254"],
    "any.test": ["0.0.0.0"],
}
_real = socket.getaddrinfo


def getaddrinfo(host, port, *args, **kwargs):
    if host not in _ANSWERS:
        return _real(host, port, *args, **kwargs)
    return [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in _ANSWERS[host]
    ]


socket.getaddrinfo = getaddrinfo
"""


class Trap:
    """A web server at an address that is denied, and one that may be called and redirects to it."""

    def __init__(self) -> None:
        self.caught: list[str] = []
        trap = self

        class Inside(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                trap.caught.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Keep the output of the tests readable."""

        self._inside = ThreadingHTTPServer(("127.0.0.2", 0), Inside)
        self.port = self._inside.server_address[1]

        class Redirecting(Inside):
            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.2:{trap.port}/redirected")
                self.send_header("Content-Length", "0")
                self.end_headers()

        self._redirecting = ThreadingHTTPServer(("127.0.0.1", 0), Redirecting)
        self.redirecting_url = f"http://127.0.0.1:{self._redirecting.server_address[1]}/"
        self._servers = (self._inside, self._redirecting)
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    opened = Trap()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def service(_make: MakeDeployment, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    made = _make(AllInOne.kind, OPTIONS)
    text = made.config_file.read_text()
    made.config_file.write_text(
        text.replace("denied_cidrs =\n", "denied_cidrs = 127.0.0.2/32,169.254.0.0/16,::1/128\n")
    )
    folder = tmp_path_factory.mktemp("resolver")
    (folder / "sitecustomize.py").write_text(RESOLVER)
    made._launch("serve", {"PYTHONPATH": str(folder)})
    made.processes["serve"].wait_ready()
    return made


def resident_bytes(service: Deployment) -> int:
    """Return the memory of the service's process and of those that it started."""
    pid = service.processes["serve"].pid
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    pages = 0
    for each in found:
        try:
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except FileNotFoundError:
            continue
    return pages * 4096


def assert_well(service: Deployment) -> None:
    assert service.processes["serve"].is_alive
    assert service.get("/v2/workflows?limit=1")["workflows"] is not None
    assert resident_bytes(service) < MOST_BYTES


def workflow(name: str, **task: Any) -> str:
    body = {"version": "2.0", name: {"tasks": {"t": {"action": "std.noop", **task}}}}
    return json.dumps(body)


@pytest.mark.parametrize("kind", [ENDLESS, REGULAR, HUGE, DEEP], ids=["endless", "regular", "huge", "deep"])
def test_an_expression_fails_its_task_and_the_service_goes_on(
    service: Deployment, kind: tuple[str, ...]
) -> None:
    for number, text in enumerate(kind):
        name = f"attack{number}"
        answer = service.call(
            "POST",
            "/v2/workflows",
            raw=workflow(name, publish={"a": text}).encode(),
            headers={"Content-Type": "text/plain"},
        )
        if answer.status == 400:
            continue
        assert answer.status == 201, answer
        execution = service.start_execution(name, input="{}")
        assert_well(service)
        assert service.finished(execution)["state"] == "ERROR", text
        (task,) = service.tasks(execution).values()
        assert "field 'publish'" in task["state_info"] or "a" in task["state_info"], task
        assert service.call("DELETE", f"/v2/workflows/{name}").status == 204
    assert_well(service)


def test_an_attempt_to_break_out_fails_its_task(service: Deployment) -> None:
    names = []
    for number, text in enumerate(ESCAPES):
        name = f"escape{number}"
        answer = service.call(
            "POST",
            "/v2/workflows",
            raw=workflow(name, publish={"a": text}).encode(),
            headers={"Content-Type": "text/plain"},
        )
        assert answer.status in (201, 400), answer
        if answer.status == 201:
            names.append(name)
    executions = [service.start_execution(name) for name in names]
    for name, execution in zip(names, executions, strict=True):
        assert service.finished(execution)["state"] == "ERROR", name
    assert_well(service)


def test_expressions_in_the_input_of_a_start_are_bounded(service: Deployment) -> None:
    body = {"version": "2.0", "starts": {"vars": {"v": ENDLESS[0]}, "tasks": {"t": {"action": "std.noop"}}}}
    service.create_workflow(json.dumps(body))
    answer = service.call("POST", "/v2/executions", {"workflow_name": "starts"})
    assert answer.status == 400, answer
    assert "it ran for more than 0.2 s" in answer.body["faultstring"]
    many = {f"v{number}": text for number, text in enumerate(ENDLESS * 20)}
    body["starts"]["vars"] = many
    assert (
        service.call(
            "PUT", "/v2/workflows", raw=json.dumps(body).encode(), headers={"Content-Type": "text/plain"}
        ).status
        == 200
    )
    assert service.call("POST", "/v2/executions", {"workflow_name": "starts"}).status == 400
    answer = service.call(
        "POST", "/v2/executions", {"workflow_name": "starts", "params": {"env": many, "evaluate_env": True}}
    )
    assert answer.status == 400, answer
    assert_well(service)


@pytest.mark.parametrize(
    "tasks",
    [
        {"t": {"action": "std.noop", "with-items": "i in <% range(900000) %>"}},
        {"t": {"workflow": "circles"}},
        {"t": {"workflow": "circles", "with-items": "i in <% range(15000) %>"}},
        {
            "s": {"action": "std.noop", "with-items": "i in <% [] %>", "on-success": "t"},
            "t": {"action": "std.noop", "with-items": "i in <% [] %>", "on-success": "t"},
        },
    ],
    ids=["items", "nested", "spreading", "circle"],
)
def test_a_workflow_that_multiplies_is_ended(service: Deployment, tasks: dict[str, Any]) -> None:
    service.call("DELETE", "/v2/workflows/circles")
    service.create_workflow(json.dumps({"version": "2.0", "circles": {"tasks": tasks}}))
    execution = service.start_execution("circles")
    assert service.finished(execution)["state"] == "ERROR"
    assert_well(service)


@pytest.mark.parametrize("path", ["/v2/workflows", "/v2/actions/validate"])
def test_large_definitions_and_bombs_are_answered(service: Deployment, path: str) -> None:
    for text in bombs():
        answer = service.call(
            "POST", path, raw=text.encode(errors="surrogatepass"), headers={"Content-Type": "text/plain"}
        )
        assert answer.status in (200, 201, 400, 409, 413), (answer.status, text[:100])
    assert_well(service)


def test_generated_definitions_are_answered(service: Deployment) -> None:
    made = Documents(Random(11))
    for _ in range(GENERATED):
        text = made.text()
        answer = service.call(
            "POST",
            "/v2/workflows",
            raw=text.encode(errors="surrogatepass"),
            headers={"Content-Type": "text/plain"},
        )
        assert answer.status in (201, 400, 409), (answer, text)
        if answer.status == 201:
            execution = service.start_execution("fuzzed") if "fuzzed" in text else None
            service.call("DELETE", "/v2/workflows/fuzzed")
            if execution:
                service.call("PUT", f"/v2/executions/{execution}", {"state": "CANCELLED"})
    assert_well(service)


def test_no_url_leads_to_a_denied_address(service: Deployment, trap: Trap) -> None:
    port = trap.port
    urls = [
        *(f"http://{name}.test:{port}/" for name in ("inside", "both", "mapped", "translated", "metadata")),
        *(
            f"http://{host}:{port}/"
            for host in ("127.0.0.2", "127.2", "2130706434", "0x7f000002", "0177.0.0.2", "0x7f.2")
        ),
        *(
            f"http://[{host}]:{port}/"
            for host in ("::ffff:127.0.0.2", "::ffff:7f00:2", "::127.0.0.2", "64:ff9b::127.0.0.2")
        ),
        *(
            f"http://[{host}]:{port}/"
            for host in ("2002:7f00:2::", "64:ff9b:1::7f00:2", "::ffff:0:7f00:2", "::1%25lo")
        ),
        f"http://good.test@127.0.0.2:{port}/",
        f"http://127.0.0.2:{port}\\@good.test/",
        f"http://１２７.0.0.2:{port}/",
        f"http://127。0。0。2:{port}/",
        trap.redirecting_url,
        "file:///etc/passwd",
        "gopher://127.0.0.2/",
        "http://169.254.169.254/latest/meta-data/",
    ]
    body = {
        "version": "2.0",
        "ssrf": {
            "input": ["url"],
            "tasks": {
                "t": {
                    "action": "std.http",
                    "input": {"url": "<% $.url %>", "allow_redirects": True, "timeout": 2},
                },
            },
        },
    }
    service.create_workflow(json.dumps(body))
    executions = {url: service.start_execution("ssrf", input=json.dumps({"url": url})) for url in urls}
    for url, execution in executions.items():
        assert service.finished(execution)["state"] == "ERROR", url
    assert trap.caught == []
    assert_well(service)


def test_a_webhook_does_not_lead_to_a_denied_address(service: Deployment, trap: Trap) -> None:
    service.create_workflow(workflow("told"))
    hooks = [
        {"type": "webhook", "url": url}
        for url in (
            f"http://inside.test:{trap.port}/",
            f"http://127.0.0.2:{trap.port}/",
            trap.redirecting_url,
        )
    ]
    execution = service.start_execution("told", params=json.dumps({"notify": hooks}))
    assert service.finished(execution)["state"] == "SUCCESS"
    eventually(
        lambda: service.processes["serve"].said().count("event=notification.dropped") >= len(hooks),
        what="all notifications are given up",
    )
    assert trap.caught == []
