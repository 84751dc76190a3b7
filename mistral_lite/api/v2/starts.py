"""Starting a workflow on request: which one, from what, and only once for one id."""

from __future__ import annotations

from copy import deepcopy

import sqlalchemy as sa

from mistral_lite import starts
from mistral_lite.api.commands import announce
from mistral_lite.api.delegation import record_trust
from mistral_lite.api.routing import Call
from mistral_lite.api.services import ApiServices
from mistral_lite.api.specs import SpecCache
from mistral_lite.db import definitions, executions
from mistral_lite.db.definitions import Definition
from mistral_lite.db.listing import Row
from mistral_lite.errors import AlreadyExistsError, InputError, NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue, load
from mistral_lite.security import SecurityContext
from mistral_lite.starts import StartRequest, StartRules


def merged(base: JsonValue, over: JsonValue) -> JsonValue:
    """Return ``over`` on top of ``base``; objects are merged deeply, nothing is shared or changed."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return deepcopy(over)
    result = {key: deepcopy(value) for key, value in base.items() if key not in over}
    return result | {key: merged(base.get(key), value) for key, value in over.items()}


class Starter:
    """Creates root executions from requests."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._rules = StartRules(
            evaluator=services.evaluator,
            find_spec=SpecCache().get,
            field_size_limit_kb=services.settings.field_size_limit_kb,
            notify=services.settings.notify,
        )

    def start(self, call: Call) -> Row | JsonObject:
        """Create an execution, or return the one that has the given id already.

        The row is as it was created: RUNNING, whatever the engine has made of it meanwhile.
        """
        identifier = call.body.get("id") or None
        existing = self._find_existing(call, identifier)
        if existing is not None:
            return existing
        try:
            with self._services.delegation.for_execution(call.context) as security:
                values = self._start(call, identifier, security)
        except AlreadyExistsError:
            # Somebody else's request with the same id came first; both get the same execution.
            existing = self._find_existing(call, identifier)
            if existing is None:
                raise
            return existing
        return {**values, "root_execution_id": None}

    def _start(self, call: Call, identifier: str | None, security: SecurityContext | None) -> JsonObject:
        with self._services.database.read() as connection:
            wanted = self._with_source(connection, call)
            definition = _find_definition(connection, call, wanted)
            request = self._request(call, wanted, definition, identifier, security)
            values = starts.prepare(connection, request, self._rules, self._services.clock.now())
        self._insert(values, security)
        return values

    def _find_existing(self, call: Call, identifier: str | None) -> Row | None:
        if identifier is None:
            return None
        with self._services.database.read() as connection:
            return executions.find_one(
                connection, executions.workflow_source(call.context.viewer), identifier
            )

    def _with_source(self, connection: sa.Connection, call: Call) -> JsonObject:
        """Return the body on top of what its ``source_execution_id`` gives, if any."""
        source_id = call.body.get("source_execution_id")
        if not source_id:
            return call.body
        source = executions.find_one(connection, executions.workflow_source(call.context.viewer), source_id)
        if source is None:
            raise NotFoundError(f"WorkflowExecution not found [id={source_id}]")
        base = {
            "workflow_id": source["workflow_id"],
            "workflow_namespace": source["workflow_namespace"],
            "input": load(source["input"]),
            "params": load(source["params"]),
        }
        given = {
            name: value for name, value in call.body.items() if name not in ("workflow_id", "workflow_name")
        }
        description = f"{call.body.get('description') or ''} Based on the execution '{source_id}'".strip()
        result: JsonObject = merged(base, given)
        return {**result, "description": description}

    def _request(
        self,
        call: Call,
        wanted: JsonObject,
        definition: Definition,
        identifier: str | None,
        security: SecurityContext | None,
    ) -> StartRequest:
        return StartRequest(
            definition=definition,
            viewer=call.context.viewer,
            workflow_input=wanted.get("input") or {},
            params=wanted.get("params") or {},
            namespace=wanted.get("workflow_namespace") or "",
            description=wanted.get("description") or "",
            execution_id=identifier,
            security=security,
        )

    def _insert(self, values: JsonObject, security: SecurityContext | None) -> None:
        content = self._services.delegation.content(security)

        def work(connection: sa.Connection) -> int:
            record_trust(connection, security, values["created_at"])
            return starts.store(connection, values, content, commits=True)

        seq = self._services.database.run(work)
        # The first tasks are then visible at once; if the engine is away the start is durable all the same.
        announce(self._services, values["id"], seq, self._services.settings.start_wait_s)


def _find_definition(connection: sa.Connection, call: Call, wanted: JsonObject) -> Definition:
    if "workflow_id" not in wanted and "workflow_name" not in wanted:
        raise InputError("Give the workflow to run as workflow_id (recommended) or workflow_name.")
    identifier = wanted["workflow_id"] if "workflow_id" in wanted else wanted["workflow_name"]
    namespace = wanted.get("workflow_namespace") or ""
    definition = definitions.find_workflow(
        connection, identifier or "", namespace, call.context.project_id, is_exact=True
    )
    if definition is None:
        raise NotFoundError(f"Workflow not found [workflow_identifier={identifier}, namespace={namespace}]")
    return definition
