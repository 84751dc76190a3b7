"""What the core tells itself to do next, and what a task's completion asks of its workflow.

``Order`` values are worked off one after the other within a decision, so that no handler calls another
one and a chain of consequences cannot grow the stack. ``Command`` values come from the language: go to a
task, or one of the engine commands. Commands that a pause keeps back are stored as JSON.
"""

from __future__ import annotations

from typing import NamedTuple

from mistral_lite.jsontext import JsonObject
from mistral_lite.workflow.model import Trigger
from mistral_lite.workflow.states import State


class StartWorkflow(NamedTuple):
    """Start the first tasks of a new workflow execution."""

    workflow_id: str


class RunTask(NamedTuple):
    """Begin a task that is IDLE; ``with_policies`` is false after a pause-before."""

    task_id: str
    with_policies: bool = True


class RunTaskAgain(NamedTuple):
    """Begin a task anew that a rerun has set RUNNING, with all its policies."""

    task_id: str


class ScheduleTask(NamedTuple):
    """Start the actions or nested workflows of a RUNNING task, or the next portion of them."""

    task_id: str


class CompleteTask(NamedTuple):
    """End a task; policies may turn the end into another attempt."""

    task_id: str
    state: State
    info: str | None = None


class SkipTask(NamedTuple):
    """Leave a failed task behind as SKIPPED and go on after it."""

    task_id: str


class FollowUp(NamedTuple):
    """Decide what follows a task that finished while its workflow was paused."""

    task_id: str


class RefreshJoin(NamedTuple):
    """Look whether a waiting join may go on. ``names``: the inbound tasks that changed; None: all."""

    task_id: str
    names: tuple[str, ...] | None = None


class CheckWorkflow(NamedTuple):
    """Look whether a workflow is at its end."""

    workflow_id: str


class ReportChild(NamedTuple):
    """Tell the parent task that a nested workflow, or an action, ended."""

    child_id: str


TaskOrder = RunTask | RunTaskAgain | ScheduleTask | CompleteTask | SkipTask | FollowUp | RefreshJoin
Order = StartWorkflow | CheckWorkflow | ReportChild | TaskOrder


class GoTo(NamedTuple):
    """Run the task called ``name`` because of ``triggers``; start tasks have none."""

    name: str
    triggers: tuple[Trigger, ...] = ()


class SetState(NamedTuple):
    """An engine command: ``fail``, ``succeed`` or ``pause`` (``state``), or ``noop`` (None)."""

    state: State | None
    message: str | None = None


Command = GoTo | SetState


def command_to_json(command: Command) -> JsonObject:
    """Return a command as a JSON object, to be kept while its workflow is paused."""
    match command:
        case GoTo(name=name, triggers=triggers):
            return {"task": name, "triggers": [[each.task_id, each.event] for each in triggers]}
        case SetState(state=state, message=message):
            return {"state": str(state) if state else None, "message": message}


def command_from_json(data: JsonObject) -> Command:
    """Rebuild a command from ``command_to_json``."""
    if "task" in data:
        triggers = tuple(Trigger(task_id=task_id, event=event) for task_id, event in data["triggers"])
        return GoTo(name=data["task"], triggers=triggers)
    return SetState(state=State(data["state"]) if data["state"] else None, message=data["message"])
