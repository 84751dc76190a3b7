"""From a path to a handler: declared routes on nouns, found by one pecan controller.

A noun is a plain class; its handlers carry ``@route`` or ``@upload_route``. Names of definitions come from
users, so path segments are only ever compared with declared literals, never looked up as attributes (what
pecan's own REST controllers do, so that an environment called ``post`` cannot be read).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pecan
import webob
from pecan.core import Request
from webob import exc

from mistral_lite.api.body import BodyType
from mistral_lite.api.context import RequestContext
from mistral_lite.api.parameters import Converter
from mistral_lite.jsontext import JsonObject, JsonValue

_ROUTE_ATTRIBUTE = "_mistral_lite_route"
_FOUND_KEY = "mistral_lite.found_route"
_ANY = "*"

Handler = TypeVar("Handler", bound=Callable[..., JsonValue])


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as a handler sees it.

    ``query`` holds the converted parameters that were given, ``body`` the attributes of a JSON body that
    were given, ``text`` the body of an upload. ``base_url`` is what absolute links start with.
    """

    context: RequestContext
    base_url: str
    query: Mapping[str, JsonValue] = field(default_factory=dict)
    body: JsonObject = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a handler answers to.

    ``path`` are literals or ``*`` (one segment, handed to the handler in order). ``query`` are the known
    parameters. ``body`` is the type of a JSON body, None if none is read. Uploads read the body as text,
    ignore parameters they do not know and have error bodies of their own.
    """

    method: str
    path: tuple[str, ...]
    status: int
    query: Mapping[str, Converter]
    body: BodyType | None = None
    is_upload: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRoute:
    """A route that fits a request, its bound handler and the segments that stood for ``*``."""

    route: Route
    handler: Callable[..., JsonValue]
    segments: tuple[str, ...]


def route(
    method: str,
    path: str = "",
    *,
    status: int = 200,
    query: Mapping[str, Converter] | None = None,
    body: BodyType | None = None,
) -> Callable[[Handler], Handler]:
    """Declare what a JSON handler answers to; ``path`` is relative to its noun, e.g. ``*/tasks``."""
    return _declare(Route(method=method, path=_split(path), status=status, query=query or {}, body=body))


def upload_route(
    method: str, path: str = "", *, status: int = 200, query: Mapping[str, Converter] | None = None
) -> Callable[[Handler], Handler]:
    """Declare what a handler that takes a definition text answers to."""
    return _declare(Route(method=method, path=_split(path), status=status, query=query or {}, is_upload=True))


def _declare(declared: Route) -> Callable[[Handler], Handler]:
    def mark(handler: Handler) -> Handler:
        routes = (*getattr(handler, _ROUTE_ATTRIBUTE, ()), declared)
        setattr(handler, _ROUTE_ATTRIBUTE, routes)
        return handler

    return mark


def _split(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")) if path else ()


class Router:
    """All routes of an application, by the path of their nouns."""

    def __init__(self, nouns: Sequence[tuple[str, object]]) -> None:
        self._routes: dict[tuple[str, ...], dict[str, tuple[Route, Callable[..., JsonValue]]]] = {}
        for prefix, noun in nouns:
            for name in dir(type(noun)):
                for declared in getattr(getattr(type(noun), name), _ROUTE_ATTRIBUTE, ()):
                    methods = self._routes.setdefault((*_split(prefix), *declared.path), {})
                    methods[declared.method] = (declared, getattr(noun, name))

    def find(self, method: str, segments: Sequence[str]) -> FoundRoute:
        """Return the route of a request. Raises webob's 404, or 405 naming the allowed methods.

        One slash at the end is ignored. Where a literal and ``*`` both fit, the literal counts.
        """
        parts = tuple(segments[:-1] if segments and segments[-1] == "" else segments)
        if "" in parts:
            raise exc.HTTPNotFound()
        template = self._template_of(parts)
        if template is None:
            raise exc.HTTPNotFound()
        methods = self._routes[template]
        if method not in methods:
            raise exc.HTTPMethodNotAllowed(headers={"Allow": ", ".join(sorted(methods))})
        declared, handler = methods[method]
        given = tuple(part for part, literal in zip(parts, template, strict=True) if literal == _ANY)
        return FoundRoute(route=declared, handler=handler, segments=given)

    def _template_of(self, parts: tuple[str, ...]) -> tuple[str, ...] | None:
        candidates: list[tuple[str, ...]] = [()]
        for part in parts:
            candidates = [(*left, right) for left in candidates for right in (part, _ANY)]
            candidates = [one for one in candidates if self._is_prefix(one)]
        return next((one for one in candidates if one in self._routes), None)

    def _is_prefix(self, start: tuple[str, ...]) -> bool:
        return any(template[: len(start)] == start for template in self._routes)


class PlainRequest(Request):
    """A pecan request whose body stays untouched until a handler wants it.

    Pecan would parse it beforehand, without limits, to mix it into the arguments.
    """

    @property
    def params(self) -> JsonValue:
        """Return the parameters of the query."""
        return self.GET

    @property
    def json(self) -> JsonValue:
        """Refuse to parse; pecan then takes the query alone."""
        raise ValueError("bodies are read by their own type")


class RootController:
    """The one controller that pecan knows: finds the route and lets ``answer`` run it.

    Two exposed methods, because pecan negotiates the content type by method: clients of uploads may say that
    they only accept plain text.
    """

    def __init__(self, router: Router, answer: Callable[[FoundRoute, Request], webob.Response]) -> None:
        self._router = router
        self._respond = answer

    @pecan.expose()
    def _route(
        self, args: Sequence[str], request: Request
    ) -> tuple[Callable[..., webob.Response], list[str]]:
        found = self._router.find(request.method, args)
        request.environ[_FOUND_KEY] = found
        return (self.answer_upload if found.route.is_upload else self.answer), []

    @pecan.expose(content_type="application/json")
    def answer(self, request: Request, response: webob.Response) -> webob.Response:
        """Answer a JSON endpoint."""
        return self._respond(request.environ[_FOUND_KEY], request)

    @pecan.expose(content_type="text/plain")
    @pecan.expose(content_type="application/json")
    def answer_upload(self, request: Request, response: webob.Response) -> webob.Response:
        """Answer an endpoint that takes a definition text."""
        return self._respond(request.environ[_FOUND_KEY], request)
