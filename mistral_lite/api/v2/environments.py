"""``/v2/environments``: variables under a name."""

from __future__ import annotations

import sqlalchemy as sa

from mistral_lite.api import parameters
from mistral_lite.api.resources import Resource, json_inside, moment, plain, read_page
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
        "id": plain("id"),
        "name": plain("name"),
        "description": plain("description"),
        "variables": json_inside("variables"),
        "scope": plain("scope"),
        "project_id": plain("project_id"),
        "created_at": moment("created_at"),
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

    @route("GET", query=RESOURCE.query)
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of environments."""
        names = RESOURCE.listed(call)
        with self._services.database.read() as connection:
            rows, rest = read_page(
                connection,
                call,
                RESOURCE,
                environments.source(call.context.viewer),
                names,
                max_limit=self._services.settings.max_limit,
            )
        return {"environments": [RESOURCE.show(row, names) for row in rows], **rest}

    @route("GET", "*", query={"fields": parameters.names})
    def get(self, call: Call, name: str) -> JsonValue:
        """Return one environment."""
        with self._services.database.read() as connection:
            row = _find(connection, call, name)
        return RESOURCE.show(row, RESOURCE.chosen(call, RESOURCE.attributes))

    @route("POST", status=201, body=bodies.ENVIRONMENT)
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

    @route("PUT", body=bodies.ENVIRONMENT)
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

    @route("DELETE", "*", status=204)
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
        call.context.require_admin("make an environment public")
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
