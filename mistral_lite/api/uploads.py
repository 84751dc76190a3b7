"""What uploads of all kinds of definitions have in common: their parameters, names, and replacing rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from oslo_utils import uuidutils

from mistral_lite.api import parameters, schemas
from mistral_lite.api.parameters import Converter
from mistral_lite.api.routing import Call
from mistral_lite.api.schemas import Component
from mistral_lite.api.services import ApiServices, ValidationMode
from mistral_lite.db import definitions
from mistral_lite.db.listing import Row
from mistral_lite.errors import DefinitionError, ForbiddenError, InputError
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang import parse

QUERY: Mapping[str, Converter] = {
    "scope": parameters.SCOPE,
    "namespace": parameters.text.meaning("The namespace of the definitions; the default one without it."),
    "skip_validation": parameters.presence.meaning(
        "Store it unchecked, where the operator allows that; the presence of the parameter counts."
    ),
}
VERDICT = Component(
    name="Verdict",
    schema=schemas.object_of(
        {"valid": schemas.FLAG}, optional={"error": schemas.TEXT, "warnings": schemas.TEXTS}
    ),
)
_MAX_NAME_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What a caller said about an upload besides its text. ``namespace`` is None if not given."""

    scope: str
    namespace: str | None
    project_id: str
    now: datetime

    @classmethod
    def of(cls, call: Call, services: ApiServices, publicize_rule: str) -> Upload:
        """Read the parameters. Raises ``InputError``, and ``ForbiddenError`` for publishing without right."""
        scope = call.query.get("scope") or "private"
        if scope not in ("private", "public"):
            raise InputError(f"Scope must be one of: private, public; actual: {scope}")
        if scope == "public":
            call.authorize(publicize_rule)
        namespace = call.query.get("namespace")
        if namespace is not None:
            check_length("namespace", namespace)
        return cls(
            scope=scope, namespace=namespace, project_id=call.context.project_id, now=services.clock.now()
        )


def is_validated(call: Call, services: ApiServices) -> bool:
    """Tell whether the meaning of an upload (expressions, transitions) is to be checked."""
    match services.settings.validation_mode:
        case ValidationMode.MANDATORY:
            return True
        case ValidationMode.ENABLED:
            return not call.query.get("skip_validation", False)
        case ValidationMode.DISABLED:
            return False


def verdict(text: str, check: Callable[[str], object]) -> JsonObject:
    """Return the answer of a ``validate`` endpoint; ``warnings`` are there only if there are any."""
    try:
        check(text)
    except DefinitionError as error:
        return {"valid": False, "error": error.message}
    warnings = parse.lint(text)
    return {"valid": True, "warnings": warnings} if warnings else {"valid": True}


def check_length(noun: str, text: str) -> None:
    """Raise ``InputError`` for a text that does not fit into its column."""
    if len(text) > _MAX_NAME_LENGTH:
        raise InputError(f"The {noun} is longer than {_MAX_NAME_LENGTH} characters.")


def check_name(name: str, noun: str, *, may_look_like_id: bool = True) -> None:
    """Raise ``InputError`` for a name that could not be addressed later."""
    if any(character.isspace() for character in name):
        raise InputError(f"Name of {noun} '{name}' must not contain blanks.")
    if len(name) > _MAX_NAME_LENGTH:
        raise InputError(f"Name of {noun} '{name[:40]}...' is longer than {_MAX_NAME_LENGTH} characters.")
    if not may_look_like_id and uuidutils.is_uuid_like(name):
        raise InputError(f"Name of {noun} '{name}' looks like a UUID, so it could not be told from an id.")


def check_may_change(call: Call, row: Row, noun: str) -> None:
    """Raise unless the caller may change or delete a definition that it sees."""
    if call.context.is_admin:
        return
    if row.get("is_system"):
        raise InputError(f"{noun} '{row['name']}' belongs to the system and cannot be changed.")
    if row["project_id"] != call.context.project_id:
        raise ForbiddenError(f"{noun} '{row['name']}' belongs to another project.")


def insert(
    connection: sa.Connection, table: sa.Table, upload: Upload, values: Mapping[str, JsonValue]
) -> JsonObject:
    """Insert a definition and return its row."""
    row = {
        "id": new_id(upload.now),
        "namespace": upload.namespace or "",
        "scope": upload.scope,
        "project_id": upload.project_id,
        "created_at": upload.now,
        "updated_at": None,
        **values,
    }
    definitions.insert_definition(connection, table, row)
    return row


def replace(
    connection: sa.Connection, table: sa.Table, row: Row, upload: Upload, values: Mapping[str, JsonValue]
) -> JsonObject:
    """Put new values into a definition and return its row; nothing is written if nothing changes."""
    namespace = row["namespace"] if upload.namespace is None else upload.namespace
    wanted = {**values, "scope": upload.scope, "namespace": namespace}
    if all(row[name] == value for name, value in wanted.items()):
        return dict(row)
    wanted["updated_at"] = upload.now
    definitions.update_definition(connection, table, row["id"], wanted)
    return {**row, **wanted}
