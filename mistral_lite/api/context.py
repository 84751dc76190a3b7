"""Who is calling. Handlers see a ``RequestContext`` only, wherever the identity came from.

Without authentication everybody works in one constant project, and role headers are believed. A middleware
that authenticates puts its own context into the WSGI environment under ``CONTEXT_KEY``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mistral_lite.db.listing import Viewer
from mistral_lite.errors import ForbiddenError

CONTEXT_KEY = "mistral_lite.request_context"
DEFAULT_PROJECT = "<default-project>"
_ADMIN_ROLE = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """The caller of one request: the project it works in and whether it is an administrator."""

    project_id: str
    is_admin: bool = False

    @property
    def viewer(self) -> Viewer:
        """Return whose eyes queries look through."""
        return Viewer(project_id=self.project_id, is_admin=self.is_admin)

    def require_admin(self, what: str) -> None:
        """Raise ``ForbiddenError`` unless the caller is an administrator; ``what`` ends the sentence."""
        if not self.is_admin:
            raise ForbiddenError(f"Only an administrator may {what}.")


def of_request(environ: Mapping[str, object]) -> RequestContext:
    """Return the context of a request."""
    found = environ.get(CONTEXT_KEY)
    if isinstance(found, RequestContext):
        return found
    roles = str(environ.get("HTTP_X_ROLES", "")).split(",")
    return RequestContext(
        project_id=DEFAULT_PROJECT, is_admin=_ADMIN_ROLE in {role.strip() for role in roles}
    )
