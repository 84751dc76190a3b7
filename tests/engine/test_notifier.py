"""Delivery of notifications: a real engine, a real outbox, a real web server."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import pytest

from mistral_lite.actions.egress import HttpSettings
from mistral_lite.db import tables
from mistral_lite.db.transaction import Database
from mistral_lite.engine.notifier import Notifier, NotifierSettings
from mistral_lite.engine.publishers import NoopPublisher, Publishers, WebhookPublisher

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)

PATIENCE_S = 120.0
EVENTS = ["WORKFLOW_LAUNCHED", "TASK_LAUNCHED", "TASK_SUCCEEDED", "WORKFLOW_SUCCEEDED"]
OPEN = HttpSettings(denied_cidrs=())

ONE = """
version: '2.0'
one:
  tasks:
    t:
      action: std.echo output='x'
"""


@dataclass
class Receiver:
    """A web server that answers with ``answers`` first and 200 then, and keeps what it was sent."""

    port: int
    got: Queue[dict[str, Any]] = field(default_factory=Queue)
    answers: list[int] = field(default_factory=list)

    def hook(self, **more: Any) -> dict[str, Any]:
        """Return a publisher that leads here."""
        return {"type": "webhook", "url": f"http://127.0.0.1:{self.port}/hook", **more}

    def take(self) -> dict[str, Any]:
        """Return the next body that was sent."""
        body: dict[str, Any] = json.loads(self.got.get(timeout=PATIENCE_S)["body"])
        return body


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            found.got.put({"path": self.path, "headers": dict(self.headers), "body": body})
            self.send_response(found.answers.pop(0) if found.answers else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Receiver(port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def new_notifier(database: Database) -> Iterator[Callable[..., Notifier]]:
    """Make a notifier; stopped after the test."""
    with ExitStack() as stack:

        def new_notifier(
            http: HttpSettings = OPEN, pauses_s: tuple[float, ...] = (0.0, 0.0), **more: Any
        ) -> Notifier:
            publishers = {"webhook": WebhookPublisher(http), "noop": NoopPublisher(), **more}
            settings = NotifierSettings(pauses_s=pauses_s, sweep_s=3600.0)
            notifier = Notifier(database, Publishers(publishers), settings)

            def stop() -> None:
                if notifier._thread.ident is not None:
                    notifier.stop(PATIENCE_S)

            stack.callback(stop)
            return notifier

        yield new_notifier


def drain(notifier: Notifier, service: Any) -> None:
    """Deliver, without its own thread, until the outbox is empty."""
    while service.rows(tables.notifications):
        notifier._look()
        with notifier._condition:
            assert notifier._condition.wait_for(lambda: not notifier._busy, PATIENCE_S)


def run_one(service: Any, *publishers: dict[str, Any]) -> str:
    """Run a workflow with these publishers to its end."""
    service.api.upload(ONE)
    execution_id: str = service.start("one", notify=list(publishers))
    service.work()
    assert service.state(execution_id) == "SUCCESS"
    return execution_id


@everywhere
def test_the_engine_wakes_the_notifier_and_hooks_hear_all_in_order(
    idle: Any, receiver: Receiver, new_notifier: Callable[..., Notifier]
) -> None:
    notifier = new_notifier()
    notifier.start()
    idle.add_engine(wake_notifier=notifier.wake)

    execution_id = run_one(idle, receiver.hook(headers={"X-Mine": "1"}))

    got = [receiver.got.get(timeout=PATIENCE_S) for _ in EVENTS]
    bodies = [json.loads(each["body"]) for each in got]
    assert [body["event"] for body in bodies] == EVENTS
    assert (bodies[0]["id"], bodies[0]["state"]) == (execution_id, "RUNNING")
    assert bodies[1]["workflow_execution_id"] == execution_id
    assert {each["path"] for each in got} == {"/hook"}
    assert got[0]["headers"]["X-Mine"] == "1"
    assert got[0]["headers"]["Content-Type"] == "application/json"
    notifier.stop(PATIENCE_S)
    assert idle.rows(tables.notifications) == []


def test_a_workflow_that_notifies_nobody_wakes_nobody(idle: Any) -> None:
    woken: list[int] = []
    idle.add_engine(wake_notifier=lambda: woken.append(1))
    run_one(idle)
    assert woken == []
    assert idle.rows(tables.notifications) == []


def test_what_a_dead_process_left_is_found_without_being_woken(
    service: Any, receiver: Receiver, new_notifier: Callable[..., Notifier]
) -> None:
    run_one(service, receiver.hook())
    new_notifier().start()
    assert [receiver.take()["event"] for _ in EVENTS] == EVENTS


def test_a_hook_that_failed_hears_it_again(
    service: Any, receiver: Receiver, new_notifier: Callable[..., Notifier]
) -> None:
    run_one(service, receiver.hook(event_types=["WORKFLOW_SUCCEEDED"]))
    receiver.answers = [500, 429]
    drain(new_notifier(), service)
    assert receiver.got.qsize() == 3


def test_failures_end_with_a_line_in_the_log(
    service: Any, receiver: Receiver, new_notifier: Callable[..., Notifier], caplog: Any
) -> None:
    execution_id = run_one(
        service, receiver.hook(event_types=["WORKFLOW_SUCCEEDED"], headers={"X-Token": "hidden"})
    )
    receiver.answers = [503] * 10
    with caplog.at_level(logging.WARNING):
        drain(new_notifier(pauses_s=(0.0, 0.0)), service)
    assert receiver.got.qsize() == 3, "one attempt more than pauses"
    (line,) = [record.getMessage() for record in caplog.records]
    assert "event=notification.dropped" in line
    assert execution_id in line
    assert "503" in line
    assert "hidden" not in line
    assert "/hook" not in line


@pytest.mark.parametrize("status", [302, 307, 400, 404, 410])
def test_an_answer_that_will_not_change_is_not_asked_for_again(
    service: Any, receiver: Receiver, new_notifier: Callable[..., Notifier], status: int
) -> None:
    run_one(service, receiver.hook(event_types=["WORKFLOW_SUCCEEDED"]))
    receiver.answers = [status]
    drain(new_notifier(), service)
    assert [each["path"] for each in receiver.got.queue] == ["/hook"], "no redirect is followed"


def test_a_denied_address_is_never_called(
    service: Any, receiver: Receiver, new_notifier: Callable[..., Notifier], caplog: Any
) -> None:
    run_one(service, receiver.hook())
    with caplog.at_level(logging.WARNING):
        drain(new_notifier(http=HttpSettings()), service)
    assert receiver.got.empty()
    assert len([r for r in caplog.records if "[action_std_http]" in r.getMessage()]) == len(EVENTS)


def test_a_dead_hook_holds_up_neither_the_workflow_nor_others(
    service: Any, receiver: Receiver, new_notifier: Callable[..., Notifier]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = {"type": "webhook", "url": f"http://127.0.0.1:{unused.getsockname()[1]}/"}
        run_one(service, dead, receiver.hook(), {"type": "noop"}, {"type": "unheard-of"}, {"type": 3})
        notifier = new_notifier(pauses_s=(3600.0,))
        notifier.start()
        assert [receiver.take()["event"] for _ in EVENTS] == EVENTS
        notifier.stop(PATIENCE_S)
    left = service.rows(tables.notifications)
    assert [(row["event"], row["attempts"]) for row in left] == [(event, 1) for event in EVENTS]
    assert {json.loads(row["publisher"])["url"] for row in left} == {dead["url"]}


@pytest.mark.parametrize(
    "options", [{}, {"url": 3}, {"url": "ftp://h/"}, {"url": "http://"}, {"url": "http://h/", "headers": "x"}]
)
def test_a_hook_that_cannot_be_called_is_given_up_at_once(
    service: Any, new_notifier: Callable[..., Notifier], options: dict[str, Any]
) -> None:
    run_one(service, {"type": "webhook", **options})
    notifier = new_notifier(pauses_s=(3600.0,))
    drain(notifier, service)


class Recorder:
    """A publisher of another distribution, which fails the first time."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def publish(
        self, ctx: Any, ex_id: str, data: dict[str, Any], event: str, timestamp: Any, **options: Any
    ) -> None:
        self.calls.append((ctx.project_id, ex_id, data, event, timestamp, options))
        if len(self.calls) == 1:
            raise ValueError("data that must not be logged")


def test_publishers_of_others_are_called_as_they_expect(
    service: Any, new_notifier: Callable[..., Notifier], caplog: Any
) -> None:
    execution_id = run_one(service, {"type": "mine", "event_types": ["WORKFLOW_LAUNCHED"], "color": "red"})
    (row,) = service.rows(tables.notifications)
    recorder = Recorder()
    with caplog.at_level(logging.INFO):
        drain(new_notifier(mine=recorder), service)
    first, second = recorder.calls
    assert first == second
    project_id, ex_id, data, event, timestamp, options = second
    assert (project_id, ex_id, event, options) == ("p", execution_id, "WORKFLOW_LAUNCHED", {"color": "red"})
    assert (data["id"], data["name"], timestamp) == (execution_id, "one", row["created_at"])
    assert "must not be logged" not in caplog.text


def test_two_notifiers_tell_everything_once(
    service: Any, receiver: Receiver, new_notifier: Callable[..., Notifier]
) -> None:
    notifiers = [new_notifier(), new_notifier()]
    service.api.upload(ONE)
    for _ in range(5):
        service.start("one", notify=[receiver.hook()])
    service.work()
    for notifier in notifiers:
        notifier.start()
    got = [receiver.take() for _ in range(5 * len(EVENTS))]
    for notifier in notifiers:
        notifier.stop(PATIENCE_S)
    assert len({(body["id"], body["event"]) for body in got}) == 5 * len(EVENTS)
    assert receiver.got.empty()
    assert service.rows(tables.notifications) == []


def test_built_in_publishers_are_there() -> None:
    publishers = Publishers.load(OPEN)
    assert {"webhook", "noop"} <= publishers._publishers.keys()
