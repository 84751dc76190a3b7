"""Who is calling. Handlers see a ``RequestContext`` only, wherever the identity came from.

The authentication that is configured (``api/auth``) puts the context into the WSGI environment under
``CONTEXT_KEY``. Without authentication everybody works in one constant project, and role headers are believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mistral_lite.db.listing import Viewer
from mistral_lite.security import SecurityContext

CONTEXT_KEY = "mistral_lite.request_context"
DEFAULT_PROJECT = "<default-project>"
ADMIN_ROLE = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """The caller of one request.

    ``project_id`` is where the caller works, whatever other cloud the request names for its actions.
    ``is_authenticated``: somebody has proved the identity; False where authentication is off. ``security`` is what
    actions and trusts are given of the caller; None where there is nothing to give.
    """

    project_id: str
    user_id: str | None = None
    roles: frozenset[str] = frozenset()
    is_admin: bool = False
    is_authenticated: bool = False
    security: SecurityContext | None = field(default=None, repr=False)

    @property
    def viewer(self) -> Viewer:
        """Return whose eyes queries look through."""
        return Viewer(project_id=self.project_id, is_admin=self.is_admin)


def of_request(environ: Mapping[str, object]) -> RequestContext:
    """Return the context of a request."""
    found = environ.get(CONTEXT_KEY)
    if isinstance(found, RequestContext):
        return found
    roles = roles_of(environ)
    return RequestContext(project_id=DEFAULT_PROJECT, roles=roles, is_admin=ADMIN_ROLE in roles)


def roles_of(environ: Mapping[str, object]) -> frozenset[str]:
    """Return the roles that the header names."""
    named = str(environ.get("HTTP_X_ROLES", "")).split(",")
    return frozenset(role.strip() for role in named if role.strip())
