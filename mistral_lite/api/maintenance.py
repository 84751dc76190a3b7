"""``/maintenance``: pausing the whole service, and what is refused meanwhile.

The status is durable and the same for all processes; engines pause and resume executions by it.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa
import webob
import wsme.types
from webob import exc
from wsme.types import wsattr

from mistral_lite import log
from mistral_lite.api import schemas
from mistral_lite.api.body import BodyType
from mistral_lite.api.routing import Call, route
from mistral_lite.api.schemas import Component
from mistral_lite.api.services import ApiServices
from mistral_lite.api.v2.types.values import ANY_TEXT
from mistral_lite.db import maintenance
from mistral_lite.db.maintenance import Status
from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonObject, JsonValue

LOG = logging.getLogger(__name__)

_SHOWN = (Status.RUNNING, Status.PAUSING, Status.PAUSED)
_ANSWER = Component(
    name="Maintenance",
    schema=schemas.object_of({"status": schemas.one_of(status.value for status in _SHOWN)}),
)


class MaintenanceAttributes(wsme.types.Base):
    """What a caller wants the service to be."""

    status = wsattr(ANY_TEXT)


_BODY = BodyType(argument="maintenance", attributes=MaintenanceAttributes)


def _always(status: Status, body: JsonObject) -> bool:
    return True


def late_result(status: Status, body: JsonObject) -> bool:
    """Let results through until the service is paused: it waits for them."""
    return status is Status.PAUSING


def cancelling(status: Status, body: JsonObject) -> bool:
    """Let executions be cancelled at any time."""
    return body.get("state") == "CANCELLED"


class Maintenance:
    """The switch over HTTP."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    @route("GET", rule="maintenance:get", answer=_ANSWER)
    def get(self, call: Call) -> JsonValue:
        """Return whether the service runs, is being paused, or is paused."""
        with self._services.database.read() as connection:
            return _shown(maintenance.find_status(connection))

    @route("PUT", rule="maintenance:update", body=_BODY, answer=_ANSWER, in_maintenance=_always)
    def update(self, call: Call) -> JsonValue:
        """Begin to pause everything that runs, or to resume what was paused so."""
        wanted = call.body.get("status")
        if wanted not in (Status.RUNNING, Status.PAUSED):
            raise InputError("The status of maintenance must be set to PAUSED or RUNNING.")
        is_wanted = wanted == Status.PAUSED

        def work(connection: sa.Connection) -> tuple[Status, Status]:
            now = self._services.clock.now()
            before = maintenance.lock_status(self._services.database, connection, now)
            if before.is_maintenance == is_wanted:
                return before, before
            after = Status.PAUSING if is_wanted else Status.RESUMING
            maintenance.set_status(connection, after, now)
            return before, after

        before, after = self._services.database.run(work)
        self._services.gate.close()
        if before is not after:
            log.write(
                LOG,
                logging.INFO,
                log.Event.MAINTENANCE_CHANGED,
                "The status of maintenance changed",
                from_state=before.value,
                to_state=after.value,
            )
        return _shown(after)


def refusal(status: Status) -> webob.Response:
    """Return the answer to a request that has to wait for the end of maintenance."""
    message = f"Current Mistral state is {status}. Method is not allowed"
    return exc.HTTPLocked(message, headers={"Server-Error-Message": message})


def _shown(status: Status) -> JsonObject:
    return {"status": Status.RUNNING.value if status is Status.RESUMING else status.value}
