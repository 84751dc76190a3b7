"""Answers that pages of other sites may read (CORS), by oslo.middleware."""

from __future__ import annotations

from typing import cast

from oslo_config import cfg
from oslo_middleware import cors

from mistral_lite.api.app import WsgiApp

_SIMPLE = ["X-Project-Id", "X-User-Name", "X-Project-Name"]


def set_defaults() -> None:
    """Give the options of ``[cors]`` the defaults of Mistral; oslo-config-generator calls it, too."""
    cors.set_defaults(
        allow_methods=["GET", "PUT", "POST", "DELETE", "PATCH"],
        allow_headers=[
            "X-Auth-Token",
            "X-Identity-Status",
            "X-Roles",
            "X-Service-Catalog",
            "X-User-Id",
            "X-Tenant-Id",
            *_SIMPLE,
        ],
        expose_headers=["X-Auth-Token", "X-Subject-Token", "X-Service-Token", *_SIMPLE],
    )


def allow_origins(app: WsgiApp, conf: cfg.ConfigOpts) -> WsgiApp:
    """Return ``app`` with the headers that let browsers show its answers to the origins of ``[cors]``."""
    set_defaults()
    return cast("WsgiApp", cors.CORS(app, conf))
