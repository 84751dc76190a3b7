"""Commands to the engine: made durable in the inbox, then announced, then waited for, bounded.

Once ``send`` returned the command will be applied, whether the engine runs now or not.
"""

from __future__ import annotations

import sqlalchemy as sa

from mistral_lite import faults
from mistral_lite.api.services import ApiServices
from mistral_lite.db import delegations, inbox
from mistral_lite.jsontext import JsonObject


def send(
    services: ApiServices,
    *,
    root_execution_id: str,
    kind: str,
    subject_id: str,
    payload: JsonObject,
    security: JsonObject | None = None,
) -> bool:
    """Store a command and wait up to ``change_wait_s`` for the engine; return whether it was applied.

    ``security``: whom the execution works for from now on, None for whom it did before.
    """
    now = services.clock.now()

    def work(connection: sa.Connection) -> int:
        if security is not None:
            delegations.renew_context(connection, root_execution_id, security, now)
        return inbox.append(
            connection,
            root_execution_id=root_execution_id,
            kind=kind,
            subject_id=subject_id,
            payload=payload,
            now=now,
        )()

    seq = services.database.run(work)
    return announce(services, root_execution_id, seq, services.settings.change_wait_s)


def announce(services: ApiServices, root_execution_id: str, seq: int, timeout_s: float) -> bool:
    """Ring the engine for an inbox row and wait up to ``timeout_s``; return whether it was applied."""

    def is_applied() -> bool:
        with services.database.read() as connection:
            return inbox.is_consumed(connection, seq)

    faults.reach("api.after_insert")
    with services.waiting.expect(str(seq)) as expectation:
        services.doorbell.ring([root_execution_id])
        is_done = expectation.wait(is_applied, timeout_s)
    faults.reach("api.before_answer")
    return is_done
