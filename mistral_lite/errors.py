"""Every error that crosses a package border, with its stable code.

This module owns meaning, not transport: HTTP statuses are a table in ``api/errors.py``, and the RPC
layer carries ``code``, ``message`` and ``details``. Codes are never changed or reused once released.

::

    MistralLiteError(code, message, details)
    ├── DefinitionError            text is not a valid definition; carries the place
    │   └── ExpressionSyntaxError
    ├── InputError
    ├── NotFoundError
    ├── AlreadyExistsError
    ├── AuthenticationError
    ├── ForbiddenError
    ├── LimitExceededError
    ├── ConflictError
    │   └── InvalidTransitionError
    ├── EvaluationError            an expression failed at run time
    ├── ActionError                what an action reports
    ├── UnavailableError           database or bus away; safe to retry
    └── InternalError              a bug; the only one logged with a traceback
"""

from __future__ import annotations

from typing import ClassVar


class MistralLiteError(Exception):
    """Base of all errors of this service.

    ``message`` is one sentence for the person who made the mistake; ``details`` are facts as plain
    data (never inputs, contexts or secrets).
    """

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message


class DefinitionError(MistralLiteError):
    """A text is not a valid definition; the message names the place and how to mend it."""

    code = "definition.invalid"


class ExpressionSyntaxError(DefinitionError):
    """An expression inside a definition cannot be parsed."""

    code = "definition.expression_syntax"


class InputError(MistralLiteError):
    """A request or an input does not fit what was declared."""

    code = "input.invalid"


class NotFoundError(MistralLiteError):
    """The object does not exist, or the caller may not see it."""

    code = "not_found"


class AlreadyExistsError(MistralLiteError):
    """An object with this identity exists already."""

    code = "already_exists"


class AuthenticationError(MistralLiteError):
    """The caller did not prove who they are."""

    code = "authentication"


class ForbiddenError(MistralLiteError):
    """The caller is known and may not do this."""

    code = "forbidden"


class LimitExceededError(MistralLiteError):
    """A value is larger than a configured limit."""

    code = "limit_exceeded"


class ConflictError(MistralLiteError):
    """The request contradicts what is already recorded."""

    code = "conflict"


class InvalidTransitionError(ConflictError):
    """The state machine has no such step from the present state."""

    code = "conflict.invalid_transition"


class EvaluationError(MistralLiteError):
    """An expression failed at run time. The message names the expression and the cause, never the data."""

    code = "evaluation"


class ActionError(MistralLiteError):
    """An action failed; the message becomes its result."""

    code = "action"


class UnavailableError(MistralLiteError):
    """The database or the message bus is away; the same request may be sent again."""

    code = "unavailable"


class InternalError(MistralLiteError):
    """A bug in this service."""

    code = "internal"
