"""JSON Schemas of what the API takes and gives, as the declarations that serve requests carry them.

A schema is a plain mapping. Where one is used in several places it is a ``Component``, which the OpenAPI
document writes once and refers to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mistral_lite.jsontext import JsonValue

# Keywords of JSON Schema; values may hold Components wherever a schema may stand.
Schema = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A schema with a name of its own."""

    name: str
    schema: Schema


TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
OBJECT: Schema = {"type": "object"}
ANYTHING: Schema = {}
SCOPE: Schema = {"type": "string", "enum": ["private", "public"]}
TEXTS: Schema = {"type": "array", "items": TEXT}
MOMENT: Schema = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$",
    "description": "A time in UTC, to the second.",
    "examples": ["2026-11-21 22:37:10"],
}
JSON_TEXT: Schema = {"type": "string", "contentMediaType": "application/json"}


def reference(name: str) -> Schema:
    """Return the schema that is the component ``name``, for components that hold each other."""
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(schema: Schema) -> Schema:
    """Return the schema of what may also be null."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "type" not in schema:
        return schema
    changed = {**schema, "type": [schema["type"], "null"]}
    return {**changed, "enum": [*schema["enum"], None]} if "enum" in schema else changed


def one_of(values: Iterable[str]) -> Schema:
    """Return the schema of a text out of a few."""
    return {"type": "string", "enum": [str(value) for value in values]}


def object_of(
    properties: Mapping[str, Schema | Component], *, optional: Mapping[str, Schema | Component] | None = None
) -> Schema:
    """Return the schema of an object that has all ``properties``, perhaps ``optional`` ones, and no others."""
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": False,
    }


def array_of(item: Schema | Component) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": item}
