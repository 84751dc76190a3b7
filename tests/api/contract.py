"""What ``/v2/openapi.json`` promises, as a check of single answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import jsonschema

METHODS = ("get", "post", "put", "delete")


class Contract:
    """A document, and whether answers are as it says."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        # Literals before names, as the router has it.
        self._templates = sorted(
            (path.count("{"), path, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))))
            for path in document["paths"]
        )
        self._validators: dict[int, jsonschema.Draft202012Validator] = {}

    def operations(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Return all operations as (method, path, what is said of it)."""
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield method.upper(), path, item[method]

    def check(self, method: str, path: str, status: int, media_type: str | None, text: str) -> None:
        """Fail for an answer that the document does not foresee; requests of unknown paths are passed over."""
        operation = self._find(method, urlsplit(path).path)
        if operation is None:
            return
        where = f"{method} {path} -> {status}"
        assert str(status) in operation["responses"], f"{where}: undocumented status"
        said = self._followed(operation["responses"][str(status)])
        content = said.get("content", {})
        bare = (media_type or "").partition(";")[0]
        assert bare in (content or {""}), f"{where}: undocumented type {media_type}"
        if bare == "application/json":
            error = jsonschema.exceptions.best_match(
                self._validator(content[bare]["schema"]).iter_errors(json.loads(text))
            )
            assert error is None, f"{where}: {error}"

    def _find(self, method: str, path: str) -> Mapping[str, Any] | None:
        path = path if path in ("/", "/v2/") else path.removesuffix("/")
        for _, template, pattern in self._templates:
            if pattern.fullmatch(path):
                found: Mapping[str, Any] | None = self.document["paths"][template].get(method.lower())
                return found
        return None

    def _followed(self, said: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in said:
            return said
        found: Mapping[str, Any] = self.document["components"]["responses"][said["$ref"].rpartition("/")[2]]
        return found

    def _validator(self, schema: Mapping[str, Any]) -> jsonschema.Draft202012Validator:
        key = id(schema)
        if key not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[key] = jsonschema.Draft202012Validator(whole)
        return self._validators[key]
