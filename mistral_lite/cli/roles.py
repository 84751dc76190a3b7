"""The roles as separate processes over one database, joined by the message bus."""

from __future__ import annotations

from datetime import UTC, datetime

from mistral_lite import config, parts
from mistral_lite.api.doorbell import DistantDoorbell
from mistral_lite.api.waiting import Waiting
from mistral_lite.api.wiring import listen_to_engines, make_services
from mistral_lite.api.wsgi import make_bus_doorbell
from mistral_lite.cli import wiring
from mistral_lite.cli.doctor import Doctor, Knock, Report
from mistral_lite.cli.heartbeat import start_heartbeat
from mistral_lite.cli.lifecycle import start_api, until_stopped
from mistral_lite.db.bells import Bells, make_listener
from mistral_lite.executor.service import Executor
from mistral_lite.ids import new_id
from mistral_lite.rpc.messaging import RemoteDoorbell, RemoteEngine, get_transport
from mistral_lite.rpc.notifications import NotificationBus
from mistral_lite.rpc.protocol import ExchangeRequest
from mistral_lite.rpc.server import EngineServer


def run_api(settings: config.Settings) -> None:
    """Answer REST requests until told to stop."""
    database = parts.make_database(settings)
    database.require_read_committed()
    registry = parts.make_registry(settings)
    bus, bells, waiting = make_bus_doorbell(settings), Bells(database), Waiting()
    with until_stopped("api") as stack:
        stack.callback(database.dispose)
        start_heartbeat(database, "api", stack)
        bus.start()
        stack.callback(bus.stop)
        listener = listen_to_engines(database, waiting, bells)
        listener.start()
        stack.callback(listener.stop)
        services = make_services(settings, database, registry, DistantDoorbell(bells, bus), waiting)
        start_api(settings, services, stack)


def run_engine(settings: config.Settings) -> None:
    """Decide what happens next in workflows until told to stop."""
    database = parts.make_database(settings)
    database.require_read_committed()
    registry, evaluator = parts.make_registry(settings), parts.make_evaluator(settings)
    transport = get_transport(settings.conf, parts.bus_url(settings))
    peers = RemoteDoorbell(transport, parts.engine_topic(settings))
    notifier = wiring.make_notifier(settings, database)
    queues = wiring.make_queue_keeper(settings, database, evaluator, wiring.make_credentials(settings))
    engine = wiring.make_engine(
        settings, database, registry, evaluator, peers.offer, notifier.wake, wake_queues=queues.wake
    )
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
        queues.start(engine.ring)
        stack.callback(queues.stop)
        bell = make_listener(database, engine.ring)
        bell.start()
        stack.callback(bell.stop)
        server.start()
        start_heartbeat(database, "engine", stack, engine.take_heard)
        wiring.start_periodic_work(settings, database, evaluator, engine, stack)
        stack.callback(bus.close)
        wiring.start_event_listener(settings, database, evaluator, engine, bus, stack)


def run_executor(settings: config.Settings) -> None:
    """Run actions until told to stop."""
    transport = get_transport(settings.conf, parts.bus_url(settings))
    gateway = RemoteEngine(transport, parts.engine_topic(settings))
    credentials = wiring.make_credentials(settings)
    executor = Executor(
        gateway,
        parts.make_registry(settings),
        wiring.make_executor_settings(settings),
        credentials=credentials,
    )
    with until_stopped("executor") as stack:
        executor.start()
        stack.callback(executor.stop, settings.executor.drain_s)


def run_doctor(
    settings: config.Settings, revision: str | None, execution: str | None, *, must_fix: bool
) -> Report:
    """Examine the database and the bus. ``revision``: that of the schema; ``execution``: one to explain."""
    database = parts.make_database(settings)
    try:
        knock = _knock(settings) if settings.transport_url is not None else None
        return Doctor(database, revision, knock).examine(execution, must_fix=must_fix)
    finally:
        database.dispose()


def _knock(settings: config.Settings) -> Knock:
    """Return a call that any engine answers and that asks for nothing."""

    def knock() -> None:
        transport = get_transport(settings.conf, parts.bus_url(settings))
        try:
            engine = RemoteEngine(transport, parts.engine_topic(settings))
            engine.exchange(ExchangeRequest(executor_id="doctor", call_id=new_id(datetime.now(UTC))))
        finally:
            transport.cleanup()

    return knock
