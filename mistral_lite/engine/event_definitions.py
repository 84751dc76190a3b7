"""What a notification of another service means to event triggers: pure rules, no bus and no database.

A definitions file says for types of events which properties a workflow is told. It is a YAML list of
``{event_types: text or list of shell patterns, properties: {name: expression}}``. Of the definitions that match
an event the last one counts, alone; without any, every event has the same few default properties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mistral_lite.db.event_triggers import EventTrigger
from mistral_lite.errors import DefinitionError, InputError
from mistral_lite.expressions.base import ExpressionEvaluator
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.loader import load_value
from mistral_lite.rpc.bus_events import BusEvent
from mistral_lite.workflow.starting import StartView

# The project of those who did not prove who they are: without authentication there is only one.
_ANY_PROJECT = "<default-project>"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDefinition:
    """Properties of the events whose type matches one of ``patterns`` (as in a shell, case matters)."""

    patterns: tuple[str, ...]
    properties: JsonObject

    def covers(self, event_type: str) -> bool:
        """Tell whether this definition is for events of ``event_type``."""
        return any(fnmatchcase(event_type, pattern) for pattern in self.patterns)


def parse_definitions(text: str) -> tuple[EventDefinition, ...]:
    """Return the definitions of a file, in its order. Raises ``InputError`` naming the entry that is wrong."""
    try:
        document = load_value(text)
    except DefinitionError as error:
        raise InputError(f"The event definitions are not YAML: {error.message}") from error
    if not document:
        return ()
    if not isinstance(document, list):
        raise InputError("The event definitions must be a list.")
    return tuple(_parse_one(number, entry) for number, entry in enumerate(document, 1))


def _parse_one(number: int, entry: JsonValue) -> EventDefinition:
    if not isinstance(entry, dict) or not {"event_types", "properties"} <= entry.keys():
        raise InputError(f"Event definition {number} must be a mapping with event_types and properties.")
    types = entry["event_types"]
    patterns = [types] if isinstance(types, str) else types
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise InputError(f"event_types of event definition {number} must be a text or a list of texts.")
    if not isinstance(entry["properties"], dict):
        raise InputError(f"properties of event definition {number} must be a mapping.")
    return EventDefinition(patterns=tuple(patterns), properties=entry["properties"])


def concerns(trigger: EventTrigger, event: BusEvent) -> bool:
    """Tell whether an event may start the workflow of a trigger that names its type.

    A trigger hears of its own project only, unless it is public.
    """
    return (
        trigger.scope == "public"
        or trigger.project_id == _ANY_PROJECT
        or trigger.project_id == event.context.get("project_id")
    )


def properties_of(
    event: BusEvent, definitions: Sequence[EventDefinition], evaluator: ExpressionEvaluator
) -> JsonObject:
    """Return what a workflow is told of an event. Raises ``EvaluationError``.

    Expressions see ``event_type``, ``publisher``, ``timestamp``, ``context`` and ``payload``.
    """
    matching = [each for each in definitions if each.covers(event.event_type)]
    if not matching:
        return {
            "service": event.publisher,
            "project_id": event.context.get("project_id"),
            # As services send it, and as older ones did.
            "user_id": event.context.get("user") or event.context.get("user_id"),
            "timestamp": event.timestamp,
        }
    facts: JsonObject = {
        "event_type": event.event_type,
        "publisher": event.publisher,
        "timestamp": event.timestamp,
        "context": event.context,
        "payload": event.payload,
    }
    properties: JsonObject = evaluator.evaluate(matching[-1].properties, facts, StartView({}, {}, ""))
    return properties
