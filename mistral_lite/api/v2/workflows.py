"""``/v2/workflows``: workflow definitions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import md5

import sqlalchemy as sa

from mistral_lite.api import parameters, schemas, uploads
from mistral_lite.api.resources import Attribute, Resource, answer_one, answer_page, json_value, moment, plain
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
        "id": plain("id", schemas.TEXT),
        "name": plain("name", schemas.TEXT),
        "namespace": plain("namespace", schemas.TEXT),
        # Rows are completed by their spec before they are shown.
        "input": Attribute(
            needs=("spec_hash",),
            render=lambda row: signatures.workflow_input(row["spec"]),
            schema=schemas.TEXT,
        ),
        "interface": Attribute(
            needs=("spec_hash",),
            render=lambda row: json.dumps(signatures.workflow_interface(row["spec"])),
            # Answers to uploads hold the interface itself.
            schema={"anyOf": [schemas.JSON_TEXT, schemas.OBJECT]},
        ),
        "definition": plain("definition", schemas.TEXT),
        "checksum": plain("checksum"),
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
        "project_id": parameters.uuid_filter,
        "created_at": parameters.time_filter,
        "updated_at": parameters.time_filter,
    },
)

_SCOPED = {name: item for name, item in uploads.QUERY.items() if name != "namespace"}


class Workflows:
    """Workflow definitions over HTTP."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._specs = SpecCache()

    @route(
        "GET",
        rule="workflows:list",
        query={**RESOURCE.query, "all_projects": parameters.ALL_PROJECTS},
        answer=RESOURCE.page,
    )
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of definitions."""
        viewer = call.list_viewer("workflows:list:all_projects")
        names = RESOURCE.listed(call)
        if "input" in call.query.get("fields", []) and "interface" not in names:
            names.append("interface")
        source = definitions.source(table, viewer)
        return answer_page(self._services, call, RESOURCE, source, names, complete=self._with_specs)

    @route(
        "GET",
        "*",
        rule="workflows:get",
        query={"namespace": parameters.NAMESPACE, "fields": parameters.FIELDS},
        answer=RESOURCE.item,
    )
    def get(self, call: Call, identifier: str) -> JsonValue:
        """Return one definition by name or id."""
        return answer_one(
            self._services,
            call,
            RESOURCE,
            lambda connection: self._find(connection, call, identifier),
            self._with_specs,
        )

    @upload_route(
        "POST",
        rule="workflows:create",
        status=201,
        query=uploads.QUERY,
        answer=RESOURCE.collected,
        refusals=(409,),
    )
    def create(self, call: Call) -> JsonValue:
        """Store the workflows of a document, all or none."""
        return self._create(call)

    @upload_route(
        "POST",
        "*",
        rule="workflows:create",
        status=201,
        query=_SCOPED,
        answer=RESOURCE.collected,
        refusals=(409,),
    )
    def create_in_namespace(self, call: Call, namespace: str) -> JsonValue:
        """Store the workflows of a document, all or none; the namespace is part of the path."""
        return self._create(replace(call, query={**call.query, "namespace": namespace}))

    def _create(self, call: Call) -> JsonObject:
        upload = Upload.of(call, self._services, "workflows:publicize")
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

    @upload_route(
        "PUT", rule="workflows:update", query=uploads.QUERY, answer=RESOURCE.collected, refusals=(404, 409)
    )
    def update_all(self, call: Call) -> JsonValue:
        """Replace the workflows of a document, found by their names, all or none."""
        upload = Upload.of(call, self._services, "workflows:publicize")
        specs, texts = self._parse(call)

        def work(connection: sa.Connection) -> list[JsonObject]:
            return [
                self._replace(connection, call, upload, spec.name, spec, texts[spec.name]) for spec in specs
            ]

        return {"workflows": self._services.database.run(work)}

    @upload_route(
        "PUT", "*", rule="workflows:update", query=uploads.QUERY, answer=RESOURCE.item, refusals=(409,)
    )
    def update_one(self, call: Call, identifier: str) -> JsonValue:
        """Replace one workflow, found by name or id; the document may give it another name."""
        upload = Upload.of(call, self._services, "workflows:publicize")
        specs, texts = self._parse(call)
        if len(specs) != 1:
            raise InputError(
                f"A definition with one workflow is expected for '{identifier}', this one has {len(specs)}."
            )
        spec = specs[0]
        return self._services.database.run(
            lambda connection: self._replace(connection, call, upload, identifier, spec, texts[spec.name])
        )

    @route("DELETE", "*", rule="workflows:delete", status=204, query={"namespace": parameters.NAMESPACE})
    def delete(self, call: Call, identifier: str) -> JsonValue:
        """Delete a definition by name or id; its executions stay."""

        def work(connection: sa.Connection) -> None:
            row = self._find(connection, call, identifier)
            uploads.check_may_change(call, row, "Workflow")
            definitions.lock_workflow(connection, row["id"])
            _check_unused(connection, call, row)
            definitions.delete_definition(connection, table, row["id"])

        self._services.database.run(work)
        return None

    @upload_route("POST", "validate", answer=uploads.VERDICT)
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
        self, connection: sa.Connection, rows: Sequence[Row], names: Sequence[str]
    ) -> Sequence[Row]:
        """Return rows with their specs, where they are to be shown."""
        if not {"input", "interface"} & set(names):
            return rows
        specs = self._specs.get_all(connection, (row["spec_hash"] for row in rows))
        return [{**row, "spec": specs[row["spec_hash"]]} for row in rows]


def _check_unused(connection: sa.Connection, call: Call, row: Row) -> None:
    """Raise ``InputError`` if a trigger of any project starts this workflow; those of others are not named."""
    for kind, using in _triggers(connection, row):
        if using:
            own = [trigger_id for trigger_id, project in using if project == call.context.project_id]
            others = f"{len(using) - len(own)} of other projects"
            raise InputError(
                f"Can't delete workflow that has {kind} triggers associated. "
                f"[workflow_identifier={row['name']}, namespace={row['namespace']}], "
                f"[{kind}_trigger_id(s)={', '.join(own if len(own) == len(using) else [*own, others])}]"
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
