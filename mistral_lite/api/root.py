"""What lives outside the collections: versions, health, and the operator's info file."""

from __future__ import annotations

import json
from pathlib import Path

import webob

from mistral_lite.api import schemas
from mistral_lite.api.routing import Call, route, upload_route
from mistral_lite.api.services import ApiServices
from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonValue

_LINK = schemas.object_of(dict.fromkeys(("href", "target", "rel"), schemas.TEXT))
_VERSION = schemas.object_of({"id": schemas.TEXT, "status": schemas.TEXT, "links": schemas.array_of(_LINK)})
_VERSIONS = schemas.object_of({"versions": schemas.array_of(_VERSION)})


class Root:
    """``/``, ``/v2/`` and ``/info``. (``/v2`` is redirected before routing.)"""

    def __init__(self, services: ApiServices) -> None:
        self._info_path = services.settings.info_path

    @route("GET", is_public=True, answer=_VERSIONS)
    def list_versions(self, call: Call) -> JsonValue:
        """Return the versions of the API."""
        link = {"href": f"{call.base_url}/v2", "target": "v2", "rel": "self"}
        return {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}

    @route("GET", "v2", is_public=True, answer=schemas.object_of({"uri": schemas.TEXT}))
    def get_version(self, call: Call) -> JsonValue:
        """Return where version 2 is."""
        return {"uri": f"{call.base_url}/v2"}

    @upload_route("GET", "info", is_public=True, answer=schemas.ANYTHING)
    def get_info(self, call: Call) -> JsonValue:
        """Return the JSON that the operator put into the info file."""
        if self._info_path is None:
            raise InputError("The info endpoint is disabled.")
        try:
            return json.loads(Path(self._info_path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError("The info file cannot be read or is not JSON.") from error


class Health:
    """``/healthcheck``, which an operator may switch off."""

    def __init__(self, services: ApiServices) -> None:
        self._database = services.database

    @route("GET", is_public=True, answer=schemas.TEXT, media_type="text/plain", refusals=(503,))
    def check_health(self, call: Call) -> JsonValue:
        """Answer 200 if requests can be served, which takes a database, else 503."""
        with self._database.read() as connection:
            connection.exec_driver_sql("SELECT 1")
        return webob.Response("OK", content_type="text/plain", charset="utf-8")
