"""The ``X-Target-*`` headers: actions shall work in another cloud than the one that vouches for the caller.

They are for the actions alone. Whose objects a request sees and makes never follows from them.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping

from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonObject, JsonValue, load
from mistral_lite.security import SecurityContext

_FLAGS = {"True": True, "False": False}


def security_of_target(environ: Mapping[str, JsonValue]) -> SecurityContext | None:
    """Return the identity that a request names for its actions, or None. Raises ``InputError``."""

    def header(name: str) -> str | None:
        value = environ.get(f"HTTP_X_TARGET_{name}")
        return str(value) if value else None

    auth_uri = header("AUTH_URI")
    if auth_uri is None:
        return None
    token = header("AUTH_TOKEN")
    if token is None:
        raise InputError("X-Target-Auth-Uri needs X-Target-Auth-Token: a token of the other cloud.")
    insecure = header("INSECURE") or "False"
    if insecure not in _FLAGS:
        raise InputError("X-Target-Insecure must be True or False.")
    catalog = header("SERVICE_CATALOG")
    return SecurityContext(
        auth_uri=auth_uri,
        auth_token=token,
        project_id=header("PROJECT_ID"),
        user_id=header("USER_ID"),
        user_name=header("USER_NAME"),
        region_name=header("REGION_NAME"),
        insecure=_FLAGS[insecure],
        service_catalog=None if catalog is None else _catalog(catalog),
        is_target=True,
    )


def _catalog(text: str) -> JsonObject:
    try:
        found = load(b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, dict):
        raise InputError("X-Target-Service-Catalog must be the JSON data of a token in base64.")
    return found
