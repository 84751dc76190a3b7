"""One ad-hoc action: its checks and its spec."""

from __future__ import annotations

from collections.abc import Mapping

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang import inline, shapes
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.parameters import check_parameters, parse_parameters
from mistral_lite.lang.parse_workflow import VERSION, check_name
from mistral_lite.lang.specs import ActionSpec


def _check_base(findings: Findings, place: Place, value: JsonValue) -> None:
    shapes.text(findings, place, value)
    if isinstance(value, str) and value:
        try:
            inline.split(value)
        except DefinitionError as error:
            findings.add(place, error.message)


FIELDS: Mapping[str, shapes.Check] = {
    "name": shapes.ignored,
    "version": shapes.ignored,
    "description": shapes.text,
    "tags": shapes.text_list,
    "base": _check_base,
    "base-input": shapes.mapping,
    "input": check_parameters,
    "output": shapes.anything,
}


def check_action(findings: Findings, place: Place, name: str, body: JsonValue) -> None:
    """Report what is wrong with the ad-hoc action ``name``; ``place`` is the action's."""
    check_name(findings, place, name)
    if not shapes.is_mapping(findings, place, body):
        return
    if "base" not in body:
        findings.add(place, "'base' is a required property; name the action to build on")
    shapes.fields(findings, place, body, FIELDS)


def action_source(name: str, body: JsonObject) -> JsonObject:
    """Return what is stored for an ad-hoc action: ``body`` with name and version injected."""
    return {**body, "name": name, "version": VERSION}


def parse_action(source: JsonObject) -> ActionSpec:
    """Return the spec of a checked ad-hoc action from its source; one-line parameters win over base-input."""
    base, parameters = inline.split(source["base"])
    return ActionSpec(
        name=source["name"],
        source=source,
        base=base,
        description=source.get("description"),
        tags=tuple(source.get("tags", ())),
        input=parse_parameters(source.get("input")),
        base_input={**source.get("base-input", {}), **parameters},
        output=source.get("output"),
    )
