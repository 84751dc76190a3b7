"""What expression functions see of an execution tree (``task()``, ``env()``, ``execution()``, …)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from mistral_lite.ids import derived_id
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow import data_flow
from mistral_lite.workflow.model import TaskExecution, TaskType, WorkflowExecution
from mistral_lite.workflow.snapshot import Snapshot


class TreeView:
    """The view of one workflow execution, and of one task in it if ``task_id`` is given.

    ``uuid()`` must differ from call to call and yet be the same when the same decision is made again, so it
    is derived from the decision's place and a counter that the caller keeps.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        workflow: WorkflowExecution | None,
        task: TaskExecution | None,
        now: datetime,
        ordinals: Ordinals,
    ) -> None:
        self._snapshot = snapshot
        self._workflow = workflow
        self._task = task
        self._now = now
        self._ordinals = ordinals

    def environment(self) -> Mapping[str, JsonValue]:
        """Return the environment of the root execution."""
        return data_flow.environment_of(self._snapshot)

    def execution(self) -> JsonObject:
        """Return the current workflow execution."""
        if self._workflow is None:
            raise KeyError("execution() is not available outside a workflow")
        return data_flow.workflow_view(self._snapshot, self._workflow)

    def executions(self, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        """Return workflow executions of the project by exact match."""
        return self._snapshot.library.query("executions", self._project_id(), filters)

    def task(self, name: str | None) -> JsonObject | None:
        """Return the latest execution of the task called ``name``, the current one for None."""
        found = self._find(name)
        return data_flow.task_view(self._snapshot, found) if found is not None else None

    def tasks(self, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        """Return task executions: those of this tree as they are now, others as the database has them."""
        mine = [data_flow.task_view(self._snapshot, task) for task in self._own_tasks(filters)]
        workflow_id = filters.get("workflow_execution_id")
        if workflow_id in self._snapshot.workflows:
            return mine
        elsewhere = {**filters, "not_in_root": self._snapshot.root_id}
        return [*self._snapshot.library.query("tasks", self._project_id(), elsewhere), *mine]

    def _own_tasks(self, filters: Mapping[str, JsonValue]) -> list[TaskExecution]:
        snapshot = self._snapshot
        workflow_id = filters.get("workflow_execution_id")
        chosen = list(snapshot.workflows) if workflow_id is None else [str(workflow_id)]
        chosen = [each for each in chosen if each in snapshot.workflows]
        if workflow_id is not None and filters.get("recursive"):
            for each in chosen:
                chosen.extend(child.id for child in snapshot.nested_workflows(each))
        tasks = [task for each in chosen for task in snapshot.tasks_of(each)]
        if filters.get("state") is not None:
            tasks = [task for task in tasks if task.state == filters["state"]]
        if filters.get("flat"):
            tasks = [task for task in tasks if not self._is_echo(task)]
        return tasks

    def _is_echo(self, task: TaskExecution) -> bool:
        """Tell whether a task merely repeats the state of a workflow that it started."""
        if task.type != TaskType.WORKFLOW:
            return False
        return any(child.state == task.state for child in self._snapshot.children_of(task.id))

    def global_variable(self, name: str) -> JsonValue:
        """Return a variable of the workflow-wide context, or None."""
        return self._workflow.context.get(name) if self._workflow is not None else None

    def new_uuid(self) -> str:
        """Return a UUID4-shaped text, unique to this call."""
        text = derived_id(self._now, self._snapshot.root_id, self._snapshot.version, self._ordinals.next())
        tail = text.replace("-", "")[::-1]
        return f"{tail[:8]}-{tail[8:12]}-4{tail[13:16]}-a{tail[17:20]}-{tail[20:]}"

    def _find(self, name: str | None) -> TaskExecution | None:
        if name is None:
            return self._task
        if self._task is not None and self._task.name == name:
            return self._task
        return self._snapshot.find_task(self._workflow.id, name) if self._workflow is not None else None

    def _project_id(self) -> str:
        return self._workflow.project_id if self._workflow is not None else ""


class Ordinals:
    """Counts the identifiers made within one decision."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def next(self) -> int:
        """Return the next ordinal, from 0."""
        self._count += 1
        return self._count - 1
