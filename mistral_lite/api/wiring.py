"""From settings to what the API is built from, whatever serves it."""

from __future__ import annotations

from mistral_lite import config, parts
from mistral_lite.actions.registry import ActionRegistry
from mistral_lite.api.access import AccessRules
from mistral_lite.api.app import WsgiApp, build_app
from mistral_lite.api.auth.base import Authenticator, NoAuthentication
from mistral_lite.api.delegation import Delegation
from mistral_lite.api.services import ApiServices, ApiSettings, ValidationMode
from mistral_lite.api.waiting import Waiting
from mistral_lite.db import applied, bells
from mistral_lite.db.listening import Listener
from mistral_lite.db.transaction import Database
from mistral_lite.rpc.protocol import Doorbell


def make_services(
    settings: config.Settings,
    database: Database,
    registry: ActionRegistry,
    doorbell: Doorbell,
    waiting: Waiting,
) -> ApiServices:
    """Return what the API is built from. Raises ``InputError`` if callers cannot be asked who they are."""
    trusts = parts.make_trusts(settings)
    return ApiServices(
        database=database,
        doorbell=doorbell,
        waiting=waiting,
        registry=registry,
        evaluator=parts.make_evaluator(settings),
        access=AccessRules(settings.conf),
        authenticator=make_authenticator(settings),
        delegation=Delegation(
            parts.make_sealer(settings, trusts), trusts, trust_executions=settings.auth.trust_executions
        ),
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
            has_dynamic_actions=settings.dynamic_actions_enabled,
        ),
    )


def make_app(settings: config.Settings, services: ApiServices) -> WsgiApp:
    """Return the API as a WSGI application, open to pages of other sites where the operator says so."""
    app = build_app(services)
    if not settings.api.has_cors:
        return app
    # Imported only where wanted, like the authenticators.
    from mistral_lite.api.cors import allow_origins  # noqa: PLC0415

    return allow_origins(app, settings.conf)


def make_authenticator(settings: config.Settings) -> Authenticator:
    """Return the way to find out who calls. Raises ``InputError``."""
    # Imported only where chosen: the libraries of Keystone take half a second to load.
    match settings.auth.mode:
        case config.AuthMode.KEYSTONE:
            from mistral_lite.api.auth.keystone import KeystoneAuthenticator  # noqa: PLC0415

            return KeystoneAuthenticator(settings.conf)
        case config.AuthMode.BASIC:
            from mistral_lite.api.auth.basic import BasicAuthenticator  # noqa: PLC0415

            auth = settings.auth
            return BasicAuthenticator(auth.htpasswd_file, auth.projects, auth.admins)
        case config.AuthMode.NONE:
            return NoAuthentication()


def listen_to_engines(database: Database, waiting: Waiting, known: bells.Bells) -> Listener:
    """Return what tells ``waiting`` what engines of other processes have applied, and notes which bells they hear.

    Not started yet.
    """

    def set_told(is_told: bool) -> None:
        waiting.is_told = is_told

    def tell(payload: str) -> None:
        waiting.tell(applied.read(payload))

    heard = {applied.CHANNEL: tell, bells.CHANNEL: known.note}
    return Listener(database, "engines-listener", heard, is_on=set_told)
