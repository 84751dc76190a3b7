"""Running an action on its own: checked here, run by the engine and an executor like any other."""

from __future__ import annotations

import sqlalchemy as sa

from mistral_lite.actions import source_reader
from mistral_lite.api.commands import announce
from mistral_lite.api.delegation import record_trust
from mistral_lite.api.routing import Call
from mistral_lite.api.services import ApiServices
from mistral_lite.api.v2 import waiting_for
from mistral_lite.api.v2.types.values import FLAG, NAME
from mistral_lite.api.v2.views import ACTION_EXECUTION
from mistral_lite.db import definitions, delegations, dynamic_actions, executions, inbox
from mistral_lite.db.listing import Row, Viewer
from mistral_lite.errors import InputError, UnavailableError
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, JsonValue, dump
from mistral_lite.workflow.descriptors import ActionDescriptor
from mistral_lite.workflow.starting import check_parameters, check_size, with_defaults
from mistral_lite.workflow.states import State, is_finished

# Nobody has asked what it waits for: who runs one either waits for it or has just been told that it runs.
_PLAIN = tuple(name for name in ACTION_EXECUTION.attributes if name != waiting_for.NAME)
_NEVER_STORED = ("id", "project_id", "accepted", "created_at", "updated_at", "description")
_LONGEST_TIMEOUT_S = 2**31 - 1


class Runner:
    """Runs actions for callers, in one of the forms of the REST reference, "run an action ad hoc"."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    def run(self, call: Call) -> JsonObject:
        """Run an action and return its execution on the wire. Raises before anything is stored."""
        name = call.body.get("name")
        if not name:
            raise InputError("Give at least the name of the action to run.")
        params = call.body.get("params") or {}
        must_save = _flag(params, "save_result")
        must_wait = _flag(params, "run_sync")
        _check_params(params)
        given = call.body.get("input") or {}
        check_size("input", given, self._services.settings.field_size_limit_kb)
        namespace = call.body.get("workflow_namespace") or ""
        complete, is_sync = self._check_action(call, name, given, namespace)
        if must_wait and not is_sync:
            raise InputError(f"Action '{name}' is asynchronous, so it cannot be run with run_sync.")
        is_ephemeral = is_sync and not must_save
        order = {
            "name": name,
            "input": complete,
            "namespace": namespace,
            "description": call.body.get("description") or "",
            "timeout": params.get("timeout"),
            "target": params.get("target"),
            "project_id": call.context.project_id,
            "is_ephemeral": is_ephemeral,
        }
        is_awaited = is_ephemeral or must_wait
        if not is_awaited:
            return self._scheduled(order, self._start(call, order))
        shown = ACTION_EXECUTION.show(self._run(call, order), _PLAIN)
        return shown if must_save else {**shown, **dict.fromkeys(_NEVER_STORED)}

    def _check_action(
        self, call: Call, name: str, given: JsonObject, namespace: str
    ) -> tuple[JsonObject, bool]:
        """Return the complete input and whether the action is synchronous. Raises ``InputError``."""
        seen: set[str] = set()
        complete: JsonObject | None = None
        wanted = name
        with self._services.database.read() as connection:
            while True:
                definition = definitions.find_action(connection, wanted, namespace, call.context.project_id)
                if definition is None:
                    break
                if definition.spec_hash in seen:
                    raise InputError(f"The ad-hoc action '{wanted}' is based on itself.")
                seen.add(definition.spec_hash)
                spec = definitions.load_action_spec(connection, definition.spec_hash)
                if complete is None:
                    check_parameters(wanted, "AdHocAction", spec.input, given)
                    complete = with_defaults(spec.input, given)
                wanted = spec.base
            found = self._find_python(connection, call, wanted, namespace)
        if found is None:
            raise InputError(f"Failed to find action [action_name={wanted}]")
        if complete is None:
            found.check(given)
            complete = given
        return complete, found.is_sync

    def _find_python(
        self, connection: sa.Connection, call: Call, name: str, namespace: str
    ) -> ActionDescriptor | None:
        if self._services.settings.has_dynamic_actions:
            viewer = Viewer(project_id=call.context.project_id)
            row = dynamic_actions.find(connection, name, namespace, viewer)
            if row is not None:
                return source_reader.describe(row["name"], row["content"], row["class_name"])
        return self._services.registry.find(name)

    def _start(self, call: Call, order: JsonObject) -> str:
        action_execution_id, seq = self._request(call, order)
        announce(self._services, action_execution_id, seq, self._services.settings.start_wait_s)
        return action_execution_id

    def _request(self, call: Call, order: JsonObject) -> tuple[str, int]:
        """Make the wish to run an action durable; return the id it will have and the number of the inbox row."""
        now = self._services.clock.now()
        action_execution_id = new_id(now)
        delegation = self._services.delegation
        with delegation.for_execution(call.context) as security:
            content = delegation.content(security)

            def work(connection: sa.Connection) -> int:
                record_trust(connection, security, now)
                if content is not None:
                    delegations.insert_context(connection, action_execution_id, content, now)
                return inbox.append(
                    connection,
                    root_execution_id=action_execution_id,
                    kind="run_action",
                    subject_id=action_execution_id,
                    payload=order,
                    now=now,
                )()

            return action_execution_id, self._services.database.run(work)

    def _run(self, call: Call, order: JsonObject) -> Row:
        """Run an action and return its row once it has ended. Raises ``UnavailableError`` if it takes too long."""
        database, timeout_s = self._services.database, self._services.settings.rpc_response_timeout_s
        action_execution_id, _ = self._request(call, order)

        def has_ended() -> bool:
            with database.read() as connection:
                state = executions.find_action_state(connection, action_execution_id)
            return state is not None and is_finished(State(state))

        with self._services.waiting.expect(action_execution_id) as expectation:
            self._services.doorbell.ring([action_execution_id])
            if expectation.wait(has_ended, timeout_s):
                with database.read() as connection:
                    row = executions.find_action_row(connection, action_execution_id)
                if row is not None:
                    return row
        raise UnavailableError(
            f"The action did not end within {timeout_s:g} seconds. Run it with save_result to look at its result "
            f"later [id={action_execution_id}]."
        )

    def _scheduled(self, order: JsonObject, action_execution_id: str) -> JsonObject:
        # As it was accepted, whatever has become of it meanwhile: clients expect RUNNING here.
        row: dict[str, JsonValue] = {
            "id": action_execution_id,
            "workflow_name": None,
            "workflow_namespace": order["namespace"],
            "task_execution_id": None,
            "state": State.RUNNING.value,
            "state_info": None,
            "tags": None,
            "name": order["name"],
            "description": order["description"],
            "project_id": order["project_id"],
            "accepted": False,
            "input": dump(order["input"]),
            "output": None,
            "created_at": self._services.clock.now(),
            "updated_at": None,
        }
        return ACTION_EXECUTION.show(row, _PLAIN)


def _flag(params: JsonObject, name: str) -> bool:
    value = params.get(name)
    if value is None:
        return False
    try:
        return FLAG.validate(value)
    except ValueError as error:
        raise InputError(f"Invalid input for params.{name}. Expected true or false.") from error


def _check_params(params: JsonObject) -> None:
    timeout = params.get("timeout")
    if timeout is not None and (
        isinstance(timeout, bool)
        or not isinstance(timeout, (int, float))
        or not 0 < timeout <= _LONGEST_TIMEOUT_S
    ):
        raise InputError(
            "Invalid input for params.timeout. Expected a number of seconds, more than 0 and at most "
            f"{_LONGEST_TIMEOUT_S}."
        )
    if params.get("target") is not None:
        try:
            NAME.validate(params["target"])
        except ValueError as error:
            raise InputError(f"Invalid input for params.target. {error}") from error
