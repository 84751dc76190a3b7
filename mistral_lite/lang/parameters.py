"""Declared inputs of workflows and ad-hoc actions. Defaults are literals, never expressions."""

from __future__ import annotations

from mistral_lite.jsontext import JsonValue
from mistral_lite.lang import shapes
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.loader import describe
from mistral_lite.lang.specs import Parameter


def check_parameters(findings: Findings, place: Place, value: JsonValue) -> None:
    """A list of names and of one-key mappings ``name: default``."""
    if not isinstance(value, list):
        findings.add(place, f"is {describe(value)}, not of type 'array'; write a list of names")
        return
    if not value:
        findings.add(place, "should be non-empty; remove it or declare a parameter")
    for index, item in enumerate(value):
        _check_item(findings, place.at(index), item)
    shapes.unique(findings, place, value)


def parse_parameters(value: JsonValue) -> tuple[Parameter, ...]:
    """Return the parameters of a checked list; of a name declared twice the last declaration counts."""
    found: dict[str, Parameter] = {}
    for item in value or ():
        if isinstance(item, str):
            found[item] = Parameter(name=item, required=True)
        else:
            ((name, default),) = item.items()
            found[name] = Parameter(name=name, required=False, default=default)
    return tuple(found.values())


def _check_item(findings: Findings, place: Place, value: JsonValue) -> None:
    if isinstance(value, dict):
        if len(value) > 1:
            findings.add(place, "has too many properties; write one '- name: default' for each parameter")
        shapes.mapping(findings, place, value)
    else:
        shapes.text(findings, place, value)
