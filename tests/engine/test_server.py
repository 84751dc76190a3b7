"""Calls and doorbells to a real engine over a real RabbitMQ."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mistral_lite import config
from mistral_lite.errors import UnavailableError
from mistral_lite.rpc.messaging import RemoteDoorbell, RemoteEngine, get_transport
from mistral_lite.rpc.patience import _PatientConnection
from mistral_lite.rpc.protocol import ExchangeReply, ExchangeRequest
from mistral_lite.rpc.server import EngineServer

# After the modules above, which say which threads it is to use.
import oslo_messaging  # isort: skip

SYNC = "version: '2.0'\nonce:\n  tasks:\n    t: {action: std.noop}\n"


def call(**values: Any) -> ExchangeRequest:
    return ExchangeRequest(executor_id="e", call_id=uuid.uuid4().hex, **values)


@pytest.fixture
def bus(service: Any, bus_url: str, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """An engine that serves a topic of its own, and the two ways to it."""
    file = tmp_path / "bus.conf"
    topic = f"ml_test_{uuid.uuid4().hex}"
    file.write_text(
        f"[DEFAULT]\ntransport_url = {bus_url}\ncontrol_exchange = {topic}\n"
        "[oslo_messaging_rabbit]\namqp_auto_delete = true\n"
    )
    transport = get_transport(config.load([str(file)]).conf, bus_url)
    server = EngineServer(transport, topic, "here", service.engines[0])
    server.start()
    doorbell = RemoteDoorbell(transport, topic)
    doorbell.start()
    yield SimpleNamespace(
        server=server,
        engine=RemoteEngine(transport, topic),
        doorbell=doorbell,
        stranger=oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic=topic), timeout=120),
        transport=transport,
    )
    doorbell.stop()
    service.engines[0].stop(60)
    server.stop()
    transport.cleanup()


def test_a_bell_brings_work_to_parked_calls_which_hold_no_thread(service, bus):
    service.api.upload(SYNC)
    with ThreadPoolExecutor(5) as executors:
        parked = [executors.submit(bus.engine.exchange, call(capacity=1, wait_s=60.0)) for _ in range(5)]
        while len(service.engines[0]._parked) < 5:
            service.exchange(executor_id="nobody")
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("reply")]

        for _ in range(5):
            bus.doorbell.ring([service.api.start("once")])

        replies = [each.result() for each in parked]
    assert len({reply.actions[0].action_execution_id for reply in replies}) == 5


def test_a_message_that_is_not_understood_is_refused_and_the_next_one_is_read(bus):
    with pytest.raises(oslo_messaging.RemoteError, match="UnavailableError"):
        bus.stranger.call({}, "nonsense")
    with pytest.raises(oslo_messaging.RemoteError, match="UnavailableError"):
        bus.stranger.call({}, "exchange", request={"executor_id": "e"})
    assert bus.engine.exchange(call()) == ExchangeReply()


def test_an_engine_that_has_ended_refuses_calls(service, bus):
    service.engines[0].stop(60)
    with pytest.raises(UnavailableError):
        bus.engine.exchange(call())


def test_threads_that_read_do_not_look_up_between_messages(bus):
    assert bus.engine.exchange(call()) == ExchangeReply()
    readers = (bus.server._server.listener._poll_style_listener, bus.transport._driver._waiter)
    assert all(isinstance(reader.conn, _PatientConnection) for reader in readers)
    waits: list[float] = []

    def consume(timeout: float) -> None:
        waits.append(timeout)

    _PatientConnection(SimpleNamespace(consume=consume)).consume(timeout=0.001)
    assert waits == [1.0]
