"""``/v2/executions``: workflow executions."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from mistral_lite.api import commands, parameters
from mistral_lite.api.parameters import require_uuid
from mistral_lite.api.resources import read_page
from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.v2 import report, trees
from mistral_lite.api.v2.starts import Starter
from mistral_lite.api.v2.types import bodies
from mistral_lite.api.v2.views import EXECUTION, TASK
from mistral_lite.db import executions
from mistral_lite.db.listing import Filter, Operator, Row
from mistral_lite.errors import ForbiddenError, InputError, InvalidTransitionError, NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow.starting import check_size
from mistral_lite.workflow.states import State, is_finished

_TARGETS = (State.RUNNING, State.PAUSED, State.SUCCESS, State.ERROR, State.CANCELLED)
_ENV_STATES = (State.IDLE, State.PAUSED, State.ERROR)
_WITHOUT_GLOBALS = tuple(name for name in EXECUTION.attributes if name != "published_global")


class Executions:
    """Workflow executions over HTTP."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._starter = Starter(services)

    @route(
        "GET",
        query={
            **EXECUTION.query,
            "include_output": parameters.flag,
            "all_projects": parameters.flag,
            "nulls": parameters.names,
        },
    )
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of executions."""
        if call.query.get("all_projects") or "project_id" in call.query:
            call.context.require_admin("list the executions of other projects")
        names = EXECUTION.listed(call, *(["output"] if call.query.get("include_output") else []))
        with self._services.database.read() as connection:
            rows, rest = read_page(
                connection,
                call,
                EXECUTION,
                executions.workflow_source(call.context.viewer),
                names,
                max_limit=self._services.settings.max_limit,
            )
        return {"executions": [EXECUTION.show(row, names) for row in rows], **rest}

    @route("POST", status=201, body=bodies.EXECUTION)
    def start(self, call: Call) -> JsonValue:
        """Start a workflow."""
        return EXECUTION.show(self._starter.start(call), _WITHOUT_GLOBALS)

    @route("GET", "*", query={"fields": parameters.names})
    def get(self, call: Call, execution_id: str) -> JsonValue:
        """Return one execution."""
        names = EXECUTION.chosen(call, EXECUTION.attributes)
        return EXECUTION.show(self._get(call, execution_id), names)

    @route("PUT", "*", body=bodies.EXECUTION)
    def update(self, call: Call, execution_id: str) -> JsonValue:
        """Change the state, the description or the environment of an execution."""
        row = self._get(call, execution_id)
        state = call.body.get("state")
        description = call.body.get("description")
        env = (call.body.get("params") or {}).get("env")
        _check_combination(state, description, env)
        if env is not None and not isinstance(env, dict):
            raise InputError("The property params.env must be an object.")
        check_size("params", env or {}, self._services.settings.field_size_limit_kb)
        if description:
            return self._describe(call, execution_id, description)
        if not state:
            return self._update_env(call, row, env or {})
        self._change_state(row, state, call.body.get("state_info"), env)
        return EXECUTION.show(self._get(call, execution_id), _WITHOUT_GLOBALS)

    @route("DELETE", "*", status=204, query={"force": parameters.flag})
    def delete(self, call: Call, execution_id: str) -> JsonValue:
        """Delete an execution with all that belongs to it."""
        row = self._get(call, execution_id)
        if not is_finished(State(row["state"])) and not call.query.get("force"):
            raise ForbiddenError(
                f"Execution {execution_id} is in state {row['state']}. Only finished executions can be "
                "deleted, unless 'force' is given."
            )
        self._send(row, "delete", {})
        return None

    @route("GET", "*/tasks", query={k: v for k, v in TASK.query.items() if k != "workflow_execution_id"})
    def list_tasks(self, call: Call, execution_id: str) -> JsonValue:
        """Return a page of the tasks of an execution."""
        require_uuid("workflow_execution_id", execution_id)
        self._get(call, execution_id)
        names = TASK.listed(call, without=("result",))
        with self._services.database.read() as connection:
            rows, rest = read_page(
                connection,
                call,
                TASK,
                executions.task_source(call.context.viewer),
                names,
                max_limit=self._services.settings.max_limit,
                fixed=[Filter(column="workflow_execution_id", operator=Operator.EQ, value=execution_id)],
            )
        return {"tasks": [TASK.show(row, names) for row in rows], **rest}

    @route("GET", "*/executions", query=trees.QUERY)
    def list_descendants(self, call: Call, execution_id: str) -> JsonValue:
        """Return an execution and the nested ones below it, depth first."""
        require_uuid("id", execution_id)
        row = self._get(call, execution_id)
        with self._services.database.read() as connection:
            found = trees.with_descendants(connection, call, [row])
        return {"executions": found}

    @route("GET", "*/report", query=report.QUERY)
    def get_report(self, call: Call, execution_id: str) -> JsonValue:
        """Return statistics and the tree of executions, tasks and actions."""
        require_uuid("id", execution_id)
        row = self._get(call, execution_id)
        with self._services.database.read() as connection:
            return report.build(connection, call, row, self._services.clock.now())

    def _get(self, call: Call, execution_id: str) -> Row:
        with self._services.database.read() as connection:
            row = executions.find_one(
                connection, executions.workflow_source(call.context.viewer), execution_id
            )
        if row is None:
            raise NotFoundError(f"WorkflowExecution not found [id={execution_id}]")
        return row

    def _describe(self, call: Call, execution_id: str, description: str) -> JsonObject:
        now = self._services.clock.now()

        def work(connection: sa.Connection) -> None:
            executions.set_description(connection, execution_id, description, now)

        self._services.database.run(work)
        return self._show_without(call, execution_id, ("params", "input", "output"))

    def _update_env(self, call: Call, row: Row, env: JsonObject) -> JsonObject:
        if row["state"] not in _ENV_STATES:
            raise ForbiddenError(
                f"The env of an execution can only be updated in the states {', '.join(_ENV_STATES)}; "
                f"this one is in {row['state']}."
            )
        self._send(row, "update_env", {"env": env})
        return self._show_without(call, row["id"], ("input", "output"))

    def _show_without(self, call: Call, execution_id: str, left_out: Sequence[str]) -> JsonObject:
        names = [name for name in _WITHOUT_GLOBALS if name not in left_out]
        return EXECUTION.show(self._get(call, execution_id), names)

    def _change_state(self, row: Row, wanted: str, message: str | None, env: JsonObject | None) -> None:
        if wanted not in _TARGETS:
            raise InputError(
                f"Cannot change the state of an execution to {wanted}. Allowed are: {', '.join(_TARGETS)}."
            )
        step = _step(row, State(wanted))
        if step == "resume":
            self._send(row, step, {"env": env or {}})
        elif step == "pause":
            self._send(row, step, {})
        elif step == "stop":
            self._send(row, step, {"state": wanted, "message": message})

    def _send(self, row: Row, kind: str, payload: JsonObject) -> None:
        commands.send(
            self._services,
            root_execution_id=row["own_root_id"],
            kind=kind,
            subject_id=row["id"],
            payload=payload,
        )


def _check_combination(state: str | None, description: str | None, env: JsonObject | None) -> None:
    if not state and not description and not env:
        raise InputError("Nothing to update: give state, description or params.env.")
    if state and description:
        raise InputError("The property description must be updated separately from state.")
    if env and state and state != State.RUNNING:
        raise InputError(
            "The property env can only be updated while the execution does not run, or when it is resumed."
        )


def _step(row: Row, wanted: State) -> str | None:
    """Return the command that brings an execution to a state, None where nothing is to be done.

    Raises ``InvalidTransitionError``. Source: REST reference, "PUT: update".
    """
    state = State(row["state"])
    refused = InvalidTransitionError(
        f"Can't change workflow execution state from {state} to {wanted}. "
        f"[workflow={row['workflow_name']}, execution_id={row['id']}]"
    )
    match wanted:
        case State.RUNNING:
            return "resume" if state in (State.IDLE, State.PAUSED) else None
        case State.PAUSED:
            if state is State.PAUSED:
                return None
            if state is not State.RUNNING:
                raise refused
            return "pause"
        case State.SUCCESS:
            if state is State.SUCCESS:
                return None
            if state is not State.RUNNING:
                raise refused
            return "stop"
        case _:
            return None if is_finished(state) else "stop"
