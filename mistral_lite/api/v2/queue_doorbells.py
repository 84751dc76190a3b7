"""Where a Zaqar calls when a message is posted that somebody waits for."""

from __future__ import annotations

from hashlib import sha256

from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.db import queues
from mistral_lite.errors import NotFoundError
from mistral_lite.jsontext import JsonValue


class QueueDoorbells:
    """``/v2/queue_doorbells``. Whoever knows the secret may ring, and can do nothing else."""

    def __init__(self, services: ApiServices) -> None:
        self._database = services.database
        self._doorbell = services.doorbell

    @route(
        "POST", "*", status=204, is_public=True, refusals=(503,), in_maintenance=lambda _status, _body: True
    )
    def ring(self, _call: Call, secret: str) -> JsonValue:
        """Have a queue in a Zaqar looked at. The body is not read."""
        doorbell_hash = sha256(secret.encode()).hexdigest()
        if not self._database.run(
            lambda connection: queues.ring(connection, doorbell_hash, self._database.now(connection))
        ):
            raise NotFoundError("There is no such doorbell.")
        # After the commit.
        self._doorbell.ring_queues()
        return None
