"""The actions ``zaqar.*``, over the queues in our own database or over those of a Zaqar.

Owns their names, parameters and results, which are those of the packs written for Zaqar. Each object says what to do to
a ``QueueStore``. Our own queues are worked on by engines (``engine.queues``), as executors have no database; executors
work on those of a Zaqar. Who waits for a message is in our own database in any case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol, Self

from mistral_lib.actions.context import ActionContext, SecurityContext

from mistral_lite.actions.context import StandardAction
from mistral_lite.errors import ActionError, InputError, UnavailableError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow.descriptors import EMBEDDED_QUEUES

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DEFAULT_TTL_S = 3600
_LONGEST_TTL_S = 14 * 24 * 3600
_DEFAULT_CLAIM_S = 300
_DEFAULT_GRACE_S = 60
_DEFAULT_LIMIT = 10
_MOST_MESSAGES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ZaqarSettings:
    """Which Zaqar to use, and as whom.

    ``endpoint``: its address; None for that in the catalogue of whoever an action works for. ``uses_tokens``: requests
    carry that one's token of Keystone; else only the name of the project. ``timeout_s`` bounds each request.
    """

    endpoint: str | None = None
    uses_tokens: bool = False
    timeout_s: float = 10.0


class QueuesAwayError(UnavailableError):
    """A Zaqar, or the Keystone that it asks, does not answer; the same request may be sent again."""


class QueueStore(Protocol):
    """The queues of one project; our own within one transaction.

    A queue comes into being with its first use. A message is an object with ``id``, ``body``, ``ttl`` and ``age``
    (seconds), ``claim_count`` and ``claim_id``. Messages come in the order in which they were posted.
    """

    def create(self, queue: str, metadata: JsonObject) -> None:
        """Make sure that there is a queue, with this metadata."""

    def delete(self, queue: str) -> None:
        """Remove a queue with its messages."""

    def list_queues(self, marker: str | None, most: int) -> list[JsonObject]:
        """Return ``name`` and ``metadata`` of queues after ``marker`` by name."""

    def stats(self, queue: str) -> JsonObject:
        """Return how many messages are ``free``, ``claimed`` and there in ``total``, and the ends of the queue."""

    def post(self, queue: str, messages: Sequence[tuple[JsonValue, int]]) -> list[str]:
        """Add messages (body, seconds to live) and return their ids."""

    def pop(self, queue: str, most: int) -> list[JsonObject]:
        """Remove and return the oldest messages that are not claimed."""

    def read(self, queue: str, marker: str | None, most: int, *, with_claimed: bool) -> list[JsonObject]:
        """Return messages after the one that is called ``marker``."""

    def claim(self, queue: str, ttl_s: int, grace_s: int, most: int) -> list[JsonObject]:
        """Claim the oldest messages that are not, for ``ttl_s``; they live ``grace_s`` longer at least."""

    def read_claim(self, queue: str, claim_id: str) -> list[JsonObject]:
        """Return the messages of a claim that has not run out."""

    def delete_messages(self, queue: str, ids: Sequence[str]) -> None:
        """Remove messages; those that are gone do not matter."""

    def wait(self, queue: str, match: str | None, most: int) -> None:
        """Deliver up to ``most`` messages to the action, once there is one that ``match`` holds for."""


Connect = Callable[[SecurityContext], QueueStore]


class QueueAction(StandardAction):
    """Base of the actions on queues. The constructor checks the parameters, ``carry_out`` does the work.

    ``worker``: who carries it out; None for executors, which then ``connect`` for whoever the action works for.
    """

    worker: ClassVar[str | None] = EMBEDDED_QUEUES
    connect: ClassVar[Connect | None] = None

    @classmethod
    def over(cls, connect: Connect) -> type[Self]:
        """Return this class for executors, over the queues that ``connect`` returns."""
        names = {
            "connect": staticmethod(connect),
            "worker": None,
            "__module__": cls.__module__,
            "__doc__": cls.__doc__,
        }
        return type(cls.__name__, (cls,), names)

    def run(self, context: ActionContext) -> JsonValue:
        """Do the work where an executor can."""
        connect = type(self).connect
        if connect is None:
            raise ActionError("Actions on embedded queues are carried out by engines, not by executors.")
        return self.carry_out(connect(context.security))

    def carry_out(self, store: QueueStore) -> JsonValue:
        """Do the work and return the result; an asynchronous action has none yet."""
        raise NotImplementedError


class PostAction(QueueAction):
    """Posts messages to a queue.

    ``messages`` is a mapping with ``body`` and perhaps ``ttl`` (seconds, 3600), or a list of such mappings. Returns
    ``{"resources": [<path of the message>, ...]}``.
    """

    def __init__(self, queue_name: str, messages: JsonValue) -> None:
        self._queue = _queue_name(queue_name)
        given = messages if isinstance(messages, list) else [messages]
        if not given:
            raise InputError("'messages' is empty; give at least one {body: ..., ttl: <seconds>}.")
        self._messages = [_new_message(item) for item in given]

    def carry_out(self, store: QueueStore) -> JsonValue:
        """Post."""
        ids = store.post(self._queue, self._messages)
        return {"resources": [_href(self._queue, message_id) for message_id in ids]}


class PopAction(QueueAction):
    """Takes up to ``count`` messages out of a queue and returns them, oldest first."""

    def __init__(self, queue_name: str, count: int = 1) -> None:
        self._queue = _queue_name(queue_name)
        self._count = _number("count", count)

    def carry_out(self, store: QueueStore) -> JsonValue:
        """Pop."""
        return [popped_view(self._queue, message) for message in store.pop(self._queue, self._count)]


class MessagesAction(QueueAction):
    """Returns messages of a queue and leaves them there.

    Further parameters: ``limit`` (10), ``marker`` (the id of the last message seen), ``include_claimed`` (false).
    """

    def __init__(self, queue_name: str, **params: JsonValue) -> None:
        self._queue = _queue_name(queue_name)
        # Each client of Zaqar has a name of its own there, so these two change nothing.
        _refuse_unknown(params, {"limit", "marker", "include_claimed", "echo", "include_delayed"})
        self._limit = _number("limit", params.get("limit"), _DEFAULT_LIMIT)
        self._marker = _text("marker", params.get("marker"))
        self._with_claimed = bool(params.get("include_claimed"))

    def carry_out(self, store: QueueStore) -> JsonValue:
        """Read."""
        found = store.read(self._queue, self._marker, self._limit, with_claimed=self._with_claimed)
        return [_view(self._queue, message) for message in found]


class ClaimAction(QueueAction):
    """Claims messages, which nobody else gets until the claim runs out, and returns them.

    Further parameters: ``ttl`` of the claim (300 s), ``grace`` (60 s), ``limit`` (10). With ``id``: returns the
    messages of that claim.
    """

    def __init__(self, queue_name: str, **params: JsonValue) -> None:
        self._queue = _queue_name(queue_name)
        _refuse_unknown(params, {"id", "ttl", "grace", "limit"})
        self._claim_id = _text("id", params.get("id"))
        self._ttl_s = _number("ttl", params.get("ttl"), _DEFAULT_CLAIM_S, most=_LONGEST_TTL_S)
        self._grace_s = _number("grace", params.get("grace"), _DEFAULT_GRACE_S, most=_LONGEST_TTL_S)
        self._limit = _number("limit", params.get("limit"), _DEFAULT_LIMIT)

    def carry_out(self, store: QueueStore) -> JsonValue:
        """Claim."""
        if self._claim_id is not None:
            found = store.read_claim(self._queue, self._claim_id)
        else:
            found = store.claim(self._queue, self._ttl_s, self._grace_s, self._limit)
        return [_view(self._queue, message) for message in found]


class DeleteMessagesAction(QueueAction):
    """Deletes messages, claimed or not. ``messages`` is a list of their ids."""

    def __init__(self, queue_name: str, messages: JsonValue) -> None:
        self._queue = _queue_name(queue_name)
        given = messages if isinstance(messages, list) else [messages]
        if not all(isinstance(item, str) for item in given):
            raise InputError("'messages' must be a list of ids of messages.")
        self._ids = given

    def carry_out(self, store: QueueStore) -> JsonValue:
        """Delete."""
        store.delete_messages(self._queue, self._ids)
        return None


class CreateAction(QueueAction):
    """Makes sure that there is a queue. Not needed before a post, which does the same."""

    def __init__(self, queue_name: str, metadata: JsonValue = None) -> None:
        self._queue = _queue_name(queue_name)
        if metadata is not None and not isinstance(metadata, dict):
            raise InputError("'metadata' must be a mapping.")
        self._metadata: JsonObject = metadata or {}

    def carry_out(self, store: QueueStore) -> JsonValue:
        """Create."""
        store.create(self._queue, self._metadata)


class DeleteAction(QueueAction):
    """Deletes a queue with its messages. Whoever waits for a message of it goes on waiting."""

    def __init__(self, queue_name: str) -> None:
        self._queue = _queue_name(queue_name)

    def carry_out(self, store: QueueStore) -> JsonValue:
        """Delete."""
        store.delete(self._queue)


class ListAction(QueueAction):
    """Returns the queues of the project by name: ``[{"name", "href", "metadata"}, ...]``."""

    def __init__(self, marker: str | None = None, limit: int = _DEFAULT_LIMIT) -> None:
        self._marker = _text("marker", marker)
        self._limit = _number("limit", limit)

    def carry_out(self, store: QueueStore) -> JsonValue:
        """List."""
        found = store.list_queues(self._marker, self._limit)
        return [{**queue, "href": f"/v2/queues/{queue['name']}"} for queue in found]


class StatsAction(QueueAction):
    """Returns how many messages a queue has: ``{"messages": {"free", "claimed", "total", ...}}``."""

    def __init__(self, queue_name: str) -> None:
        self._queue = _queue_name(queue_name)

    def carry_out(self, store: QueueStore) -> JsonValue:
        """Count."""
        return {"messages": store.stats(self._queue)}


class WaitAction(QueueAction):
    """Waits, as long as the task may, until messages arrive; takes and returns up to ``limit`` of them.

    ``match``: a YAQL expression without delimiters over the message (``$.body.ticket = 7``); others are left.
    Of several that wait for the same message, the first gets it.
    """

    def __init__(self, queue_name: str, match: str | None = None, limit: int = 1) -> None:
        self._queue = _queue_name(queue_name)
        self._match = _text("match", match)
        self._limit = _number("limit", limit)

    @classmethod
    def over(cls, connect: Connect) -> type[Self]:
        """Return this class: who waits is in our own database, wherever the queue is."""
        return cls

    def is_sync(self) -> bool:
        """Tell that the result comes later."""
        return False

    def carry_out(self, store: QueueStore) -> JsonValue:
        """Begin to wait."""
        store.wait(self._queue, self._match, self._limit)


QUEUE_ACTIONS: Mapping[str, type[QueueAction]] = MappingProxyType(
    {
        "zaqar.claim_messages": ClaimAction,
        "zaqar.delete_messages": DeleteMessagesAction,
        "zaqar.queue_create": CreateAction,
        "zaqar.queue_delete": DeleteAction,
        "zaqar.queue_list": ListAction,
        "zaqar.queue_messages": MessagesAction,
        "zaqar.queue_pop": PopAction,
        "zaqar.queue_post": PostAction,
        "zaqar.queue_stats": StatsAction,
        "zaqar.queue_wait": WaitAction,
    }
)


def popped_view(queue: str, message: JsonObject) -> JsonObject:
    """Return a message that was taken out of a queue as actions return it; there is no place it could be found at."""
    return {
        # Under both names, that of Zaqar's present client and that of its earlier one.
        "id": message["id"],
        "_id": message["id"],
        "body": message["body"],
        "ttl": message["ttl"],
        "age": message["age"],
        "href": None,
        "claim_count": message["claim_count"],
        "checksum": None,
        "queue": {"_name": queue, "_metadata": None, "client": None},
    }


def _view(queue: str, message: JsonObject) -> JsonObject:
    claim_id = message["claim_id"]
    suffix = "" if claim_id is None else f"?claim_id={claim_id}"
    return {**popped_view(queue, message), "href": _href(queue, message["id"]) + suffix}


def _href(queue: str, message_id: str) -> str:
    return f"/v2/queues/{queue}/messages/{message_id}"


def _queue_name(value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise InputError("'queue_name' must be 1 to 64 letters, digits, '-' and '_'.")


def _new_message(value: JsonValue) -> tuple[JsonValue, int]:
    if not isinstance(value, dict) or "body" not in value or value.keys() - {"body", "ttl"}:
        raise InputError(
            "Each of 'messages' must be a mapping with 'body' and, if you like, 'ttl' (seconds)."
        )
    return value["body"], _number("ttl", value.get("ttl"), _DEFAULT_TTL_S, most=_LONGEST_TTL_S)


def _number(name: str, value: object, default: int | None = None, *, most: int = _MOST_MESSAGES) -> int:
    if value is None and default is not None:
        return default
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise InputError(f"'{name}' must be a whole number from 1 to {most}.")


def _text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InputError(f"'{name}' must be a text.")


def _refuse_unknown(params: Mapping[str, JsonValue], known: set[str]) -> None:
    unknown = sorted(params.keys() - known)
    if unknown:
        raise InputError(f"Unknown parameters: {', '.join(unknown)}; known are {', '.join(sorted(known))}.")
