"""The API for a WSGI server of the operator's choice: ``mistral_lite.api.wsgi:application``.

``MISTRAL_LITE_CONFIG_FILE`` names the configuration file (several: separated by colons). The application is
built with its first request, so that a server may fork after it has loaded this module.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

from mistral_lite import config, parts
from mistral_lite.api.app import Environ, WsgiApp, build_app
from mistral_lite.api.services import ApiServices, ApiSettings, ValidationMode
from mistral_lite.db.transaction import Database
from mistral_lite.rpc.messaging import RemoteDoorbell, get_transport
from mistral_lite.rpc.protocol import Doorbell

CONFIG_FILE = "MISTRAL_LITE_CONFIG_FILE"


def make_services(settings: config.Settings, database: Database, doorbell: Doorbell) -> ApiServices:
    """Return what the API is built from."""
    return ApiServices(
        database=database,
        doorbell=doorbell,
        registry=parts.make_registry(settings),
        evaluator=parts.make_evaluator(settings),
        settings=ApiSettings(
            max_limit=settings.api.max_limit,
            allow_action_execution_deletion=settings.api.allow_action_execution_deletion,
            validation_mode=ValidationMode(settings.api.validation_mode),
            info_path=settings.api.info_json_file_path if settings.api.enable_info_endpoint else None,
            field_size_limit_kb=parts.field_size_limit_kb(settings),
        ),
    )


def make_doorbell(settings: config.Settings) -> RemoteDoorbell:
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
        return self._built()(environ, start_response)

    def _built(self) -> WsgiApp:
        with self._lock:
            if self._app is None:
                self._app = _build()
            return self._app


def _build() -> WsgiApp:
    files = [path for path in os.environ.get(CONFIG_FILE, "").split(os.pathsep) if path]
    settings = config.load(files)
    parts.require_no_authentication(settings)
    doorbell = make_doorbell(settings)
    doorbell.start()
    return build_app(make_services(settings, parts.make_database(settings), doorbell))


application = Application()
