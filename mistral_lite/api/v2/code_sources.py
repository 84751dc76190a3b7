"""``/v2/code_sources``: Python modules whose classes are dynamic actions. Their code is never run here."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from mistral_lite.actions import source_reader
from mistral_lite.api import parameters, schemas, uploads
from mistral_lite.api.resources import Resource, answer_one, answer_page, moment, plain
from mistral_lite.api.routing import Call, route, upload_route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.uploads import Upload
from mistral_lite.db import definitions, dynamic_actions
from mistral_lite.db.listing import Row, Viewer
from mistral_lite.db.tables import code_sources as table
from mistral_lite.errors import ForbiddenError, InputError, LimitExceededError, NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue

RESOURCE = Resource(
    collection="code_sources",
    attributes={
        "id": plain("id", schemas.TEXT),
        "name": plain("name", schemas.TEXT),
        "namespace": plain("namespace", schemas.TEXT),
        "content": plain("content", schemas.TEXT),
        "version": plain("version", schemas.INTEGER),
        "project_id": plain("project_id", schemas.TEXT),
        "scope": plain("scope", schemas.SCOPE),
        "created_at": moment("created_at", schemas.MOMENT),
        "updated_at": moment("updated_at"),
    },
    declared=("actions",),
    filters={
        "name": parameters.text_filter,
        "namespace": parameters.text_filter,
        "scope": parameters.text_filter,
        "project_id": parameters.uuid_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
    },
)
_NAMESPACE = {"namespace": parameters.NAMESPACE, "fields": parameters.FIELDS}
_UPLOAD = {"scope": parameters.SCOPE, "namespace": parameters.NAMESPACE}


def require_enabled(services: ApiServices) -> None:
    """Raise ``ForbiddenError`` if the operator has not switched uploaded code on."""
    if not services.settings.has_dynamic_actions:
        raise ForbiddenError(
            "Code sources and dynamic actions are switched off. An operator switches them on with [dynamic_actions] "
            "enabled = true."
        )


class CodeSources:
    """Code sources over HTTP, addressed by name or id."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    @route(
        "GET",
        rule="code_sources:list",
        query={**RESOURCE.query, "all_projects": parameters.ALL_PROJECTS},
        answer=RESOURCE.page,
    )
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of code sources."""
        require_enabled(self._services)
        source = definitions.source(table, call.context.viewer)
        return answer_page(self._services, call, RESOURCE, source, RESOURCE.listed(call))

    @route("GET", "*", rule="code_sources:get", query=_NAMESPACE, answer=RESOURCE.item)
    def get(self, call: Call, identifier: str) -> JsonValue:
        """Return one code source."""
        return self._get(call, identifier, call.query.get("namespace") or "")

    @route("GET", "*/*", rule="code_sources:get", query={"fields": parameters.FIELDS}, answer=RESOURCE.item)
    def get_in_namespace(self, call: Call, identifier: str, namespace: str) -> JsonValue:
        """Return one code source; the namespace is part of the path."""
        return self._get(call, identifier, namespace)

    @upload_route(
        "POST",
        status=201,
        rule="code_sources:create",
        query={**_UPLOAD, "name": parameters.text.meaning("The name of the new module.")},
        answer=RESOURCE.item,
        refusals=(409,),
    )
    def create(self, call: Call) -> JsonValue:
        """Store a Python module, which is the body, under the name that the parameter gives."""
        require_enabled(self._services)
        name = call.query.get("name")
        if not name:
            raise InputError("Name of the code source is not provided: give 'name=<name>'.")
        uploads.check_length("name", name)
        upload = Upload.of(call, self._services, "code_sources:publicize")
        self._check(name, call.text)

        def work(connection: sa.Connection) -> JsonObject:
            values = {**self._content(connection, call.text), "name": name, "version": 1}
            return uploads.insert(connection, table, upload, values)

        return RESOURCE.show(self._services.database.run(work))

    @upload_route(
        "PUT",
        rule="code_sources:update",
        query={**_UPLOAD, "identifier": parameters.text.meaning("The name or id of the module.")},
        answer=RESOURCE.item,
        refusals=(404,),
    )
    def update(self, call: Call) -> JsonValue:
        """Replace the module of a code source, which the parameter names; dynamic actions follow."""
        identifier = call.query.get("identifier")
        if not identifier:
            raise InputError("The code source is not named: give 'identifier=<name or id>'.")
        return self._update(call, identifier)

    @upload_route("PUT", "*", rule="code_sources:update", query=_UPLOAD, answer=RESOURCE.item)
    def update_one(self, call: Call, identifier: str) -> JsonValue:
        """Replace the module of a code source, which the path names; dynamic actions follow."""
        return self._update(call, identifier)

    @route("DELETE", "*", status=204, rule="code_sources:delete", query={"namespace": parameters.NAMESPACE})
    def delete(self, call: Call, identifier: str) -> JsonValue:
        """Delete a code source with the dynamic actions whose classes are in it."""
        require_enabled(self._services)

        def work(connection: sa.Connection) -> None:
            row = find_code_source(
                connection, call.context.viewer, identifier, call.query.get("namespace") or ""
            )
            uploads.check_may_change(call, row, "Code source")
            definitions.lock_row(connection, table, row["id"])
            dynamic_actions.delete_of_source(connection, row["id"])
            definitions.delete_definition(connection, table, row["id"])

        self._services.database.run(work)
        return None

    def _get(self, call: Call, identifier: str, namespace: str) -> JsonObject:
        require_enabled(self._services)
        return answer_one(
            self._services,
            call,
            RESOURCE,
            lambda connection: find_code_source(connection, call.context.viewer, identifier, namespace),
        )

    def _update(self, call: Call, identifier: str) -> JsonObject:
        require_enabled(self._services)
        # The parameter only says where to look: a code source keeps its namespace.
        upload = replace(Upload.of(call, self._services, "code_sources:publicize"), namespace=None)
        self._check(identifier, call.text)

        def work(connection: sa.Connection) -> JsonObject:
            row = find_code_source(
                connection, call.context.viewer, identifier, call.query.get("namespace") or ""
            )
            uploads.check_may_change(call, row, "Code source")
            values = {**self._content(connection, call.text), "version": row["version"] + 1}
            return uploads.replace(connection, table, row, upload, values)

        return RESOURCE.show(self._services.database.run(work))

    def _check(self, name: str, content: str) -> None:
        limit_kb = self._services.settings.field_size_limit_kb
        if 0 <= limit_kb * 1024 < len(content.encode()):
            raise LimitExceededError(f"The code source '{name}' is larger than {limit_kb} KB.")
        source_reader.check_source(name, content)

    def _content(self, connection: sa.Connection, content: str) -> JsonObject:
        content_hash = dynamic_actions.save_content(self._services.database, connection, content)
        return {"content": content, "content_hash": content_hash}


def find_code_source(connection: sa.Connection, viewer: Viewer, identifier: str, namespace: str) -> Row:
    """Return the code source that ``viewer`` means. Raises ``NotFoundError``."""
    row = definitions.find_row(connection, table, identifier, namespace, viewer, is_exact=True)
    if row is None:
        raise NotFoundError(f"Code source not found [identifier={identifier}, namespace={namespace}]")
    return row
