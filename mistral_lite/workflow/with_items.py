"""Tasks over items: which items start when, and when the task is at its end.

Items start in order, at most ``concurrency`` at a time, and an error among them does not stop the rest; a
cancelled one ends the task at once. All counts come from the tally that the snapshot keeps, so an item
costs the same whether the list has ten entries or ten thousand.
Source: engine reference, "with-items".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.specs import TaskSpec
from mistral_lite.workflow.children import start_child
from mistral_lite.workflow.commands import CompleteTask
from mistral_lite.workflow.model import TaskExecution
from mistral_lite.workflow.states import State
from mistral_lite.workflow.step import Step


def schedule(step: Step, task: TaskExecution, spec: TaskSpec) -> None:
    """Start as many items as may run now; an empty list ends the task."""
    items = _items(step, task, spec)
    if "with_items" not in task.runtime:
        capacity = task.runtime.get("concurrency")
        runtime = {**task.runtime, "with_items": {"count": len(items), "capacity": capacity}}
        task = step.change_task(task.id, runtime=runtime)
    if not items:
        step.order(CompleteTask(task_id=task.id, state=State.SUCCESS))
        return
    capacity = task.runtime["with_items"]["capacity"]
    room = len(items) if capacity is None else capacity - step.snapshot.child_tally(task.id).unfinished
    last = task.runtime.get("last_item", -1)
    most = step.library.rules.most_items
    if min(room, len(items) - last - 1) > most:
        # One decision makes all of them, and the engine does nothing else meanwhile.
        raise InputError(
            f"The field 'with-items' would start {min(room, len(items) - last - 1)} items at once, {most} are allowed;"
            " give the task a smaller 'concurrency'."
        )
    for position in _startable(step, task, last + 1, len(items)):
        if room <= 0:
            break
        start_child(step, task, spec, position, items[position])
        room -= 1
        last = position
    step.change_task(task.id, runtime={**task.runtime, "last_item": last})


def check_end(step: Step, task: TaskExecution, spec: TaskSpec) -> None:
    """After an item ended: end the task, or start further items."""
    tally = step.snapshot.child_tally(task.id)
    if tally.cancelled:
        info = "One or more actions was cancelled."
        step.order(CompleteTask(task_id=task.id, state=State.CANCELLED, info=info))
    elif tally.accepted >= task.runtime["with_items"]["count"]:
        if tally.failed:
            info = "One or more actions had failed."
            step.order(CompleteTask(task_id=task.id, state=State.ERROR, info=info))
        else:
            step.order(CompleteTask(task_id=task.id, state=State.SUCCESS))
    elif task.runtime["with_items"]["capacity"] is not None:
        schedule(step, task, spec)


def _startable(step: Step, task: TaskExecution, first: int, count: int) -> Iterator[int]:
    # In a first round nothing has a child yet; in a partial rerun only what has no accepted one starts.
    for position in range(first, count):
        child = step.snapshot.latest_child(task.id, position)
        if child is None or (child.is_finished and not child.accepted):
            yield position


def _items(step: Step, task: TaskExecution, spec: TaskSpec) -> list[JsonObject]:
    """Return the variables of each item. The sources are evaluated once per round of this process."""
    key = ("items", task.id)
    token = (task.triggered_by, task.started_at)
    remembered = step.snapshot.memory.get(key)
    if remembered is not None and remembered[0] == token and "with_items" in task.runtime:
        found = remembered[1]
        assert isinstance(found, list)
        return found
    items = _evaluated_items(step, task, spec)
    step.snapshot.memory[key] = (token, items)
    return items


def _evaluated_items(step: Step, task: TaskExecution, spec: TaskSpec) -> list[JsonObject]:
    branch = step.inbound(task)
    names = [name for name, _ in spec.with_items]
    columns = [
        _as_list(name, step.evaluate_for_task(source, task, branch, field="with-items"))
        for name, source in spec.with_items
    ]
    if len({len(column) for column in columns}) > 1:
        sizes = {name: len(column) for name, column in zip(names, columns, strict=True)}
        raise InputError(f"Wrong input format for: {sizes}. All arrays must have the same length.")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _as_list(name: str, value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, Iterable):
        raise InputError(
            f"Wrong input format for: {{'{name}': {type(value).__name__}}}. "
            "Iterable type is expected for each value."
        )
    return list(value)
