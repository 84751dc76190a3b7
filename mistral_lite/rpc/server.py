"""The engine's side of the bus: one thread reads messages, the engine's own loop answers calls.

Nothing waits for an answer here: a call leaves a note of what to do with the answer, so a parked call holds no thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# First: it says which threads oslo.messaging is to use.
from mistral_lite.rpc.messaging import AWAY  # isort: skip
import oslo_messaging
from oslo_messaging.rpc.server import RPCServer

from mistral_lite import log
from mistral_lite.errors import UnavailableError
from mistral_lite.jsontext import JsonObject
from mistral_lite.pool import WorkerPool
from mistral_lite.rpc.protocol import ExchangeReply, ExchangeRequest

LOG = logging.getLogger(__name__)

# Answers that are sent at a time. One to an executor that has gone may take a minute to be given up.
_MOST_REPLIES = 64
# How long answers may take that are still to be sent when the engine has ended.
_LAST_REPLIES_S = 5.0


class EngineCalls(Protocol):
    """What an engine offers to the bus. Nothing here blocks."""

    def accept(self, request: ExchangeRequest, tell: Callable[[ExchangeReply | None], None]) -> object:
        """Take reports, renew leases, give work: soon ``tell`` gets the answer, or None for "repeat it".

        Raises ``UnavailableError``; then ``tell`` is not called.
        """

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """Look at these trees soon."""

    def ring_queues(self) -> None:
        """Look for messages that somebody waits for."""

    def notice_work(self) -> None:
        """Look for queued actions that no executor has."""


class EngineServer:
    """Lets an engine be called over the bus."""

    def __init__(
        self, transport: oslo_messaging.Transport, topic: str, server: str, engine: EngineCalls
    ) -> None:
        self._engine = engine
        self._replies = WorkerPool(_MOST_REPLIES, _send, "reply")
        self._server = _Server(transport, oslo_messaging.Target(topic=topic, server=server), self._take)

    def start(self) -> None:
        """Begin to take calls. Raises ``UnavailableError`` if the broker refuses the queues."""
        try:
            self._server.start()
        except AWAY as error:
            raise UnavailableError(
                f"The broker refuses the queues of this engine: {error}. If exchange or queues are there already "
                "with other properties (durable, quorum), delete them or choose another [DEFAULT] control_exchange."
            ) from error

    def stop(self) -> None:
        """Take no more calls and send the answers that the engine has given."""
        self._server.stop()
        self._replies.stop(_LAST_REPLIES_S)
        self._server.wait()

    def _take(self, message: Any) -> None:
        method = message.message.get("method")
        try:
            self._hand_on(message, method, message.message.get("args", {}))
        except UnavailableError:
            self._replies.submit(_Reply(message, None))
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends; the next message must be read
            log.write(
                LOG,
                logging.ERROR,
                log.Event.INTERNAL_ERROR,
                "A message from the bus was not understood",
                kind=str(method),
                error_type=type(error).__name__,
            )
            self._replies.submit(_Reply(message, None))

    def _hand_on(self, message: Any, method: str, arguments: JsonObject) -> None:
        if method == "exchange":
            request = ExchangeRequest.from_json(arguments["request"])
            self._engine.accept(request, lambda reply: self._replies.submit(_Reply(message, reply)))
        elif method == "ring":
            self._engine.ring(arguments["root_execution_ids"])
        elif method == "ring_queues":
            self._engine.ring_queues()
        elif method == "notice_work":
            self._engine.notice_work()
        else:
            raise ValueError(f"no such method: {method}")


class _Server(RPCServer):
    """Hands each message to ``take`` in the thread that reads it, which must not block."""

    def __init__(
        self, transport: oslo_messaging.Transport, target: oslo_messaging.Target, take: Callable[[Any], None]
    ) -> None:
        # Nothing is dispatched, so there is no dispatcher.
        super().__init__(transport, target, dispatcher=None)
        self._take = take

    def _on_incoming(self, incoming: Sequence[Any]) -> None:
        for message in incoming:
            self._take(message)


@dataclass(frozen=True, slots=True)
class _Reply:
    """An answer to ``message``; None: it was not taken. Casts are not answered."""

    message: Any
    reply: ExchangeReply | None


def _send(answer: _Reply) -> None:
    try:
        if answer.reply is not None:
            answer.message.reply(answer.reply.to_json())
        else:
            refusal = UnavailableError("The engine could not take the call; repeat it.")
            answer.message.reply(failure=(UnavailableError, refusal, None))
    except Exception as error:  # noqa: BLE001 - the bus fails in many ways; the caller repeats what gets no answer
        log.write(
            LOG,
            logging.WARNING,
            log.Event.BUS_UNAVAILABLE,
            "An answer to an executor cannot be sent",
            error_type=type(error).__name__,
        )
