"""``std.http`` and ``std.mistral_http``: an HTTP request as an action, its response as plain data.

Owns the parameters, the shape of the result and what counts as an error. How a request leaves, and where it
may go, belongs to ``actions/transport.py``.
"""

from __future__ import annotations

import json as jsonlib
from typing import ClassVar, Self

import requests
import urllib3
from mistral_lib.actions import Result
from mistral_lib.actions.context import ActionContext

from mistral_lite.actions.context import StandardAction
from mistral_lite.actions.egress import HttpSettings
from mistral_lite.actions.transport import HttpTransport
from mistral_lite.errors import ActionError
from mistral_lite.jsontext import JsonObject, JsonValue

_REQUEST_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    # What requests raises when a parameter has the wrong type.
    TypeError,
    ValueError,
    AttributeError,
)


class HttpAction(StandardAction):
    """Sends an HTTP request; its result is the response.

    Only ``url`` is required. ``params`` go into the query string. ``body`` is sent as it is (a mapping or list
    as JSON text), ``json`` as JSON with its content type; only one of them may be given. ``auth`` is
    ``user:password`` or a list of both. ``timeout`` is in seconds. Redirects are followed only if
    ``allow_redirects`` is true. ``verify`` is false, or the path of a bundle of CA certificates.

    The result has ``content`` (decoded JSON, else text), ``status``, ``headers``, ``url``, ``history``,
    ``encoding``, ``reason``, ``cookies`` and ``elapsed`` (seconds). A status outside 200 to 306 makes the
    same mapping an error result.
    """

    # What the registry bound (see bound_to). A class used without a registry gets the strict defaults.
    transport: ClassVar[HttpTransport | None] = None

    def __init__(
        self,
        url: str,
        method: str = "GET",
        params: JsonValue = None,
        body: JsonValue = None,
        json: JsonValue = None,
        headers: JsonValue = None,
        cookies: JsonValue = None,
        auth: JsonValue = None,
        timeout: JsonValue = None,
        allow_redirects: bool | None = None,
        proxies: JsonValue = None,
        verify: bool | str | None = None,
    ) -> None:
        super().__init__()
        if body and json:
            raise ActionError("Only one of the parameters 'json' and 'body' can be passed")
        self.url = url
        self.method = method
        self.params = params
        self.body = jsonlib.dumps(body) if isinstance(body, (dict, list)) else body
        self.json = json
        self.headers = headers
        self.cookies = cookies
        self.auth = auth
        self.timeout = timeout
        self.allow_redirects = allow_redirects
        self.proxies = proxies
        self.verify = verify

    @classmethod
    def bound_to(cls, transport: HttpTransport) -> type[Self]:
        """Return this class with ``transport`` in place of the default one."""
        names = {"transport": transport, "__module__": cls.__module__, "__doc__": cls.__doc__}
        return type(cls.__name__, (cls,), names)

    def run(self, context: ActionContext) -> JsonValue:
        """Send the request and return the response; raise ``ActionError`` if there is none."""
        if not isinstance(self.url, str):
            raise ActionError("The parameter 'url' must be a text.")
        transport = self.transport or HttpTransport(HttpSettings())
        try:
            response = transport.request(
                str(self.method),
                self.url,
                headers=self._sent_headers(context),
                **self._options(transport.settings),
            )
        except _REQUEST_FAILURES as error:
            raise ActionError(f"Failed to send HTTP request: {_cause(error)}") from error
        result = _describe(response)
        return result if 200 <= response.status_code < 307 else Result(error=result)

    def _sent_headers(self, context: ActionContext) -> dict[str, JsonValue]:
        """Return the request headers, numbers as text."""
        headers = dict(self.headers or {})
        return {
            name: str(value) if isinstance(value, (int, float)) else value for name, value in headers.items()
        }

    def _options(self, settings: HttpSettings) -> dict[str, JsonValue]:
        """Return the remaining parameters in the forms that requests knows."""
        timeout = (settings.default_timeout_s or None) if self.timeout is None else self.timeout
        options: dict[str, JsonValue] = {
            "params": self.params,
            "data": self.body.encode() if isinstance(self.body, str) else self.body,
            "json": self.json,
            "cookies": self.cookies,
            "auth": _credentials(self.auth),
            "timeout": tuple(timeout) if isinstance(timeout, list) else timeout,
            "allow_redirects": bool(self.allow_redirects),
            "proxies": self.proxies,
        }
        if self.url.lower().startswith("https:"):
            options["verify"] = self.verify
        return options


class MistralHttpAction(HttpAction):
    """Sends an HTTP request to a third party that delivers the result later through the callback URL.

    Takes the parameters of ``std.http``. The request carries the headers ``Mistral-Workflow-Name``,
    ``Mistral-Workflow-Execution-Id``, ``Mistral-Task-Id``, ``Mistral-Action-Execution-Id`` and
    ``Mistral-Callback-URL``. A request that fails ends the action with an error at once.
    """

    def is_sync(self) -> bool:
        """Return False: the third party delivers the result."""
        return False

    def _sent_headers(self, context: ActionContext) -> dict[str, JsonValue]:
        place = context.execution
        return {
            **super()._sent_headers(context),
            "Mistral-Workflow-Name": place.workflow_name,
            "Mistral-Workflow-Execution-Id": place.workflow_execution_id,
            "Mistral-Task-Id": place.task_execution_id,
            "Mistral-Action-Execution-Id": place.action_execution_id,
            "Mistral-Callback-URL": place.callback_url,
        }


def _anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no credentials. Without an ``auth`` requests would take those of the service account's netrc file."""
    return request


def _credentials(auth: JsonValue) -> JsonValue:
    if not auth:
        return _anonymous
    pair = auth.split(":") if isinstance(auth, str) else auth
    if isinstance(pair, list) and len(pair) == 2:
        return tuple(str(part) for part in pair)
    raise ActionError("The parameter 'auth' must be 'user:password' or a list of the user and the password.")


def _cause(error: Exception) -> str:
    """Return why a request failed, without its URL and headers, which may hold secrets."""
    inner = error.args[0] if error.args else error
    if isinstance(inner, urllib3.exceptions.MaxRetryError) and inner.reason is not None:
        return str(inner.reason)
    if isinstance(error, requests.exceptions.InvalidURL):
        return "the parameter 'url' is not a valid URL"
    if isinstance(error, requests.exceptions.InvalidHeader):
        return (
            "a header has a name or a value that cannot be sent; look for line breaks and blanks at its ends"
        )
    if isinstance(error, requests.exceptions.InvalidSchema):
        return "a redirect leads to a URL that is neither http nor https"
    return str(error)


def _describe(response: requests.Response) -> JsonObject:
    """Return a response as plain data."""
    return {
        "content": _content(response),
        "status": response.status_code,
        "headers": dict(response.headers),
        "url": response.url,
        "history": [{"status": item.status_code, "url": item.url} for item in response.history],
        "encoding": response.encoding,
        "reason": response.reason,
        "cookies": response.cookies.get_dict(),
        "elapsed": response.elapsed.total_seconds(),
    }


def _content(response: requests.Response) -> JsonValue:
    """Return the body as decoded JSON if it is JSON, else as text; bytes that are no text are replaced."""
    try:
        return jsonlib.loads(response.content)
    except ValueError:
        pass
    try:
        return response.content.decode(response.encoding or "utf-8", errors="replace")
    except LookupError:
        return response.content.decode("utf-8", errors="replace")
