"""``/v2/action_executions``: action executions, stand-alone runs, and results from third parties."""

from __future__ import annotations

from mistral_lite.api import commands, parameters
from mistral_lite.api.resources import read_page
from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.v2.runs import Runner
from mistral_lite.api.v2.types import bodies
from mistral_lite.api.v2.views import ACTION_EXECUTION
from mistral_lite.api.waiting import wait_until
from mistral_lite.db import executions, inbox
from mistral_lite.db.listing import Row
from mistral_lite.errors import ConflictError, ForbiddenError, InputError, NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow.starting import check_size
from mistral_lite.workflow.states import State, is_finished

_RESULT_STATES = (State.SUCCESS, State.ERROR, State.CANCELLED)
_STATES = (*_RESULT_STATES, State.PAUSED, State.RUNNING)


class ActionExecutions:
    """Action executions over HTTP."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._runner = Runner(services)

    @route("GET", query={**ACTION_EXECUTION.query, "include_output": parameters.flag})
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of action executions."""
        names = ACTION_EXECUTION.listed(call, *(["output"] if call.query.get("include_output") else []))
        with self._services.database.read() as connection:
            rows, rest = read_page(
                connection,
                call,
                ACTION_EXECUTION,
                executions.action_source(call.context.viewer),
                names,
                max_limit=self._services.settings.max_limit,
            )
        return {"action_executions": [ACTION_EXECUTION.show(row, names) for row in rows], **rest}

    @route("POST", status=201, body=bodies.ACTION_EXECUTION)
    def run(self, call: Call) -> JsonValue:
        """Run an action on its own."""
        return self._runner.run(call)

    @route("GET", "*", query={"fields": parameters.names})
    def get(self, call: Call, action_execution_id: str) -> JsonValue:
        """Return one action execution."""
        names = ACTION_EXECUTION.chosen(call, ACTION_EXECUTION.attributes)
        return ACTION_EXECUTION.show(self._get(call, action_execution_id), names)

    # The how-to for third parties posts; the client puts. Both mean the same.
    @route("POST", "*", body=bodies.ACTION_EXECUTION)
    @route("PUT", "*", body=bodies.ACTION_EXECUTION)
    def update(self, call: Call, action_execution_id: str) -> JsonValue:
        """Take the result of an action from whoever computed it, or pause or resume the action."""
        wanted = call.body.get("state")
        if wanted not in _STATES:
            raise InputError(
                f"State of an action execution must be one of {', '.join(_STATES)}; got {wanted}."
            )
        state = State(wanted)
        output = _output(state, call.body)
        check_size("output", output, self._services.settings.field_size_limit_kb)
        row = self._get(call, action_execution_id)
        if state in _RESULT_STATES:
            self._deliver(action_execution_id, state, output)
        else:
            self._pause_or_resume(row, state)
        return ACTION_EXECUTION.show(self._get(call, action_execution_id))

    @route("DELETE", "*", status=204)
    def delete(self, call: Call, action_execution_id: str) -> JsonValue:
        """Delete a finished stand-alone run, if the operator allows that."""
        if not self._services.settings.allow_action_execution_deletion:
            raise ForbiddenError("Action execution deletion is not allowed.")
        row = self._get(call, action_execution_id)
        if row["task_execution_id"] is not None:
            raise ForbiddenError(
                f"Only stand-alone action executions can be deleted; {action_execution_id} belongs to a task."
            )
        if not is_finished(State(row["state"])):
            raise ForbiddenError(
                f"Only finished action executions can be deleted; {action_execution_id} is in {row['state']}."
            )
        self._send(row, "delete")
        return None

    def _get(self, call: Call, action_execution_id: str) -> Row:
        with self._services.database.read() as connection:
            row = executions.find_one(
                connection, executions.action_source(call.context.viewer), action_execution_id
            )
        if row is None:
            raise NotFoundError(f"ActionExecution not found [id={action_execution_id}]")
        return row

    def _deliver(self, action_execution_id: str, state: State, output: JsonValue) -> None:
        database = self._services.database
        delivery = inbox.deliver_result(
            database,
            action_execution_id=action_execution_id,
            state=state.value,
            output=output,
            now=self._services.clock.now(),
        )
        self._services.doorbell.ring([delivery.root_execution_id])

        def is_applied() -> bool:
            with database.read() as connection:
                found = executions.find_action_state(connection, action_execution_id)
            return found is None or is_finished(State(found))

        # The result is durable already. Who reads the action next should find it there all the same.
        wait_until(is_applied, self._services.settings.callback_wait_s)

    def _pause_or_resume(self, row: Row, state: State) -> None:
        present = State(row["state"])
        if is_finished(present):
            raise ConflictError(f"The action execution has ended already [id={row['id']}, state={present}].")
        if row["is_sync"]:
            raise InputError(
                f"Only asynchronous actions can be paused and resumed; '{row['name']}' is synchronous."
            )
        if present is not state:
            self._send(row, "pause_action" if state is State.PAUSED else "resume_action")

    def _send(self, row: Row, kind: str) -> None:
        commands.send(
            self._services,
            root_execution_id=row["root_execution_id"],
            kind=kind,
            subject_id=row["id"],
            payload={},
        )


def _output(state: State, body: JsonObject) -> JsonValue:
    """Return the result that a callback stands for; an output that is given as null is null, not absent."""
    given = body.get("output")
    match state:
        case State.SUCCESS:
            return body.get("output", {})
        case State.ERROR:
            is_empty = given is None or given == "" or given == {} or given == []
            return "Unknown error" if is_empty else given
        case _:
            return None
