"""``/v2/workflows``: workflow definitions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import md5

import sqlalchemy as sa

from mistral_lite.api import parameters, uploads
from mistral_lite.api.resources import Attribute, Resource, json_value, moment, plain, read_page
from mistral_lite.api.routing import Call, route, upload_route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.specs import SpecCache
from mistral_lite.api.uploads import Upload
from mistral_lite.db import cron_triggers, definitions, event_triggers
from mistral_lite.db.listing import Row
from mistral_lite.db.tables import workflow_definitions as table
from mistral_lite.errors import ForbiddenError, InputError, NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue, dump
from mistral_lite.lang import documents, parse, signatures
from mistral_lite.lang.specs import WorkflowSpec

RESOURCE = Resource(
    collection="workflows",
    attributes={
        "id": plain("id"),
        "name": plain("name"),
        "namespace": plain("namespace"),
        # Rows are completed by their spec before they are shown.
        "input": Attribute(needs=("spec_hash",), render=lambda row: signatures.workflow_input(row["spec"])),
        "interface": Attribute(
            needs=("spec_hash",),
            render=lambda row: json.dumps(signatures.workflow_interface(row["spec"])),
        ),
        "definition": plain("definition"),
        "checksum": plain("checksum"),
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
        "project_id": parameters.uuid_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
    },
)


class Workflows:
    """Workflow definitions over HTTP."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._specs = SpecCache()

    @route("GET", query={**RESOURCE.query, "all_projects": parameters.flag})
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of definitions."""
        if call.query.get("all_projects"):
            call.context.require_admin("list the workflows of all projects")
        names = RESOURCE.listed(call)
        if "input" in call.query.get("fields", []) and "interface" not in names:
            names.append("interface")
        with self._services.database.read() as connection:
            rows, rest = read_page(
                connection,
                call,
                RESOURCE,
                definitions.source(table, call.context.viewer),
                names,
                max_limit=self._services.settings.max_limit,
            )
            completed = self._with_specs(connection, rows) if {"input", "interface"} & set(names) else rows
        return {"workflows": [RESOURCE.show(row, names) for row in completed], **rest}

    @route("GET", "*", query={"namespace": parameters.text, "fields": parameters.names})
    def get(self, call: Call, identifier: str) -> JsonValue:
        """Return one definition by name or id."""
        with self._services.database.read() as connection:
            row = self._find(connection, call, identifier)
            (completed,) = self._with_specs(connection, [row])
        return RESOURCE.show(completed, RESOURCE.chosen(call, RESOURCE.attributes))

    @upload_route("POST", status=201, query=uploads.QUERY)
    def create(self, call: Call) -> JsonValue:
        """Store the workflows of a document, all or none."""
        upload = Upload.of(call, self._services)
        specs, texts = self._parse(call)

        def work(connection: sa.Connection) -> list[JsonObject]:
            return [
                self._shown(
                    uploads.insert(
                        connection, table, upload, self._values(connection, spec, texts[spec.name])
                    ),
                    spec,
                )
                for spec in specs
            ]

        shown = self._services.database.run(work)
        for item in shown:
            del item["updated_at"]
        return {"workflows": shown}

    @upload_route("PUT", query=uploads.QUERY)
    def update_all(self, call: Call) -> JsonValue:
        """Replace the workflows of a document, found by their names, all or none."""
        upload = Upload.of(call, self._services)
        specs, texts = self._parse(call)

        def work(connection: sa.Connection) -> list[JsonObject]:
            return [
                self._replace(connection, call, upload, spec.name, spec, texts[spec.name]) for spec in specs
            ]

        return {"workflows": self._services.database.run(work)}

    @upload_route("PUT", "*", query=uploads.QUERY)
    def update_one(self, call: Call, identifier: str) -> JsonValue:
        """Replace one workflow, found by name or id; the document may give it another name."""
        upload = Upload.of(call, self._services)
        specs, texts = self._parse(call)
        if len(specs) != 1:
            raise InputError(
                f"A definition with one workflow is expected for '{identifier}', this one has {len(specs)}."
            )
        spec = specs[0]
        return self._services.database.run(
            lambda connection: self._replace(connection, call, upload, identifier, spec, texts[spec.name])
        )

    @route("DELETE", "*", status=204, query={"namespace": parameters.text})
    def delete(self, call: Call, identifier: str) -> JsonValue:
        """Delete a definition by name or id; its executions stay."""

        def work(connection: sa.Connection) -> None:
            row = self._find(connection, call, identifier)
            uploads.check_may_change(call, row, "Workflow")
            definitions.lock_workflow(connection, row["id"])
            _check_unused(connection, row)
            definitions.delete_definition(connection, table, row["id"])

        self._services.database.run(work)
        return None

    @upload_route("POST", "validate")
    def validate(self, call: Call) -> JsonValue:
        """Say whether a document would be accepted."""
        checker = self._services.evaluator.check_syntax
        return uploads.verdict(call.text, lambda text: parse.parse_workflow_list(text, checker))

    def _parse(self, call: Call) -> tuple[tuple[WorkflowSpec, ...], dict[str, str]]:
        if uploads.is_validated(call, self._services):
            specs = parse.parse_workflow_list(call.text, self._services.evaluator.check_syntax)
        else:
            specs = parse.parse_workflow_list(call.text, None, graph_checks=False)
        for spec in specs:
            uploads.check_name(spec.name, "workflow", may_look_like_id=False)
        return specs, documents.workflow_texts(call.text, [spec.name for spec in specs])

    def _values(self, connection: sa.Connection, spec: WorkflowSpec, text: str) -> JsonObject:
        return workflow_values(self._services, connection, spec, text) | {
            "checksum": md5(text.encode(), usedforsecurity=False).hexdigest()
        }

    def _replace(
        self,
        connection: sa.Connection,
        call: Call,
        upload: Upload,
        identifier: str,
        spec: WorkflowSpec,
        text: str,
    ) -> JsonObject:
        row = self._find(connection, call, identifier)
        uploads.check_may_change(call, row, "Workflow")
        if row["scope"] == "public" and upload.scope == "private":
            definitions.lock_workflow(connection, row["id"])
            _check_unused_by_others(connection, row)
        values = self._values(connection, spec, text)
        return self._shown(uploads.replace(connection, table, row, upload, values), spec)

    def _find(self, connection: sa.Connection, call: Call, identifier: str) -> Row:
        namespace = call.query.get("namespace") or ""
        row = definitions.find_row(
            connection, table, identifier, namespace, call.context.viewer, is_exact=True
        )
        if row is None:
            raise NotFoundError(
                f"Workflow not found [workflow_identifier={identifier}, namespace={namespace}]"
            )
        return row

    def _shown(self, row: Mapping[str, JsonValue], spec: WorkflowSpec) -> JsonObject:
        shown = RESOURCE.show({**row, "spec": spec})
        # Answers to uploads hold the interface itself, where later reads hold its text.
        return {**shown, "interface": signatures.workflow_interface(spec)}

    def _with_specs(
        self, connection: sa.Connection, rows: Sequence[Row]
    ) -> Sequence[Mapping[str, JsonValue]]:
        specs = self._specs.get_all(connection, (row["spec_hash"] for row in rows))
        return [{**row, "spec": specs[row["spec_hash"]]} for row in rows]


def _check_unused(connection: sa.Connection, row: Row) -> None:
    """Raise ``InputError`` if a trigger of any project starts this workflow."""
    for kind, using in _triggers(connection, row):
        if using:
            ids = ", ".join(trigger_id for trigger_id, _ in using)
            raise InputError(
                f"Can't delete workflow that has {kind} triggers associated. "
                f"[workflow_identifier={row['name']}, namespace={row['namespace']}], "
                f"[{kind}_trigger_id(s)={ids}]"
            )


def _check_unused_by_others(connection: sa.Connection, row: Row) -> None:
    """Raise ``ForbiddenError`` if triggers of other projects start this workflow."""
    for kind, using in _triggers(connection, row):
        if {project for _, project in using} - {row["project_id"]}:
            raise ForbiddenError(
                f"Workflow '{row['name']}' cannot be made private: {kind} triggers of other projects start it."
            )


def _triggers(connection: sa.Connection, row: Row) -> tuple[tuple[str, Sequence[tuple[str, str]]], ...]:
    """Return the triggers of each kind that start a workflow, as (trigger id, project id)."""
    return (
        ("cron", cron_triggers.list_using(connection, row["id"])),
        ("event", event_triggers.list_using(connection, row["id"])),
    )


def workflow_values(
    services: ApiServices, connection: sa.Connection, spec: WorkflowSpec, text: str
) -> JsonObject:
    """Store a spec and return the columns that a workflow definition takes from it."""
    source = {**spec.source, "name": spec.name}
    return {
        "name": spec.name,
        "definition": text,
        "tags": dump(list(spec.tags)),
        "spec_hash": definitions.save_spec(services.database, connection, definitions.WORKFLOW, source),
        "checksum": None,
        "workbook_name": None,
    }
