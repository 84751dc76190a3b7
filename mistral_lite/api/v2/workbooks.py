"""``/v2/workbooks``: several workflows and ad-hoc actions under one name."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from mistral_lite.api import parameters, uploads
from mistral_lite.api.resources import Resource, json_value, moment, plain, read_page
from mistral_lite.api.routing import Call, route, upload_route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.uploads import Upload
from mistral_lite.api.v2.actions import action_values
from mistral_lite.api.v2.workflows import workflow_values
from mistral_lite.db import definitions, tables
from mistral_lite.db.listing import Row
from mistral_lite.errors import NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue, dump
from mistral_lite.lang import documents, parse
from mistral_lite.lang.specs import WorkbookSpec

RESOURCE = Resource(
    collection="workbooks",
    attributes={
        "id": plain("id"),
        "name": plain("name"),
        "namespace": plain("namespace"),
        "definition": plain("definition"),
        "tags": json_value("tags"),
        "scope": plain("scope"),
        "project_id": plain("project_id"),
        "created_at": moment("created_at"),
        "updated_at": moment("updated_at"),
    },
    filters={
        "name": parameters.text_filter,
        "namespace": parameters.text_filter,
        "definition": parameters.text_filter,
        "tags": parameters.tags_filter,
        "scope": parameters.text_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
    },
)


class Workbooks:
    """Workbooks over HTTP. Their members live on as definitions of their own."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    @route("GET", query=RESOURCE.query)
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of workbooks."""
        names = RESOURCE.listed(call)
        with self._services.database.read() as connection:
            rows, rest = read_page(
                connection,
                call,
                RESOURCE,
                definitions.source(tables.workbooks, call.context.viewer),
                names,
                max_limit=self._services.settings.max_limit,
            )
        return {"workbooks": [RESOURCE.show(row, names) for row in rows], **rest}

    @route("GET", "*", query={"namespace": parameters.text, "fields": parameters.names})
    def get(self, call: Call, name: str) -> JsonValue:
        """Return one workbook."""
        with self._services.database.read() as connection:
            row = self._find(connection, call, name)
        return RESOURCE.show(row, RESOURCE.chosen(call, RESOURCE.attributes))

    @upload_route("POST", status=201, query=uploads.QUERY)
    def create(self, call: Call) -> JsonValue:
        """Store a workbook; definitions with the names of its members are overwritten."""
        upload = Upload.of(call, self._services)
        spec = self._parse(call)

        def work(connection: sa.Connection) -> JsonObject:
            row = uploads.insert(connection, tables.workbooks, upload, _values(spec, call.text))
            self._save_members(connection, call, upload, spec)
            return row

        shown = RESOURCE.show(self._services.database.run(work))
        del shown["updated_at"]
        return shown

    @upload_route("PUT", query=uploads.QUERY)
    def update(self, call: Call) -> JsonValue:
        """Replace the workbook that the document names, and its members; vanished members stay."""
        upload = Upload.of(call, self._services)
        spec = self._parse(call)

        def work(connection: sa.Connection) -> JsonObject:
            row = self._find(connection, call, spec.name)
            uploads.check_may_change(call, row, "Workbook")
            changed = uploads.replace(connection, tables.workbooks, row, upload, _values(spec, call.text))
            self._save_members(connection, call, upload, spec)
            return changed

        return RESOURCE.show(self._services.database.run(work))

    @route("DELETE", "*", status=204, query={"namespace": parameters.text})
    def delete(self, call: Call, name: str) -> JsonValue:
        """Delete a workbook; the definitions that came from it stay."""

        def work(connection: sa.Connection) -> None:
            row = self._find(connection, call, name)
            uploads.check_may_change(call, row, "Workbook")
            definitions.delete_definition(connection, tables.workbooks, row["id"])

        self._services.database.run(work)
        return None

    @upload_route("POST", "validate")
    def validate(self, call: Call) -> JsonValue:
        """Say whether a document would be accepted."""
        checker = self._services.evaluator.check_syntax
        return uploads.verdict(call.text, lambda text: parse.parse_workbook(text, checker))

    def _parse(self, call: Call) -> WorkbookSpec:
        if uploads.is_validated(call, self._services):
            spec = parse.parse_workbook(call.text, self._services.evaluator.check_syntax)
        else:
            spec = parse.parse_workbook(call.text, None, graph_checks=False)
        uploads.check_name(spec.name, "workbook")
        for member in (*spec.workflows, *spec.actions):
            uploads.check_name(f"{spec.name}.{member}", "workbook member")
        return spec

    def _save_members(
        self, connection: sa.Connection, call: Call, upload: Upload, spec: WorkbookSpec
    ) -> None:
        texts = documents.workbook_member_texts(call.text)
        for short, action in spec.actions.items():
            named = replace(action, name=f"{spec.name}.{short}")
            values = action_values(self._services, connection, named, texts["actions"][short])
            self._save(connection, call, upload, tables.action_definitions, values, spec.name)
        for short, workflow in spec.workflows.items():
            full = replace(workflow, name=f"{spec.name}.{short}")
            values = workflow_values(self._services, connection, full, texts["workflows"][short])
            self._save(connection, call, upload, tables.workflow_definitions, values, spec.name)

    def _save(
        self,
        connection: sa.Connection,
        call: Call,
        upload: Upload,
        table: sa.Table,
        values: JsonObject,
        workbook_name: str,
    ) -> None:
        # Only an own definition is overwritten; a public one of the same name belongs to somebody else.
        row = definitions.find_own(
            connection, table, values["name"], upload.namespace or "", upload.project_id
        )
        values = {**values, "workbook_name": workbook_name}
        if row is None:
            uploads.insert(connection, table, upload, values)
        else:
            uploads.replace(connection, table, row, upload, values)

    def _find(self, connection: sa.Connection, call: Call, name: str) -> Row:
        namespace = call.query.get("namespace") or ""
        row = definitions.find_row(
            connection, tables.workbooks, name, namespace, call.context.viewer, is_exact=True, is_by_id=False
        )
        if row is None:
            raise NotFoundError(f"Workbook not found [name={name}, namespace={namespace}]")
        return row


def _values(spec: WorkbookSpec, text: str) -> JsonObject:
    return {"name": spec.name, "definition": text, "tags": dump(list(spec.tags))}
