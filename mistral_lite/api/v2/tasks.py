"""``/v2/tasks``: task executions, and reruns and skips of failed ones."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from mistral_lite.api import commands, parameters
from mistral_lite.api.parameters import Converter, require_uuid
from mistral_lite.api.resources import answer_page
from mistral_lite.api.routing import Call, route
from mistral_lite.api.services import ApiServices
from mistral_lite.api.v2 import trees, waiting_for
from mistral_lite.api.v2.types import bodies
from mistral_lite.api.v2.views import ACTION_EXECUTION, EXECUTION, TASK
from mistral_lite.db import executions
from mistral_lite.db.listing import Filter, Operator, Row
from mistral_lite.db.statements import pipelined
from mistral_lite.errors import ForbiddenError, InputError, NotFoundError
from mistral_lite.jsontext import JsonObject, JsonValue, load
from mistral_lite.workflow.states import State, is_finished

_ENV_STATES = (State.IDLE, State.PAUSED, State.ERROR)
_NESTED_LEFT_OUT = ("params", "input", "output")
_NESTED_QUERY: Mapping[str, Converter] = {
    name: item
    for name, item in EXECUTION.query.items()
    if name not in ("project_id", "root_execution_id", "task_execution_id")
}
_ACTIONS_QUERY: Mapping[str, Converter] = {
    **{name: item for name, item in ACTION_EXECUTION.query.items() if name != "task_execution_id"},
    "include_output": parameters.INCLUDE_OUTPUT,
}


class Tasks:
    """Task executions over HTTP."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    @route("GET", rule="tasks:list", query=TASK.query, answer=TASK.page)
    def list_all(self, call: Call) -> JsonValue:
        """Return a page of tasks."""
        names = TASK.listed(call)
        source = executions.task_source(call.context.viewer)
        complete = waiting_for.completion(names)
        return answer_page(self._services, call, TASK, source, names, complete=complete)

    @route("GET", "*", rule="tasks:get", query={"fields": parameters.FIELDS}, answer=TASK.item)
    def get(self, call: Call, task_id: str) -> JsonValue:
        """Return one task with its result."""
        return self._show(call, task_id)

    @route("PUT", "*", rule="tasks:update", body=bodies.TASK, answer=TASK.item)
    def update(self, call: Call, task_id: str) -> JsonValue:
        """Run a failed task again, or skip it."""
        row = self._get(call, task_id)
        _check_update(call.body, row)
        # A paused workflow is left alone, as by the engine; the caller gets the task as it is.
        if row["workflow_state"] != State.PAUSED:
            self._send(call, row)
        return self._show(call, task_id)

    @route(
        "GET",
        "*/action_executions",
        rule="action_executions:list",
        query=_ACTIONS_QUERY,
        answer=ACTION_EXECUTION.page,
    )
    def list_actions(self, call: Call, task_id: str) -> JsonValue:
        """Return a page of the action executions of a task."""
        require_uuid("task_execution_id", task_id)
        names = ACTION_EXECUTION.listed(call, *(["output"] if call.query.get("include_output") else []))
        return answer_page(
            self._services,
            call,
            ACTION_EXECUTION,
            executions.action_source(call.context.viewer),
            names,
            fixed=[Filter(column="task_execution_id", operator=Operator.EQ, value=task_id)],
        )

    @route(
        "GET",
        "*/action_executions/*",
        rule="action_executions:get",
        query={"fields": parameters.FIELDS},
        answer=ACTION_EXECUTION.item,
    )
    def get_action(self, call: Call, task_id: str, action_execution_id: str) -> JsonValue:
        """Return one action execution of a task."""
        names = ACTION_EXECUTION.chosen(call, ACTION_EXECUTION.attributes)
        source = executions.action_source(call.context.viewer)
        columns = [*ACTION_EXECUTION.columns_of(names), "task_execution_id"]
        with self._services.database.read() as connection:
            row = executions.find_one(connection, source, action_execution_id, columns)
        if row is None or row["task_execution_id"] != task_id:
            raise NotFoundError(f"ActionExecution not found [id={action_execution_id}]")
        return ACTION_EXECUTION.show(row, names)

    @route("GET", "*/workflow_executions", rule="executions:list", query=_NESTED_QUERY, answer=EXECUTION.page)
    def list_workflows(self, call: Call, task_id: str) -> JsonValue:
        """Return a page of the nested workflow executions of a task."""
        require_uuid("task_execution_id", task_id)
        names = EXECUTION.listed(call, without=_NESTED_LEFT_OUT)
        return answer_page(
            self._services,
            call,
            EXECUTION,
            executions.workflow_source(call.context.viewer),
            names,
            fixed=[Filter(column="task_execution_id", operator=Operator.EQ, value=task_id)],
        )

    @route("GET", "*/executions", rule="executions:get", query=trees.QUERY, answer=EXECUTION.collected)
    def list_descendants(self, call: Call, task_id: str) -> JsonValue:
        """Return the nested workflow executions of a task and all below them, depth first."""
        require_uuid("id", task_id)
        task = self._get(call, task_id)
        if call.query.get("errors_only") and task["state"] != State.ERROR:
            return {"executions": []}
        columns = EXECUTION.columns_of(EXECUTION.attributes)
        with self._services.database.read() as connection:
            tops = executions.children_of_tasks(connection, [task_id], columns)()
            found = trees.with_descendants(connection, call, tops)
        return {"executions": found}

    def _get(self, call: Call, task_id: str) -> Row:
        with self._services.database.read() as connection:
            return _get_task(connection, call, task_id)

    def _show(self, call: Call, task_id: str) -> JsonObject:
        names = TASK.chosen(call, TASK.attributes)
        with self._services.database.read(is_snapshot=True) as connection:
            row = _get_task(connection, call, task_id)
            (waiting,) = waiting_for.complete(connection, [row], names)
            completed = {**waiting, "result": _result(connection, row)}
        shown = TASK.show(completed, names)
        if shown.get("published_global") == "{}":
            del shown["published_global"]
        return shown

    def _send(self, call: Call, row: Row) -> None:
        body = call.body
        is_skip = body["state"] == State.SKIPPED
        env = body.get("env") or {}
        commands.send(
            self._services,
            root_execution_id=row["root_execution_id"],
            kind="skip" if is_skip else "rerun",
            subject_id=row["id"],
            payload={"env": env} if is_skip else {"reset": bool(body["reset"]), "env": env},
            security=self._services.delegation.renewed(call.context, row["project_id"]),
        )


def _get_task(connection: sa.Connection, call: Call, task_id: str) -> Row:
    row = executions.find_one(connection, executions.task_source(call.context.viewer), task_id)
    if row is None:
        raise NotFoundError(f"Task execution not found [id={task_id}]")
    return row


def _is_with_items(row: Row) -> bool:
    return "with_items" in load(row["runtime"])


def _check_update(body: JsonObject, row: Row) -> None:
    """Raise unless the body asks for something that this task can do. Source: REST reference, "PUT"."""
    if body.get("name") is not None and body["name"] != row["name"]:
        raise InputError("Task name does not match.")
    if body.get("workflow_name") is not None and body["workflow_name"] != row["workflow_name"]:
        raise InputError("Workflow name does not match.")
    wanted = body.get("state")
    if wanted not in (State.RUNNING, State.SKIPPED):
        raise InputError("A task can only be set to RUNNING (run it again) or SKIPPED.")
    # Cancelled tasks can be run again too; there is no other way to go on after a cancellation.
    fitting = (State.ERROR, State.CANCELLED) if wanted == State.RUNNING else (State.ERROR,)
    if row["state"] not in fitting:
        raise InputError(
            f"The task must be in {' or '.join(fitting)} to be set to {wanted}; it is in {row['state']}."
        )
    if wanted == State.RUNNING:
        if "reset" not in body:
            raise InputError("Give reset to say whether all actions of the task run again.")
        if not body["reset"] and not _is_with_items(row):
            raise InputError("Only a task with with-items can run again without reset.")
    if body.get("env") and row["workflow_state"] not in _ENV_STATES:
        raise ForbiddenError(
            f"The env of an execution can only be updated in the states {', '.join(_ENV_STATES)}; "
            f"this one is in {row['workflow_state']}."
        )
    if row["workflow_state"] == State.SUCCESS:
        raise InputError("The execution of this task has ended in SUCCESS, which is final.")


def _result(connection: sa.Connection, row: Row) -> JsonValue:
    """Return the accepted results of a task: a list for with-items, else the only one, else a list."""
    with pipelined(connection):
        actions = executions.actions_of_tasks(
            connection, [row["id"]], ("state", "position", "output"), accepted_only=True
        )
        children = executions.children_of_tasks(connection, [row["id"]], ("state", "runtime", "output"))
    results = [
        (item["position"], load(item["output"]).get("result"))
        for item in actions()
        if item["output"] is not None and is_finished(State(item["state"]))
    ]
    for item in children():
        runtime = load(item["runtime"])
        if runtime.get("accepted") and is_finished(State(item["state"])):
            results.append((runtime.get("position", 0), load(item["output"])))
    if _is_with_items(row):
        return [result for _, result in sorted(results, key=lambda pair: pair[0])]
    if len(results) == 1:
        return results[0][1]
    return [result for _, result in results]
