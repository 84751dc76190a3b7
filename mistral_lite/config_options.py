"""Every option of this service's own, declared as data.

Names, groups and defaults are those of Mistral wherever Mistral has the option, so that an operator's file
carries over. ``OPTIONS`` holds what has an effect; ``COMPATIBILITY`` what is accepted and ignored, with
the reason in its help. Nothing is registered here and no value is read: that is ``config.load``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oslo_config import cfg, types

NO_EFFECT = "Accepted for compatibility; no effect."
NO_EFFECT_YET = "Accepted for compatibility; has no effect yet."

# oslo.messaging registers these itself and allows no second registration, so they are read apart.
BUS_OPTIONS = (
    cfg.StrOpt(
        "transport_url",
        secret=True,
        help="Message bus that joins the api, engine and executor processes, for example "
        "rabbit://user:password@host:5672/. The all-in-one service needs none.",
    ),
    cfg.IntOpt(
        "rpc_response_timeout",
        default=60,
        min=1,
        help="Seconds that the API waits for the result of an action that is run without being saved.",
    ),
)

# oslo.middleware registers the whole group itself; this one says whether there is a use for it.
CORS_OPTIONS = (cfg.ListOpt("allowed_origin", default=[]),)

_API = (
    cfg.HostAddressOpt(
        "host", default="0.0.0.0", help="Address to listen on. 'mistral-lite serve' defaults to 127.0.0.1."
    ),
    cfg.PortOpt("port", default=8989, help="TCP port to listen on."),
    cfg.StrOpt(
        "public_endpoint",
        help="Base URL under which third parties reach this API, without /v2. Callbacks are addressed to it. "
        "Unset: built from host and port.",
    ),
    cfg.StrOpt(
        "callback_url_form",
        default="absolute",
        choices=[
            ("absolute", "the base URL of this service, as public_endpoint says"),
            ("reference", "the relative path of the action execution, as Mistral sends it"),
        ],
        help="What the Mistral-Callback-URL header of outgoing requests holds.",
    ),
    cfg.IntOpt("max_limit", default=1000, min=1, help="The most objects that one list answer may hold."),
    cfg.BoolOpt(
        "allow_action_execution_deletion",
        default=False,
        help="Whether finished action executions without a task may be deleted.",
    ),
    cfg.StrOpt(
        "validation_mode",
        default="mandatory",
        choices=[
            ("mandatory", "always check definitions"),
            ("enabled", "check unless the request says skip_validation"),
            ("disabled", "never check"),
        ],
        help="When uploaded definitions are checked.",
    ),
    cfg.BoolOpt("enable_info_endpoint", default=False, help="Whether GET /info answers."),
    cfg.StrOpt("info_json_file_path", default="info.json", help="The JSON file that GET /info answers with."),
    cfg.IntOpt(
        "max_request_body_size_kb",
        default=16 * 1024,
        min=1,
        help="Largest body of a request, in KiB. A larger one is answered with 413.",
    ),
    cfg.BoolOpt(
        "enable_ssl_api",
        default=False,
        help="Must stay false: TLS ends at a reverse proxy. True is refused at start.",
    ),
)

_DATABASE = (
    cfg.StrOpt(
        "connection",
        secret=True,
        help="SQLAlchemy URL of the database: postgresql://, mysql:// (also MariaDB) or sqlite:///. A driver "
        "named in it is replaced by the one that this service brings (psycopg 3, PyMySQL). "
        "'mistral-lite serve' defaults to SQLite in its state directory.",
    ),
    cfg.IntOpt("max_pool_size", default=10, min=1, help="Connections that a process keeps open."),
)

_ENGINE = (
    cfg.HostAddressOpt("host", default="0.0.0.0", help="Name of this engine on the message bus."),
    cfg.StrOpt("topic", default="mistral_engine", help="Message topic of the engines."),
    cfg.IntOpt(
        "execution_field_size_limit_kb",
        default=1024,
        help="Largest input, output, params or published value of an execution, in KiB of its JSON text. "
        "Negative: unlimited.",
    ),
    cfg.StrOpt(
        "merge_strategy",
        default="replace",
        choices=[("replace", "the later value wins"), ("merge", "mappings are merged key by key")],
        help="How mappings of the same name from several branches are joined.",
    ),
    cfg.IntOpt(
        "action_lease_time",
        default=30,
        min=2,
        help="Seconds after which an action is given up when its executor no longer reports it.",
    ),
    cfg.IntOpt(
        "max_items_at_once",
        default=20_000,
        min=1,
        help="Items of one task that may start at once. A task with more needs a concurrency.",
    ),
)

_EXECUTOR = (
    cfg.HostAddressOpt(
        "host", default="0.0.0.0", help="Name of this executor; the 'target' of a task may address it."
    ),
    cfg.IntOpt(
        "max_concurrent_actions", default=64, min=1, help="Actions that one executor process runs at a time."
    ),
    cfg.IntOpt(
        "drain_timeout",
        default=30,
        min=0,
        help="Seconds that an executor which is told to stop waits for the actions that it runs. What it has "
        "not begun it hands back at once. 'mistral-lite serve' defaults to 5.",
    ),
)

_ACTION_STD_HTTP = (
    cfg.ListOpt("allowed_hosts", default=[], help="Hosts that HTTP actions may call. Empty: any host."),
    cfg.ListOpt(
        "denied_cidrs",
        default=["127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10"],
        help="Networks that HTTP actions may never call, whatever allowed_hosts says.",
    ),
    cfg.IntOpt(
        "default_timeout",
        default=60,
        min=0,
        help="Seconds for a request that names no timeout. 0: unbounded.",
    ),
    cfg.IntOpt(
        "max_response_size_bytes",
        default=5 * 1024 * 1024,
        min=0,
        help="Largest response body that is accepted. 0: unlimited.",
    ),
)

_EXPRESSIONS = (
    cfg.ListOpt(
        "allowed_languages",
        item_type=types.String(choices=["yaql", "jinja"]),
        default=["yaql", "jinja"],
        help="Expression languages that definitions may use.",
    ),
    cfg.FloatOpt(
        "max_time",
        default=1.5,
        min=0.01,
        help="Processor seconds that one expression may take. All expressions of one step of a workflow may take "
        "twice that.",
    ),
    cfg.IntOpt(
        "max_memory_mb",
        default=256,
        min=16,
        help="MiB of memory that one expression may use if it is evaluated in a process of its own.",
    ),
    cfg.IntOpt(
        "max_result_size_kb",
        default=10 * 1024,
        min=1,
        help="Largest result of one expression, in KiB of its JSON text.",
    ),
)

_YAQL = (
    cfg.IntOpt(
        "limit_iterators",
        default=-1,
        min=-1,
        help="Most items that a YAQL expression may draw from one sequence. -1: the service's own bound.",
    ),
    cfg.IntOpt(
        "memory_quota",
        default=-1,
        min=-1,
        help="Bytes that a YAQL expression may use. -1: the service's own bound.",
    ),
    cfg.BoolOpt(
        "convert_input_data", default=True, help="Whether YAQL works on unchangeable copies of its data."
    ),
    cfg.BoolOpt("convert_output_data", default=True, help="Whether YAQL results become plain JSON data."),
    cfg.BoolOpt("convert_tuples_to_lists", default=True, help="Whether tuples in results become lists."),
    cfg.BoolOpt("convert_sets_to_lists", default=False, help="Whether sets in results become lists."),
    cfg.BoolOpt("iterable_dicts", default=False, help="Whether a mapping counts as a sequence of its keys."),
    cfg.StrOpt("keyword_operator", default="=>", help="What stands between a keyword and its value."),
    cfg.BoolOpt("allow_delegates", default=False, help="Whether a result may be called like a function."),
)

_CRON_TRIGGER = (
    cfg.BoolOpt("enabled", default=True, help="Whether engines start workflows for cron triggers."),
    cfg.IntOpt(
        "execution_interval", default=1, min=1, help="Seconds between looks for cron triggers that are due."
    ),
)

_EXECUTION_EXPIRATION_POLICY = (
    cfg.IntOpt(
        "evaluation_interval",
        min=0,
        help="Minutes between removals of old executions. Unset or 0: nothing is removed. Also needs "
        "older_than or max_finished_executions.",
    ),
    cfg.IntOpt(
        "older_than",
        min=0,
        help="Minutes after which a finished execution is removed, counted from its last change. Unset or 0: "
        "age does not count.",
    ),
    cfg.IntOpt(
        "max_finished_executions",
        default=0,
        min=0,
        help="Finished executions that are kept, the newest ones. 0: their number does not count.",
    ),
    cfg.IntOpt(
        "batch_size",
        default=0,
        min=0,
        help="Executions removed in one transaction. 0: as many as suits the database.",
    ),
    cfg.ListOpt(
        "ignored_states",
        item_type=types.String(choices=["SUCCESS", "ERROR", "CANCELLED"]),
        default=[],
        help="Executions in these states are never removed and do not count.",
    ),
)

_BASIC_AUTH = (
    cfg.DictOpt(
        "projects",
        default={},
        help="Projects of users, for example alice:team-a,bob:team-a. A user who is not named works in a project "
        "that is called after the user.",
    ),
    cfg.ListOpt("admins", default=[], help="Users who have the role admin. All others have the role member."),
)

_SECURITY_CONTEXT = (
    cfg.ListOpt(
        "encryption_keys",
        default=[],
        secret=True,
        help="Texts that tokens are encrypted with between a request and the action that needs them. The first "
        "encrypts, all decrypt. The same for all processes. Unset: the password of [keystone_authtoken].",
    ),
    cfg.BoolOpt(
        "trust_executions",
        default=False,
        help="Whether a workflow or an action that is started with a token of Keystone gets a trust, so that its "
        "actions can act for the caller after the token has ended. Costs a request to Keystone a start. "
        "Triggers always have a trust.",
    ),
)

# What Mistral does and this service does not do yet.
_ACTION_HEARTBEAT = (
    cfg.IntOpt(
        "check_interval",
        default=20,
        min=0,
        help=f"{NO_EFFECT_YET} See action_lease_time of [engine]: an action whose executor is gone is noticed "
        "by its lease.",
    ),
    cfg.IntOpt("max_missed_heartbeats", default=15, min=0, help=NO_EFFECT_YET),
    cfg.IntOpt("first_heartbeat_timeout", default=3600, min=0, help=NO_EFFECT_YET),
    cfg.IntOpt("batch_size", default=10, help=f"{NO_EFFECT} Leases are checked in one query."),
)

_NOTIFIER = (
    cfg.StrOpt(
        "notify",
        default="[]",
        secret=True,
        help="Publishers that hear of every execution that is started from now on, beside those that it names "
        "itself: a list of mappings in JSON or as Python writes it, for example "
        '[{"type": "webhook", "url": "https://host/path", "event_types": ["WORKFLOW_FAILED"]}].',
    ),
)

_EVENT_ENGINE = (
    cfg.StrOpt(
        "event_definitions_cfg_file",
        default="/etc/mistral/event_definitions.yaml",
        help="YAML file that says which properties of an event the workflows of event triggers are told. "
        "Without the file, every event has the same few.",
    ),
)

_QUEUES = (
    cfg.BoolOpt(
        "embedded",
        default=True,
        help="Whether, where no Zaqar is configured, the actions zaqar.* work on queues in our own database. False "
        "leaves their names to installed packs. Set all of these options alike for all processes.",
    ),
    cfg.StrOpt(
        "zaqar_endpoint",
        help="The address of the Zaqar whose queues the actions zaqar.* work on, without a version. Needs the "
        "library python-zaqarclient.",
        sample_default="http://zaqar.example.org:8888",
    ),
    cfg.StrOpt(
        "zaqar_auth_type",
        default="none",
        choices=[
            ("none", "requests only name the project"),
            ("keystone", "requests carry the token of whoever the workflow works for"),
        ],
        help="How to log in at Zaqar. With keystone and without zaqar_endpoint, Zaqar is where the catalogue says.",
    ),
    cfg.IntOpt("zaqar_timeout", default=10, min=1, max=300, help="Seconds to wait for an answer of Zaqar."),
    cfg.StrOpt(
        "zaqar_callback_url",
        help="Base URL of this API as Zaqar reaches it: then it is told of messages that zaqar.queue_wait waits for. "
        "Without, Zaqar is asked for them.",
        sample_default="https://mistral.example.org",
    ),
    cfg.IntOpt(
        "zaqar_poll_interval",
        default=2,
        min=1,
        max=3600,
        help="Seconds between two looks at a queue that somebody waits for; where Zaqar calls, 15 times as many.",
    ),
)

OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    "DEFAULT": (
        cfg.StrOpt(
            "auth_type",
            default="keystone",
            choices=[
                ("keystone", "tokens of OpenStack Identity; see [keystone_authtoken]"),
                ("basic", "HTTP basic authentication; see [basic_auth]"),
                ("keycloak-oidc", "refused at start: this service does not have it"),
            ],
            help="Who vouches for callers if [pecan] auth_enable is true.",
        ),
    ),
    "database": _DATABASE,
    "api": _API,
    "pecan": (
        cfg.BoolOpt(
            "auth_enable",
            default=True,
            help="Whether callers must prove who they are, in the way of auth_type. If false, 'mistral-lite api' "
            "listens on 127.0.0.1 unless [api] host is set. 'mistral-lite serve' defaults to false.",
        ),
    ),
    "basic_auth": _BASIC_AUTH,
    "security_context": _SECURITY_CONTEXT,
    "engine": _ENGINE,
    "executor": _EXECUTOR,
    "cron_trigger": _CRON_TRIGGER,
    "execution_expiration_policy": _EXECUTION_EXPIRATION_POLICY,
    "action_std_http": _ACTION_STD_HTTP,
    "expressions": _EXPRESSIONS,
    "yaql": _YAQL,
    "context_versioning": (
        cfg.BoolOpt(
            "enabled", default=True, help="Whether published variables carry a version that joins compare."
        ),
    ),
    "notifier": _NOTIFIER,
    "event_engine": _EVENT_ENGINE,
    "dynamic_actions": (
        cfg.BoolOpt(
            "enabled",
            default=False,
            help="Whether administrators may upload Python code (code sources) whose classes are actions. "
            "Executors run that code with all rights that they have themselves. Set it alike for all processes.",
        ),
    ),
    "queues": _QUEUES,
    "healthcheck": (cfg.BoolOpt("enabled", default=True, help="Whether GET /healthcheck answers."),),
    "oslo_middleware": (
        cfg.BoolOpt(
            "enable_proxy_headers_parsing",
            default=False,
            help="Whether links in answers are built from X-Forwarded-Proto, -Host and -Prefix. Only behind a "
            "proxy that sets them.",
        ),
        cfg.StrOpt(
            "http_basic_auth_user_file",
            default="/etc/htpasswd",
            help="Names and passwords of users for auth_type = basic, made with 'htpasswd -B': a line is "
            "name:bcrypt-hash. Changes count at once.",
        ),
    ),
}

COMPATIBILITY: Mapping[str, Sequence[cfg.Opt]] = {
    "DEFAULT": (
        cfg.StrOpt("server", default="all", help=f"{NO_EFFECT} The role is a word of the command line."),
        cfg.StrOpt("scheduler_type", default="legacy", help=f"{NO_EFFECT} Timers are rows of the database."),
        cfg.StrOpt("workflow_trace_log_name", default="workflow_trace", help=NO_EFFECT),
    ),
    "database": (
        cfg.IntOpt("max_overflow", default=50, help=f"{NO_EFFECT} Up to 50 further connections are opened."),
        cfg.IntOpt("pool_timeout", help=NO_EFFECT),
        cfg.IntOpt("connection_recycle_time", default=3600, help=NO_EFFECT),
        cfg.IntOpt("max_retries", default=10, help=f"{NO_EFFECT} Processes reconnect without end."),
        cfg.IntOpt("retry_interval", default=10, help=NO_EFFECT),
    ),
    "api": (cfg.IntOpt("api_workers", help=f"{NO_EFFECT} Start further processes instead."),),
    "pecan": (
        cfg.StrOpt("root", help=NO_EFFECT),
        cfg.ListOpt("modules", default=[], help=NO_EFFECT),
        cfg.BoolOpt("debug", default=False, help=NO_EFFECT),
    ),
    "engine": (
        cfg.StrOpt("engine", default="default", help=NO_EFFECT),
        cfg.StrOpt("version", default="1.0", help=NO_EFFECT),
        cfg.IntOpt("memory_limit_mb", default=0, help=f"{NO_EFFECT} Expressions are bounded one by one."),
        cfg.IntOpt("action_definition_cache_time", default=60, help=NO_EFFECT),
        cfg.BoolOpt(
            "start_subworkflows_via_rpc",
            default=False,
            help=f"{NO_EFFECT} A child starts with the commit of its parent.",
        ),
        cfg.IntOpt(
            "execution_integrity_check_delay", default=20, help=f"{NO_EFFECT} The engine's sweep needs none."
        ),
        cfg.IntOpt("execution_integrity_check_batch_size", default=5, help=NO_EFFECT),
    ),
    "executor": (
        cfg.StrOpt("type", default="remote", help=f"{NO_EFFECT} The command decides: serve, or executor."),
        cfg.StrOpt("version", default="1.0", help=NO_EFFECT),
        cfg.StrOpt(
            "topic", default="mistral_executor", help=f"{NO_EFFECT} Executors fetch their work from engines."
        ),
    ),
    "context_versioning": (
        cfg.BoolOpt(
            "hash_version_keys",
            default=True,
            help=f"{NO_EFFECT_YET} The names of versions are never stored as hashes.",
        ),
    ),
    "cron_trigger": (
        cfg.BoolOpt("run_in_api", default=True, help=f"{NO_EFFECT} Engines fire cron triggers."),
    ),
    "notifier": (
        cfg.StrOpt("type", default="remote", help=f"{NO_EFFECT} Engines deliver notifications."),
        cfg.StrOpt("host", default="0.0.0.0", help=NO_EFFECT),
        cfg.StrOpt("topic", default="mistral_notifier", help=NO_EFFECT),
    ),
    "event_engine": (
        cfg.StrOpt("host", default="0.0.0.0", help=f"{NO_EFFECT} Engines listen for events."),
        cfg.StrOpt("listener_pool_name", default="events", help=NO_EFFECT),
        cfg.StrOpt("topic", default="mistral_event_engine", help=NO_EFFECT),
    ),
    "action_heartbeat": _ACTION_HEARTBEAT,
    "scheduler": (
        cfg.FloatOpt("fixed_delay", default=1, help=NO_EFFECT),
        cfg.FloatOpt("random_delay", default=0, help=NO_EFFECT),
        cfg.IntOpt("batch_size", help=NO_EFFECT),
        cfg.IntOpt("in_memory_workers", default=10, help=NO_EFFECT),
        cfg.FloatOpt("captured_job_timeout", default=30, help=NO_EFFECT),
        cfg.FloatOpt("pickup_job_after", default=60, help=NO_EFFECT),
    ),
}


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return all options by group, for oslo-config-generator (entry point ``oslo.config.opts``)."""
    groups: dict[str, list[cfg.Opt]] = {"DEFAULT": list(BUS_OPTIONS)}
    for table in (OPTIONS, COMPATIBILITY):
        for group, options in table.items():
            groups.setdefault(group, []).extend(options)
    return list(groups.items())
