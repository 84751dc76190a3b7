"""``/v2/action_executions``: action executions, stand-alone runs, and results from third parties."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mistral_lite.api import commands, maintenance, parameters
from mistral_lite.api.resources import answer_page
from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.v2.runs import Runner
from mistral_lite.api.v2.types import bodies
from mistral_lite.api.v2.views import ACTION_EXECUTION
from mistral_lite.db import executions, inbox
from mistral_lite.db.listing import Row
from mistral_lite.errors import ConflictError, ForbiddenError, InputError, NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow.starting import check_size
from mistral_lite.workflow.states import State, is_finished

_RESULT_STATES = (State.SUCCESS, State.ERROR, State.CANCELLED)
_STATES = (*_RESULT_STATES, State.PAUSED, State.RUNNING)
# The columns that tell what may be done with an action execution.
_CHECKED = ("id", "root_execution_id", "task_execution_id", "name", "state", "is_sync")


class ActionExecutions:
    """Action executions over HTTP."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._runner = Runner(services)

    @route(
        "GET",
        rule="action_executions:list",
        query={**ACTION_EXECUTION.query, "include_output": parameters.INCLUDE_OUTPUT},
        answer=ACTION_EXECUTION.page,
    )
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of action executions."""
        names = ACTION_EXECUTION.listed(call, *(["output"] if call.query.get("include_output") else []))
        source = executions.action_source(call.context.viewer)
        return answer_page(self._services, call, ACTION_EXECUTION, source, names)

    @route(
        "POST",
        rule="action_executions:create",
        status=201,
        body=bodies.ACTION_EXECUTION,
        answer=ACTION_EXECUTION.item,
    )
    def run(self, call: Call) -> JsonValue:
        """Run an action on its own."""
        return self._runner.run(call)

    @route(
        "GET",
        "*",
        rule="action_executions:get",
        query={"fields": parameters.FIELDS},
        answer=ACTION_EXECUTION.item,
    )
    def get(self, call: Call, action_execution_id: str) -> JsonValue:
        """Return one action execution."""
        return self._show(
            call, action_execution_id, ACTION_EXECUTION.chosen(call, ACTION_EXECUTION.attributes)
        )

    # The how-to for third parties posts; the client puts. Both mean the same.
    @route(
        "POST",
        "*",
        rule="action_executions:update",
        in_maintenance=maintenance.late_result,
        body=bodies.ACTION_EXECUTION,
        answer=ACTION_EXECUTION.item,
        refusals=(409,),
    )
    @route(
        "PUT",
        "*",
        rule="action_executions:update",
        in_maintenance=maintenance.late_result,
        body=bodies.ACTION_EXECUTION,
        answer=ACTION_EXECUTION.item,
        refusals=(409,),
    )
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
        if state in _RESULT_STATES:
            self._deliver(call, action_execution_id, state, output)
        else:
            self._pause_or_resume(self._get(call, action_execution_id, _CHECKED), state)
        return self._show(call, action_execution_id, ACTION_EXECUTION.attributes)

    @route("DELETE", "*", rule="action_executions:delete", status=204)
    def delete(self, call: Call, action_execution_id: str) -> JsonValue:
        """Delete a finished stand-alone run, if the operator allows that."""
        if not self._services.settings.allow_action_execution_deletion:
            raise ForbiddenError("Action execution deletion is not allowed.")
        row = self._get(call, action_execution_id, _CHECKED)
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

    def _show(self, call: Call, action_execution_id: str, names: Collection[str]) -> JsonObject:
        row = self._get(call, action_execution_id, ACTION_EXECUTION.columns_of(names))
        return ACTION_EXECUTION.show(row, names)

    def _get(self, call: Call, action_execution_id: str, columns: Sequence[str]) -> Row:
        source = executions.action_source(call.context.viewer)
        with self._services.database.read() as connection:
            row = executions.find_one(connection, source, action_execution_id, columns)
        if row is None:
            raise NotFoundError(f"ActionExecution not found [id={action_execution_id}]")
        return row

    def _deliver(self, call: Call, action_execution_id: str, state: State, output: JsonValue) -> None:
        delivery = inbox.deliver_result(
            self._services.database,
            action_execution_id=action_execution_id,
            state=state.value,
            output=output,
            now=self._services.clock.now(),
            viewer=call.context.viewer,
        )
        if delivery.seq is not None:
            # The result is durable already. Who reads the action next should find it there all the same.
            commands.announce(
                self._services,
                delivery.root_execution_id,
                delivery.seq,
                self._services.settings.callback_wait_s,
            )

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
