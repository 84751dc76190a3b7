"""``/v2/workbooks``: several workflows and ad-hoc actions under one name."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from mistral_lite.api import parameters, schemas, uploads
from mistral_lite.api.resources import Resource, answer_one, answer_page, json_value, moment, plain
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
        "id": plain("id", schemas.TEXT),
        "name": plain("name", schemas.TEXT),
        "namespace": plain("namespace", schemas.TEXT),
        "definition": plain("definition", schemas.TEXT),
        "tags": json_value("tags"),
        "scope": plain("scope", schemas.SCOPE),
        "project_id": plain("project_id", schemas.TEXT),
        "created_at": moment("created_at", schemas.MOMENT),
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

    @route("GET", rule="workbooks:list", query=RESOURCE.query, answer=RESOURCE.page)
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of workbooks."""
        return answer_page(
            self._services,
            call,
            RESOURCE,
            definitions.source(tables.workbooks, call.context.viewer),
            RESOURCE.listed(call),
        )

    @route(
        "GET",
        "*",
        rule="workbooks:get",
        query={"namespace": parameters.NAMESPACE, "fields": parameters.FIELDS},
        answer=RESOURCE.item,
    )
    def get(self, call: Call, name: str) -> JsonValue:
        """Return one workbook."""
        return answer_one(
            self._services, call, RESOURCE, lambda connection: self._find(connection, call, name)
        )

    @upload_route(
        "POST",
        rule="workbooks:create",
        status=201,
        query=uploads.QUERY,
        answer=RESOURCE.item,
        refusals=(409,),
    )
    def create(self, call: Call) -> JsonValue:
        """Store a workbook; definitions with the names of its members are overwritten."""
        upload = Upload.of(call, self._services, "workbooks:publicize")
        spec = self._parse(call)

        def work(connection: sa.Connection) -> JsonObject:
            row = uploads.insert(connection, tables.workbooks, upload, _values(spec, call.text))
            self._save_members(connection, call, upload, spec)
            return row

        shown = RESOURCE.show(self._services.database.run(work))
        del shown["updated_at"]
        return shown

    @upload_route(
        "PUT", rule="workbooks:update", query=uploads.QUERY, answer=RESOURCE.item, refusals=(404, 409)
    )
    def update(self, call: Call) -> JsonValue:
        """Replace the workbook that the document names, and its members; vanished members stay."""
        upload = Upload.of(call, self._services, "workbooks:publicize")
        spec = self._parse(call)

        def work(connection: sa.Connection) -> JsonObject:
            row = self._find(connection, call, spec.name)
            uploads.check_may_change(call, row, "Workbook")
            changed = uploads.replace(connection, tables.workbooks, row, upload, _values(spec, call.text))
            # The members are where the workbook is, also if an administrator of another project changes it.
            at_home = replace(upload, project_id=row["project_id"])
            self._save_members(connection, call, at_home, spec)
            return changed

        return RESOURCE.show(self._services.database.run(work))

    @route("DELETE", "*", rule="workbooks:delete", status=204, query={"namespace": parameters.NAMESPACE})
    def delete(self, call: Call, name: str) -> JsonValue:
        """Delete a workbook; the definitions that came from it stay."""

        def work(connection: sa.Connection) -> None:
            row = self._find(connection, call, name)
            uploads.check_may_change(call, row, "Workbook")
            definitions.delete_definition(connection, tables.workbooks, row["id"])

        self._services.database.run(work)
        return None

    @upload_route("POST", "validate", answer=uploads.VERDICT)
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
