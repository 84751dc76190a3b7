"""The WSGI application: pecan inside, and around it what concerns every request.

Several applications may live in one process; all state is in the services they are built from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from io import BytesIO
from typing import TypeVar
from urllib.parse import unquote_to_bytes

import webob
from pecan.core import Request
from webob import exc

from mistral_lite.api import maintenance, openapi
from mistral_lite.api.auth.base import NOBODY
from mistral_lite.api.body import JSON_TYPES, read_body
from mistral_lite.api.context import RequestContext
from mistral_lite.api.errors import (
    INTERNAL_ERROR,
    error_response,
    fault_response,
    unauthenticated_response,
)
from mistral_lite.api.parameters import convert
from mistral_lite.api.root import Health, Root
from mistral_lite.api.routing import Application, Call, FoundRoute, Nouns, Router
from mistral_lite.api.services import ApiServices
from mistral_lite.api.v2.action_executions import ActionExecutions
from mistral_lite.api.v2.actions import Actions
from mistral_lite.api.v2.code_sources import CodeSources
from mistral_lite.api.v2.cron_triggers import CronTriggers
from mistral_lite.api.v2.dynamic_actions import DynamicActions
from mistral_lite.api.v2.environments import Environments
from mistral_lite.api.v2.event_triggers import EventTriggers
from mistral_lite.api.v2.executions import Executions
from mistral_lite.api.v2.members import Members
from mistral_lite.api.v2.queue_doorbells import QueueDoorbells
from mistral_lite.api.v2.tasks import Tasks
from mistral_lite.api.v2.workbooks import Workbooks
from mistral_lite.api.v2.workflows import Workflows
from mistral_lite.db.maintenance import Status
from mistral_lite.errors import AuthenticationError, InputError, MistralLiteError, UnavailableError
from mistral_lite.jsontext import JsonValue, dump

LOG = logging.getLogger(__name__)

T = TypeVar("T")

Environ = dict[str, JsonValue]
WsgiApp = Callable[[Environ, Callable[..., object]], Iterable[bytes]]

_FORM = "application/x-www-form-urlencoded"
_XML_TYPES = ("text/xml", "application/xml")
_MOST_DIGITS = 18


def make_nouns(services: ApiServices) -> Nouns:
    """Return what the API speaks of, each noun with the path that its routes begin with."""
    executions = Executions(services)
    action_executions = ActionExecutions(services)
    health = [("healthcheck", Health(services))] if services.settings.is_healthcheck_enabled else []
    return [
        ("", Root(services)),
        ("maintenance", maintenance.Maintenance(services)),
        *health,
        ("v2/workflows", Workflows(services)),
        ("v2/workflows", Members(services)),
        ("v2/workbooks", Workbooks(services)),
        ("v2/actions", Actions(services)),
        ("v2/code_sources", CodeSources(services)),
        ("v2/dynamic_actions", DynamicActions(services)),
        ("v2/environments", Environments(services)),
        ("v2/cron_triggers", CronTriggers(services)),
        ("v2/event_triggers", EventTriggers(services)),
        ("v2/executions", executions),
        ("v2/tasks", Tasks(services)),
        ("v2/action_executions", action_executions),
        # The spelling of the published how-to for third parties that deliver results.
        ("v2/action-executions", action_executions),
        ("v2/queue_doorbells", QueueDoorbells(services)),
    ]


def build_app(services: ApiServices) -> WsgiApp:
    """Return the API over ``services`` as a WSGI application."""
    nouns = make_nouns(services)
    router = Router([*nouns, (openapi.PATH, openapi.Description(nouns))])
    return _Edge(Application(router, _Answers(services)), services)


class _RefusedTypeError(InputError):
    """The body is of a type that JSON endpoints do not take."""


class _Answers:
    """Runs a found route: reads its arguments, calls its handler, turns the outcome into a response."""

    def __init__(self, services: ApiServices) -> None:
        self._trust_proxy = services.settings.trust_proxy_headers
        self._access = services.access
        self._gate = services.gate
        self._database = services.database
        self._authenticator = services.authenticator

    def __call__(self, found: FoundRoute, request: Request) -> webob.Response:
        route = found.route
        try:
            context = NOBODY if route.is_public else self._authenticator.identify(request.environ)
            if route.rule is not None:
                self._access.require(route.rule, context)
            is_reading = route.method == "GET"
            look = partial(self._gate.status, self._database)
            status = Status.RUNNING if is_reading else _read_again(look)
            if status.is_maintenance and route.in_maintenance is None:
                return maintenance.refusal(status)
            call = self._read(found, request, context)
            if status.is_maintenance and route.in_maintenance and not route.in_maintenance(status, call.body):
                return maintenance.refusal(status)
            handle = partial(found.handler, call, *found.segments)
            result = _read_again(handle) if is_reading else handle()
        except _RefusedTypeError as error:
            return fault_response(415, error.message)
        except AuthenticationError as error:
            return unauthenticated_response(error, self._authenticator.challenges(error.message))
        except MistralLiteError as error:
            if error.code == INTERNAL_ERROR.code:
                LOG.exception("Request failed.", extra={"event": "api.request_failed"})
            return error_response(error, is_upload=route.is_upload)
        except Exception:
            # One of the few broad excepts: a bug must neither end the thread nor show its traceback.
            LOG.exception("Request failed.", extra={"event": "api.request_failed"})
            return error_response(INTERNAL_ERROR, is_upload=route.is_upload)
        if isinstance(result, webob.Response):
            return result
        return _success(route.status, result, is_upload=route.is_upload)

    def _read(self, found: FoundRoute, request: Request, context: RequestContext) -> Call:
        route = found.route
        return Call(
            context=context,
            authorize=partial(self._access.require, caller=context),
            base_url=_base_url(request, trust_proxy=self._trust_proxy),
            query=convert(request.GET.items(), route.query, is_lenient=route.is_upload),
            text=_read_text(request) if route.is_upload else "",
            body=read_body(_checked_body(request), route.body) if route.body else {},
        )


def _read_again(read: Callable[[], T]) -> T:
    """Return what ``read``, which changes nothing, returns; over a new connection if its own had been ended.

    After a restart or a failover of the database every pooled connection is such a one.
    """
    try:
        return read()
    except UnavailableError as error:
        if not error.details.get("is_lost"):
            raise
    return read()


def _success(status: int, result: JsonValue, *, is_upload: bool) -> webob.Response:
    if status == 204:
        response = webob.Response(status=204)
        response.content_type = None
        return response
    response = webob.Response(
        dump(result).encode(), status=status, content_type="application/json", charset=None
    )
    if is_upload:
        response.headers["Content-Type"] = "application/json;charset=utf-8"
    return response


def _checked_body(request: Request) -> bytes:
    # A body without any content type is taken as JSON: scripts of third parties often send none.
    raw: bytes = request.body
    content_type: str = request.content_type
    if raw and content_type == _FORM:
        raise InputError("The body is sent as a form. Send JSON with 'Content-Type: application/json'.")
    if raw and content_type and content_type not in JSON_TYPES:
        raise _RefusedTypeError(f"Unknown mimetype: {content_type}. Send application/json.")
    return raw


def _read_text(request: Request) -> str:
    try:
        raw: bytes = request.body
        return raw.decode(request.charset or "utf-8")
    except (UnicodeDecodeError, LookupError) as error:
        raise InputError(
            "The body is not text in the encoding that the request names (UTF-8 by default)."
        ) from error


def _base_url(request: Request, *, trust_proxy: bool) -> str:
    url: str = request.application_url
    if not trust_proxy:
        return url
    headers = request.headers
    scheme = headers.get("X-Forwarded-Proto", request.scheme).split(",")[0].strip()
    host = headers.get("X-Forwarded-Host", request.host).split(",")[0].strip()
    prefix = headers.get("X-Forwarded-Prefix", request.script_name).rstrip("/")
    return f"{scheme}://{host}{prefix}"


class _Edge:
    """What is decided before routing: size and type of bodies, OPTIONS, paths that are no text."""

    def __init__(self, inner: WsgiApp, services: ApiServices) -> None:
        self._inner = inner
        self._max_body_bytes = services.settings.max_body_bytes

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        refusal = self._refusal(environ)
        if refusal is not None:
            return _wsgi(refusal, environ, start_response)
        try:
            return self._inner(environ, start_response)
        except Exception:
            LOG.exception("Request failed.", extra={"event": "api.request_failed"})
            return _wsgi(error_response(INTERNAL_ERROR), environ, start_response)

    def _refusal(self, environ: Environ) -> webob.Response | None:
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return webob.Response(status=200, headerlist=[("Content-Length", "0")])
        content_type = str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
        if content_type in _XML_TYPES or content_type.endswith("+xml"):
            sentence = "Request bodies in XML are not supported. Send JSON."
            response = webob.Response(sentence, status=415, content_type="text/plain", charset="utf-8")
            response.headers["Server-Error-Message"] = sentence
            return response
        if environ.get("PATH_INFO") == "/v2":
            return exc.HTTPFound(location=f"{environ.get('SCRIPT_NAME', '')}/v2/")
        if not _is_text(environ):
            return fault_response(400, "The URL is not UTF-8 text.")
        if "\x00" in str(environ.get("PATH_INFO", "")):
            return fault_response(400, "The path holds a NUL character.")
        return self._read_bounded(environ)

    def _read_bounded(self, environ: Environ) -> webob.Response | None:
        """Read the body into memory, or return the refusal of one that is too large."""
        declared = str(environ.get("CONTENT_LENGTH") or "")
        stream = environ.get("wsgi.input")
        limit = self._max_body_bytes
        if declared and not (declared.isascii() and declared.isdigit()):
            return fault_response(400, "Content-Length is not a number.")
        # Python refuses to read numbers of thousands of digits.
        if declared and int(declared[:_MOST_DIGITS]) > limit:
            return self._too_large()
        is_chunked = "chunked" in str(environ.get("HTTP_TRANSFER_ENCODING", "")).lower()
        if stream is None or not (declared or is_chunked):
            raw = b""
        else:
            raw = stream.read(int(declared) if declared else limit + 1)
        if len(raw) > limit:
            return self._too_large()
        environ["wsgi.input"] = BytesIO(raw)
        environ["CONTENT_LENGTH"] = str(len(raw))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        return None

    def _too_large(self) -> webob.Response:
        return fault_response(413, f"The body is larger than {self._max_body_bytes} bytes.")


def _is_text(environ: Environ) -> bool:
    """Tell whether path and query are UTF-8. (WSGI hands on the bytes of a path as characters.)"""
    try:
        str(environ.get("PATH_INFO", "")).encode("latin-1").decode()
        unquote_to_bytes(str(environ.get("QUERY_STRING", "")).encode("latin-1")).decode()
    except UnicodeError:
        return False
    return True


def _wsgi(
    response: webob.Response, environ: Mapping[str, JsonValue], start_response: Callable[..., object]
) -> Iterable[bytes]:
    answer: Iterable[bytes] = response(environ, start_response)
    return answer
