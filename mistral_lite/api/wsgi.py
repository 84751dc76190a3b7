"""The API for a WSGI server of the operator's choice: ``mistral_lite.api.wsgi:application``.

``MISTRAL_LITE_CONFIG_FILE`` names the configuration file (several: separated by colons). The application is
built with its first request, so that a server may fork after it has loaded this module. Until the
configuration is usable, requests are answered with 503 and the log says what to mend.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable

from mistral_lite import config, log, log_setup, parts, plugin_options
from mistral_lite.api.app import Environ, WsgiApp
from mistral_lite.api.doorbell import DistantDoorbell
from mistral_lite.api.errors import error_response
from mistral_lite.api.waiting import Waiting
from mistral_lite.api.wiring import listen_to_engines, make_app, make_services
from mistral_lite.db.bells import Bells
from mistral_lite.errors import InputError, MistralLiteError, UnavailableError
from mistral_lite.rpc.messaging import RemoteDoorbell, get_transport

LOG = logging.getLogger(__name__)

CONFIG_FILE = "MISTRAL_LITE_CONFIG_FILE"

_NOT_READY = UnavailableError("The service is not configured. The log of the service says more.")


def make_bus_doorbell(settings: config.Settings) -> RemoteDoorbell:
    """Return a doorbell that rings the engines over the bus."""
    transport = get_transport(settings.conf, parts.bus_url(settings))
    return RemoteDoorbell(transport, parts.engine_topic(settings))


class Application:
    """A WSGI application that reads its configuration with the first request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._app: WsgiApp | None = None

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        """Answer one request."""
        try:
            app = self._built()
        except MistralLiteError as error:
            # Not for the caller: it speaks of the operator's files.
            log.write(
                LOG, logging.ERROR, log.Event.SERVICE_FAILED, "The API cannot be built", reason=str(error)
            )
            answer: Iterable[bytes] = error_response(_NOT_READY)(environ, start_response)
            return answer
        return app(environ, start_response)

    def _built(self) -> WsgiApp:
        with self._lock:
            if self._app is None:
                self._app = _build()
            return self._app


def _build() -> WsgiApp:
    files = [path for path in os.environ.get(CONFIG_FILE, "").split(os.pathsep) if path]
    if not files:
        raise InputError(
            f"The environment variable {CONFIG_FILE} is not set: it names the configuration file."
        )
    settings = config.load(files)
    log_setup.setup(settings)
    plugin_options.publish(settings)
    database = parts.make_database(settings)
    bus, bells, waiting = make_bus_doorbell(settings), Bells(database), Waiting()
    # Before anything is started: this may fail, and is tried again with the next request.
    registry = parts.make_registry(settings)
    services = make_services(settings, database, registry, DistantDoorbell(bells, bus), waiting)
    app = make_app(settings, services)
    bus.start()
    listen_to_engines(database, waiting, bells).start()
    return app


application = Application()
