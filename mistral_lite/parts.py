"""From settings to the parts that several roles are built from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mistral_lib.actions.context import SecurityContext

from mistral_lite import config
from mistral_lite.actions.egress import HttpSettings
from mistral_lite.actions.queues import ZaqarSettings
from mistral_lite.actions.registry import ActionRegistry, ActionSettings
from mistral_lite.db.transaction import Database
from mistral_lite.errors import InputError
from mistral_lite.expressions import Evaluator, ExpressionSettings
from mistral_lite.expressions.plugins import load_functions
from mistral_lite.sealing import Sealer

if TYPE_CHECKING:
    from mistral_lite.actions.zaqar import ZaqarQueues
    from mistral_lite.trusts import Trusts


def make_database(settings: config.Settings) -> Database:
    """Return the database of ``[database] connection``. Raises ``InputError`` if there is none."""
    connection = settings.database.connection
    if connection is None:
        raise InputError("[database] connection is not set.")
    return Database(connection, pool_size=settings.database.max_pool_size)


def http_settings(settings: config.Settings) -> HttpSettings:
    """Return the bounds of outgoing HTTP."""
    return HttpSettings(
        allowed_hosts=settings.http.allowed_hosts,
        denied_cidrs=settings.http.denied_cidrs,
        default_timeout_s=settings.http.default_timeout_s,
        max_response_bytes=settings.http.max_response_size_bytes,
    )


def make_registry(settings: config.Settings) -> ActionRegistry:
    """Return the installed actions."""
    return ActionRegistry.load(
        ActionSettings(
            http=http_settings(settings),
            embedded_queues=settings.queues.embedded,
            connect_queues=find_zaqar(settings),
        )
    )


def find_zaqar(settings: config.Settings) -> Callable[[SecurityContext], ZaqarQueues] | None:
    """Return what reaches the queues of the configured Zaqar, None without one.

    Raises ``InputError`` if its client is not installed.
    """
    if not settings.queues.is_zaqar:
        return None
    try:
        # Only here: it is an optional library.
        from mistral_lite.actions.zaqar import connector  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "[queues] names a Zaqar, which needs the library python-zaqarclient: install mistral-lite[zaqar]."
        ) from error
    return connector(
        ZaqarSettings(
            endpoint=settings.queues.zaqar_endpoint,
            uses_tokens=settings.queues.zaqar_uses_tokens,
            timeout_s=settings.queues.zaqar_timeout_s,
        )
    )


def make_evaluator(settings: config.Settings) -> Evaluator:
    """Return the evaluator of expressions."""
    options = settings.expressions
    return Evaluator(
        ExpressionSettings(
            allowed_languages=options.allowed_languages,
            max_time_s=options.max_time_s,
            max_memory_bytes=options.max_memory_bytes,
            max_result_bytes=options.max_result_size_bytes,
            limit_iterators=options.yaql.limit_iterators,
            memory_quota_bytes=options.yaql.memory_quota,
            convert_input_data=options.yaql.convert_input_data,
            convert_output_data=options.yaql.convert_output_data,
            convert_tuples_to_lists=options.yaql.convert_tuples_to_lists,
            convert_sets_to_lists=options.yaql.convert_sets_to_lists,
            iterable_dicts=options.yaql.iterable_dicts,
            keyword_operator=options.yaql.keyword_operator,
            allow_delegates=options.yaql.allow_delegates,
        ),
        load_functions(),
    )


def field_size_limit_kb(settings: config.Settings) -> int:
    """Return the bound of inputs, outputs and published values; -1 for none."""
    limit = settings.engine.field_size_limit_bytes
    return -1 if limit is None else limit // 1024


def engine_topic(settings: config.Settings) -> str:
    """Return the topic that engines serve."""
    # Not the plain name: a Mistral on the same broker, during a move, must not get our messages.
    return f"mistral_lite.{settings.engine.topic}"


def bus_url(settings: config.Settings) -> str:
    """Return ``[DEFAULT] transport_url``. Raises ``InputError`` if it is not set."""
    if settings.transport_url is None:
        raise InputError("[DEFAULT] transport_url is not set.")
    return settings.transport_url


def make_trusts(settings: config.Settings) -> Trusts | None:
    """Return the service user's dealings with Keystone, None where callers are vouched for by others.

    Raises ``InputError`` if the service user cannot be used.
    """
    if settings.auth.mode != config.AuthMode.KEYSTONE:
        return None
    # Only here: its libraries take half a second to load.
    from mistral_lite.trusts import Trusts  # noqa: PLC0415

    return Trusts(settings.conf)


def make_sealer(settings: config.Settings, trusts: Trusts | None) -> Sealer:
    """Return what tokens are sealed with; the service user's secret does where there is no key."""
    keys = settings.auth.encryption_keys
    if keys or trusts is None:
        return Sealer(keys)
    if trusts.secret is None:
        raise InputError(
            "[security_context] encryption_keys is not set, and the service user has no password to use instead."
        )
    return Sealer((trusts.secret,))
