"""``/v2/event_triggers``: workflows that start when a service tells of an event on the message bus.

Only stores them. Engines that have a bus listen for the events and start the workflows.
"""

from __future__ import annotations

import sqlalchemy as sa

from mistral_lite.api import parameters, schemas
from mistral_lite.api.delegation import columns_of_trigger, record_trust
from mistral_lite.api.resources import Resource, answer_one, answer_page, json_inside, moment, plain
from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.specs import SpecCache
from mistral_lite.api.uploads import check_may_change
from mistral_lite.api.v2.types import bodies
from mistral_lite.db import definitions, event_triggers
from mistral_lite.db.listing import Row
from mistral_lite.errors import InputError, NotFoundError
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, JsonValue, dump, load
from mistral_lite.workflow.starting import check_input

RESOURCE = Resource(
    collection="event_triggers",
    attributes={
        "id": plain("id", schemas.TEXT),
        "created_at": moment("created_at", schemas.MOMENT),
        "updated_at": moment("updated_at"),
        "project_id": plain("project_id", schemas.TEXT),
        "name": plain("name", schemas.TEXT),
        "workflow_id": plain("workflow_id", schemas.TEXT),
        "workflow_input": json_inside("workflow_input"),
        "workflow_params": json_inside("workflow_params"),
        "exchange": plain("exchange", schemas.TEXT),
        "topic": plain("topic", schemas.TEXT),
        "event": plain("event", schemas.TEXT),
        "scope": plain("scope", schemas.SCOPE),
    },
    filters={
        "name": parameters.text_filter,
        "workflow_id": parameters.uuid_filter,
        "workflow_input": parameters.json_filter,
        "workflow_params": parameters.json_filter,
        "exchange": parameters.text_filter,
        "topic": parameters.text_filter,
        "event": parameters.text_filter,
        "scope": parameters.text_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
        "project_id": parameters.uuid_filter,
    },
)
_REQUIRED = ("exchange", "topic", "event", "workflow_id")
# What an engine listens to is fixed when a trigger is created.
_FIXED = ("exchange", "topic", "event")
_JSON = ("workflow_input", "workflow_params")


class EventTriggers:
    """Event triggers over HTTP, addressed by id."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._specs = SpecCache()

    @route(
        "GET",
        rule="event_triggers:list",
        query={**RESOURCE.query, "all_projects": parameters.ALL_PROJECTS},
        answer=RESOURCE.page,
    )
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of triggers."""
        viewer = call.list_viewer("event_triggers:list:all_projects")
        return answer_page(
            self._services, call, RESOURCE, event_triggers.source(viewer), RESOURCE.listed(call)
        )

    @route("GET", "*", rule="event_triggers:get", query={"fields": parameters.FIELDS}, answer=RESOURCE.item)
    def get(self, call: Call, identifier: str) -> JsonValue:
        """Return one trigger."""
        return answer_one(
            self._services, call, RESOURCE, lambda connection: _find(connection, call, identifier)
        )

    @route(
        "POST",
        rule="event_triggers:create",
        status=201,
        body=bodies.EVENT_TRIGGER,
        answer=RESOURCE.item,
        refusals=(404, 409),
    )
    def create(self, call: Call) -> JsonValue:
        """Store a new trigger."""
        missing = [name for name in _REQUIRED if not call.body.get(name)]
        if missing:
            raise InputError(f"An event trigger needs {', '.join(_REQUIRED)}; add {', '.join(missing)}.")
        values = _given(call)
        now = self._services.clock.now()
        row = {
            "id": new_id(now),
            "name": "",
            "workflow_input": "{}",
            "workflow_params": "{}",
            "scope": "private",
            **values,
            "project_id": call.context.project_id,
            "created_at": now,
            "updated_at": None,
        }

        with self._services.delegation.for_trigger(call.context) as security:

            def work(connection: sa.Connection) -> None:
                self._check_workflow(connection, row)
                event_triggers.insert_trigger(connection, {**row, **columns_of_trigger(security)})
                record_trust(connection, security, now)

            self._services.database.run(work)
        return RESOURCE.show(row)

    @route(
        "PUT",
        "*",
        rule="event_triggers:update",
        body=bodies.EVENT_TRIGGER,
        answer=RESOURCE.item,
        refusals=(409,),
    )
    def update(self, call: Call, identifier: str) -> JsonValue:
        """Change the given attributes of a trigger, but not what it listens to."""
        fixed = [name for name in _FIXED if call.body.get(name) is not None]
        if fixed:
            raise InputError(
                f"{', '.join(fixed)} of an event trigger cannot be changed: delete it and create another."
            )
        values = _given(call)
        now = self._services.clock.now()

        def work(connection: sa.Connection) -> JsonObject:
            row = _find(connection, call, identifier)
            check_may_change(call, row, "Event trigger")
            if all(row[name] == value for name, value in values.items()):
                return dict(row)
            changed = {**row, **values, "updated_at": now}
            if "workflow_id" in values or "workflow_input" in values:
                self._check_workflow(connection, changed)
            event_triggers.update_trigger(connection, row["id"], {**values, "updated_at": now})
            return changed

        return RESOURCE.show(self._services.database.run(work))

    @route("DELETE", "*", rule="event_triggers:delete", status=204)
    def delete(self, call: Call, identifier: str) -> JsonValue:
        """Delete a trigger; what it started stays."""

        def work(connection: sa.Connection) -> None:
            row = _find(connection, call, identifier)
            check_may_change(call, row, "Event trigger")
            event_triggers.delete_trigger(connection, row["id"])

        self._services.database.run(work)
        return None

    def _check_workflow(self, connection: sa.Connection, row: JsonObject) -> None:
        """Lock the workflow of a trigger against deletion. Raises if it is not there or the input does not fit."""
        found = definitions.find_workflow(
            connection, row["workflow_id"], "", row["project_id"], is_exact=True
        )
        if found is None or not definitions.lock_workflow(connection, found.id):
            raise NotFoundError(f"Workflow not found [workflow_identifier={row['workflow_id']}, namespace=]")
        check_input(self._specs.get(connection, found.spec_hash), load(row["workflow_input"]))


def _given(call: Call) -> JsonObject:
    """Return the columns that a body gives; null means the default, and is not given."""
    values = {name: value for name, value in call.body.items() if value is not None}
    if "workflow_id" in values:
        parameters.require_uuid("workflow_id", values["workflow_id"])
    if values.get("scope") == "public":
        call.authorize("event_triggers:publicize")
    return values | {name: dump(values[name]) for name in _JSON if name in values}


def _find(connection: sa.Connection, call: Call, identifier: str) -> Row:
    parameters.require_uuid("id", identifier)
    row = event_triggers.find_trigger(connection, identifier, call.context.viewer)
    if row is None:
        raise NotFoundError(f"Event trigger not found [id={identifier}]")
    return row
