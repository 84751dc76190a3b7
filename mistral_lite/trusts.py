"""Trusts of Keystone: given by a caller to this service, so that work can be done for the caller later.

The service user of ``[keystone_authtoken]`` is the trustee. A trust holds the roles of the token that it was made
with, for the project of that token, and can be taken on any number of times until it is deleted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading, token_endpoint
from keystoneauth1.identity import BaseIdentityPlugin
from keystoneauth1.session import Session
from keystoneclient.v3.client import Client
from keystonemiddleware import auth_token
from oslo_config import cfg

from mistral_lite.errors import ForbiddenError, InputError, UnavailableError
from mistral_lite.jsontext import JsonObject, load
from mistral_lite.security import SecurityContext

GROUP = "keystone_authtoken"

# Seconds for Keystone to answer, if [keystone_authtoken] http_connect_timeout does not say; the middleware's own default
# is to wait for ever, and with it the caller and a thread of the API.
_TIMEOUT_S = 5
# Logins by trust that are kept, each with its token.
_MOST_KEPT = 1000
# What the service user's own scope is made of; a login by trust takes the scope of the trust instead.
_SCOPE = (
    "project_id",
    "project_name",
    "project_domain_id",
    "project_domain_name",
    "domain_id",
    "domain_name",
    "system_scope",
    "default_domain_id",
    "default_domain_name",
)
_SECRETS = ("password", "application_credential_secret")

T = TypeVar("T")


def register_options(conf: cfg.ConfigOpts) -> None:
    """Register ``[keystone_authtoken]`` as the middleware does itself; may be called again."""
    for group, options in auth_token.list_opts():
        conf.register_opts(options, group=group)
    conf.set_default("http_connect_timeout", _TIMEOUT_S, group=GROUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A token with its body as Keystone shows it."""

    token: str = field(repr=False)
    body: JsonObject = field(repr=False)
    expires_at: str


class Trusts:
    """The service user's dealings with Keystone; shared by threads."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        """``conf`` gives ``[keystone_authtoken]``. Raises ``InputError`` if that names no service user."""
        self._conf = conf
        self._lock = threading.Lock()
        self._logins: OrderedDict[str, _Login] = OrderedDict()
        register_options(conf)
        try:
            self._auth = loading.load_auth_from_conf_options(conf, GROUP)
            self._session = _session(conf[GROUP])
        except (keystone_errors.ClientException, cfg.Error, ValueError) as error:
            raise InputError(f"[{GROUP}] cannot be used: {error}") from error
        if self._auth is None:
            raise InputError(
                f"[{GROUP}] auth_type is not set: name the service user with auth_type = password, auth_url, "
                "username, password, user_domain_name, project_name and project_domain_name; or set "
                "[pecan] auth_enable = false to ask callers for nothing."
            )

    @property
    def secret(self) -> str | None:
        """Return the secret of the service user, or None if it logs in by other means."""
        options = self._conf[self._section]
        return next((options[name] for name in _SECRETS if name in options), None)

    def create(self, caller: SecurityContext) -> str:
        """Return the id of a new trust by ``caller``, who has a token. Raises ``ForbiddenError``, ``UnavailableError``."""

        def create() -> str:
            made = self._client(caller).trusts.create(
                trustor_user=caller.user_id,
                trustee_user=self._session.get_user_id(self._auth),
                project=caller.project_id,
                role_names=list(caller.roles),
                impersonation=True,
            )
            return str(made.id)

        return _asked(
            create, "Keystone refuses a trust for this token, which a trigger or a delegated start needs"
        )

    def delete(self, trust_id: str) -> None:
        """Delete a trust, if it is still there. Raises ``UnavailableError``, ``ForbiddenError``."""

        def delete() -> None:
            auth = self._login(trust_id).auth
            with suppress(keystone_errors.NotFound):
                Client(session=self._session, auth=auth, interface="public").trusts.delete(trust_id)
            with self._lock:
                self._logins.pop(trust_id, None)

        _asked(delete, "Keystone refuses to delete a trust")

    def access(self, trust_id: str) -> Access:
        """Return a token of a trust that does not end at once. Raises ``ForbiddenError``, ``UnavailableError``."""

        def access() -> Access:
            login = self._login(trust_id)
            with login.lock:
                login.auth.get_access(self._session)
                state: JsonObject = load(login.auth.get_auth_state() or "{}")
            body = state["body"]["token"]
            return Access(token=state["auth_token"], body=body, expires_at=body["expires_at"])

        return _asked(access, "Keystone refuses the trust that this work is done with")

    def _login(self, trust_id: str) -> _Login:
        with self._lock:
            if trust_id not in self._logins:
                scope = dict.fromkeys(_SCOPE)
                names = {option.dest for option in loading.get_auth_plugin_conf_options(self._plugin_name)}
                given = {name: value for name, value in scope.items() if name in names}
                auth: BaseIdentityPlugin = loading.load_auth_from_conf_options(  # type: ignore[assignment]
                    self._conf, GROUP, **given, trust_id=trust_id
                )
                self._logins[trust_id] = _Login(auth=auth)
            self._logins.move_to_end(trust_id)
            while len(self._logins) > _MOST_KEPT:
                self._logins.popitem(last=False)
            return self._logins[trust_id]

    @property
    def _plugin_name(self) -> str:
        return str(self._conf[self._section].auth_type)

    @property
    def _section(self) -> str:
        return str(self._conf[GROUP].auth_section or GROUP)

    def _client(self, caller: SecurityContext) -> Client:
        endpoint = self._session.get_endpoint(self._auth, service_type="identity", version=(3, 0))
        return Client(session=self._session, auth=token_endpoint.Token(endpoint, caller.auth_token))


@dataclass(frozen=True, slots=True)
class _Login:
    """A login by trust; the lock lets one thread at a time ask for its token."""

    auth: BaseIdentityPlugin
    lock: threading.Lock = field(default_factory=threading.Lock)


def _session(options: cfg.ConfigOpts.GroupAttr) -> Session:
    return loading.session.Session().load_from_options(
        cert=options.certfile,
        key=options.keyfile,
        cacert=options.cafile,
        insecure=options.insecure,
        timeout=options.http_connect_timeout,
        user_agent="mistral-lite",
    )


def _asked(ask: Callable[[], T], refusal: str) -> T:
    try:
        return ask()
    except (keystone_errors.Forbidden, keystone_errors.Unauthorized, keystone_errors.NotFound) as error:
        raise ForbiddenError(f"{refusal} (status {error.http_status}).") from error
    except keystone_errors.ClientException as error:
        # The text may name addresses inside the cloud.
        raise UnavailableError("Keystone does not answer; try again later.") from error
