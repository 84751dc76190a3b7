"""The only table from error class to HTTP status, and the bodies of error answers.

A traceback or the text of an unforeseen exception never reaches a caller.
"""

from __future__ import annotations

import json

import webob

from mistral_lite import errors

RETRY_AFTER_S = 5

# The first class that fits counts, so subclasses stand before their bases.
_STATUSES: tuple[tuple[type[errors.MistralLiteError], int], ...] = (
    (errors.DefinitionError, 400),
    (errors.InputError, 400),
    (errors.EvaluationError, 400),
    (errors.ActionError, 400),
    (errors.LimitExceededError, 400),
    (errors.AuthenticationError, 401),
    (errors.ForbiddenError, 403),
    (errors.NotFoundError, 404),
    (errors.AlreadyExistsError, 409),
    (errors.InvalidTransitionError, 400),
    (errors.ConflictError, 409),
    (errors.UnavailableError, 503),
    (errors.MistralLiteError, 500),
)

INTERNAL_ERROR = errors.InternalError("Internal error. The log of the service says more.")


def status_of(error: errors.MistralLiteError) -> int:
    """Return the HTTP status that stands for an error."""
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def error_response(error: errors.MistralLiteError, *, is_upload: bool = False) -> webob.Response:
    """Return the answer that tells a caller of an error.

    ``is_upload``: the short body of endpoints that take definition texts, else the one of JSON endpoints.
    """
    return fault_response(status_of(error), error.message, is_upload=is_upload)


def unauthenticated_response(
    error: errors.AuthenticationError, challenges: tuple[str, ...]
) -> webob.Response:
    """Return the answer for callers who did not prove who they are; plain text, whatever the endpoint."""
    response = webob.Response(
        error.message.encode(), status=status_of(error), content_type="text/plain", charset="utf-8"
    )
    response.headers["Server-Error-Message"] = error.message
    for challenge in challenges:
        response.headers.add("WWW-Authenticate", challenge)
    return response


def fault_response(status: int, message: str, *, is_upload: bool = False) -> webob.Response:
    """Return an error answer with a given status."""
    body: dict[str, str | None] = {"faultstring": message}
    if not is_upload:
        code = "Client" if status < 500 else "Server"
        body = {"faultcode": code, "faultstring": message, "debuginfo": None}
    response = webob.Response(
        json.dumps(body).encode(), status=status, content_type="application/json", charset=None
    )
    if is_upload:
        response.headers["Content-Type"] = "application/json;charset=utf-8"
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
