"""``/v2/executions``: workflow executions."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from mistral_lite.api import commands, maintenance, parameters
from mistral_lite.api.parameters import require_uuid
from mistral_lite.api.resources import answer_page
from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.v2 import report, trees, waiting_for
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
# What is added to single ones only when they are asked for.
_ADDED = ("published_global", waiting_for.NAME)
_WITHOUT_ADDED = tuple(name for name in EXECUTION.attributes if name not in _ADDED)


class Executions:
    """Workflow executions over HTTP."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._starter = Starter(services)

    @route(
        "GET",
        rule="executions:list",
        query={
            **EXECUTION.query,
            "include_output": parameters.INCLUDE_OUTPUT,
            "all_projects": parameters.ALL_PROJECTS,
            "nulls": parameters.names.meaning("A comma list of attributes that must be null."),
        },
        answer=EXECUTION.page,
    )
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of executions."""
        viewer = call.list_viewer("executions:list:all_projects", "project_id")
        names = EXECUTION.listed(call, *(["output"] if call.query.get("include_output") else []))
        return answer_page(self._services, call, EXECUTION, executions.workflow_source(viewer), names)

    @route(
        "POST",
        rule="executions:create",
        status=201,
        body=bodies.EXECUTION,
        answer=EXECUTION.item,
        refusals=(404, 409),
    )
    def start(self, call: Call) -> JsonValue:
        """Start a workflow."""
        return EXECUTION.show(self._starter.start(call), _WITHOUT_ADDED)

    @route("GET", "*", rule="executions:get", query={"fields": parameters.FIELDS}, answer=EXECUTION.item)
    def get(self, call: Call, execution_id: str) -> JsonValue:
        """Return one execution."""
        names = EXECUTION.chosen(call, EXECUTION.attributes)
        return EXECUTION.show(self._get(call, execution_id, names), names)

    @route(
        "PUT",
        "*",
        rule="executions:update",
        body=bodies.EXECUTION,
        answer=EXECUTION.item,
        in_maintenance=maintenance.cancelling,
    )
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
        self._change_state(call, row, state, call.body.get("state_info"), env)
        return EXECUTION.show(self._get(call, execution_id), _WITHOUT_ADDED)

    @route(
        "DELETE",
        "*",
        rule="executions:delete",
        status=204,
        query={"force": parameters.flag.meaning("Delete it even if it has not finished.")},
    )
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

    @route(
        "GET",
        "*/tasks",
        rule="tasks:list",
        query={k: v for k, v in TASK.query.items() if k != "workflow_execution_id"},
        answer=TASK.page,
    )
    def list_tasks(self, call: Call, execution_id: str) -> JsonValue:
        """Return a page of the tasks of an execution."""
        require_uuid("workflow_execution_id", execution_id)
        self._get(call, execution_id, ("id",))
        names = TASK.listed(call)
        return answer_page(
            self._services,
            call,
            TASK,
            executions.task_source(call.context.viewer),
            names,
            fixed=[Filter(column="workflow_execution_id", operator=Operator.EQ, value=execution_id)],
            complete=waiting_for.completion(names),
        )

    @route("GET", "*/executions", rule="executions:get", query=trees.QUERY, answer=EXECUTION.collected)
    def list_descendants(self, call: Call, execution_id: str) -> JsonValue:
        """Return an execution and the nested ones below it, depth first."""
        require_uuid("id", execution_id)
        row = self._get(call, execution_id)
        with self._services.database.read() as connection:
            found = trees.with_descendants(connection, call, [row])
        return {"executions": found}

    @route("GET", "*/report", rule="executions:get", query=report.QUERY, answer=report.REPORT)
    def get_report(self, call: Call, execution_id: str) -> JsonValue:
        """Return statistics and the tree of executions, tasks and actions."""
        require_uuid("id", execution_id)
        row = self._get(call, execution_id)
        with self._services.database.read() as connection:
            return report.build(connection, call, row, self._services.clock.now())

    def _get(self, call: Call, execution_id: str, names: Sequence[str] = _WITHOUT_ADDED) -> Row:
        """Return the row of an execution: what the attributes ``names`` need, and the root of its tree."""
        source = executions.workflow_source(call.context.viewer)
        columns = [*EXECUTION.columns_of(names), "own_root_id"]
        with self._services.database.read() as connection:
            row = executions.find_one(connection, source, execution_id, columns)
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
        names = [name for name in _WITHOUT_ADDED if name not in left_out]
        return EXECUTION.show(self._get(call, execution_id), names)

    def _change_state(
        self, call: Call, row: Row, wanted: str, message: str | None, env: JsonObject | None
    ) -> None:
        if wanted not in _TARGETS:
            raise InputError(
                f"Cannot change the state of an execution to {wanted}. Allowed are: {', '.join(_TARGETS)}."
            )
        step = _step(row, State(wanted))
        if step == "resume":
            renewed = self._services.delegation.renewed(call.context, row["project_id"])
            self._send(row, step, {"env": env or {}}, renewed)
        elif step == "pause":
            self._send(row, step, {})
        elif step == "stop":
            self._send(row, step, {"state": wanted, "message": message})

    def _send(self, row: Row, kind: str, payload: JsonObject, security: JsonObject | None = None) -> None:
        commands.send(
            self._services,
            root_execution_id=row["own_root_id"],
            kind=kind,
            subject_id=row["id"],
            payload=payload,
            security=security,
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
