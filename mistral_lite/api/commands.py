"""Commands to the engine: made durable in the inbox, then announced, then waited for, bounded.

Once ``send`` returned the command will be applied, whether the engine runs now or not.
"""

from __future__ import annotations

from mistral_lite.api.services import ApiServices
from mistral_lite.api.waiting import wait_until
from mistral_lite.db import inbox
from mistral_lite.jsontext import JsonObject


def send(
    services: ApiServices, *, root_execution_id: str, kind: str, subject_id: str, payload: JsonObject
) -> bool:
    """Store a command and wait up to ``change_wait_s`` for the engine; return whether it was applied."""
    now = services.clock.now()
    seq = services.database.run(
        lambda connection: inbox.append(
            connection,
            root_execution_id=root_execution_id,
            kind=kind,
            subject_id=subject_id,
            payload=payload,
            now=now,
        )
    )
    return announce(services, root_execution_id, seq, services.settings.change_wait_s)


def announce(services: ApiServices, root_execution_id: str, seq: int, timeout_s: float) -> bool:
    """Ring the engine for an inbox row and wait up to ``timeout_s``; return whether it was applied."""
    services.doorbell.ring([root_execution_id])

    def is_applied() -> bool:
        with services.database.read() as connection:
            return inbox.is_consumed(connection, seq)

    return wait_until(is_applied, timeout_s)
