"""Whether a caller satisfies an access rule, by oslo.policy and the operator's policy file.

A decision follows from the rules and what the caller's credentials say, so it is kept for a second; a change
of the policy file counts within that time.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from oslo_config import cfg
from oslo_policy import policy

from mistral_lite import log
from mistral_lite.api.context import RequestContext
from mistral_lite.api.policies import list_rules
from mistral_lite.errors import ForbiddenError, InputError

LOG = logging.getLogger(__name__)

_KEPT_S = 1.0
# Decisions kept at a time; one is a few hundred bytes.
_MOST_KEPT = 10_000

_DEFAULT_FILE = "policy.yaml"
# What oslo.policy raises for a file that is away, no YAML, or no mapping of texts.
_UNUSABLE = (OSError, ValueError, AttributeError, TypeError)

_Decision = tuple[str, str | None, str, bool, frozenset[str]]


class AccessRules:
    """The rules of one application; shared by its threads."""

    def __init__(self, conf: cfg.ConfigOpts | None = None) -> None:
        """``conf`` gives ``[oslo_policy]``; None: the defaults, and no policy file.

        Raises ``InputError`` for a policy file that cannot be used.
        """
        self._enforcer = policy.Enforcer(conf) if conf else policy.Enforcer(_nothing(), os.devnull)
        self._enforcer.register_defaults(list_rules())
        self._lock = threading.Lock()
        self._decisions: dict[_Decision, bool] = {}
        self._reload_at = 0.0
        self._is_file_usable = True
        try:
            self._load()
        except _UNUSABLE as error:
            raise InputError(f"[oslo_policy] policy_file cannot be used: {error}") from error
        if self._enforcer.policy_path is None and self._enforcer.policy_file != _DEFAULT_FILE:
            raise InputError(f"[oslo_policy] policy_file is not there: {self._enforcer.policy_file}")

    def require(self, rule: str, caller: RequestContext) -> None:
        """Raise ``ForbiddenError`` unless ``caller`` satisfies ``rule``."""
        key = (rule, caller.user_id, caller.project_id, caller.is_admin, caller.roles)
        with self._lock:
            self._reload_if_due()
            if key not in self._decisions:
                self._decisions[key] = self._decide(rule, caller)
            is_allowed = self._decisions[key]
        if not is_allowed:
            raise ForbiddenError("Operation forbidden (insufficient permissions)")

    def _decide(self, rule: str, caller: RequestContext) -> bool:
        # As in Mistral the target is the caller's own project, never the object's.
        target = {"project_id": caller.project_id, "user_id": caller.user_id}
        credentials = {**target, "is_admin": caller.is_admin, "roles": sorted(caller.roles)}
        return bool(self._enforcer.enforce(rule, target, credentials))

    def _reload_if_due(self) -> None:
        now = time.monotonic()
        if now < self._reload_at and len(self._decisions) < _MOST_KEPT:
            return
        self._reload_at = now + _KEPT_S
        self._decisions.clear()
        try:
            self._load()
        except _UNUSABLE as error:
            # The rules of before stay in force.
            if self._is_file_usable:
                log.write(
                    LOG,
                    logging.ERROR,
                    log.Event.POLICY_FILE_REFUSED,
                    "The policy file cannot be used",
                    reason=str(error),
                )
            self._is_file_usable = False
        else:
            self._is_file_usable = True

    def _load(self) -> None:
        # Only here does the enforcer look at the file; with this switch on, every decision would.
        self._enforcer.use_conf = True
        try:
            self._enforcer.load_rules()
        finally:
            self._enforcer.use_conf = False


def _nothing() -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf(args=[], default_config_files=[], default_config_dirs=[])
    return conf
