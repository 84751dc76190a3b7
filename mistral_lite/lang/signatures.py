"""Declared inputs and outputs as the API shows them. For people only: nothing parses these texts again."""

from __future__ import annotations

import json

from mistral_lite.jsontext import JsonObject
from mistral_lite.lang.specs import ActionSpec, WorkflowSpec


def workflow_input(spec: WorkflowSpec) -> str:
    """Return the inputs of a workflow as ``p1, p2="2"``; ``""`` without any."""
    # Defaults in the notation of Python, as clients have always seen them.
    return ", ".join(
        parameter.name if parameter.required else f'{parameter.name}="{parameter.default}"'
        for parameter in spec.input
    )


def workflow_interface(spec: WorkflowSpec) -> JsonObject:
    """Return ``{"input": [name or {name: default}, ...], "output": [name, ...]}``."""
    return {
        "input": [
            parameter.name if parameter.required else {parameter.name: parameter.default}
            for parameter in spec.input
        ],
        "output": list(spec.output or ()),
    }


def action_input(spec: ActionSpec) -> str | None:
    """Return the inputs of an ad-hoc action as ``a, b=<JSON of the default>``; None without any."""
    if not spec.input:
        return None
    return ", ".join(
        parameter.name if parameter.required else f"{parameter.name}={json.dumps(parameter.default)}"
        for parameter in spec.input
    )
