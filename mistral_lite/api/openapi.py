"""``/v2/openapi.json``: the API described by the declarations that serve its requests.

Nothing here knows a noun: what the document says of one stands with its routes, parameters and attributes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from mistral_lite import __version__
from mistral_lite.api import schemas
from mistral_lite.api.errors import RETRY_AFTER_S
from mistral_lite.api.routing import ANY, Call, Endpoint, Nouns, Route, endpoints_of, route
from mistral_lite.api.schemas import Component, Schema
from mistral_lite.jsontext import JsonObject, JsonValue

PATH = "v2/openapi.json"

_REFUSALS: Mapping[int, str] = {
    400: "The request is wrong. The sentence says what is, and how to mend it.",
    401: "The caller is not authenticated.",
    403: "The caller may not do this, or not in the state that things are in.",
    404: "There is no such object, or the caller may not see it.",
    406: "The caller does not accept the type of the answer.",
    409: "Another object, or what happened before, stands in the way.",
    413: "The body is too large.",
    415: "The body is of a type that is not read here.",
    423: "The service is under maintenance and takes no changes.",
    503: "Something that the service needs does not answer; the request may be sent again.",
}
_SENTENCE: Mapping[str, Schema] = {"faultstring": schemas.TEXT}
_AROUND_IT: Mapping[str, Schema] = {
    "faultcode": schemas.one_of(("Client", "Server")),
    "debuginfo": schemas.or_null(schemas.TEXT),
}
_FAULT = Component(name="Fault", schema=schemas.object_of({**_SENTENCE, **_AROUND_IT}))
# What is refused before its route is known has the longer form everywhere.
_UPLOAD_FAULT = Component(name="UploadFault", schema=schemas.object_of(_SENTENCE, optional=_AROUND_IT))
_AS_TEXT = frozenset({401, 406, 423})
_AS_EITHER = frozenset({415})
_HEADERS: Mapping[int, JsonObject] = {
    401: {"WWW-Authenticate": {"description": "How to authenticate.", "schema": schemas.TEXT}},
    503: {
        "Retry-After": {
            "description": "After how many seconds.",
            "required": True,
            "schema": {**schemas.INTEGER, "examples": [RETRY_AFTER_S]},
        }
    },
}
_SECURITY_SCHEMES: JsonObject = {
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Token",
        "description": "A token of Keystone, where the service is set up for it.",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "A name and a password, where the service is set up for it.",
    },
}


class Description:
    """The document that describes the nouns of an application, and itself."""

    def __init__(self, nouns: Nouns) -> None:
        self._nouns = (*nouns, (PATH, self))

    @route("GET", is_public=True, answer=schemas.OBJECT)
    def get(self, call: Call) -> JsonValue:
        """Return this description of the API."""
        return {**self._document, "servers": [{"url": call.base_url}]}

    @cached_property
    def _document(self) -> JsonObject:
        return describe(endpoints_of(self._nouns))


def describe(endpoints: Iterable[Endpoint]) -> JsonObject:
    """Return the OpenAPI document of endpoints, without the addresses of servers."""
    components = _Components()
    paths: dict[str, JsonObject] = {}
    named = sorted(_named(endpoints).items(), key=lambda item: (item[1].path, item[1].route.method))
    templates: dict[tuple[str, ...], str] = {}
    for name, endpoint in named:
        template = templates.setdefault(endpoint.path, _template(endpoint))
        operations = paths.setdefault(template, {"parameters": _path_parameters(template)})
        operations[endpoint.route.method.lower()] = _operation(endpoint, name, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mistral_lite",
            "summary": "Workflows with the REST API v2 of OpenStack Mistral",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{name: []} for name in _SECURITY_SCHEMES],
        "paths": paths,
        "components": {
            "schemas": components.schemas,
            "responses": components.responses,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


class _Components:
    """What the document writes once and refers to, collected on the way."""

    def __init__(self) -> None:
        self._known: dict[str, Schema] = {}
        self.schemas: dict[str, JsonValue] = {}
        self.responses: dict[str, JsonValue] = {}

    def plain(self, schema: JsonValue) -> JsonValue:
        """Return a schema with references in the place of components."""
        if isinstance(schema, Component):
            if schema.name not in self._known:
                self._known[schema.name] = schema.schema
                self.schemas[schema.name] = self.plain(schema.schema)
            assert self._known[schema.name] == schema.schema, f"two components are called {schema.name}"
            return schemas.reference(schema.name)
        if isinstance(schema, Mapping):
            return {name: self.plain(value) for name, value in schema.items()}
        if isinstance(schema, (list, tuple)):
            return [self.plain(value) for value in schema]
        return schema

    def refusal(self, status: int, *, is_upload: bool) -> JsonObject:
        """Return the reference to the answer of a refusal."""
        is_short = is_upload and status not in _AS_TEXT
        name = f"{'UploadRefusal' if is_short else 'Refusal'}{status}"
        if name not in self.responses:
            self.responses[name] = self._refusal(status, _UPLOAD_FAULT if is_short else _FAULT)
        return {"$ref": f"#/components/responses/{name}"}

    def _refusal(self, status: int, fault: Component) -> JsonObject:
        content: JsonObject = {}
        if status not in _AS_TEXT:
            content["application/json"] = {"schema": self.plain(fault)}
        if status in _AS_TEXT | _AS_EITHER:
            content["text/plain"] = {"schema": schemas.TEXT}
        if status == 406:
            # For those who accept nothing else.
            content["text/html"] = {"schema": schemas.TEXT}
        answer: JsonObject = {"description": _REFUSALS[status], "content": content}
        if status in _HEADERS:
            answer["headers"] = _HEADERS[status]
        return answer


def _template(endpoint: Endpoint) -> str:
    """Return the path with the names that the handler gives to its segments."""
    arguments = iter([name for name in inspect.signature(endpoint.handler).parameters if name != "call"])
    parts = [f"{{{next(arguments)}}}" if part == ANY else part for part in endpoint.path]
    # Without the slash this one redirects.
    return "/v2/" if parts == ["v2"] else f"/{'/'.join(parts)}"


def _path_parameters(template: str) -> list[JsonObject]:
    return [
        {
            "name": part[1:-1],
            "in": "path",
            "required": True,
            "schema": {**schemas.TEXT, "minLength": 1},
        }
        for part in template.split("/")
        if part.startswith("{")
    ]


def _tag(endpoint: Endpoint) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", endpoint.noun).lower()


def _named(endpoints: Iterable[Endpoint]) -> dict[str, Endpoint]:
    """Return endpoints by names of their own: noun and handler, for later ones of a handler more."""
    named: dict[str, Endpoint] = {}
    for endpoint in endpoints:
        short = f"{_tag(endpoint)}_{endpoint.handler.__name__}"
        longer = f"{short}_{endpoint.route.method.lower()}"
        longest = f"{longer}_at_{'_'.join(endpoint.prefix[-1:])}"
        named[next(name for name in (short, longer, longest) if name not in named)] = endpoint
    return named


def _operation(endpoint: Endpoint, name: str, components: _Components) -> JsonObject:
    declared = endpoint.route
    summary, _, rest = inspect.cleandoc(endpoint.handler.__doc__ or "").partition("\n")
    operation: JsonObject = {
        "operationId": name,
        "tags": [_tag(endpoint)],
        "summary": summary,
        "responses": _responses(endpoint, components),
    }
    if rest.strip():
        operation["description"] = rest.strip()
    if declared.query:
        operation["parameters"] = [
            {
                "name": name,
                "in": "query",
                "description": item.description,
                "schema": components.plain(item.schema),
            }
            for name, item in declared.query.items()
        ]
    if declared.body:
        content = {"application/json": {"schema": components.plain(declared.body.component)}}
        operation["requestBody"] = {"required": True, "content": content}
    elif _reads_text(declared):
        # No body is the empty document.
        operation["requestBody"] = {"content": {"text/plain": {"schema": schemas.TEXT}}}
    if declared.is_public:
        operation["security"] = []
    return operation


def _responses(endpoint: Endpoint, components: _Components) -> JsonObject:
    declared = endpoint.route
    success: JsonObject = {"description": "Done."}
    if declared.answer is not None:
        success["content"] = {declared.media_type: {"schema": components.plain(declared.answer)}}
    refusals = {
        str(status): components.refusal(status, is_upload=declared.is_upload)
        for status in sorted(_statuses(endpoint))
    }
    return {str(declared.status): success, **refusals}


def _statuses(endpoint: Endpoint) -> set[int]:
    """Return with which statuses an endpoint may refuse; what follows from its form is not declared."""
    declared = endpoint.route
    found = {400, 406, *declared.refusals}
    if not declared.is_public:
        found |= {401, 503}
    if not declared.is_public and declared.method != "GET":
        found.add(423)
    if declared.rule is not None:
        found.add(403)
    if ANY in endpoint.path or "marker" in declared.query:
        found.add(404)
    if declared.body or _reads_text(declared):
        found |= {413, 415}
    return found


def _reads_text(declared: Route) -> bool:
    return declared.is_upload and declared.method != "GET"
