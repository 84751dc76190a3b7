"""``/v2/environments``: variables under a name."""

from __future__ import annotations

import sqlalchemy as sa

from mistral_lite.api import parameters, schemas
from mistral_lite.api.resources import Resource, answer_one, answer_page, json_inside, moment, plain
from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.uploads import check_may_change
from mistral_lite.api.v2.types import bodies
from mistral_lite.db import environments
from mistral_lite.db.listing import Row
from mistral_lite.errors import InputError, NotFoundError
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, JsonValue, dump

RESOURCE = Resource(
    collection="environments",
    attributes={
        "id": plain("id", schemas.TEXT),
        "name": plain("name", schemas.TEXT),
        "description": plain("description"),
        "variables": json_inside("variables"),
        "scope": plain("scope", schemas.SCOPE),
        "project_id": plain("project_id", schemas.TEXT),
        "created_at": moment("created_at", schemas.MOMENT),
        "updated_at": moment("updated_at"),
    },
    filters={
        "name": parameters.text_filter,
        "description": parameters.text_filter,
        "variables": parameters.json_filter,
        "scope": parameters.text_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
    },
)
_SETTABLE = ("name", "description", "variables", "scope")


class Environments:
    """Environments over HTTP, addressed by name."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    @route("GET", rule="environments:list", query=RESOURCE.query, answer=RESOURCE.page)
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of environments."""
        return answer_page(
            self._services, call, RESOURCE, environments.source(call.context.viewer), RESOURCE.listed(call)
        )

    @route("GET", "*", rule="environments:get", query={"fields": parameters.FIELDS}, answer=RESOURCE.item)
    def get(self, call: Call, name: str) -> JsonValue:
        """Return one environment."""
        return answer_one(self._services, call, RESOURCE, lambda connection: _find(connection, call, name))

    @route(
        "POST",
        rule="environments:create",
        status=201,
        body=bodies.ENVIRONMENT,
        answer=RESOURCE.item,
        refusals=(409,),
    )
    def create(self, call: Call) -> JsonValue:
        """Store a new environment."""
        values = _checked(call)
        now = self._services.clock.now()
        row = {
            "id": new_id(now),
            "description": None,
            "variables": "{}",
            "scope": "private",
            **values,
            "project_id": call.context.project_id,
            "created_at": now,
            "updated_at": None,
        }
        self._services.database.run(lambda connection: environments.insert_environment(connection, row))
        shown = RESOURCE.show(row)
        del shown["updated_at"]
        if shown["description"] is None:
            del shown["description"]
        return shown

    @route("PUT", rule="environments:update", body=bodies.ENVIRONMENT, answer=RESOURCE.item, refusals=(404,))
    def update(self, call: Call) -> JsonValue:
        """Change the given attributes of the environment that the body names."""
        values = _checked(call)
        now = self._services.clock.now()

        def work(connection: sa.Connection) -> JsonObject:
            row = _find(connection, call, values["name"])
            check_may_change(call, row, "Environment")
            if all(row[name] == value for name, value in values.items()):
                return dict(row)
            changes = {**values, "updated_at": now}
            environments.update_environment(connection, row["id"], changes)
            return {**row, **changes}

        return RESOURCE.show(self._services.database.run(work))

    @route("DELETE", "*", rule="environments:delete", status=204)
    def delete(self, call: Call, name: str) -> JsonValue:
        """Delete an environment."""

        def work(connection: sa.Connection) -> None:
            row = _find(connection, call, name)
            check_may_change(call, row, "Environment")
            environments.delete_environment(connection, row["id"])

        self._services.database.run(work)
        return None


def _checked(call: Call) -> JsonObject:
    strange = [name for name in call.body if name not in _SETTABLE]
    if strange:
        raise InputError(
            f"An environment is defined by {', '.join(_SETTABLE)} only; remove {', '.join(strange)}."
        )
    if not call.body.get("name"):
        raise InputError("Name of the environment is not provided.")
    values = dict(call.body)
    if values.get("scope") == "public":
        call.authorize("environments:publicize")
    if "scope" in values and values["scope"] is None:
        values["scope"] = "private"
    if "variables" in values:
        values["variables"] = dump(values["variables"] or {})
    return values


def _find(connection: sa.Connection, call: Call, name: str) -> Row:
    row = environments.find_environment(connection, name, call.context.viewer)
    if row is None:
        raise NotFoundError(f"Environment not found [name={name}]")
    return row
