"""Configuration files in, frozen settings out.

``load`` reads the files with a private ``ConfigOpts``; the global one is never touched, and after ``load``
nobody asks an option by name except the oslo libraries that register options of their own (they get
``Settings.conf``). Only ``cli/``, ``parts``, ``log_setup`` and the wiring of ``api/`` read this module; every
other part is handed the dataclass that it needs. The options themselves are declared in ``config_options.py``.
"""

from __future__ import annotations

import ast
import contextlib
import io
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from oslo_config import cfg
from oslo_log import log as oslo_log

from mistral_lite.config_options import BUS_OPTIONS, COMPATIBILITY, CORS_OPTIONS, OPTIONS, list_opts
from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonObject
from mistral_lite.jsontext import load as load_json

__all__ = ["OptionValues", "Settings", "list_opts", "load"]

PROJECT = "mistral-lite"

# (group, name) -> value
OptionValues = Mapping[tuple[str, str], object]

_DATABASES = frozenset({"postgresql", "postgres", "mysql", "mariadb", "sqlite"})

_LOOPBACK = "127.0.0.1"
_WILDCARD_HOSTS = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- compared with, not bound to


class ValidationMode(StrEnum):
    """When uploaded definitions are checked."""

    MANDATORY = "mandatory"
    ENABLED = "enabled"
    DISABLED = "disabled"


class CallbackUrlForm(StrEnum):
    """What the ``Mistral-Callback-URL`` header holds."""

    ABSOLUTE = "absolute"
    REFERENCE = "reference"


class MergeStrategy(StrEnum):
    """How mappings of the same name from several branches are joined."""

    REPLACE = "replace"
    MERGE = "merge"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """``[database]``. ``connection`` is a URL as the operator wrote it, None if not configured; a secret."""

    connection: str | None
    max_pool_size: int

    def __repr__(self) -> str:
        return f"DatabaseSettings(configured={self.connection is not None})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """``[api]`` and what else the API obeys.

    ``public_endpoint`` is always set: an absolute URL without a slash at its end. ``rpc_response_timeout_s``
    is that of ``[DEFAULT]``, ``trust_proxy_headers`` is ``[oslo_middleware] enable_proxy_headers_parsing``.
    ``has_cors``: whether ``[cors]``, which oslo.middleware reads, allows any origin.
    """

    host: str
    port: int
    public_endpoint: str
    callback_url_form: CallbackUrlForm
    max_limit: int
    allow_action_execution_deletion: bool
    validation_mode: ValidationMode
    enable_info_endpoint: bool
    info_json_file_path: str
    healthcheck_enabled: bool
    max_body_bytes: int
    rpc_response_timeout_s: int
    trust_proxy_headers: bool
    has_cors: bool


class AuthMode(StrEnum):
    """Who vouches for callers."""

    NONE = "none"
    KEYSTONE = "keystone"
    BASIC = "basic"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """``[pecan] auth_enable``, ``[DEFAULT] auth_type`` and what they need.

    ``projects``: user -> project, for basic authentication. ``encryption_keys`` are secrets, and empty if the
    password of the service user stands for them. ``trust_executions``: whether executions get trusts.
    """

    mode: AuthMode
    htpasswd_file: str
    projects: Mapping[str, str]
    admins: frozenset[str]
    encryption_keys: tuple[str, ...] = field(repr=False)
    trust_executions: bool

    @property
    def enabled(self) -> bool:
        """Whether callers must prove who they are."""
        return self.mode != AuthMode.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """``[engine]`` and ``[context_versioning]``. A ``field_size_limit_bytes`` of None means unlimited."""

    host: str
    topic: str
    field_size_limit_bytes: int | None
    merge_strategy: MergeStrategy
    action_lease_s: int
    context_versioning_enabled: bool
    most_items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSettings:
    """``[executor]``. ``host`` is the name that the ``target`` of a task may address."""

    host: str
    max_concurrent_actions: int
    drain_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CronTriggerSettings:
    """``[cron_trigger]``."""

    enabled: bool
    execution_interval_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpirationSettings:
    """``[execution_expiration_policy]``. An interval or an age of None and a number of 0 mean: not asked for."""

    evaluation_interval_s: int | None
    older_than_s: int | None
    max_finished_executions: int
    batch_size: int
    ignored_states: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """``[action_std_http]``. ``allowed_hosts`` empty: any host; timeout and size 0: none."""

    allowed_hosts: tuple[str, ...]
    denied_cidrs: tuple[str, ...]
    default_timeout_s: int
    max_response_size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class YaqlOptions:
    """``[yaql]``. A limit of -1 stands for the bound of the expression package."""

    limit_iterators: int
    memory_quota: int
    convert_input_data: bool
    convert_output_data: bool
    convert_tuples_to_lists: bool
    convert_sets_to_lists: bool
    iterable_dicts: bool
    keyword_operator: str
    allow_delegates: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionOptions:
    """``[expressions]`` and ``[yaql]``; ``cli/`` turns them into the settings of the evaluator."""

    allowed_languages: tuple[str, ...]
    max_time_s: float
    max_memory_bytes: int
    max_result_size_bytes: int
    yaql: YaqlOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """``[queues]``; times are seconds.

    ``is_zaqar``: the actions on queues work on those of a Zaqar, whose address is ``zaqar_endpoint`` or, if that is None,
    in the catalogue of Keystone. ``zaqar_callback_url``: where Zaqar reaches this API, without a slash at its end; None
    if it does not.
    """

    embedded: bool
    is_zaqar: bool
    zaqar_endpoint: str | None
    zaqar_uses_tokens: bool
    zaqar_timeout_s: float
    zaqar_callback_url: str | None
    zaqar_poll_interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one process.

    ``conf`` is for oslo libraries, which register and read their own options on it. ``transport_url`` is a
    secret; None if no message bus is configured. ``notify``: publishers that hear of every execution; their
    headers may hold secrets. ``event_definitions_file``: a path; the file need not be there.
    """

    conf: cfg.ConfigOpts
    config_files: tuple[str, ...]
    transport_url: str | None
    database: DatabaseSettings
    api: ApiSettings
    auth: AuthSettings
    engine: EngineSettings
    executor: ExecutorSettings
    cron_trigger: CronTriggerSettings
    notify: tuple[JsonObject, ...]
    event_definitions_file: str
    dynamic_actions_enabled: bool
    queues: QueueSettings
    expiration: ExpirationSettings
    http: HttpSettings
    expressions: ExpressionOptions

    def __repr__(self) -> str:
        return f"Settings(config_files={self.config_files!r})"


def load(
    config_files: Sequence[str] = (),
    *,
    defaults: OptionValues | None = None,
    overrides: OptionValues | None = None,
) -> Settings:
    """Return the settings from ``config_files`` (later files win) and the defaults.

    ``defaults`` replace the declared ones and yield to the files; ``overrides`` (the command line) win over
    the files. Raises ``InputError`` naming the file or the option.
    """
    try:
        conf = _parse(config_files)
        _replace_values(conf.set_default, defaults or {})
        _replace_values(conf.set_override, overrides or {})
        _check_values(conf)
        return _settings(conf, tuple(config_files), _options_of_others(config_files))
    except cfg.ConfigFilesNotFoundError as error:
        raise InputError(f"Configuration file not found: {', '.join(error.config_files)}.") from error
    except cfg.ConfigFilesPermissionDeniedError as error:
        raise InputError(f"Configuration file not readable: {', '.join(error.config_files)}.") from error
    except cfg.ConfigFileParseError as error:
        # The text of the error repeats the line, which may hold a password.
        raise InputError(
            f"Configuration file {error.config_file} is not an INI file: look for a line without '='."
        ) from error
    except OSError as error:
        raise InputError(f"Configuration not readable: {error.strerror} ({error.filename}).") from error


def _parse(config_files: Sequence[str]) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    for table in (OPTIONS, COMPATIBILITY):
        for group, options in table.items():
            conf.register_opts(options, group=_group_argument(group))
    # Before parsing, because oslo.log declares some of its options as command line options.
    oslo_log.register_options(conf)
    # The command line belongs to argparse in ``cli/main.py``: none is passed, and no file is guessed.
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            conf(args=[], project=PROJECT, default_config_files=list(config_files), default_config_dirs=[])
    except SystemExit as error:
        # How oslo.config refuses a bad value of an option that could stand on a command line, as "debug" could.
        reason = complaint.getvalue().strip().removeprefix("argument --")
        raise InputError(f"Configuration option [DEFAULT] {reason}.") from error
    return conf


def _group_argument(group: str) -> str | None:
    """Return ``group`` as oslo.config takes it: it has no name for the default group."""
    return None if group == "DEFAULT" else group


def _replace_values(setter: Callable[..., None], values: OptionValues) -> None:
    for (group, name), value in values.items():
        try:
            setter(name, value, group=_group_argument(group))
        except ValueError as error:
            raise InputError(f"Configuration option [{group}] {name} is not valid: {error}.") from error


def _check_values(conf: cfg.ConfigOpts) -> None:
    """Read every value once, because oslo.config converts on reading and does not name the group."""
    for group, options in OPTIONS.items():
        _check_group(conf, group, options)


def _check_group(conf: cfg.ConfigOpts, group: str, options: Sequence[cfg.Opt]) -> None:
    for option in options:
        try:
            conf.get(option.dest) if group == "DEFAULT" else conf[group][option.dest]
        except (cfg.ConfigFileValueError, ValueError) as error:
            reason = str(error).rpartition(" is not valid: ")[2]
            raise InputError(
                f"Configuration option [{group}] {option.name} is not valid: {reason}."
            ) from error


def _options_of_others(config_files: Sequence[str]) -> cfg.ConfigOpts:
    """Read apart what oslo.messaging and oslo.middleware register on ``conf`` themselves."""
    conf = cfg.ConfigOpts()
    conf.register_opts(BUS_OPTIONS)
    conf.register_opts(CORS_OPTIONS, group="cors")
    conf(args=[], project=PROJECT, default_config_files=list(config_files), default_config_dirs=[])
    _check_group(conf, "DEFAULT", BUS_OPTIONS)
    _check_group(conf, "cors", CORS_OPTIONS)
    return conf


def _settings(conf: cfg.ConfigOpts, config_files: tuple[str, ...], others: cfg.ConfigOpts) -> Settings:
    return Settings(
        conf=conf,
        config_files=config_files,
        transport_url=others.transport_url or None,
        database=_database(conf),
        api=_api(conf, others),
        auth=_auth(conf),
        engine=_engine(conf),
        executor=ExecutorSettings(
            host=conf.executor.host,
            max_concurrent_actions=conf.executor.max_concurrent_actions,
            drain_s=conf.executor.drain_timeout,
        ),
        cron_trigger=CronTriggerSettings(
            enabled=conf.cron_trigger.enabled,
            execution_interval_s=conf.cron_trigger.execution_interval,
        ),
        expiration=_expiration(conf),
        notify=_publishers(conf.notifier.notify),
        event_definitions_file=conf.event_engine.event_definitions_cfg_file,
        dynamic_actions_enabled=conf.dynamic_actions.enabled,
        queues=_queues(conf),
        http=HttpSettings(
            allowed_hosts=tuple(conf.action_std_http.allowed_hosts),
            denied_cidrs=tuple(conf.action_std_http.denied_cidrs),
            default_timeout_s=conf.action_std_http.default_timeout,
            max_response_size_bytes=conf.action_std_http.max_response_size_bytes,
        ),
        expressions=_expressions(conf),
    )


def _database(conf: cfg.ConfigOpts) -> DatabaseSettings:
    connection: str | None = conf.database.connection or None
    if connection is not None:
        backend, separator, _ = connection.partition("://")
        if not separator or backend.partition("+")[0] not in _DATABASES:
            # The URL is not repeated: it may hold a password.
            raise InputError(
                "[database] connection must begin with postgresql://, mysql://, mariadb:// or sqlite:///."
            )
    return DatabaseSettings(connection=connection, max_pool_size=conf.database.max_pool_size)


def _auth(conf: cfg.ConfigOpts) -> AuthSettings:
    if conf.pecan.auth_enable and conf.auth_type == "keycloak-oidc":
        raise InputError(
            "[DEFAULT] auth_type = keycloak-oidc is not supported: use keystone or basic, or set "
            "[pecan] auth_enable = false and let a proxy in front ask who calls."
        )
    return AuthSettings(
        mode=AuthMode(conf.auth_type) if conf.pecan.auth_enable else AuthMode.NONE,
        htpasswd_file=conf.oslo_middleware.http_basic_auth_user_file,
        projects=conf.basic_auth.projects,
        admins=frozenset(conf.basic_auth.admins),
        encryption_keys=tuple(conf.security_context.encryption_keys),
        trust_executions=conf.security_context.trust_executions,
    )


def _api_host(conf: cfg.ConfigOpts) -> str:
    """Return where to listen: where nobody is asked who they are, only on this machine, unless told otherwise."""
    host: str = conf.api.host
    place = conf.get_location("host", group="api")
    is_default = place is None or place.location == cfg.Locations.opt_default
    return _LOOPBACK if is_default and not conf.pecan.auth_enable else host


def _api(conf: cfg.ConfigOpts, others: cfg.ConfigOpts) -> ApiSettings:
    group = conf.api
    if group.enable_ssl_api:
        # Ignoring the wish would serve plain HTTP to an operator who believes in TLS.
        raise InputError(
            "[api] enable_ssl_api is not supported: let a reverse proxy end TLS and set the option to false."
        )
    host = _api_host(conf)
    return ApiSettings(
        host=host,
        port=group.port,
        public_endpoint=_public_endpoint(group.public_endpoint, host, group.port),
        callback_url_form=CallbackUrlForm(group.callback_url_form),
        max_limit=group.max_limit,
        allow_action_execution_deletion=group.allow_action_execution_deletion,
        validation_mode=ValidationMode(group.validation_mode),
        enable_info_endpoint=group.enable_info_endpoint,
        info_json_file_path=group.info_json_file_path,
        healthcheck_enabled=conf.healthcheck.enabled,
        max_body_bytes=group.max_request_body_size_kb * 1024,
        rpc_response_timeout_s=others.rpc_response_timeout,
        trust_proxy_headers=conf.oslo_middleware.enable_proxy_headers_parsing,
        has_cors=bool(others.cors.allowed_origin),
    )


def _public_endpoint(configured: str | None, host: str, port: int) -> str:
    if configured is None:
        reachable = socket.gethostname() if host in _WILDCARD_HOSTS else host
        return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
    if _is_versioned(_absolute("[api] public_endpoint", configured)):
        raise InputError("[api] public_endpoint must not end in /v2: callers append it.")
    return configured.rstrip("/")


def _absolute(option: str, url: str) -> str:
    """Return ``url`` without a slash at its end. Raises ``InputError`` unless it is absolute."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(f"{option} must be an absolute http:// or https:// URL.")
    return url.rstrip("/")


def _is_versioned(url: str) -> bool:
    return urlsplit(url).path.endswith("/v2")


def _queues(conf: cfg.ConfigOpts) -> QueueSettings:
    group = conf.queues
    urls: dict[str, str | None] = {
        name: _absolute(f"[queues] {name}", group[name]) if group[name] else None
        for name in ("zaqar_endpoint", "zaqar_callback_url")
    }
    uses_tokens = group.zaqar_auth_type == "keystone"
    callback_url = urls["zaqar_callback_url"]
    if callback_url is not None and _is_versioned(callback_url):
        raise InputError("[queues] zaqar_callback_url must not end in /v2: it is appended.")
    return QueueSettings(
        embedded=group.embedded,
        is_zaqar=uses_tokens or urls["zaqar_endpoint"] is not None,
        zaqar_endpoint=urls["zaqar_endpoint"],
        zaqar_uses_tokens=uses_tokens,
        zaqar_timeout_s=group.zaqar_timeout,
        zaqar_callback_url=callback_url,
        zaqar_poll_interval_s=group.zaqar_poll_interval,
    )


def _engine(conf: cfg.ConfigOpts) -> EngineSettings:
    group = conf.engine
    limit_kb: int = group.execution_field_size_limit_kb
    return EngineSettings(
        host=group.host,
        topic=group.topic,
        field_size_limit_bytes=None if limit_kb < 0 else limit_kb * 1024,
        merge_strategy=MergeStrategy(group.merge_strategy),
        action_lease_s=group.action_lease_time,
        context_versioning_enabled=conf.context_versioning.enabled,
        most_items=group.max_items_at_once,
    )


def _publishers(text: str) -> tuple[JsonObject, ...]:
    """Return the publishers of ``[notifier] notify``, which Mistral reads as a Python expression."""
    try:
        found = load_json(text)
    except ValueError:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found = None
    if not isinstance(found, list) or not all(isinstance(each, dict) and "type" in each for each in found):
        # Not repeated in the text: headers may hold secrets.
        raise InputError("[notifier] notify must be a list of mappings, each with a type.")
    return tuple(found)


def _expiration(conf: cfg.ConfigOpts) -> ExpirationSettings:
    group = conf.execution_expiration_policy
    return ExpirationSettings(
        evaluation_interval_s=group.evaluation_interval * 60 if group.evaluation_interval else None,
        older_than_s=group.older_than * 60 if group.older_than else None,
        max_finished_executions=group.max_finished_executions,
        batch_size=group.batch_size,
        ignored_states=tuple(group.ignored_states),
    )


def _expressions(conf: cfg.ConfigOpts) -> ExpressionOptions:
    yaql = conf.yaql
    if yaql.convert_input_data and not yaql.convert_output_data:
        raise InputError("[yaql] convert_output_data = false needs convert_input_data = false as well.")
    return ExpressionOptions(
        allowed_languages=tuple(conf.expressions.allowed_languages),
        max_time_s=conf.expressions.max_time,
        max_memory_bytes=conf.expressions.max_memory_mb * 1024 * 1024,
        max_result_size_bytes=conf.expressions.max_result_size_kb * 1024,
        yaql=YaqlOptions(
            limit_iterators=yaql.limit_iterators,
            memory_quota=yaql.memory_quota,
            convert_input_data=yaql.convert_input_data,
            convert_output_data=yaql.convert_output_data,
            convert_tuples_to_lists=yaql.convert_tuples_to_lists,
            convert_sets_to_lists=yaql.convert_sets_to_lists,
            iterable_dicts=yaql.iterable_dicts,
            keyword_operator=yaql.keyword_operator,
            allow_delegates=yaql.allow_delegates,
        ),
    )
