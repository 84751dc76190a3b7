"""``/v2/actions``: ad-hoc actions (definitions of users), dynamic and installed ones, in one list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from mistral_lite.actions import source_reader
from mistral_lite.api import parameters, schemas, uploads
from mistral_lite.api.memory_list import matches, slice_page, sort_items
from mistral_lite.api.parameters import PAGING, Converter
from mistral_lite.api.resources import Resource, json_value, moment, next_link, plain, sort_of
from mistral_lite.api.routing import Call, route, upload_route
from mistral_lite.api.schemas import Schema
from mistral_lite.api.services import ApiServices
from mistral_lite.api.uploads import Upload
from mistral_lite.db import definitions, dynamic_actions
from mistral_lite.db.listing import Filter, Operator, Row
from mistral_lite.db.tables import action_definitions as table
from mistral_lite.errors import InputError, NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue, dump
from mistral_lite.lang import parse, signatures
from mistral_lite.lang.specs import ActionSpec
from mistral_lite.workflow.descriptors import ActionDescriptor

# Installed actions have no times: their texts are empty.
_MOMENT: Schema = {"anyOf": [schemas.MOMENT, {"const": ""}, {"type": "null"}]}

RESOURCE = Resource(
    collection="actions",
    attributes={
        "id": plain("id", schemas.TEXT),
        "name": plain("name", schemas.TEXT),
        "is_system": plain("is_system", schemas.FLAG),
        "input": plain("input"),
        "description": plain("description"),
        "tags": json_value("tags"),
        "definition": plain("definition", schemas.TEXT),
        "scope": plain("scope", schemas.or_null(schemas.SCOPE)),
        "project_id": plain("project_id"),
        "created_at": moment("created_at", _MOMENT),
        "updated_at": moment("updated_at", _MOMENT),
        "namespace": plain("namespace", schemas.TEXT),
    },
)
_FILTERS: Mapping[str, Converter] = {
    "name": parameters.text_filter,
    "namespace": parameters.text_filter,
    "scope": parameters.text_filter,
    "tags": parameters.tags_filter,
    "description": parameters.text_filter,
    "definition": parameters.text_filter,
    "input": parameters.text_filter,
    "is_system": parameters.flag_filter,
    "created_at": parameters.time_filter,
    "updated_at": parameters.time_filter,
}
# Installed actions have no ids of their own, so a marker may be a name.
_LIST_QUERY: Mapping[str, Converter] = {
    **PAGING,
    "marker": parameters.text.meaning("The name or id of the last item of the page before this one."),
    **_FILTERS,
}
_UPLOAD_QUERY = {name: item for name, item in uploads.QUERY.items() if name != "skip_validation"}
_NAMESPACE: Mapping[str, Converter] = {"namespace": parameters.NAMESPACE}


class Actions:
    """Actions over HTTP."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    @route("GET", rule="actions:list", query=_LIST_QUERY, answer=RESOURCE.page)
    def list_all(self, call: Call) -> JsonValue:
        """Return the actions of one namespace; filters and paging work on the collected list."""
        given = [value for name, value in call.query.items() if name in _FILTERS]
        namespace = next((item for item in given if item.column == "namespace"), None)
        if namespace is None:
            namespace = Filter(column="namespace", operator=Operator.EQ, value="")
            given = [namespace, *given]
        elif namespace.operator is not Operator.EQ:
            raise InputError("Actions are listed for one namespace: give 'namespace=<name>'.")
        items = self._collect(call, namespace.value)
        sort = sort_of(call, default="name")
        unknown = [name for name, _ in sort if name not in RESOURCE.attributes]
        if unknown:
            raise InputError(f"'{unknown[0]}' is not a column of this list.")
        chosen = sort_items([item for item in items if matches(item, given)], sort)
        limit = call.query.get("limit")
        page = slice_page(chosen, call.query.get("marker"), limit)
        answer: JsonObject = {"actions": page}
        if limit is not None and len(page) == limit:
            answer["next"] = next_link(call, "actions", sort, given, limit, page[-1]["id"])
        return answer

    @route("GET", "*", rule="actions:get", query=_NAMESPACE, answer=RESOURCE.item)
    def get(self, call: Call, identifier: str) -> JsonValue:
        """Return one action by name or id, in the namespace or else in the default one."""
        return self._get(call, identifier, call.query.get("namespace") or "")

    @route("GET", "*/*", rule="actions:get", answer=RESOURCE.item)
    def get_in_namespace(self, call: Call, identifier: str, namespace: str) -> JsonValue:
        """Return one action; the namespace is part of the path."""
        return self._get(call, identifier, namespace)

    @upload_route(
        "POST",
        rule="actions:create",
        status=201,
        query=_UPLOAD_QUERY,
        answer=RESOURCE.collected,
        refusals=(409,),
    )
    def create(self, call: Call) -> JsonValue:
        """Store the ad-hoc actions of a document, all or none."""
        upload = Upload.of(call, self._services, "actions:publicize")
        specs = self._parse(call)

        def work(connection: sa.Connection) -> list[JsonObject]:
            return [
                uploads.insert(
                    connection, table, upload, action_values(self._services, connection, spec, call.text)
                )
                for spec in specs
            ]

        shown = [RESOURCE.show(row) for row in self._services.database.run(work)]
        for item in shown:
            del item["updated_at"]
        return {"actions": shown}

    @upload_route(
        "PUT", rule="actions:update", query=_UPLOAD_QUERY, answer=RESOURCE.collected, refusals=(404, 409)
    )
    def update_all(self, call: Call) -> JsonValue:
        """Replace the ad-hoc actions of a document, found by their names, all or none."""
        return self._update(call, self._parse(call), None)

    @upload_route(
        "PUT", "*", rule="actions:update", query=_UPLOAD_QUERY, answer=RESOURCE.collected, refusals=(409,)
    )
    def update_one(self, call: Call, identifier: str) -> JsonValue:
        """Replace one ad-hoc action, found by name or id."""
        specs = self._parse(call)
        if len(specs) != 1:
            raise InputError(
                f"A definition with one action is expected for '{identifier}', this one has {len(specs)}."
            )
        return self._update(call, specs, identifier)

    @route("DELETE", "*", rule="actions:delete", status=204, query=_NAMESPACE)
    def delete(self, call: Call, identifier: str) -> JsonValue:
        """Delete an ad-hoc action by name or id."""
        return self._delete(call, identifier, call.query.get("namespace") or "")

    @route("DELETE", "*/*", rule="actions:delete", status=204)
    def delete_in_namespace(self, call: Call, identifier: str, namespace: str) -> JsonValue:
        """Delete an ad-hoc action; the namespace is part of the path."""
        return self._delete(call, identifier, namespace)

    @upload_route("POST", "validate", answer=uploads.VERDICT)
    def validate(self, call: Call) -> JsonValue:
        """Say whether a document would be accepted."""
        checker = self._services.evaluator.check_syntax
        return uploads.verdict(call.text, lambda text: parse.parse_action_list(text, checker))

    def _parse(self, call: Call) -> tuple[ActionSpec, ...]:
        specs = parse.parse_action_list(call.text, self._services.evaluator.check_syntax)
        for spec in specs:
            uploads.check_name(spec.name, "action")
        return specs

    def _collect(self, call: Call, namespace: str) -> list[JsonObject]:
        with self._services.database.read() as connection:
            rows = definitions.list_actions(connection, namespace, call.context.viewer)
            uploaded = self._list_dynamic(connection, call, namespace)
        stored = [_read_view(row) for row in rows] + [_dynamic_view(row) for row in uploaded]
        if namespace:
            return stored
        return stored + [_installed_view(item) for item in self._services.registry.list_all()]

    def _list_dynamic(self, connection: sa.Connection, call: Call, namespace: str) -> Sequence[Row]:
        if not self._services.settings.has_dynamic_actions:
            return ()
        return dynamic_actions.list_all(connection, namespace, call.context.viewer)

    def _get(self, call: Call, identifier: str, namespace: str) -> JsonObject:
        with self._services.database.read() as connection:
            row = definitions.find_row(connection, table, identifier, namespace, call.context.viewer)
            if row is not None:
                return _read_view(row)
            if self._services.settings.has_dynamic_actions:
                row = dynamic_actions.find(connection, identifier, namespace, call.context.viewer)
        if row is not None:
            return _dynamic_view(row)
        installed = self._services.registry.find(identifier)
        if installed is None:
            raise NotFoundError(f"Action not found [name={identifier}, namespace={namespace}]")
        return _installed_view(installed)

    def _update(self, call: Call, specs: Sequence[ActionSpec], identifier: str | None) -> JsonObject:
        upload = Upload.of(call, self._services, "actions:publicize")

        def work(connection: sa.Connection) -> list[JsonObject]:
            changed = []
            for spec in specs:
                row = self._find_adhoc(connection, call, identifier or spec.name, upload.namespace or "")
                uploads.check_may_change(call, row, "Action")
                values = action_values(self._services, connection, spec, call.text)
                changed.append(uploads.replace(connection, table, row, upload, values))
            return changed

        return {"actions": [RESOURCE.show(row) for row in self._services.database.run(work)]}

    def _delete(self, call: Call, identifier: str, namespace: str) -> None:
        def work(connection: sa.Connection) -> None:
            row = self._find_adhoc(connection, call, identifier, namespace)
            uploads.check_may_change(call, row, "Action")
            definitions.delete_definition(connection, table, row["id"])

        self._services.database.run(work)

    def _find_adhoc(self, connection: sa.Connection, call: Call, identifier: str, namespace: str) -> Row:
        row = definitions.find_row(connection, table, identifier, namespace, call.context.viewer)
        if row is None:
            raise NotFoundError(
                f"Action definition not found [action_name={identifier}, namespace={namespace}]"
            )
        return row


def action_values(
    services: ApiServices, connection: sa.Connection, spec: ActionSpec, text: str
) -> JsonObject:
    """Store a spec and return the columns that an ad-hoc action takes from it."""
    source = {**spec.source, "name": spec.name}
    return {
        "name": spec.name,
        "definition": text,
        "tags": dump(list(spec.tags)),
        "description": spec.description,
        "input": signatures.action_input(spec),
        "spec_hash": definitions.save_spec(services.database, connection, definitions.ACTION, source),
        "workbook_name": None,
        "is_system": False,
    }


def _read_view(row: Row) -> JsonObject:
    # Uploads answer null where there is no input, reads an empty text.
    shown = RESOURCE.show(row)
    return {**shown, "input": shown["input"] or ""}


def _dynamic_view(row: Row) -> JsonObject:
    described = source_reader.describe(row["name"], row["content"], row["class_name"])
    return {
        **_installed_view(described),
        "scope": row["scope"],
        "project_id": row["project_id"],
        "namespace": row["namespace"],
    }


def _installed_view(item: ActionDescriptor) -> JsonObject:
    return {
        "id": item.name,
        "name": item.name,
        "is_system": False,
        "input": item.signature,
        "description": item.description,
        "tags": None,
        "definition": "",
        "scope": None,
        "project_id": None,
        "created_at": "",
        "updated_at": "",
        "namespace": "",
    }
