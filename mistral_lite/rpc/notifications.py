"""Listening to the notifications of other services over oslo.messaging.

All engines of a deployment listen as one pool: each notification comes to one of them, and other consumers of
the topic lose nothing. A message is acknowledged after it was handled and put back if it could not be, so it
may come twice and does not get lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from oslo_config import cfg

# First: it says which threads oslo.messaging is to use.
from mistral_lite.rpc.messaging import register_options  # isort: skip
import oslo_messaging
from oslo_messaging.exceptions import MessagingException

from mistral_lite.errors import UnavailableError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.rpc.bus_events import BusEvent

# Handled at a time by one engine, for each topic.
_THREADS = 4
# Before a message that could not be handled is put back: it comes again at once.
_PAUSE_S = 1.0


class NotificationBus:
    """A way to listen; ``pool`` is the name that all engines of a deployment share."""

    def __init__(self, conf: cfg.ConfigOpts, pool: str) -> None:
        register_options(conf)
        # That of [oslo_messaging_notifications], or else the one that joins the processes.
        self._transport = oslo_messaging.get_notification_transport(conf)
        self._pool = pool

    def listen(self, exchange: str, topic: str, take: Callable[[BusEvent], None]) -> Listening:
        """Begin to hand the notifications of a topic to ``take`` and return what ends it.

        ``take`` may raise ``UnavailableError``: then the notification is put back. Raises
        ``UnavailableError`` if the bus is away.
        """
        endpoint = _Endpoint(exchange, topic, take)
        try:
            listener = oslo_messaging.get_notification_listener(
                self._transport,
                [oslo_messaging.Target(exchange=exchange, topic=topic)],
                [endpoint],
                executor="threading",
                allow_requeue=True,
                pool=f"{self._pool}.{exchange}.{topic}",
            )
            listener.start(override_pool_size=_THREADS)
        except (MessagingException, OSError) as error:
            raise UnavailableError(f"The bus is away ({type(error).__name__}).") from error
        return Listening(listener, endpoint)

    def close(self) -> None:
        """Close the connections."""
        self._transport.cleanup()


class Listening:
    """One topic that is listened to."""

    def __init__(self, listener: oslo_messaging.MessageHandlingServer, endpoint: _Endpoint) -> None:
        self._listener = listener
        self._endpoint = endpoint

    def stop(self) -> None:
        """Take no more notifications and let those under way end."""
        self._endpoint.is_closed.set()
        self._listener.stop()
        self._listener.wait()


class _Endpoint:
    """The priorities that are listened to; other ones stay with whoever wants them."""

    def __init__(self, exchange: str, topic: str, take: Callable[[BusEvent], None]) -> None:
        self._exchange = exchange
        self._topic = topic
        self._take = take
        self.is_closed = threading.Event()

    def info(
        self,
        context: JsonObject,
        publisher_id: str | None,
        event_type: str | None,
        payload: JsonValue,
        metadata: JsonObject,
    ) -> str:
        """Hand on one notification."""
        event = BusEvent(
            exchange=self._exchange,
            topic=self._topic,
            event_type=event_type or "",
            publisher=publisher_id,
            context=context,
            payload=payload,
            message_id=metadata.get("message_id"),
            timestamp=_text(metadata.get("timestamp")),
        )
        try:
            self._take(event)
        except UnavailableError:
            self.is_closed.wait(_PAUSE_S)
            return str(oslo_messaging.NotificationResult.REQUEUE)
        return str(oslo_messaging.NotificationResult.HANDLED)

    audit = critical = debug = error = info


def _text(value: JsonValue) -> str | None:
    return None if value is None else str(value)
