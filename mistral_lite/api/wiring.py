"""From settings to what the API is built from, whatever serves it."""

from __future__ import annotations

from mistral_lite import config, parts
from mistral_lite.api.services import ApiServices, ApiSettings, ValidationMode
from mistral_lite.db.transaction import Database
from mistral_lite.rpc.protocol import Doorbell


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
            is_healthcheck_enabled=settings.api.healthcheck_enabled,
            rpc_response_timeout_s=settings.api.rpc_response_timeout_s,
            field_size_limit_kb=parts.field_size_limit_kb(settings),
            max_body_bytes=settings.api.max_body_bytes,
            trust_proxy_headers=settings.api.trust_proxy_headers,
            notify=settings.notify,
        ),
    )
