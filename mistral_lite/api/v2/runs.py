"""Running an action on its own: checked here, run by the engine and an executor like any other."""

from __future__ import annotations

from mistral_lite.api.commands import announce
from mistral_lite.api.routing import Call
from mistral_lite.api.services import ApiServices
from mistral_lite.api.v2.types.values import FLAG
from mistral_lite.api.v2.views import ACTION_EXECUTION
from mistral_lite.api.waiting import wait_until
from mistral_lite.db import definitions, executions, inbox
from mistral_lite.db.listing import Row
from mistral_lite.errors import InputError, UnavailableError
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, JsonValue, dump
from mistral_lite.workflow.starting import check_parameters, check_size, with_defaults
from mistral_lite.workflow.states import State, is_finished

_NEVER_STORED = ("id", "project_id", "accepted", "created_at", "updated_at", "description")


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
        action_execution_id = self._start(order, is_awaited=is_awaited)
        if not is_awaited:
            return self._scheduled(order, action_execution_id)
        shown = ACTION_EXECUTION.show(self._await(action_execution_id))
        return shown if must_save else {**shown, **dict.fromkeys(_NEVER_STORED)}

    def _check_action(
        self, call: Call, name: str, given: JsonObject, namespace: str
    ) -> tuple[JsonObject, bool]:
        """Return the complete input and whether the action is synchronous. Raises ``InputError``."""
        registry = self._services.registry
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
        installed = registry.find(wanted)
        if installed is None:
            raise InputError(f"Failed to find action [action_name={wanted}]")
        if complete is None:
            installed.check(given)
            complete = given
        return complete, installed.is_sync

    def _start(self, order: JsonObject, *, is_awaited: bool) -> str:
        now = self._services.clock.now()
        action_execution_id = new_id(now)
        seq = self._services.database.run(
            lambda connection: inbox.append(
                connection,
                root_execution_id=action_execution_id,
                kind="run_action",
                subject_id=action_execution_id,
                payload=order,
                now=now,
            )
        )
        timeout_s = 0.0 if is_awaited else self._services.settings.start_wait_s
        announce(self._services, action_execution_id, seq, timeout_s)
        return action_execution_id

    def _await(self, action_execution_id: str) -> Row:
        found: list[Row] = []

        def is_done() -> bool:
            with self._services.database.read() as connection:
                state = executions.find_action_state(connection, action_execution_id)
                if state is None or not is_finished(State(state)):
                    return False
                row = executions.find_action_row(connection, action_execution_id)
            if row is not None:
                found.append(row)
            return row is not None

        timeout_s = self._services.settings.rpc_response_timeout_s
        if not wait_until(is_done, timeout_s):
            raise UnavailableError(
                f"The action did not end within {timeout_s:g} seconds. Run it with save_result to look at "
                f"its result later [id={action_execution_id}]."
            )
        return found[0]

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
        return ACTION_EXECUTION.show(row)


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
        isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0
    ):
        raise InputError("Invalid input for params.timeout. Expected a positive number of seconds.")
    target = params.get("target")
    if target is not None and not isinstance(target, str):
        raise InputError("Invalid input for params.target. Expected text.")
