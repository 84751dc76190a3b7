"""``/v2/cron_triggers``: workflows that start by the clock. An engine fires them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import sqlalchemy as sa

from mistral_lite import cron
from mistral_lite.api import parameters, schemas
from mistral_lite.api.delegation import columns_of_trigger, record_trust
from mistral_lite.api.resources import Resource, answer_one, answer_page, json_inside, moment, plain
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
from mistral_lite.security import SecurityContext
from mistral_lite.workflow.starting import check_input

RESOURCE = Resource(
    collection="cron_triggers",
    attributes={
        "id": plain("id", schemas.TEXT),
        "name": plain("name", schemas.TEXT),
        "workflow_name": plain("workflow_name", schemas.TEXT),
        "workflow_id": plain("workflow_id", schemas.TEXT),
        "workflow_input": json_inside("workflow_input"),
        "workflow_params": json_inside("workflow_params"),
        "project_id": plain("project_id", schemas.TEXT),
        "scope": plain("scope", schemas.SCOPE),
        "pattern": plain("pattern", schemas.TEXT),
        "remaining_executions": plain("remaining_executions", schemas.or_null(schemas.INTEGER)),
        "first_execution_time": moment("first_execution_time"),
        "next_execution_time": moment("next_execution_time"),
        "created_at": moment("created_at", schemas.MOMENT),
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

    @route(
        "GET",
        rule="cron_triggers:list",
        query={**RESOURCE.query, "all_projects": parameters.ALL_PROJECTS},
        answer=RESOURCE.page,
    )
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of triggers."""
        viewer = call.list_viewer("cron_triggers:list:all_projects")
        return answer_page(
            self._services, call, RESOURCE, cron_triggers.source(viewer), RESOURCE.listed(call)
        )

    @route("GET", "*", rule="cron_triggers:get", query={"fields": parameters.FIELDS}, answer=RESOURCE.item)
    def get(self, call: Call, identifier: str) -> JsonValue:
        """Return one trigger."""
        return answer_one(
            self._services, call, RESOURCE, lambda connection: _find(connection, call, identifier)
        )

    @route(
        "POST",
        rule="cron_triggers:create",
        status=201,
        body=bodies.CRON_TRIGGER,
        answer=RESOURCE.item,
        refusals=(404, 409),
    )
    def create(self, call: Call) -> JsonValue:
        """Store a new trigger. Clients rely on the order of the checks: times, then workflow, then name."""
        if call.body.get("scope") == "public":
            call.authorize("cron_triggers:publicize")
        now = self._services.clock.now()
        times = _times(call.body, now)
        if not call.body.get("name"):
            raise InputError("Name of the cron trigger is not provided.")

        with self._services.delegation.for_trigger(call.context) as security:
            row = self._services.database.run(partial(self._store, call, times, security, now))
        shown = RESOURCE.show(row)
        del shown["updated_at"]
        return shown

    @route("DELETE", "*", rule="cron_triggers:delete", status=204)
    def delete(self, call: Call, identifier: str) -> JsonValue:
        """Delete a trigger; what it started stays."""

        def work(connection: sa.Connection) -> None:
            row = _find(connection, call, identifier)
            check_may_change(call, row, "Cron trigger")
            cron_triggers.delete_trigger(connection, row["id"])

        self._services.database.run(work)
        return None

    def _store(
        self,
        call: Call,
        times: JsonObject,
        security: SecurityContext | None,
        now: datetime,
        connection: sa.Connection,
    ) -> JsonObject:
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
            **columns_of_trigger(security),
            **times,
        }
        cron_triggers.insert_trigger(connection, row)
        record_trust(connection, security, now)
        return row

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
