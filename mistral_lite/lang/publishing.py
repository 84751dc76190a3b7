"""What a finished task publishes: its several ``publish`` specifications combined into one."""

from __future__ import annotations

from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.specs import Clause, PublishSpec, TaskSpec

_CLAUSES = {"SUCCESS": Clause.ON_SUCCESS, "ERROR": Clause.ON_ERROR, "SKIPPED": Clause.ON_SKIP}

_NOTHING = PublishSpec()


def effective(task: TaskSpec, state: str) -> PublishSpec:
    """Return everything that ``task`` publishes when it ends in ``state``, unevaluated, by scope.

    For a name in several places: ``on-complete`` before the task level before the clause for the state;
    mappings under one name are merged. States other than SUCCESS, ERROR and SKIPPED publish nothing.
    """
    if state not in _CLAUSES:
        return _NOTHING
    task_level = {
        "SUCCESS": task.publish,
        "ERROR": task.publish_on_error,
        "SKIPPED": task.publish_on_skip,
    }[state]
    # From weakest to strongest.
    given = (
        _publish_of(task, _CLAUSES[state]),
        PublishSpec(branch=task_level) if task_level else None,
        _publish_of(task, Clause.ON_COMPLETE),
    )
    layers = [layer for layer in given if layer is not None]
    if len(layers) <= 1:
        return layers[0] if layers else _NOTHING
    return PublishSpec(
        branch=_overlay([layer.branch for layer in layers]),
        global_=_overlay([layer.global_ for layer in layers]),
        atomic=_overlay([layer.atomic for layer in layers]),
    )


def _publish_of(task: TaskSpec, clause: Clause) -> PublishSpec | None:
    spec = task.clauses.get(clause)
    return spec.publish if spec else None


def _overlay(layers: list[JsonObject]) -> JsonObject:
    filled = [layer for layer in layers if layer]
    if len(filled) <= 1:
        return filled[0] if filled else {}
    result: JsonValue = filled[0]
    for layer in filled[1:]:
        result = _merged(result, layer)
    return dict(result)


def _merged(under: JsonValue, over: JsonValue) -> JsonValue:
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {**under, **{key: _merged(under.get(key), value) for key, value in over.items()}}
