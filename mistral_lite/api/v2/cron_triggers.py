"""``/v2/cron_triggers``: workflows that start by the clock. An engine fires them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from mistral_lite import cron
from mistral_lite.api import parameters
from mistral_lite.api.resources import Resource, json_inside, moment, plain, read_page
from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.specs import SpecCache
from mistral_lite.api.uploads import check_may_change
from mistral_lite.api.v2.types import bodies
from mistral_lite.db import cron_triggers, definitions
from mistral_lite.db.definitions import Definition
from mistral_lite.db.listing import Row
from mistral_lite.errors import InputError, NotFoundError
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, JsonValue, dump
from mistral_lite.workflow.starting import check_input

RESOURCE = Resource(
    collection="cron_triggers",
    attributes={
        "id": plain("id"),
        "name": plain("name"),
        "workflow_name": plain("workflow_name"),
        "workflow_id": plain("workflow_id"),
        "workflow_input": json_inside("workflow_input"),
        "workflow_params": json_inside("workflow_params"),
        "project_id": plain("project_id"),
        "scope": plain("scope"),
        "pattern": plain("pattern"),
        "remaining_executions": plain("remaining_executions"),
        "first_execution_time": moment("first_execution_time"),
        "next_execution_time": moment("next_execution_time"),
        "created_at": moment("created_at"),
        "updated_at": moment("updated_at"),
    },
    filters={
        "name": parameters.text_filter,
        "workflow_name": parameters.text_filter,
        "workflow_id": parameters.uuid_filter,
        "workflow_input": parameters.json_filter,
        "workflow_params": parameters.json_filter,
        "scope": parameters.text_filter,
        "pattern": parameters.text_filter,
        "remaining_executions": parameters.integer_filter,
        "first_execution_time": parameters.time_filter,
        "next_execution_time": parameters.time_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
        "project_id": parameters.uuid_filter,
    },
)
_LEAST_NOTICE = timedelta(minutes=1)


class CronTriggers:
    """Cron triggers over HTTP, addressed by name or id. They do not change: delete and create anew."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._specs = SpecCache()

    @route("GET", query={**RESOURCE.query, "all_projects": parameters.flag})
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of triggers."""
        if call.query.get("all_projects"):
            call.context.require_admin("list the cron triggers of all projects")
        names = RESOURCE.listed(call)
        with self._services.database.read() as connection:
            rows, rest = read_page(
                connection,
                call,
                RESOURCE,
                cron_triggers.source(call.context.viewer),
                names,
                max_limit=self._services.settings.max_limit,
            )
        return {"cron_triggers": [RESOURCE.show(row, names) for row in rows], **rest}

    @route("GET", "*", query={"fields": parameters.names})
    def get(self, call: Call, identifier: str) -> JsonValue:
        """Return one trigger."""
        with self._services.database.read() as connection:
            row = _find(connection, call, identifier)
        return RESOURCE.show(row, RESOURCE.chosen(call, RESOURCE.attributes))

    @route("POST", status=201, body=bodies.CRON_TRIGGER)
    def create(self, call: Call) -> JsonValue:
        """Store a new trigger. Clients rely on the order of the checks: times, then workflow, then name."""
        if call.body.get("scope") == "public":
            call.context.require_admin("make a cron trigger public")
        now = self._services.clock.now()
        times = _times(call.body, now)
        if not call.body.get("name"):
            raise InputError("Name of the cron trigger is not provided.")

        def work(connection: sa.Connection) -> JsonObject:
            definition = self._find_workflow(connection, call)
            row = {
                "id": new_id(now),
                "name": call.body["name"],
                "workflow_id": definition.id,
                "workflow_name": definition.name,
                "workflow_input": dump(call.body.get("workflow_input") or {}),
                "workflow_params": dump(call.body.get("workflow_params") or {}),
                "scope": call.body.get("scope") or "private",
                "project_id": call.context.project_id,
                "created_at": now,
                "updated_at": None,
                **times,
            }
            cron_triggers.insert_trigger(connection, row)
            return row

        shown = RESOURCE.show(self._services.database.run(work))
        del shown["updated_at"]
        return shown

    @route("DELETE", "*", status=204)
    def delete(self, call: Call, identifier: str) -> JsonValue:
        """Delete a trigger; what it started stays."""

        def work(connection: sa.Connection) -> None:
            row = _find(connection, call, identifier)
            check_may_change(call, row, "Cron trigger")
            cron_triggers.delete_trigger(connection, row["id"])

        self._services.database.run(work)
        return None

    def _find_workflow(self, connection: sa.Connection, call: Call) -> Definition:
        """Return the workflow that a body names, locked against deletion, if the input fits it."""
        body = call.body
        identifier = body.get("workflow_id") or body.get("workflow_name")
        found = definitions.find_workflow(
            connection, identifier or "", "", call.context.project_id, is_exact=True
        )
        if found is None or not definitions.lock_workflow(connection, found.id):
            raise NotFoundError(f"Workflow not found [workflow_identifier={identifier}, namespace=]")
        check_input(self._specs.get(connection, found.spec_hash), body.get("workflow_input") or {})
        return found


def _times(body: JsonObject, now: datetime) -> JsonObject:
    """Return the columns that say when a trigger fires. Raises ``InputError``."""
    pattern, count = body.get("pattern") or None, body.get("remaining_executions")
    first = _first_time(body.get("first_execution_time"))
    if pattern is None and first is None:
        raise InputError("Pattern or first_execution_time must be specified.")
    if first is not None and first < now + _LEAST_NOTICE:
        raise InputError("first_execution_time must be at least 1 minute in the future.")
    if pattern is None and count is not None and count > 1:
        raise InputError("Pattern must be provided if count is superior to 1.")
    if pattern is not None:
        cron.check_pattern(pattern, now)
    return {
        "pattern": pattern or cron.NEVER,
        "remaining_executions": 1 if pattern is None else count,
        "first_execution_time": first,
        "next_execution_time": first or cron.next_match(pattern or cron.NEVER, now),
    }


def _first_time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    except ValueError as error:
        raise InputError(
            "first_execution_time is not a time like 2026-12-25 13:37 (year-month-day hour:minute in UTC)."
        ) from error


def _find(connection: sa.Connection, call: Call, identifier: str) -> Row:
    row = cron_triggers.find_trigger(connection, identifier, call.context.viewer)
    if row is None:
        raise NotFoundError(f"Cron trigger not found [identifier={identifier}]")
    return row
