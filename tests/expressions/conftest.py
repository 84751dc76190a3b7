"""An evaluation view over plain data, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from mistral_lite.jsontext import JsonObject, JsonValue

TASK: JsonObject = {"id": "11", "name": "t", "state": "SUCCESS", "result": {"a": [1, 2]}, "published": {}}
OTHER: JsonObject = {"id": "12", "name": "other", "state": "ERROR", "result": [], "published": {"x": 1}}
EXECUTION: JsonObject = {"id": "e1", "name": "wf", "input": {"l": [1], "ll": [{"a": 1}, {"a": 2}]}}


@dataclass
class FakeView:
    """Implements ``EvaluationView``; remembers the filters it was asked for."""

    filters: list[Mapping[str, JsonValue]] = field(default_factory=list)

    def environment(self) -> Mapping[str, JsonValue]:
        return {"k": "env value"}

    def execution(self) -> JsonObject:
        return EXECUTION

    def executions(self, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        self.filters.append(filters)
        return [EXECUTION]

    def task(self, name: str | None) -> JsonObject | None:
        return {None: TASK, "t": TASK, "other": OTHER}.get(name)

    def tasks(self, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        self.filters.append(filters)
        return [TASK, OTHER]

    def global_variable(self, name: str) -> JsonValue:
        return {"g": [1]}.get(name)

    def new_uuid(self) -> str:
        return "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def view() -> FakeView:
    return FakeView()
