"""JSON request bodies: read strictly by their WSME type into the attributes that were given.

WSME says which attributes exist, converts and checks their values; its exceptions become ``InputError``
that name the attribute, never its value.
"""

from __future__ import annotations

from dataclasses import dataclass

import wsme.exc
import wsme.types
from wsme.rest.json import fromjson

from mistral_lite.api import schemas, wire
from mistral_lite.api.schemas import Component
from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonObject

JSON_TYPES = frozenset({"application/json", "text/javascript", "application/javascript"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyType:
    """The type of a JSON body: a WSME class, and the name by which messages call the whole."""

    argument: str
    attributes: type[wsme.types.Base]

    @property
    def component(self) -> Component:
        """Return the schema of the body: any of the attributes that are not read-only, each may be null."""
        settable = {
            attribute.name: schemas.or_null(attribute.datatype.schema)
            for attribute in wsme.types.list_attributes(self.attributes)
            if not attribute.readonly
        }
        return Component(name=self.attributes.__name__, schema=schemas.object_of({}, optional=settable))


def read_body(raw: bytes, body_type: BodyType) -> JsonObject:
    """Return the attributes given in a JSON body, converted; null is given, absent is not.

    Raises ``InputError``.
    """
    argument = body_type.argument
    if not raw.strip():
        raise InputError(f'Missing argument: "{argument}". The request needs a JSON body.')
    try:
        given = wire.parse_json(raw.decode("utf-8"))
    except ValueError as error:
        raise InputError("Request is not in valid JSON format.") from error
    if not isinstance(given, dict):
        raise InputError(f"The JSON body ({argument}) must be an object.")
    try:
        parsed = fromjson(body_type.attributes, given)
    except wsme.exc.InvalidInput as error:
        raise InputError(f"Invalid input for field/attribute {error.fieldname}. {error.msg}") from error
    except wsme.exc.UnknownAttribute as error:
        listed = ", ".join(sorted(error.attributes))
        raise InputError(f"Unknown attribute for argument {argument}: {listed}") from error
    return {
        attribute.name: value
        for attribute in wsme.types.list_attributes(body_type.attributes)
        if (value := getattr(parsed, attribute.key)) is not wsme.types.Unset
    }
