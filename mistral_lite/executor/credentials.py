"""Whom an action works for, as plug-ins know it (``context.security``).

Secrets come sealed with the order and are opened here, in the process that needs them. Work that is done by a trust
gets a token when the action first asks for one: most actions never do.
"""

from __future__ import annotations

from typing import Any, Protocol

from mistral_lib.actions.context import SecurityContext as PluginSecurity

from mistral_lite.errors import ActionError
from mistral_lite.jsontext import JsonObject
from mistral_lite.sealing import Sealer
from mistral_lite.security import SecurityContext

_BY_TRUST = ("auth_token", "service_catalog", "expires_at")


class TrustAccess(Protocol):
    """A token with its body and its end (``mistral_lite.trusts.Access``)."""

    @property
    def token(self) -> str:
        """The token."""

    @property
    def body(self) -> JsonObject:
        """What Keystone says about it."""

    @property
    def expires_at(self) -> str:
        """When it ends, as Keystone writes it."""


class TrustTokens(Protocol):
    """Where tokens of trusts come from (``mistral_lite.trusts.Trusts``)."""

    def access(self, trust_id: str) -> TrustAccess:
        """Return a token. Raises ``ForbiddenError`` and ``UnavailableError``."""


class Credentials:
    """Turns what an order says into what an action is given; shared by threads."""

    def __init__(self, sealer: Sealer | None = None, trusts: TrustTokens | None = None) -> None:
        self._sealer = sealer or Sealer(())
        self._trusts = trusts

    def open(self, request_security: JsonObject | None, project_id: str | None) -> PluginSecurity:
        """Return the security context of an action; ``project_id`` is all that is known without one."""
        if request_security is None:
            return _Security(project_id=project_id)
        security = SecurityContext.from_json(request_security, self._sealer)
        if security.trust_id is None:
            return _Security(**_facts(security))
        return _TrustSecurity(self._trusts, _facts(security))


class _Security(PluginSecurity):
    """With what the class of mistral_lib has no place for and packs ask for all the same."""

    def __init__(self, user_id: str | None = None, **facts: Any) -> None:
        super().__init__(**facts)
        self.user_id = user_id


class _TrustSecurity(_Security):
    """A security context whose token is fetched when it is looked at."""

    def __init__(self, trusts: TrustTokens | None, facts: JsonObject) -> None:
        super().__init__(**facts)
        self._trusts = trusts
        for name in _BY_TRUST:
            delattr(self, name)

    def __getattr__(self, name: str) -> Any:
        if name not in _BY_TRUST:
            raise AttributeError(name)
        if self._trusts is None:
            raise ActionError(
                "This executor has no service user to take on a trust with: set [keystone_authtoken] as for the API."
            )
        access = self._trusts.access(self.trust_id)
        self.auth_token, self.service_catalog = access.token, access.body
        self.expires_at = access.expires_at
        return vars(self)[name]


def _facts(security: SecurityContext) -> JsonObject:
    """Return what the context of a plug-in has places for."""
    return {
        "auth_uri": security.auth_uri,
        "auth_cacert": security.auth_cacert,
        "insecure": security.insecure,
        "service_catalog": security.service_catalog,
        "region_name": security.region_name,
        "is_trust_scoped": security.is_trust_scoped,
        "redelivered": False,
        "expires_at": security.expires_at,
        "trust_id": security.trust_id,
        "is_target": security.is_target,
        "project_id": security.project_id,
        "project_name": security.project_name,
        "user_id": security.user_id,
        "user_name": security.user_name,
        "auth_token": security.auth_token,
    }
