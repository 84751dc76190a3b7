"""For whom work is done: the facts that actions act on, and what a workflow may see of them.

A ``SecurityContext`` is made from a request or from a trigger and goes with an execution to its actions. What is
secret in it (token, catalogue) is never in a ``repr``, and sealed wherever it is stored or sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self

from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.sealing import Sealer

_MASK = "***"
_SEALED = ("auth_token", "service_catalog")
_MASKED = (*_SEALED, "trust_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityContext:
    """The identity that work is done with; None stands for what is not known.

    The names are those of ``context.security`` in mistral_lib where it has one. ``service_catalog``: the body of
    the token as Keystone shows it, which holds the catalogue. ``expires_at``: when the token ends, as Keystone
    writes it. ``is_target``: token and catalogue are those of another cloud, which the request named.
    ``trust_id``: a trust that gives a new token at any time.
    """

    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    project_domain_name: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    user_domain_id: str | None = None
    user_domain_name: str | None = None
    roles: tuple[str, ...] = ()
    is_admin: bool = False
    region_name: str | None = None
    auth_uri: str | None = None
    auth_cacert: str | None = None
    insecure: bool = False
    is_target: bool = False
    expires_at: str | None = None
    trust_id: str | None = field(default=None, repr=False)
    auth_token: str | None = field(default=None, repr=False)
    service_catalog: Mapping[str, JsonValue] | None = field(default=None, repr=False)

    @property
    def is_trust_scoped(self) -> bool:
        """Tell whether the work is done by a trust."""
        return self.trust_id is not None

    def shown(self) -> JsonObject:
        """Return what a workflow sees as ``$.openstack``: secrets are masked."""
        facts = self._facts()
        masked = {name: None if facts[name] is None else _MASK for name in _MASKED}
        return {**facts, **masked, "is_trust_scoped": self.is_trust_scoped, "redelivered": False}

    def with_trust(self, trust_id: str) -> SecurityContext:
        """Return the same identity, to be taken on through a trust and no longer with a token."""
        return replace(self, trust_id=trust_id, auth_token=None, service_catalog=None, expires_at=None)

    def to_json(self, sealer: Sealer) -> JsonObject:
        """Return this as a JSON object whose secrets are sealed. With secrets, ``sealer`` must have a key."""
        facts = self._facts()
        secrets = {name: value for name in _SEALED if (value := facts.pop(name)) is not None}
        return {**facts, "sealed": sealer.seal(secrets) if secrets else None}

    @classmethod
    def from_json(cls, data: JsonObject, sealer: Sealer) -> Self:
        """Rebuild a context from ``to_json``; without the secrets if ``sealer`` cannot open them."""
        facts = {name: value for name, value in data.items() if name != "sealed"}
        secrets = sealer.open(data["sealed"]) if data["sealed"] else None
        return cls(**{**facts, **(secrets or {}), "roles": tuple(data["roles"])})

    @classmethod
    def from_stored(cls, data: JsonObject) -> Self:
        """Rebuild a context from ``to_json`` where nobody needs its secrets."""
        return cls.from_json(data, Sealer(()))

    def _facts(self) -> JsonObject:
        return {each.name: getattr(self, each.name) for each in fields(self)} | {"roles": list(self.roles)}
