"""``/v2/dynamic_actions``: actions whose classes are in code sources."""

from __future__ import annotations

import sqlalchemy as sa

from mistral_lite.actions import source_reader
from mistral_lite.api import parameters, schemas
from mistral_lite.api.resources import Resource, answer_one, answer_page, moment, plain
from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.uploads import check_may_change, check_name
from mistral_lite.api.v2.code_sources import find_code_source, require_enabled
from mistral_lite.api.v2.types import bodies
from mistral_lite.db import definitions, dynamic_actions
from mistral_lite.db.listing import Row, Viewer
from mistral_lite.db.tables import code_sources
from mistral_lite.db.tables import dynamic_actions as table
from mistral_lite.errors import InputError, NotFoundError
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, JsonValue

RESOURCE = Resource(
    collection="dynamic_actions",
    attributes={
        "id": plain("id", schemas.TEXT),
        "name": plain("name", schemas.TEXT),
        "namespace": plain("namespace", schemas.TEXT),
        "code_source_id": plain("code_source_id", schemas.TEXT),
        "code_source_name": plain("code_source_name", schemas.TEXT),
        "class_name": plain("class_name", schemas.TEXT),
        "project_id": plain("project_id", schemas.TEXT),
        "scope": plain("scope", schemas.SCOPE),
        "created_at": moment("created_at", schemas.MOMENT),
        "updated_at": moment("updated_at"),
    },
    filters={
        "name": parameters.text_filter,
        "namespace": parameters.text_filter,
        "code_source_id": parameters.uuid_filter,
        "code_source_name": parameters.text_filter,
        "class_name": parameters.text_filter,
        "scope": parameters.text_filter,
        "project_id": parameters.uuid_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
    },
)


class DynamicActions:
    """Dynamic actions over HTTP, addressed by name or id."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    @route(
        "GET",
        rule="dynamic_actions:list",
        query={**RESOURCE.query, "all_projects": parameters.ALL_PROJECTS},
        answer=RESOURCE.page,
    )
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of dynamic actions."""
        require_enabled(self._services)
        source = dynamic_actions.source(call.context.viewer)
        return answer_page(self._services, call, RESOURCE, source, RESOURCE.listed(call))

    @route(
        "GET",
        "*",
        rule="dynamic_actions:get",
        query={"namespace": parameters.NAMESPACE, "fields": parameters.FIELDS},
        answer=RESOURCE.item,
    )
    def get(self, call: Call, identifier: str) -> JsonValue:
        """Return one dynamic action."""
        require_enabled(self._services)
        namespace = call.query.get("namespace") or ""
        return answer_one(
            self._services,
            call,
            RESOURCE,
            lambda connection: _find(connection, call, identifier, namespace),
        )

    @route(
        "POST",
        status=201,
        rule="dynamic_actions:create",
        body=bodies.DYNAMIC_ACTION,
        answer=RESOURCE.item,
        refusals=(404, 409),
    )
    def create(self, call: Call) -> JsonValue:
        """Make a class of a code source an action."""
        require_enabled(self._services)
        name, class_name = call.body.get("name"), call.body.get("class_name")
        if not name or not class_name:
            raise InputError("A dynamic action needs name and class_name.")
        check_name(name, "action")
        if not _code_source(call.body):
            raise InputError("A dynamic action needs code_source_id or code_source_name.")
        _check_scope(call)
        now = self._services.clock.now()

        def work(connection: sa.Connection) -> JsonObject:
            namespace = call.body.get("namespace") or ""
            source = _find_source(connection, call, namespace, class_name)
            row = {
                "id": new_id(now),
                "name": name,
                "namespace": namespace,
                "class_name": class_name,
                "code_source_id": source["id"],
                "scope": call.body.get("scope") or "private",
                "project_id": call.context.project_id,
                "created_at": now,
                "updated_at": None,
            }
            definitions.insert_definition(connection, table, row)
            return {**row, "code_source_name": source["name"]}

        return RESOURCE.show(self._services.database.run(work))

    @route(
        "PUT",
        rule="dynamic_actions:update",
        body=bodies.DYNAMIC_ACTION,
        answer=RESOURCE.item,
        refusals=(404,),
    )
    def update(self, call: Call) -> JsonValue:
        """Change the class, the code source or the scope of the dynamic action that the body names."""
        require_enabled(self._services)
        identifier = call.body.get("id") or call.body.get("name")
        if not identifier:
            raise InputError("The dynamic action is not named: give id or name.")
        _check_scope(call)
        now = self._services.clock.now()

        def work(connection: sa.Connection) -> JsonObject:
            row = _find(connection, call, identifier, call.body.get("namespace") or "")
            check_may_change(call, row, "Dynamic action")
            values: JsonObject = {
                "class_name": call.body.get("class_name") or row["class_name"],
                "scope": call.body.get("scope") or row["scope"],
            }
            shown: JsonObject = {}
            if _code_source(call.body):
                source = _find_source(connection, call, row["namespace"], values["class_name"])
                values["code_source_id"] = source["id"]
                shown["code_source_name"] = source["name"]
            elif values["class_name"] != row["class_name"]:
                source_reader.check_class(row["code_source_name"], row["content"], values["class_name"])
            if all(row[name] == value for name, value in values.items()):
                return dict(row)
            values["updated_at"] = now
            definitions.update_definition(connection, table, row["id"], values)
            return {**row, **values, **shown}

        return RESOURCE.show(self._services.database.run(work))

    @route(
        "DELETE", "*", status=204, rule="dynamic_actions:delete", query={"namespace": parameters.NAMESPACE}
    )
    def delete(self, call: Call, identifier: str) -> JsonValue:
        """Delete a dynamic action; what it runs meanwhile goes on."""
        require_enabled(self._services)

        def work(connection: sa.Connection) -> None:
            row = _find(connection, call, identifier, call.query.get("namespace") or "")
            check_may_change(call, row, "Dynamic action")
            definitions.delete_definition(connection, table, row["id"])

        self._services.database.run(work)
        return None


def _check_scope(call: Call) -> None:
    if call.body.get("scope") == "public":
        call.authorize("dynamic_actions:publicize")


def _code_source(body: JsonObject) -> str | None:
    found: str | None = body.get("code_source_id") or body.get("code_source_name")
    return found


def _find_source(connection: sa.Connection, call: Call, namespace: str, class_name: str) -> Row:
    """Return the code source that a body names, locked against deletion, if it has the class."""
    # Administrators see more, but do not mean it: a name must not lead to the private code of another project.
    viewer = Viewer(project_id=call.context.project_id)
    source = find_code_source(connection, viewer, _code_source(call.body) or "", namespace)
    if not definitions.lock_row(connection, code_sources, source["id"]):
        raise NotFoundError(f"Code source not found [identifier={source['name']}, namespace={namespace}]")
    source_reader.check_class(source["name"], source["content"], class_name)
    return source


def _find(connection: sa.Connection, call: Call, identifier: str, namespace: str) -> Row:
    row = dynamic_actions.find(connection, identifier, namespace, call.context.viewer, is_exact=True)
    if row is None:
        raise NotFoundError(f"Dynamic action not found [identifier={identifier}, namespace={namespace}]")
    return row
