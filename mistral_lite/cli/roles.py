"""Running the roles: started in order, ended in order, until SIGTERM or SIGINT.

The end is a drain: no new requests, no new actions, what runs may finish for a while, everything that was
begun is reported. All of it within seconds; what is not done by then is in the database.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from cheroot import wsgi

from mistral_lite import config, log, parts
from mistral_lite.api.app import build_app
from mistral_lite.api.services import ApiServices
from mistral_lite.api.wsgi import make_doorbell, make_services
from mistral_lite.cli import wiring
from mistral_lite.executor.service import Executor
from mistral_lite.rpc.messaging import EngineServer, RemoteEngine, get_transport

LOG = logging.getLogger(__name__)

_DRAIN_S = 5.0
_API_THREADS = 20


def run_serve(settings: config.Settings, *, state_dir: Path) -> None:
    """Run API, engine and executor in this process, joined by direct calls, until told to stop."""
    parts.require_no_authentication(settings)
    database = parts.make_database(settings)
    registry = parts.make_registry(settings)
    engine = wiring.make_engine(settings, database, registry, parts.make_evaluator(settings))
    executor = Executor(engine, registry, wiring.make_executor_settings(settings))
    with _until_stopped("serve") as stack:
        stack.callback(database.dispose)
        engine.start()
        stack.callback(engine.stop)
        executor.start()
        stack.callback(executor.stop, _DRAIN_S)
        _start_api(settings, make_services(settings, database, engine), stack)


def run_api(settings: config.Settings) -> None:
    """Answer REST requests until told to stop."""
    parts.require_no_authentication(settings)
    database = parts.make_database(settings)
    doorbell = make_doorbell(settings)
    with _until_stopped("api") as stack:
        stack.callback(database.dispose)
        doorbell.start()
        stack.callback(doorbell.stop)
        _start_api(settings, make_services(settings, database, doorbell), stack)


def run_engine(settings: config.Settings) -> None:
    """Decide what happens next in workflows until told to stop."""
    database = parts.make_database(settings)
    registry, evaluator = parts.make_registry(settings), parts.make_evaluator(settings)
    engine = wiring.make_engine(settings, database, registry, evaluator)
    transport = get_transport(settings.conf, parts.bus_url(settings))
    name = f"{settings.engine.host}.{os.getpid()}"
    server = EngineServer(transport, parts.engine_topic(settings), name, engine)
    with _until_stopped("engine") as stack:
        stack.callback(database.dispose)
        stack.callback(server.stop)
        engine.start()
        # Before the server: it waits for the calls under way, which the engine sends home.
        stack.callback(engine.stop)
        server.start()


def run_executor(settings: config.Settings) -> None:
    """Run actions until told to stop."""
    transport = get_transport(settings.conf, parts.bus_url(settings))
    gateway = RemoteEngine(transport, parts.engine_topic(settings))
    executor = Executor(gateway, parts.make_registry(settings), wiring.make_executor_settings(settings))
    with _until_stopped("executor") as stack:
        executor.start()
        stack.callback(executor.stop, _DRAIN_S)


def _start_api(settings: config.Settings, services: ApiServices, stack: ExitStack) -> None:
    server = wsgi.Server(
        (settings.api.host, settings.api.port),
        build_app(services),
        numthreads=_API_THREADS,
        server_name="mistral-lite",
    )
    server.shutdown_timeout = _DRAIN_S
    server.prepare()
    thread = threading.Thread(target=server.serve, name="api", daemon=True)
    thread.start()
    stack.callback(thread.join, _DRAIN_S)
    stack.callback(server.stop)


@contextmanager
def _until_stopped(role: str) -> Iterator[ExitStack]:
    """Start what the block starts, wait for SIGTERM or SIGINT, then undo in reverse order."""
    stopped = threading.Event()
    with _on_signals(stopped.set), ExitStack() as stack:
        yield stack
        _say(log.Event.SERVICE_STARTED, "Started", role)
        stopped.wait()
        _say(log.Event.SERVICE_STOPPING, "Stopping", role)
    _say(log.Event.SERVICE_STOPPED, "Stopped", role)


@contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _say(event: log.Event, message: str, role: str) -> None:
    log.write(LOG, logging.INFO, event, message, role=role, host=socket.gethostname())
