"""Runs one attempt of one action and says what became of it. Never raises, never logs a value.

The texts of failures are part of the language: workflows match on them, and users read them in ``state_info``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from mistral_lib import utils
from mistral_lib.actions import Action, Result
from mistral_lib.actions.context import SecurityContext

from mistral_lite.actions.context import build_context
from mistral_lite.actions.source_loader import CodeSourceError, SourceLoader
from mistral_lite.errors import MistralLiteError, NotFoundError
from mistral_lite.executor.credentials import Credentials
from mistral_lite.executor.foreign import plain_data
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.rpc.protocol import ActionReport, ActionRequest, Outcome

_LABEL_LENGTH = 200
# Where Mistral keeps whom a thread works for; the packs for OpenStack look there.
_THREAD_SECURITY = "MISTRAL_APP_CTX_THREAD_LOCAL"


class ActionSource(Protocol):
    """Where action objects come from (an ``ActionRegistry``)."""

    def instantiate(self, name: str, arguments: JsonObject) -> Action:
        """Return a new action object. Raises ``NotFoundError`` and whatever its constructor raises."""


class ActionRunner:
    """Turns an ``ActionRequest`` into an ``ActionReport``; may be shared by threads.

    ``loader`` runs the code of dynamic actions; without one they fail. ``credentials``: what whom actions work
    for is opened with.
    """

    def __init__(
        self,
        source: ActionSource,
        loader: SourceLoader | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._source = source
        self._credentials = credentials or Credentials()
        self._loader = loader

    def run(self, request: ActionRequest) -> ActionReport:
        """Run the attempt within its ``timeout_s``.

        An action that does not end in time is reported at once and left alone in a thread of its own: Python
        can stop no thread, and the slot must not wait for it.
        """
        if request.timeout_s is None:
            return self._attempt(request)
        reports: list[ActionReport] = []
        thread = threading.Thread(
            target=lambda: reports.append(self._attempt(request)),
            name=f"action-{request.action_execution_id}",
            daemon=True,
        )
        thread.start()
        thread.join(min(max(request.timeout_s, 0.0), threading.TIMEOUT_MAX))
        if reports:
            return reports[0]
        return _failed(
            request, _raised_text(request, request.name, f"Timeout after {request.timeout_s:g} seconds")
        )

    def _attempt(self, request: ActionRequest) -> ActionReport:
        try:
            action = self._instantiate(request)
        except (NotFoundError, CodeSourceError) as error:
            return _failed(request, str(error))
        except BaseException as error:  # noqa: BLE001 - a constructor of a plug-in may raise anything
            text = f"Failed to instantiate an action [action_desc={request.name}]: {_error_text(error)}"
            return _failed(request, text)
        try:
            security = self._credentials.open(request.security, request.execution.get("project_id"))
            with _known_to_thread(security):
                value = action.run(build_context(request.execution, security))
                is_sync = bool(action.is_sync())
        # SystemExit too: an action that asks the process to end has failed, and the process stays.
        except BaseException as error:  # noqa: BLE001
            return _failed(request, _raised_text(request, _label(action, request.name), _message(error)))
        return _report_value(request, value, is_sync)

    def _instantiate(self, request: ActionRequest) -> Action:
        code = request.code
        if code is None:
            return self._source.instantiate(request.name, request.input)
        if self._loader is None:
            raise CodeSourceError(
                f"Dynamic actions are switched off on this executor: '{request.name}' was not run "
                "([dynamic_actions] enabled)."
            )
        found = self._loader.find_class(code.source_name, code.hash, code.content, code.class_name)
        return found(**request.input)


@contextmanager
def _known_to_thread(security: SecurityContext) -> Iterator[None]:
    """Let code of this thread find whom it works for without being told; the next action finds nothing of it."""
    utils.set_thread_local(_THREAD_SECURITY, security)
    try:
        yield
    finally:
        utils.set_thread_local(_THREAD_SECURITY, None)


def _report_value(request: ActionRequest, value: object, is_sync: bool) -> ActionReport:
    """Return the report for what ``run`` returned."""
    result = value if isinstance(value, Result) else Result(data=value)
    if not is_sync and not result.is_error():
        return _report(request, Outcome.SENT)
    try:
        if result.is_cancel():
            shown = result.error if result.error is not None else result.data
            return _report(request, Outcome.CANCELLED, plain_data(shown))
        if result.is_error():
            return _report(request, Outcome.ERROR, plain_data(result.error))
        return _report(request, Outcome.SUCCESS, plain_data(result.data))
    except Exception as error:  # noqa: BLE001 - the result is a foreign object; making text of it runs its code
        text = (
            f"The result of the action cannot be written as JSON [action={request.name}, "
            f"action_ex_id={request.action_execution_id}]: {_error_text(error)}"
        )
        return _failed(request, text)


def _report(request: ActionRequest, outcome: Outcome, result: JsonValue = None) -> ActionReport:
    return ActionReport(
        action_execution_id=request.action_execution_id,
        attempt=request.attempt,
        outcome=outcome,
        result=result,
    )


def _failed(request: ActionRequest, text: str) -> ActionReport:
    return _report(request, Outcome.ERROR, text)


def _raised_text(request: ActionRequest, label: str, message: str) -> str:
    return (
        f"The action raised an exception [action={label}, "
        f"action_ex_id={request.action_execution_id}, msg='{message}']"
    )


def _label(action: Action, name: str) -> str:
    """Return how an action calls itself, or its name where it would only show a memory address."""
    own_classes = type(action).__mro__[:-1]
    if not any({"__repr__", "__str__"} & vars(cls).keys() for cls in own_classes):
        return name
    try:
        return str(action)[:_LABEL_LENGTH]
    except Exception:  # noqa: BLE001 - code of a plug-in; the name will do
        return name


def _message(error: BaseException) -> str:
    """Return the text of an exception; an empty one, or a bare request to exit, is named by its class."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - code of a plug-in
        text = ""
    if text and isinstance(error, Exception):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _error_text(error: BaseException) -> str:
    """Return class and message of an exception; our own errors need no class."""
    message = _message(error)
    if isinstance(error, MistralLiteError) or message.startswith(type(error).__name__):
        return message
    return f"{type(error).__name__}: {message}"
