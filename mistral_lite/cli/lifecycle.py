"""The life of a process: start in order, run until SIGTERM or SIGINT, end in reverse order.

The end is a drain: no new requests, no new actions, what runs may finish for a while, everything that was
begun is reported. All of it within seconds; what is not done by then is in the database.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from types import FrameType

from cheroot import wsgi

from mistral_lite import config, log
from mistral_lite.api.services import ApiServices
from mistral_lite.api.wiring import make_app
from mistral_lite.cli.connections import Connection

LOG = logging.getLogger(__name__)

# How long requests that are being answered may take at the end.
_DRAIN_S = 5.0
_API_THREADS = 20
_WAITING_CONNECTIONS = 128


def start_api(settings: config.Settings, services: ApiServices, stack: ExitStack) -> None:
    """Serve the API at ``[api] host`` and ``port`` until ``stack`` unwinds."""
    if not settings.auth.enabled:
        _warn_of_strangers(settings.api.host)
    server = wsgi.Server(
        (settings.api.host, settings.api.port),
        make_app(settings, services),
        numthreads=_API_THREADS,
        server_name="mistral-lite",
        # Connections that wait to be accepted; the default of 5 resets them under a burst.
        request_queue_size=_WAITING_CONNECTIONS,
    )
    server.shutdown_timeout = _DRAIN_S
    server.ConnectionClass = Connection
    server.prepare()
    thread = threading.Thread(target=server.serve, name="api", daemon=True)
    thread.start()
    stack.callback(thread.join, _DRAIN_S)
    stack.callback(server.stop)


def _warn_of_strangers(host: str) -> None:
    """Warn an operator whose API asks nobody who they are, and can be reached from elsewhere."""
    if not _is_loopback(host):
        log.write(
            LOG,
            logging.WARNING,
            log.Event.AUTHENTICATION_OFF,
            "ANYBODY WHO REACHES THIS API MAY DO EVERYTHING: [pecan] auth_enable is false and it does not listen on "
            "this machine only. Set [api] host = 127.0.0.1, or ask callers who they are",
            host=host,
        )


def _is_loopback(host: str) -> bool:
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return all(ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)


@contextmanager
def until_stopped(role: str) -> Iterator[ExitStack]:
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
