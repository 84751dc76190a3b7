"""What the API is built from. Passed in once; nothing here is global."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mistral_lite.actions.registry import ActionRegistry
from mistral_lite.api.access import AccessRules
from mistral_lite.api.auth.base import Authenticator, NoAuthentication
from mistral_lite.api.delegation import Delegation
from mistral_lite.api.gate import Gate
from mistral_lite.api.waiting import Waiting
from mistral_lite.clock import Clock, SystemClock
from mistral_lite.db.transaction import Database
from mistral_lite.expressions.base import ExpressionEvaluator
from mistral_lite.jsontext import JsonObject
from mistral_lite.rpc.protocol import Doorbell


class ValidationMode(StrEnum):
    """When uploaded definitions are checked: always, unless the caller declines, or never."""

    MANDATORY = "mandatory"
    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Settings of the API; times are seconds.

    ``max_limit`` bounds pages. ``info_path``: the file that ``/info`` shows, None to switch it off.
    ``is_healthcheck_enabled``: whether ``/healthcheck`` exists. ``start_wait_s``, ``change_wait_s`` and
    ``callback_wait_s`` bound how long an answer waits for the engine to apply what is already durable.
    ``rpc_response_timeout_s`` bounds a synchronous action run. ``field_size_limit_kb`` bounds inputs,
    parameters and results (negative: unlimited), ``max_body_bytes`` whole request bodies.
    ``trust_proxy_headers``: build links from X-Forwarded-Proto, -Host and -Prefix. ``notify``: publishers
    that hear of every execution. ``has_dynamic_actions``: whether code may be uploaded and run.
    """

    max_limit: int = 1000
    allow_action_execution_deletion: bool = False
    validation_mode: ValidationMode = ValidationMode.MANDATORY
    info_path: str | None = None
    is_healthcheck_enabled: bool = True
    start_wait_s: float = 2.0
    change_wait_s: float = 5.0
    callback_wait_s: float = 1.0
    rpc_response_timeout_s: float = 60.0
    field_size_limit_kb: int = 1024
    max_body_bytes: int = 16 * 1024 * 1024
    trust_proxy_headers: bool = False
    notify: tuple[JsonObject, ...] = ()
    has_dynamic_actions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """The parts that the API uses; shared by all its threads."""

    database: Database
    doorbell: Doorbell
    registry: ActionRegistry
    evaluator: ExpressionEvaluator
    settings: ApiSettings = field(default_factory=ApiSettings)
    clock: Clock = field(default_factory=SystemClock)
    waiting: Waiting = field(default_factory=Waiting)
    access: AccessRules = field(default_factory=AccessRules)
    gate: Gate = field(default_factory=Gate)
    authenticator: Authenticator = field(default_factory=NoAuthentication)
    delegation: Delegation = field(default_factory=Delegation)
