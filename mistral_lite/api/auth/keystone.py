"""Tokens of Keystone, checked by keystonemiddleware.

The middleware is asked once a route was found, not for every request: public paths and unknown ones cost Keystone
nothing. What it says about the caller it says in headers of its own copy of the request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from keystoneauth1 import exceptions as keystone_errors
from keystonemiddleware import auth_token
from keystonemiddleware.auth_token import _exceptions as middleware_errors
from oslo_config import cfg
from webob import Request

from mistral_lite import log
from mistral_lite.api.auth.base import Environ, with_target
from mistral_lite.api.context import ADMIN_ROLE, RequestContext
from mistral_lite.errors import AuthenticationError, ForbiddenError, UnavailableError
from mistral_lite.jsontext import JsonObject
from mistral_lite.security import SecurityContext
from mistral_lite.trusts import GROUP, register_options

LOG = logging.getLogger(__name__)

_TOKEN_INFO = "keystone.token_info"  # noqa: S105 - a key of the environment
_OUTAGES = (
    keystone_errors.ConnectFailure,
    keystone_errors.DiscoveryFailure,
    keystone_errors.RequestTimeout,
    middleware_errors.ServiceError,
)
_AWAY = "Tokens cannot be checked now: Keystone does not answer. Try again later."


class KeystoneAuthenticator:
    """Believes what Keystone says about a token."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """``conf`` gives ``[keystone_authtoken]``."""
        register_options(conf)
        self._middleware = _Middleware(_nothing, {"oslo_config_config": conf, "delay_auth_decision": True})
        group = conf[GROUP]
        self._auth_uri: str | None = group.www_authenticate_uri
        self._cacert: str | None = group.cafile
        self._insecure: bool = group.insecure

    def identify(self, environ: Environ) -> RequestContext:
        """Return who the token of a request belongs to."""
        request = Request(dict(environ))
        try:
            answer = request.get_response(self._middleware)
        except keystone_errors.ClientException as error:
            # The middleware has written a line about other outages itself.
            log.write(
                LOG,
                logging.WARNING,
                log.Event.IDENTITY_UNAVAILABLE,
                "Tokens cannot be checked",
                error_type=type(error).__name__,
            )
            raise UnavailableError(_AWAY) from error
        if answer.status_int == 503:
            raise UnavailableError(_AWAY)
        headers = request.headers
        if headers.get("X-Identity-Status") != "Confirmed":
            raise AuthenticationError(
                "The token is not valid: it is unknown, revoked or has ended. Ask Keystone for a new one."
                if _sent_token(environ)
                else "Authentication required: send a token of Keystone in the header X-Auth-Token."
            )
        return with_target(self._context(environ, request.environ[_TOKEN_INFO]["token"]), environ)

    def challenges(self, message: str) -> tuple[str, ...]:
        """Return the message, which clients of Mistral look for, and where tokens are given."""
        return (message,) if self._auth_uri is None else (message, f'Keystone uri="{self._auth_uri}"')

    def _context(self, environ: Environ, token: JsonObject) -> RequestContext:
        project, user = token.get("project"), token["user"]
        if project is None:
            raise ForbiddenError("The token is not for a project: ask Keystone for one that is.")
        roles = tuple(role["name"] for role in token["roles"])
        security = SecurityContext(
            project_id=project["id"],
            project_name=project["name"],
            project_domain_id=project["domain"]["id"],
            project_domain_name=project["domain"]["name"],
            user_id=user["id"],
            user_name=user["name"],
            user_domain_id=user["domain"]["id"],
            user_domain_name=user["domain"]["name"],
            roles=roles,
            is_admin=ADMIN_ROLE in roles,
            region_name=environ.get("HTTP_X_REGION_NAME"),
            auth_uri=self._auth_uri,
            auth_cacert=self._cacert,
            insecure=self._insecure,
            expires_at=token["expires_at"],
            auth_token=_sent_token(environ),
            # A plain one: the middleware's is of a class of its own.
            service_catalog=dict(token),
        )
        return RequestContext(
            project_id=project["id"],
            user_id=user["id"],
            roles=frozenset(roles),
            is_admin=security.is_admin,
            is_authenticated=True,
            security=security,
        )


class _Middleware(auth_token.AuthProtocol):
    """The middleware, but for one thing: that Keystone is away does not make a token invalid."""

    def fetch_token(self, token: str, **options: Any) -> JsonObject:
        try:
            found: JsonObject = super().fetch_token(token, **options)
        except auth_token.InvalidToken as error:
            if isinstance(error.__context__, _OUTAGES):
                raise UnavailableError(_AWAY) from error
            raise
        return found


def _sent_token(environ: Environ) -> str | None:
    # The second is an older spelling that the middleware takes as well.
    return environ.get("HTTP_X_AUTH_TOKEN") or environ.get("HTTP_X_STORAGE_TOKEN")


def _nothing(environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
    """Stand for the application behind the middleware."""
    start_response("204 No Content", [])
    return []
