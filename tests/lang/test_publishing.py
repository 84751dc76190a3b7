"""How the publish specifications of a task combine."""

from __future__ import annotations

import pytest

from mistral_lite.jsontext import JsonObject
from mistral_lite.lang.publishing import effective
from mistral_lite.lang.specs import Clause, ClauseSpec, PublishSpec, TaskSpec

_LEVELS = {"SUCCESS": "publish", "ERROR": "publish_on_error", "SKIPPED": "publish_on_skip"}
_CLAUSES = {"SUCCESS": Clause.ON_SUCCESS, "ERROR": Clause.ON_ERROR, "SKIPPED": Clause.ON_SKIP}


def _task(state: str, task: JsonObject, clause: PublishSpec | None, complete: PublishSpec | None) -> TaskSpec:
    clauses = {_CLAUSES[state]: ClauseSpec(publish=clause), Clause.ON_COMPLETE: ClauseSpec(publish=complete)}
    return TaskSpec(name="t", source={}, clauses=clauses, **{_LEVELS[state]: task})


def _branch(**values: object) -> PublishSpec:
    return PublishSpec(branch=values)


def _global(**values: object) -> PublishSpec:
    return PublishSpec(global_=values)


@pytest.mark.parametrize("state", ["SUCCESS", "ERROR", "SKIPPED"])
@pytest.mark.parametrize(
    ("task", "clause", "complete", "expected"),
    [
        ({}, None, None, PublishSpec()),
        ({"a": 1}, None, None, _branch(a=1)),
        ({}, _branch(a=2), None, _branch(a=2)),
        ({}, None, _branch(a=3), _branch(a=3)),
        # on-complete > task level > clause for the state
        ({"a": 1}, _branch(a=2), None, _branch(a=1)),
        ({"a": 1}, None, _branch(a=3), _branch(a=3)),
        ({}, _branch(a=2), _branch(a=3), _branch(a=3)),
        ({"a": 1, "b": 1}, _branch(a=2, b=2, c=2), _branch(a=3), _branch(a=3, b=1, c=2)),
        ({}, _global(a=2), _global(a=3), _global(a=3)),
        # No scope is lost, whoever has it.
        ({"a": 1}, _global(g=2), None, PublishSpec(branch={"a": 1}, global_={"g": 2})),
        ({"a": 1}, None, _global(g=3), PublishSpec(branch={"a": 1}, global_={"g": 3})),
        ({}, _branch(a=2), _global(g=3), PublishSpec(branch={"a": 2}, global_={"g": 3})),
        ({}, PublishSpec(atomic={"x": 1}), _branch(a=3), PublishSpec(branch={"a": 3}, atomic={"x": 1})),
        # Mappings under one name are merged, other values replaced.
        (
            {"x": {"a": 1, "c": [1]}},
            None,
            _branch(x={"b": 2, "c": [2]}),
            _branch(x={"a": 1, "b": 2, "c": [2]}),
        ),
        ({"x": 1}, _branch(x={"a": 1}), None, _branch(x=1)),
    ],
)
def test_precedence(
    state: str,
    task: JsonObject,
    clause: PublishSpec | None,
    complete: PublishSpec | None,
    expected: PublishSpec,
) -> None:
    spec = _task(state, task, clause, complete)
    assert effective(spec, state) == expected
    # The specs themselves stay as they are, however often they are combined.
    assert effective(spec, state) == expected


@pytest.mark.parametrize(
    ("state", "other"), [("SUCCESS", "ERROR"), ("ERROR", "SKIPPED"), ("SKIPPED", "SUCCESS")]
)
def test_only_the_state_that_was_reached_counts(state: str, other: str) -> None:
    spec = _task(state, {"a": 1}, _branch(b=2), _branch(c=3))
    assert effective(spec, other) == _branch(c=3)


def test_cancelled_publishes_nothing() -> None:
    assert effective(_task("SUCCESS", {"a": 1}, _branch(b=2), _branch(c=3)), "CANCELLED") == PublishSpec()
