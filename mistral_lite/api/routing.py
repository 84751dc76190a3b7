"""From a path to a handler: declared routes on nouns, within one pecan application.

A noun is a plain class; its handlers carry ``@route`` or ``@upload_route``. Names of definitions come from
users, so path segments are only ever compared with declared literals, never looked up as attributes (what
pecan's own REST controllers do, so that an environment called ``post`` cannot be read).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pecan
import webob
from pecan.core import ExplicitPecan, Request, RoutingState
from webob import exc

from mistral_lite.api.body import BodyType
from mistral_lite.api.context import RequestContext
from mistral_lite.api.parameters import Converter
from mistral_lite.api.schemas import Component, Schema
from mistral_lite.db.listing import Viewer
from mistral_lite.db.maintenance import Status
from mistral_lite.jsontext import JsonObject, JsonValue

_ROUTE_ATTRIBUTE = "_mistral_lite_route"
_FOUND_KEY = "mistral_lite.found_route"
ANY = "*"

Handler = TypeVar("Handler", bound=Callable[..., JsonValue])


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as a handler sees it.

    ``query`` holds the converted parameters that were given, ``body`` the attributes of a JSON body that
    were given, ``text`` the body of an upload. ``base_url`` is what absolute links start with. ``authorize``
    raises ``ForbiddenError`` unless the caller satisfies the access rule of that name.
    """

    context: RequestContext
    authorize: Callable[[str], None]
    base_url: str
    query: Mapping[str, JsonValue] = field(default_factory=dict)
    body: JsonObject = field(default_factory=dict)
    text: str = ""

    def list_viewer(self, rule: str, *also: str) -> Viewer:
        """Return whose eyes a list looks through: ``all_projects``, which takes ``rule``, opens all.

        ``also`` names parameters that do so, too, if they are given.
        """
        if not self.query.get("all_projects") and not any(name in self.query for name in also):
            return self.context.viewer
        self.authorize(rule)
        return Viewer(project_id=self.context.project_id, is_admin=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a handler answers to.

    ``path`` are literals or ``*`` (one segment, handed to the handler in order). ``query`` are the known
    parameters. ``body`` is the type of a JSON body, None if none is read. Uploads read the body as text,
    ignore parameters they do not know and have error bodies of their own. ``rule`` is the access rule that
    the caller must satisfy, None where everybody who may call at all is welcome. ``is_public``: nobody is
    asked who they are. ``in_maintenance`` says by the status of maintenance and the body whether a change is
    let through meanwhile; None: never.

    For the description of the API: ``answer`` is the schema of a success with a body, whose type is
    ``media_type``; ``refusals`` are the statuses that only this handler gives.
    """

    method: str
    path: tuple[str, ...]
    status: int
    query: Mapping[str, Converter]
    rule: str | None = None
    body: BodyType | None = None
    is_upload: bool = False
    is_public: bool = False
    in_maintenance: Callable[[Status, JsonObject], bool] | None = None
    answer: Schema | Component | None = None
    media_type: str = "application/json"
    refusals: tuple[int, ...] = ()


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
    rule: str | None = None,
    query: Mapping[str, Converter] | None = None,
    body: BodyType | None = None,
    is_public: bool = False,
    in_maintenance: Callable[[Status, JsonObject], bool] | None = None,
    answer: Schema | Component | None = None,
    media_type: str = "application/json",
    refusals: tuple[int, ...] = (),
) -> Callable[[Handler], Handler]:
    """Declare what a JSON handler answers to; ``path`` is relative to its noun, e.g. ``*/tasks``."""
    return _declare(
        Route(
            method=method,
            path=_split(path),
            status=status,
            rule=rule,
            query=query or {},
            body=body,
            is_public=is_public,
            in_maintenance=in_maintenance,
            answer=answer,
            media_type=media_type,
            refusals=refusals,
        )
    )


def upload_route(
    method: str,
    path: str = "",
    *,
    status: int = 200,
    rule: str | None = None,
    query: Mapping[str, Converter] | None = None,
    is_public: bool = False,
    answer: Schema | Component | None = None,
    refusals: tuple[int, ...] = (),
) -> Callable[[Handler], Handler]:
    """Declare what a handler that takes a definition text answers to."""
    return _declare(
        Route(
            method=method,
            path=_split(path),
            status=status,
            rule=rule,
            query=query or {},
            is_upload=True,
            is_public=is_public,
            answer=answer,
            refusals=refusals,
        )
    )


def _declare(declared: Route) -> Callable[[Handler], Handler]:
    def mark(handler: Handler) -> Handler:
        routes = (*getattr(handler, _ROUTE_ATTRIBUTE, ()), declared)
        setattr(handler, _ROUTE_ATTRIBUTE, routes)
        return handler

    return mark


def _split(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")) if path else ()


Nouns = Sequence[tuple[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A route with the noun's path in front of its own, the name of the noun's class, and the bound handler."""

    noun: str
    prefix: tuple[str, ...]
    route: Route
    handler: Callable[..., JsonValue]

    @property
    def path(self) -> tuple[str, ...]:
        """Return the whole path, with ``*`` for what is handed to the handler."""
        return (*self.prefix, *self.route.path)


def endpoints_of(nouns: Nouns) -> Iterator[Endpoint]:
    """Return all that nouns declare, given with their paths."""
    for prefix, noun in nouns:
        for name in dir(type(noun)):
            for declared in getattr(getattr(type(noun), name), _ROUTE_ATTRIBUTE, ()):
                yield Endpoint(
                    noun=type(noun).__name__,
                    prefix=_split(prefix),
                    route=declared,
                    handler=getattr(noun, name),
                )


class Router:
    """All routes of an application, by the path of their nouns."""

    def __init__(self, nouns: Nouns) -> None:
        self._routes: dict[tuple[str, ...], dict[str, tuple[Route, Callable[..., JsonValue]]]] = {}
        for endpoint in endpoints_of(nouns):
            methods = self._routes.setdefault(endpoint.path, {})
            methods[endpoint.route.method] = (endpoint.route, endpoint.handler)
        self._starts = {path[:length] for path in self._routes for length in range(len(path) + 1)}

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
        given = tuple(part for part, literal in zip(parts, template, strict=True) if literal == ANY)
        return FoundRoute(route=declared, handler=handler, segments=given)

    def _template_of(self, parts: tuple[str, ...]) -> tuple[str, ...] | None:
        candidates: list[tuple[str, ...]] = [()]
        for part in parts:
            candidates = [(*left, right) for left in candidates for right in (part, ANY)]
            candidates = [one for one in candidates if one in self._starts]
        return next((one for one in candidates if one in self._routes), None)


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


class Application(ExplicitPecan):
    """Pecan, which negotiates types and writes HTTP errors, with our routes and without what it does to find its own.

    It would look at the signatures of controllers with each request, which takes longer than most answers.
    """

    def __init__(self, router: Router, answer: Callable[[FoundRoute, Request], webob.Response]) -> None:
        super().__init__(_Controllers(answer), guess_content_type_from_ext=False, request_cls=PlainRequest)
        self._router = router

    def route(
        self, req: Request, node: _Controllers, path: str
    ) -> tuple[Callable[..., webob.Response], list[str]]:
        """Return the controller for a path. Raises webob's 404 and 405."""
        found = self._router.find(req.method, path.split("/")[1:])
        req.environ[_FOUND_KEY] = found
        return (node.answer_upload if found.route.is_upload else node.answer), []

    def invoke_controller(
        self,
        controller: Callable[..., webob.Response],
        args: Sequence[JsonValue],
        kwargs: Mapping[str, JsonValue],
        state: RoutingState,
    ) -> None:
        """Let a controller answer; it makes the whole response."""
        state.response = controller(*args, **kwargs)


class _Controllers:
    """All that pecan knows: two methods that let ``answer`` run a found route.

    Two, because pecan negotiates the content type by method: clients of uploads may say that they only accept plain
    text.
    """

    def __init__(self, answer: Callable[[FoundRoute, Request], webob.Response]) -> None:
        self._respond = answer

    @pecan.expose(content_type="application/json")
    def answer(self, request: Request, response: webob.Response) -> webob.Response:
        """Answer a JSON endpoint."""
        return self._respond(request.environ[_FOUND_KEY], request)

    @pecan.expose(content_type="text/plain")
    @pecan.expose(content_type="application/json")
    def answer_upload(self, request: Request, response: webob.Response) -> webob.Response:
        """Answer an endpoint that takes a definition text."""
        return self._respond(request.environ[_FOUND_KEY], request)
