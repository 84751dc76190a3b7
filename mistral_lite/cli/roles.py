"""The roles as separate processes over one database, joined by the message bus."""

from __future__ import annotations

from mistral_lite import config, parts
from mistral_lite.api.wiring import make_services
from mistral_lite.api.wsgi import make_doorbell
from mistral_lite.cli import wiring
from mistral_lite.cli.lifecycle import DRAIN_S, start_api, until_stopped
from mistral_lite.executor.service import Executor
from mistral_lite.rpc.messaging import EngineServer, RemoteDoorbell, RemoteEngine, get_transport
from mistral_lite.rpc.notifications import NotificationBus


def run_api(settings: config.Settings) -> None:
    """Answer REST requests until told to stop."""
    parts.require_no_authentication(settings)
    database = parts.make_database(settings)
    doorbell = make_doorbell(settings)
    with until_stopped("api") as stack:
        stack.callback(database.dispose)
        doorbell.start()
        stack.callback(doorbell.stop)
        start_api(settings, make_services(settings, database, doorbell), stack)


def run_engine(settings: config.Settings) -> None:
    """Decide what happens next in workflows until told to stop."""
    database = parts.make_database(settings)
    registry, evaluator = parts.make_registry(settings), parts.make_evaluator(settings)
    transport = get_transport(settings.conf, parts.bus_url(settings))
    peers = RemoteDoorbell(transport, parts.engine_topic(settings))
    notifier = wiring.make_notifier(settings, database)
    engine = wiring.make_engine(settings, database, registry, evaluator, peers.offer, notifier.wake)
    bus = NotificationBus(settings.conf, parts.engine_topic(settings))
    # Engines may share a name: nobody calls one by it. A name of each process would leave a queue of each behind.
    server = EngineServer(transport, parts.engine_topic(settings), settings.engine.host, engine)
    with until_stopped("engine") as stack:
        stack.callback(database.dispose)
        peers.start()
        stack.callback(peers.stop)
        notifier.start()
        stack.callback(notifier.stop)
        stack.callback(server.stop)
        engine.start()
        # Before the server: it waits for the calls under way, which the engine sends home.
        stack.callback(engine.stop)
        server.start()
        wiring.start_periodic_work(settings, database, evaluator, engine, stack)
        stack.callback(bus.close)
        wiring.start_event_listener(settings, database, evaluator, engine, bus, stack)


def run_executor(settings: config.Settings) -> None:
    """Run actions until told to stop."""
    transport = get_transport(settings.conf, parts.bus_url(settings))
    gateway = RemoteEngine(transport, parts.engine_topic(settings))
    executor = Executor(gateway, parts.make_registry(settings), wiring.make_executor_settings(settings))
    with until_stopped("executor") as stack:
        executor.start()
        stack.callback(executor.stop, DRAIN_S)
