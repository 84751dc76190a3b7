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

from mistral_lite import config, log
from mistral_lite.api.app import build_app
from mistral_lite.api.services import ApiServices
from mistral_lite.cli import wiring
from mistral_lite.errors import InputError
from mistral_lite.executor.service import Executor
from mistral_lite.rpc.messaging import EngineServer, RemoteDoorbell, RemoteEngine, get_transport

LOG = logging.getLogger(__name__)

_DRAIN_S = 5.0
_API_THREADS = 20


def run_serve(settings: config.Settings, *, state_dir: Path) -> None:
    """Run API, engine and executor in this process, joined by direct calls, until told to stop."""
    _require_no_authentication(settings)
    database = wiring.make_database(settings)
    registry, evaluator = wiring.make_registry(settings), wiring.make_evaluator(settings)
    engine = wiring.make_engine(settings, database, registry, evaluator)
    executor = Executor(engine, registry, wiring.make_executor_settings(settings))
    services = wiring.make_api_services(settings, database, registry, evaluator, engine)
    with _until_stopped("serve") as stack:
        stack.callback(database.dispose)
        engine.start()
        stack.callback(engine.stop)
        executor.start()
        stack.callback(executor.stop, _DRAIN_S)
        _start_api(settings, services, stack)


def run_api(settings: config.Settings) -> None:
    """Answer REST requests until told to stop."""
    _require_no_authentication(settings)
    with _until_stopped("api") as stack:
        _start_api(settings, make_services(settings, stack), stack)


def make_services(settings: config.Settings, stack: ExitStack) -> ApiServices:
    """Return what an API process that is joined to its engines by the bus is built from."""
    database = wiring.make_database(settings)
    stack.callback(database.dispose)
    transport = get_transport(settings.conf, _bus(settings))
    doorbell = RemoteDoorbell(transport, _topic(settings))
    doorbell.start()
    stack.callback(doorbell.stop)
    registry, evaluator = wiring.make_registry(settings), wiring.make_evaluator(settings)
    return wiring.make_api_services(settings, database, registry, evaluator, doorbell)


def run_engine(settings: config.Settings) -> None:
    """Decide what happens next in workflows until told to stop."""
    database = wiring.make_database(settings)
    engine = wiring.make_engine(
        settings, database, wiring.make_registry(settings), wiring.make_evaluator(settings)
    )
    transport = get_transport(settings.conf, _bus(settings))
    name = f"{settings.engine.host}.{os.getpid()}"
    server = EngineServer(transport, _topic(settings), name, engine)
    with _until_stopped("engine") as stack:
        stack.callback(database.dispose)
        stack.callback(server.stop)
        engine.start()
        # Before the server: it waits for the calls under way, which the engine sends home.
        stack.callback(engine.stop)
        server.start()


def run_executor(settings: config.Settings) -> None:
    """Run actions until told to stop."""
    transport = get_transport(settings.conf, _bus(settings))
    gateway = RemoteEngine(transport, _topic(settings))
    executor = Executor(gateway, wiring.make_registry(settings), wiring.make_executor_settings(settings))
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


def _bus(settings: config.Settings) -> str:
    if settings.transport_url is None:
        raise InputError("[DEFAULT] transport_url is not set.")
    return settings.transport_url


def _topic(settings: config.Settings) -> str:
    # Not the plain name: a Mistral on the same broker, during a move, must not get our messages.
    return f"mistral_lite.{settings.engine.topic}"


def _require_no_authentication(settings: config.Settings) -> None:
    if settings.auth.enabled:
        raise InputError(
            "Authentication is not available yet: set [pecan] auth_enable = false, and let only trusted "
            "callers reach the API."
        )
