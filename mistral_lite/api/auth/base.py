"""What every way to authenticate offers to the application, and the way that asks nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from mistral_lite.api.auth.target import security_of_target
from mistral_lite.api.context import RequestContext, of_request
from mistral_lite.jsontext import JsonValue

Environ = dict[str, JsonValue]

# What handlers of public routes are told of their callers.
NOBODY = RequestContext(project_id="")


class Authenticator(Protocol):
    """A way to find out who calls; shared by the threads of an application."""

    def identify(self, environ: Environ) -> RequestContext:
        """Return the caller of a request.

        Raises ``AuthenticationError`` (not proved), ``ForbiddenError`` (proved, but nobody to work for),
        ``InputError`` (malformed headers) and ``UnavailableError`` (cannot be found out now).
        """

    def challenges(self, message: str) -> tuple[str, ...]:
        """Return the values of ``WWW-Authenticate`` for a refusal with ``message``."""


class NoAuthentication:
    """Asks nobody: all callers work in one project, and headers that name roles are believed."""

    def identify(self, environ: Environ) -> RequestContext:
        """Return the constant project with the roles that the request names."""
        return with_target(of_request(environ), environ)

    def challenges(self, message: str) -> tuple[str, ...]:
        """Return nothing: nobody is refused."""
        return ()


def with_target(caller: RequestContext, environ: Environ) -> RequestContext:
    """Return ``caller`` whose actions work in the other cloud that the request names, if it names one.

    The caller's own project stays: what is stored and seen is that of the caller. Raises ``InputError``.
    """
    target = security_of_target(environ)
    return caller if target is None else replace(caller, security=target)
