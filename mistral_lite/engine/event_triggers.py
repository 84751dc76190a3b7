"""Event triggers: listening to the topics that there are triggers for, and starting their workflows.

A notification is acknowledged after the executions that it starts are committed. It may come twice: the id of
an execution follows from trigger and message, so the second one finds that it is there already.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import sqlalchemy as sa

from mistral_lite import log, starts
from mistral_lite.db import definitions, event_triggers, maintenance
from mistral_lite.db.event_triggers import EventTrigger
from mistral_lite.db.listing import Viewer
from mistral_lite.db.transaction import Database
from mistral_lite.engine.event_definitions import EventDefinition, concerns, properties_of
from mistral_lite.errors import AlreadyExistsError, MistralLiteError, NotFoundError, UnavailableError
from mistral_lite.ids import derived_id, new_id
from mistral_lite.jsontext import JsonObject
from mistral_lite.rpc.bus_events import BusEvent
from mistral_lite.security import SecurityContext
from mistral_lite.starts import StartRequest, StartRules

LOG = logging.getLogger(__name__)

_BUG = "An internal error of the service; the log has the details."


class Listening(Protocol):
    """One topic that is listened to."""

    def stop(self) -> None:
        """Stop to listen."""


class Bus(Protocol):
    """A way to listen to topics of the message bus."""

    def listen(self, exchange: str, topic: str, take: Callable[[BusEvent], None]) -> Listening:
        """Hand the notifications of a topic to ``take``. Raises ``UnavailableError``."""


class EventTriggers:
    """Takes events, and starts what the triggers for them say."""

    def __init__(
        self,
        database: Database,
        rules: StartRules,
        event_definitions: Sequence[EventDefinition],
        ring: Callable[[Sequence[str]], None],
    ) -> None:
        """``ring`` tells an engine of new executions, by their ids."""
        self._database = database
        self._rules = rules
        self._definitions = tuple(event_definitions)
        self._ring = ring

    def take(self, event: BusEvent) -> None:
        """Start the workflows of all triggers for an event; one that cannot be started is logged and left out.

        Raises ``UnavailableError``, also in maintenance; then the same event is to be taken again.
        """
        with self._database.read() as connection:
            found = event_triggers.list_matching(connection, event.exchange, event.topic, event.event_type)
        triggers = [trigger for trigger in found if concerns(trigger, event)]
        if not triggers:
            return
        if self._is_in_maintenance():
            raise UnavailableError("The service is in maintenance.")
        try:
            properties = properties_of(event, self._definitions, self._rules.evaluator)
        except MistralLiteError as error:
            for trigger in triggers:
                _log_failure(trigger, error.message)
            return
        for trigger in triggers:
            self._start(trigger, event, properties)

    def _is_in_maintenance(self) -> bool:
        with self._database.read() as connection:
            return maintenance.find_status(connection).is_maintenance

    def _start(self, trigger: EventTrigger, event: BusEvent, properties: JsonObject) -> None:
        now = datetime.now(UTC)

        def work(connection: sa.Connection) -> str:
            request = _request(connection, trigger, properties, _execution_id(trigger, event, now))
            row = starts.prepare(connection, request, self._rules, now)
            starts.store(connection, row, trigger.security)
            return str(row["id"])

        try:
            execution_id = self._database.run(work)
        except AlreadyExistsError:
            return
        except UnavailableError:
            raise
        except MistralLiteError as error:
            _log_failure(trigger, error.message)
        except Exception:  # noqa: BLE001 - a bug that one trigger meets must not take the others along
            log.write(LOG, logging.ERROR, log.Event.INTERNAL_ERROR, "An event trigger failed", exc_info=True)
            _log_failure(trigger, _BUG)
        else:
            self._ring([execution_id])
            log.write(
                LOG,
                logging.INFO,
                log.Event.EVENT_TRIGGER_FIRED,
                "Event trigger fired",
                event_trigger_id=trigger.id,
                root_execution_id=execution_id,
            )


class EventListener:
    """Listens to just those topics that there are triggers for."""

    def __init__(self, database: Database, bus: Bus, take: Callable[[BusEvent], None]) -> None:
        self._database = database
        self._bus = bus
        self._take = take
        self._listening: dict[tuple[str, str], Listening] = {}

    def work(self) -> None:
        """Follow the triggers that were created and deleted; to be called from time to time by one thread."""
        with self._database.read() as connection:
            wanted = event_triggers.list_topics(connection)
        for key in self._listening.keys() - wanted:
            self._listening.pop(key).stop()
            _log_listener("No longer listening for events", key)
        for key in sorted(wanted - self._listening.keys()):
            try:
                self._listening[key] = self._bus.listen(*key, self._take)
            except UnavailableError as error:
                log.write(
                    LOG,
                    logging.WARNING,
                    log.Event.BUS_UNAVAILABLE,
                    "Cannot listen for events; trying again",
                    exchange=key[0],
                    topic=key[1],
                    reason=error.message,
                )
                return
            _log_listener("Listening for events", key)

    def stop(self) -> None:
        """Listen to nothing any more; after the thread that called ``work`` has ended."""
        while self._listening:
            self._listening.popitem()[1].stop()


def _request(
    connection: sa.Connection, trigger: EventTrigger, properties: JsonObject, execution_id: str
) -> StartRequest:
    definition = definitions.find_workflow(connection, trigger.workflow_id, "", trigger.project_id)
    if definition is None:
        raise NotFoundError(
            f"Workflow not found [workflow_identifier={trigger.workflow_id}]: it was deleted, or is no longer "
            "shared with the project of the trigger."
        )
    return StartRequest(
        definition=definition,
        viewer=Viewer(project_id=trigger.project_id),
        workflow_input=trigger.workflow_input,
        params={**trigger.workflow_params, "event_params": properties},
        namespace=definition.namespace,
        description=_description(trigger),
        execution_id=execution_id,
        security=None if trigger.security is None else SecurityContext.from_stored(trigger.security),
    )


def _execution_id(trigger: EventTrigger, event: BusEvent, now: datetime) -> str:
    """Return the id of the execution that a trigger starts for an event: the same if the event comes again."""
    if not event.message_id:
        return new_id(now)
    return derived_id(_sent_at(event), f"{trigger.id}/{event.message_id}", 0, 0)


def _sent_at(event: BusEvent) -> datetime:
    # Of the sender, not of now: it must be the same for a message that comes again.
    try:
        sent_at = datetime.fromisoformat(event.timestamp or "")
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return sent_at if sent_at.tzinfo is not None else sent_at.replace(tzinfo=UTC)


def _description(trigger: EventTrigger) -> str:
    # Clients parse it; the words are those of Mistral.
    return json.dumps(
        {
            "description": f"Workflow execution created by event trigger '({trigger.id})'.",
            "triggered_by": {"type": "event_trigger", "id": trigger.id, "name": trigger.name},
        }
    )


def _log_failure(trigger: EventTrigger, reason: str) -> None:
    log.write(
        LOG,
        logging.ERROR,
        log.Event.EVENT_TRIGGER_FAILED,
        "The workflow of an event trigger could not be started",
        event_trigger_id=trigger.id,
        reason=reason,
    )


def _log_listener(message: str, key: tuple[str, str]) -> None:
    log.write(LOG, logging.INFO, log.Event.EVENT_LISTENER_CHANGED, message, exchange=key[0], topic=key[1])
