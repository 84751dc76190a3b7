"""Which events start which triggers, and what their workflows are told."""

from __future__ import annotations

from typing import Any

import pytest

from mistral_lite.db.event_triggers import EventTrigger
from mistral_lite.engine.event_definitions import EventDefinition, concerns, parse_definitions, properties_of
from mistral_lite.errors import EvaluationError, InputError
from mistral_lite.expressions.evaluator import Evaluator
from mistral_lite.rpc.bus_events import BusEvent

FILE = """
- event_types: compute.instance.create.end
  properties:
    id: <% $.payload.instance_id %>
- event_types:
    - compute.instance.*
    - volume.[cd]*
  properties:
    who: <% $.context.user_id %> of <% $.publisher %>
    type: "{{ _.event_type }}"
    all: <% $.payload %>
    when: <% $.timestamp %>
    plain: {nested: [1, text]}
"""


def event(event_type: str = "compute.instance.create.end", **values: Any) -> BusEvent:
    """Return an event."""
    given: dict[str, Any] = {
        "exchange": "nova",
        "topic": "notifications",
        "publisher": "compute.host1",
        "context": {"project_id": "p1", "user_id": "u1"},
        "payload": {"instance_id": "i1"},
        "timestamp": "2026-11-22 01:02:03.4",
    }
    return BusEvent(event_type=event_type, **{**given, **values})


def test_the_last_matching_definition_counts_alone(evaluator: Evaluator) -> None:
    assert properties_of(event(), parse_definitions(FILE), evaluator) == {
        "who": "u1 of compute.host1",
        "type": "compute.instance.create.end",
        "all": {"instance_id": "i1"},
        "when": "2026-11-22 01:02:03.4",
        "plain": {"nested": [1, "text"]},
    }


@pytest.mark.parametrize(
    ("event_type", "is_covered"),
    [
        ("compute.instance.delete", True),
        ("volume.create", True),
        ("volume.delete", True),
        ("volume.update", False),
        ("Compute.instance.delete", False),
        ("compute.instance", False),
        ("", False),
    ],
)
def test_patterns(event_type: str, is_covered: bool) -> None:
    assert parse_definitions(FILE)[1].covers(event_type) is is_covered


def test_without_a_definition_there_are_default_properties(evaluator: Evaluator) -> None:
    expected = {
        "service": "compute.host1",
        "project_id": "p1",
        "user_id": "u1",
        "timestamp": "2026-11-22 01:02:03.4",
    }
    assert properties_of(event("network.create"), parse_definitions(FILE), evaluator) == expected
    nobody = event(context={}, publisher=None, timestamp=None)
    assert properties_of(nobody, (), evaluator) == dict.fromkeys(expected)


def test_a_property_that_cannot_be_told_is_an_error_without_the_data(evaluator: Evaluator) -> None:
    definitions = (EventDefinition(patterns=("*",), properties={"x": "<% $.payload.missing.deep %>"}),)
    with pytest.raises(EvaluationError) as caught:
        properties_of(event(payload={"secret": "hidden"}), definitions, evaluator)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("scope", "project", "sender", "is_concerned"),
    [
        ("private", "p1", "p1", True),
        ("private", "p1", "p2", False),
        ("private", "p1", None, False),
        ("public", "p1", "p2", True),
        ("public", "p1", None, True),
        ("private", "<default-project>", None, True),
        ("private", "<default-project>", "p2", True),
    ],
)
def test_whose_events_a_trigger_hears(
    scope: str, project: str, sender: str | None, is_concerned: bool
) -> None:
    trigger = EventTrigger(
        id="t",
        name="",
        workflow_id="w",
        workflow_input={},
        workflow_params={},
        event="e",
        scope=scope,
        project_id=project,
    )
    context = {"project_id": sender} if sender else {}
    assert concerns(trigger, event(context=context)) is is_concerned


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]"])
def test_a_file_may_be_empty(text: str) -> None:
    assert list(parse_definitions(text)) == []


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a: [", "not YAML"),
        ("{a: 1}", "must be a list"),
        ("text", "must be a list"),
        ("- x", "definition 1 must be a mapping"),
        ("- {event_types: a, properties: {}}\n- {event_types: a}", "definition 2"),
        ("- {properties: {}}", "event_types"),
        ("- {event_types: 3, properties: {}}", "event_types of event definition 1"),
        ("- {event_types: [a, 3], properties: {}}", "event_types of event definition 1"),
        ("- {event_types: a, properties: [x]}", "properties of event definition 1"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(text: str, fragment: str) -> None:
    with pytest.raises(InputError, match=fragment):
        parse_definitions(text)
