"""How much the engine keeps in memory between turns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mistral_lite.engine.cache import SnapshotCache
from mistral_lite.expressions.base import ExpressionSettings
from mistral_lite.expressions.evaluator import Evaluator
from mistral_lite.workflow.library import Library
from mistral_lite.workflow.model import WorkflowExecution
from mistral_lite.workflow.snapshot import Snapshot
from mistral_lite.workflow.states import State


@pytest.fixture(scope="module")
def library():
    return Library(evaluator=Evaluator(ExpressionSettings()), find_python_action=lambda _: None)


@pytest.fixture
def snapshot(library):
    def make(root_id: str, **values) -> Snapshot:
        root = WorkflowExecution(
            id=root_id,
            root_id=root_id,
            spec_hash="s",
            definition_id="d",
            name="w",
            namespace="",
            state=State.RUNNING,
            project_id="p",
            created_at=datetime(2026, 11, 22, tzinfo=UTC),
            **values,
        )
        return Snapshot(root_id, 1, library).load(workflows=[root])

    return make


def kept(cache: SnapshotCache, names: str) -> str:
    return "".join(name for name in names if cache.find(name, 1) is not None)


def test_what_was_not_used_for_longest_goes_first(snapshot):
    cache = SnapshotCache(9)
    for name in "abc":
        cache.keep(snapshot(name))
    cache.keep(cache.find("a", 1))
    cache.keep(snapshot("d"))

    assert kept(cache, "abcd") == "acd"


def test_a_large_input_counts_as_many_rows(snapshot):
    cache = SnapshotCache(1000)
    for name in "abc":
        cache.keep(snapshot(name, input={"data": "x" * 500_000}))

    assert kept(cache, "abc") == "bc"


def test_the_last_one_is_kept_however_large(snapshot):
    cache = SnapshotCache(10)
    cache.keep(snapshot("a", input={"data": "x" * 500_000}))

    assert kept(cache, "a") == "a"


def test_another_version_is_not_found(snapshot):
    cache = SnapshotCache(10)
    cache.keep(snapshot("a"))

    assert cache.find("a", 2) is None
