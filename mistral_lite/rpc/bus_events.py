"""What another service tells of on the message bus, as plain data; nothing here needs the bus."""

from __future__ import annotations

from dataclasses import dataclass

from mistral_lite.jsontext import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class BusEvent:
    """One notification of another service.

    ``publisher`` names the service, ``context`` holds who asked it to do what happened. ``message_id`` and
    ``timestamp`` are those of the sender, None if it gave none.
    """

    exchange: str
    topic: str
    event_type: str
    publisher: str | None
    context: JsonObject
    payload: JsonValue
    message_id: str | None = None
    timestamp: str | None = None
