"""HTTP basic authentication with the users of an htpasswd file, checked by oslo.middleware.

The file says who there is; which project a user works in, and who is an administrator, say options. Comparing a
password takes a fifth of a second by design, so what was right once is remembered until the file changes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path

import webob.exc
from oslo_middleware import basic_auth
from oslo_middleware.exceptions import ConfigInvalid

from mistral_lite.api.auth.base import Environ, with_target
from mistral_lite.api.context import ADMIN_ROLE, RequestContext
from mistral_lite.errors import AuthenticationError, InputError, UnavailableError
from mistral_lite.security import SecurityContext

_MEMBER_ROLE = "member"
# Users whose passwords are remembered, each as one digest.
_MOST_KEPT = 10_000

_Stamp = tuple[int, int]


class BasicAuthenticator:
    """Believes who knows a password of the file."""

    def __init__(self, file: str, projects: Mapping[str, str], admins: frozenset[str]) -> None:
        """``projects``: user -> project. Raises ``InputError`` for a file that cannot be used."""
        self._file = file
        self._projects = projects
        self._admins = admins
        self._lock = threading.Lock()
        self._secret = secrets.token_bytes(32)
        self._stamp: _Stamp | None = None
        self._known: dict[str, bytes] = {}
        try:
            basic_auth.validate_auth_file(file)
        except (ConfigInvalid, webob.exc.HTTPBadRequest) as error:
            raise InputError(
                f"[oslo_middleware] http_basic_auth_user_file cannot be used ({file}): every line must be "
                "name:bcrypt-hash, as 'htpasswd -B' makes it."
            ) from error

    def identify(self, environ: Environ) -> RequestContext:
        """Return whose name and password a request carries."""
        try:
            # A copy: the header is taken out.
            user, password = basic_auth.parse_token(basic_auth.parse_header(dict(environ)))
        except webob.exc.HTTPException as error:
            raise AuthenticationError("Authentication required: send a user name and a password.") from error
        if not self._is_right(user, password):
            raise AuthenticationError("The user name or the password is wrong.")
        return with_target(self._context(user), environ)

    def challenges(self, message: str) -> tuple[str, ...]:
        """Return what makes browsers and clients ask for a password."""
        return ('Basic realm="mistral-lite", charset="UTF-8"',)

    def _context(self, user: str) -> RequestContext:
        is_admin = user in self._admins
        role = ADMIN_ROLE if is_admin else _MEMBER_ROLE
        project = self._projects.get(user, user)
        return RequestContext(
            project_id=project,
            user_id=user,
            roles=frozenset({role}),
            is_admin=is_admin,
            is_authenticated=True,
            security=SecurityContext(
                project_id=project,
                project_name=project,
                user_id=user,
                user_name=user,
                roles=(role,),
                is_admin=is_admin,
            ),
        )

    def _is_right(self, user: str, password: bytes) -> bool:
        stamp = self._stamp_of_file()
        digest = hmac.digest(self._secret, password, hashlib.sha256)
        with self._lock:
            if stamp != self._stamp or len(self._known) >= _MOST_KEPT:
                self._stamp = stamp
                self._known.clear()
            if hmac.compare_digest(self._known.get(user, b""), digest):
                return True
        try:
            basic_auth.authenticate(self._file, user, password)
        except (webob.exc.HTTPUnauthorized, ValueError):
            # What no password can be (too long, a NUL) is a ValueError.
            return False
        except webob.exc.HTTPException as error:
            # The log of oslo.middleware says more.
            raise UnavailableError(
                "Passwords cannot be checked now: the file of users cannot be read."
            ) from error
        with self._lock:
            if stamp == self._stamp:
                self._known[user] = digest
        return True

    def _stamp_of_file(self) -> _Stamp:
        try:
            found = Path(self._file).stat()
        except OSError as error:
            raise UnavailableError(
                "Passwords cannot be checked now: the file of users cannot be read."
            ) from error
        return found.st_mtime_ns, found.st_size
