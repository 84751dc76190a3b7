"""Notifications of other services over a real RabbitMQ, sent as those services send them.

``MISTRAL_LITE_TEST_RABBITMQ`` names the broker. One that is not there skips these tests; with ``CI=true`` it
fails them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from queue import Queue
from typing import Any

import kombu
import pytest
from oslo_context.context import RequestContext

from mistral_lite import config
from mistral_lite.errors import UnavailableError
from mistral_lite.rpc.bus_events import BusEvent
from mistral_lite.rpc.notifications import NotificationBus

# After the module above, which says which threads it is to use.
import oslo_messaging  # isort: skip

PATIENCE_S = 120.0


@pytest.fixture
def exchange(bus_url: str) -> Iterator[str]:
    """The name of an exchange of its own; removed afterwards with the queues on it."""
    name = f"ml_test_{uuid.uuid4().hex}"
    yield name
    with closing(kombu.Connection(bus_url.replace("rabbit://", "amqp://", 1))) as connection:
        channel = connection.default_channel
        for priority in ("audit", "critical", "debug", "error", "info", "warn"):
            channel.queue_delete(f"{name}_topic.{priority}")
        for pool in ("a", "b"):
            channel.queue_delete(f"{pool}_{name}.{name}.{name}_topic")
        channel.exchange_delete(name)


@pytest.fixture
def new_bus(bus_url: str, tmp_path: Path) -> Iterator[Callable[[str], NotificationBus]]:
    """Make a way to listen as one of the engines of a deployment."""
    file = tmp_path / "bus.conf"
    file.write_text(f"[DEFAULT]\ntransport_url = {bus_url}\n")
    with ExitStack() as stack:

        def new_bus(pool: str) -> NotificationBus:
            bus = NotificationBus(config.load([str(file)]).conf, pool)
            stack.callback(bus.close)
            return bus

        yield new_bus


@pytest.fixture
def send(bus_url: str, exchange: str, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Tell of an event as a service does."""
    file = tmp_path / "service.conf"
    file.write_text(f"[DEFAULT]\ntransport_url = {bus_url}\ncontrol_exchange = {exchange}\n")
    conf = config.load([str(file)]).conf
    NotificationBus(conf, "unused").close()
    transport = oslo_messaging.get_notification_transport(conf)
    notifier = oslo_messaging.Notifier(
        transport, publisher_id="compute.host", driver="messagingv2", topics=[f"{exchange}_topic"]
    )

    def send(event_type: str, payload: Any, priority: str = "info", **context: Any) -> None:
        getattr(notifier, priority)(RequestContext(**context), event_type, payload)

    yield send
    transport.cleanup()


def test_an_event_arrives_as_it_was_sent(
    new_bus: Callable[[str], NotificationBus], exchange: str, send: Callable[..., None]
) -> None:
    got: Queue[BusEvent] = Queue()
    listening = new_bus(f"a_{exchange}").listen(exchange, f"{exchange}_topic", got.put)
    send("vm.create", {"id": [1, "ü"]}, project_id="p", user_id="u")
    event = got.get(timeout=PATIENCE_S)
    listening.stop()
    assert (event.exchange, event.topic) == (exchange, f"{exchange}_topic")
    assert (event.event_type, event.publisher) == ("vm.create", "compute.host")
    assert event.payload == {"id": [1, "ü"]}
    assert (event.context["project_id"], event.context["user"]) == ("p", "u")
    assert event.message_id
    assert event.timestamp
    assert event.timestamp.startswith("20")


def test_one_engine_of_each_deployment_gets_it(
    new_bus: Callable[[str], NotificationBus], exchange: str, send: Callable[..., None]
) -> None:
    got: Queue[tuple[str, str]] = Queue()

    def taker(name: str) -> Callable[[BusEvent], None]:
        return lambda event: got.put((name, event.event_type))

    topic = f"{exchange}_topic"
    listening = [
        new_bus(f"{name}_{exchange}").listen(exchange, topic, taker(name)) for name in ("a", "a", "b")
    ]
    priorities = ("audit", "critical", "debug", "error", "info")
    for priority in priorities:
        send(priority, {}, priority=priority)
    heard = sorted(got.get(timeout=PATIENCE_S) for _ in range(10))
    for each in listening:
        each.stop()
    assert heard == sorted((name, priority) for name in ("a", "b") for priority in priorities)
    assert got.empty()


def test_what_could_not_be_handled_comes_again(
    new_bus: Callable[[str], NotificationBus], exchange: str, send: Callable[..., None]
) -> None:
    got: Queue[str | None] = Queue()

    def take(event: BusEvent) -> None:
        got.put(event.message_id)
        if got.qsize() == 1:
            raise UnavailableError("The database does not answer.")

    listening = new_bus(f"a_{exchange}").listen(exchange, f"{exchange}_topic", take)
    # No use in waiting for the broker here: the message is put back at once.
    listening._endpoint.is_closed.set()
    send("vm.create", {})
    first = got.get(timeout=PATIENCE_S)
    got.put(first)
    listening.stop()
    assert first is not None
