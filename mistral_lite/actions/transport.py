"""HTTP requests that keep the egress policy and a bounded response, over kept-alive connections.

Each thread has its own session, so no lock is held during a request. Cookies never pass from one action to
the next. The gate sits at two places that no redirect or proxy goes round: the adapter's ``send`` judges every
URL, and the connection judges the address it opens.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.poolmanager import PoolManager
from urllib3.util.connection import create_connection

from mistral_lite.actions.egress import EgressPolicy, HttpSettings
from mistral_lite.errors import ActionError

_CHUNK_BYTES = 64 * 1024
# Servers close idle connections after some seconds; one older than this could be closing as we write to it,
# and a request that failed so must not be sent twice.
_KEEP_ALIVE_S = 2.0


class HttpTransport:
    """Sends requests under one set of settings; may be shared by threads."""

    def __init__(self, settings: HttpSettings) -> None:
        self.settings = settings
        self._policy = EgressPolicy(settings)
        self._local = threading.local()

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send one request and return its response with the whole body read.

        ``options`` are those of ``requests.request``. Raises ``ActionError`` if the policy refuses the URL, an
        address or the size of the answer, and what ``requests`` raises if the request fails.
        """
        self._policy.check_url(url)
        session = self._session()
        try:
            return session.request(method, url, stream=True, **options)
        finally:
            session.cookies.clear()
            self._local.used_at = time.monotonic()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            adapter = _GuardedAdapter(self._policy)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            session.hooks["response"].append(self._read_body)
            self._local.session = session
        elif time.monotonic() - self._local.used_at > _KEEP_ALIVE_S:
            session.close()
        return session

    def _read_body(self, response: requests.Response, *_args: object, **_options: object) -> None:
        """Read the body up to the limit; as a hook, so that the answers of redirects are bounded too."""
        limit = self.settings.max_response_bytes
        declared = response.headers.get("Content-Length", "")
        if limit and response.request.method != "HEAD" and declared.isdigit() and int(declared) > limit:
            response.close()
            raise ActionError(f"HTTP response is too large (Content-Length={declared}, limit={limit} bytes).")
        body = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if limit and len(body) > limit:
                response.close()
                raise ActionError(
                    f"HTTP response is too large (more than {len(body) - 1} bytes, limit={limit} bytes)."
                )
        # Where requests itself keeps a body that was read; there is no public way to hand it one.
        response._content = bytes(body)  # noqa: SLF001


class _GuardedAdapter(HTTPAdapter):
    """An adapter whose connections go to judged addresses only."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._pool_classes = _pool_classes(policy)
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools, with our connections in them."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def proxy_manager_for(self, proxy: str, **options: Any) -> PoolManager:
        """Return the pools that lead through ``proxy``, whose address is judged like any other."""
        if not proxy.lower().startswith(("http://", "https://")):
            raise ActionError("The parameter 'proxies' may name http and https proxies only.")
        manager: PoolManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pool_classes
        return manager

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Judge the URL, of the first request and of every redirect, and send."""
        url = request.url or ""
        self._policy.check_url(url)
        if requests.utils.select_proxy(url, dict(proxies or {})):
            self._policy.check_resolved(url)
        return super().send(
            request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies
        )


def _open_socket(policy: EgressPolicy, connection: HTTPConnection) -> socket.socket:
    """Connect to the first address of the connection's host that answers, all of them judged first."""
    try:
        addresses = policy.resolve(connection.host, connection.port)
    except (socket.gaierror, UnicodeError) as error:
        reason = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
        raise NameResolutionError(connection.host, connection, reason) from error
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            return create_connection(
                (address, connection.port),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(
            connection, f"Connection to {connection.host} timed out (connect timeout={connection.timeout})"
        ) from failure
    raise NewConnectionError(connection, f"Failed to establish a new connection: {failure}") from failure


def _pool_classes(policy: EgressPolicy) -> dict[str, type[HTTPConnectionPool]]:
    """Return the pool classes by scheme; classes, because urllib3 is extended by class only."""

    class GuardedConnection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _open_socket(policy, self)

    class GuardedTlsConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _open_socket(policy, self)

    class GuardedPool(HTTPConnectionPool):
        ConnectionCls = GuardedConnection

    class GuardedTlsPool(HTTPSConnectionPool):
        ConnectionCls = GuardedTlsConnection

    return {"http": GuardedPool, "https": GuardedTlsPool}
