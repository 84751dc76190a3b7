"""Queues in a Zaqar, by its own client: what ``QueueStore`` asks for, and what waiting for messages takes besides.

Owns the requests, their bounds, and what their failures mean. Imported only where a Zaqar is configured, as its client
is an optional library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import requests
from keystoneauth1.access import create as read_access
from keystoneauth1.exceptions import CatalogException, EndpointNotFound
from mistral_lib.actions.context import SecurityContext
from zaqarclient.common import http
from zaqarclient.queues.v2 import client as zaqar
from zaqarclient.queues.v2 import core
from zaqarclient.queues.v2.message import Message
from zaqarclient.queues.v2.queues import Queue
from zaqarclient.queues.v2.subscription import Subscription
from zaqarclient.transport import errors as refusals
from zaqarclient.transport.http import HttpTransport
from zaqarclient.transport.request import Request

from mistral_lite.actions.queues import QueuesAwayError, ZaqarSettings
from mistral_lite.errors import ActionError, ForbiddenError, InputError
from mistral_lite.jsontext import JsonObject, JsonValue

_SERVICE_TYPE = "messaging"
# What a Zaqar takes in one request unless it is configured otherwise.
_MOST_AT_ONCE = 20
_VERSION = re.compile(r"/v[0-9.]+/?$")
_LONGEST_REASON = 500


class ZaqarQueues:
    """The queues of one project (a ``QueueStore``). Not shared by threads.

    Methods raise ``QueuesAwayError`` if Zaqar does not answer or cannot serve the request now, ``ForbiddenError`` if it
    does not know or let in whoever asks, and ``InputError`` for what it refuses otherwise.
    """

    def __init__(self, client: zaqar.Client) -> None:
        self._client = client

    def create(self, queue: str, metadata: JsonObject) -> None:
        """Make sure that there is a queue, with this metadata."""
        with _told_apart():
            # Not by a Queue, which would not pass metadata.
            core.queue_create(*self._request(), queue, metadata=metadata)
            there: JsonObject = core.queue_get(*self._request(), queue)
            changes = _changes({name: there[name] for name in there if not name.startswith("_")}, metadata)
            if changes:
                core.queue_update(*self._request(), queue, changes)

    def delete(self, queue: str) -> None:
        """Remove a queue with its messages."""
        with _told_apart():
            self._queue(queue).delete()

    def list_queues(self, marker: str | None, most: int) -> list[JsonObject]:
        """Return ``name`` and ``metadata`` of queues after ``marker`` by name."""
        found: list[JsonObject] = []

        def page(size: int) -> int:
            after = found[-1]["name"] if found else marker
            place = {} if after is None else {"marker": after}
            queues, _ = self._client.queues(limit=size, detailed=True, **place)
            got = [{"name": queue.name, "metadata": queue._metadata or {}} for queue in queues]  # noqa: SLF001
            found.extend(got)
            return len(got)

        _in_pages(page, most)
        return found

    def stats(self, queue: str) -> JsonObject:
        """Return how many messages are ``free``, ``claimed`` and there in ``total``, and the ends of the queue."""
        with _told_apart():
            counts: JsonObject = self._queue(queue).stats["messages"]
        ends = {name: counts[name] for name in ("oldest", "newest") if name in counts}
        shown: JsonObject = {
            name: {"age": end["age"], "created": end["created"]} for name, end in ends.items()
        }
        return {**counts, **shown}

    def post(self, queue: str, messages: Sequence[tuple[JsonValue, int]]) -> list[str]:
        """Add messages (body, seconds to live) and return their ids."""
        given = [{"body": body, "ttl": ttl_s} for body, ttl_s in messages]
        with _told_apart():
            posted = self._queue(queue).post(given)
        return [str(path).rpartition("/")[2] for path in posted["resources"]]

    def pop(self, queue: str, most: int) -> list[JsonObject]:
        """Remove and return the oldest messages that are not claimed."""
        return self._gather(lambda size: self._queue(queue).pop(size), most)

    def read(self, queue: str, marker: str | None, most: int, *, with_claimed: bool) -> list[JsonObject]:
        """Return messages after the one that is called ``marker``."""
        found: dict[str, JsonObject] = {}

        def page(size: int) -> int:
            after = next(reversed(found), marker)
            place = {} if after is None else {"marker": after}
            got = self._queue(queue).messages(limit=size, echo=True, include_claimed=with_claimed, **place)
            # Behind the very first message of a queue, Zaqar over Redis begins with that message again.
            fresh = [_message(message) for message in got if message.id != marker and message.id not in found]
            found.update((message["id"], message) for message in fresh)
            return len(fresh)

        _in_pages(page, most)
        return list(found.values())

    def claim(self, queue: str, ttl_s: int, grace_s: int, most: int) -> list[JsonObject]:
        """Claim the oldest messages that are not, for ``ttl_s``; they live ``grace_s`` longer at least."""
        return self._gather(lambda size: self._queue(queue).claim(ttl=ttl_s, grace=grace_s, limit=size), most)

    def read_claim(self, queue: str, claim_id: str) -> list[JsonObject]:
        """Return the messages of a claim that has not run out."""
        try:
            return [_message(message) for message in self._queue(queue).claim(id=claim_id)]
        except refusals.ResourceNotFound:
            return []
        except Exception as error:
            raise _meant(error) from error

    def delete_messages(self, queue: str, ids: Sequence[str]) -> None:
        """Remove messages, claimed or not; those that are gone do not matter."""
        for start in range(0, len(ids), _MOST_AT_ONCE):
            with _told_apart():
                self._queue(queue).delete_messages(*ids[start : start + _MOST_AT_ONCE])

    def wait(self, queue: str, match: str | None, most: int) -> None:
        """Refuse: who waits is in the database, which executors do not have."""
        raise ActionError("Waiting for messages is begun by engines, not by executors.")

    # -- for those who wait ------------------------------------------------------------------------------

    def release(self, queue: str, claim_id: str) -> None:
        """End a claim before its time; its messages are anybody's again."""
        with _told_apart():
            self._queue(queue).claim(id=claim_id).delete()

    def subscribe(self, queue: str, address: str, ttl_s: int) -> None:
        """Have Zaqar call ``address`` for each message that is posted within the next ``ttl_s``."""
        with _told_apart():
            Subscription(self._client, queue, subscriber=address, ttl=ttl_s)

    def _queue(self, name: str) -> Queue:
        return self._client.queue(name, auto_create=False)

    def _request(self) -> tuple[HttpTransport, Request]:
        request, transport = self._client._request_and_transport()  # noqa: SLF001 - what its own classes begin with
        return transport, request

    @staticmethod
    def _gather(take: Callable[[int], Iterator[Message]], most: int) -> list[JsonObject]:
        """Return up to ``most`` messages that ``take`` takes away, in several requests if need be."""
        found: list[JsonObject] = []

        def page(size: int) -> int:
            got = [_message(message) for message in take(size)]
            found.extend(got)
            return len(got)

        try:
            _in_pages(page, most)
        except QueuesAwayError:
            # What was taken already must not be lost.
            if not found:
                raise
        return found


def connect(settings: ZaqarSettings, security: SecurityContext) -> ZaqarQueues:
    """Return the queues of whoever ``security`` speaks for. Nothing is sent yet.

    Raises ``ForbiddenError`` if there is no token where one is needed, ``InputError`` if no Zaqar is known.
    """
    options: JsonObject = {"os_project_id": security.project_id}
    url = settings.endpoint
    if settings.uses_tokens:
        token = security.auth_token
        if not token:
            raise ForbiddenError("Zaqar asks for a token of Keystone, and this work has none.")
        options |= {
            "os_auth_token": token,
            "os_cacert": security.auth_cacert,
            "os_insecure": security.insecure,
        }
        url = url or _find_endpoint(security)
    if url is None:
        raise InputError("No Zaqar is configured: set [queues] zaqar_endpoint.")
    auth = {"backend": "keystone" if settings.uses_tokens else "noauth", "options": options}
    return ZaqarQueues(_Client(_VERSION.sub("", url), auth, settings.timeout_s))


class _Client(zaqar.Client):
    """The client of Zaqar with one connection and a bound for each request."""

    def __init__(self, url: str, auth: JsonObject, timeout_s: float) -> None:
        super().__init__(url=url, version=2, conf={"auth_opts": auth})
        self._transport = HttpTransport({})
        self._transport.client = _Http(timeout_s)

    def _get_transport(self, request: Request) -> HttpTransport:
        return self._transport


class _Http(http.Client):
    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s

    def request(self, *args: object, **more: object) -> requests.Response:
        """Send a request; the client itself would wait for ever, and take some failures for answers."""
        response: requests.Response = super().request(*args, timeout=self._timeout_s, **more)
        if response.status_code >= 400 and response.status_code not in HttpTransport.http_to_zaqar:
            response.raise_for_status()
        return response


def _find_endpoint(security: SecurityContext) -> str:
    access = read_access(body={"token": security.service_catalog or {}}, auth_token=security.auth_token)
    region = security.region_name
    try:
        url = access.service_catalog.url_for(
            service_type=_SERVICE_TYPE, interface="public", region_name=region
        )
    except (CatalogException, EndpointNotFound) as error:
        place = f" in the region {region}" if region else ""
        raise InputError(
            f"The catalogue of Keystone has no service of the type '{_SERVICE_TYPE}'{place}."
        ) from error
    return str(url)


def _in_pages(page: Callable[[int], int], most: int) -> None:
    """Call ``page`` with how many to get, until ``most`` are there or it returns that it got fewer."""
    left = most
    while left > 0:
        size = min(left, _MOST_AT_ONCE)
        with _told_apart():
            got = page(size)
        if got < size:
            return
        left -= got


def _changes(there: JsonObject, wanted: JsonObject) -> list[JsonObject]:
    """Return the JSON patch that makes metadata what is wanted. Names that begin with "_" are Zaqar's own options."""
    gone = [{"op": "remove", "path": f"/metadata/{name}"} for name in there if name not in wanted]
    new = [
        {"op": "replace" if name in there else "add", "path": f"/metadata/{name}", "value": value}
        for name, value in wanted.items()
        if not name.startswith("_") and (name not in there or there[name] != value)
    ]
    return [*gone, *new]


def _message(message: Message) -> JsonObject:
    href = message.href or ""
    return {
        "id": message.id,
        "body": message.body,
        "ttl": message.ttl,
        "age": message.age,
        "claim_count": message.claim_count,
        "claim_id": href.partition("?claim_id=")[2] or None,
    }


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except (refusals.TransportError, requests.RequestException) as error:
        raise _meant(error) from error


def _meant(error: Exception) -> Exception:
    """Return what an error of the client means, or itself if it is a bug."""
    match error:
        case refusals.UnauthorizedError() | refusals.ForbiddenError():
            return ForbiddenError(f"Zaqar refuses whoever this work is done for (status {error.code}).")
        case refusals.InternalServerError() | refusals.ServiceUnavailableError():
            return QueuesAwayError(f"Zaqar cannot serve the request now (status {error.code}).")
        case refusals.TransportError():
            return InputError(str(error)[:_LONGEST_REASON])
        case requests.HTTPError(response=requests.Response(status_code=status)):
            return QueuesAwayError(f"Zaqar cannot serve the request now (status {status}).")
        case requests.RequestException():
            # The text of the error names addresses inside the cloud.
            return QueuesAwayError(f"Zaqar does not answer ({type(error).__name__}).")
    return error


def connector(settings: ZaqarSettings) -> Callable[[SecurityContext], ZaqarQueues]:
    """Return ``connect`` with its settings."""
    return partial(connect, settings)
