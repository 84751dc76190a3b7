"""Standard actions that need nothing from outside: they return, wait or fail as they are told."""

from __future__ import annotations

import math
import time

from mistral_lib.actions import Result
from mistral_lib.actions.context import ActionContext

from mistral_lite.actions.context import StandardAction
from mistral_lite.errors import ActionError
from mistral_lite.jsontext import JsonObject, JsonValue

_EXPECTED_FAILURE = "Fail action expected exception."


class NoopAction(StandardAction):
    """Does nothing and succeeds with null."""

    def run(self, context: ActionContext) -> None:
        """Return at once."""


class AsyncNoopAction(StandardAction):
    """Does nothing and waits for somebody to deliver a result."""

    def run(self, context: ActionContext) -> None:
        """Return at once; the action stays open."""

    def is_sync(self) -> bool:
        """Return False: the result is what is delivered later."""
        return False


class EchoAction(StandardAction):
    """Returns its parameter ``output`` unchanged, after ``delay`` seconds.

    Takes the place of a real action while a workflow is being designed or tested.
    """

    def __init__(self, output: JsonValue, delay: JsonValue = 0) -> None:
        super().__init__()
        self.output = output
        self.delay = _seconds(delay)

    def run(self, context: ActionContext) -> JsonValue:
        """Wait and return ``output``."""
        if self.delay:
            time.sleep(self.delay)
        return self.output


class FailAction(StandardAction):
    """Always fails: with ``error_data`` as its error result if that is given, else with an exception.

    Useful to try how a workflow handles the failure of a task.
    """

    def __init__(self, error_data: JsonValue = None) -> None:
        super().__init__()
        self.error_data = error_data

    def __repr__(self) -> str:
        return "Fail action"

    def run(self, context: ActionContext) -> JsonValue:
        """Fail."""
        if self.error_data:
            return Result(error=self.error_data)
        raise ActionError(_EXPECTED_FAILURE)


class AsyncFailAction(FailAction):
    """Fails while it sends its work away, as an asynchronous action whose third party is not there."""

    def is_sync(self) -> bool:
        """Return False: only a failure to send is reported by the executor."""
        return False


class SleepAction(StandardAction):
    """Waits for a whole number of ``seconds`` and succeeds with null."""

    def __init__(self, seconds: JsonValue = 1) -> None:
        super().__init__()
        self.seconds = _whole_seconds(seconds)

    def run(self, context: ActionContext) -> None:
        """Wait."""
        time.sleep(self.seconds)


class SampleDictAction(StandardAction):
    """Makes a mapping of ``size`` keys, ``<key_prefix>0`` and up, that all have the value ``val``."""

    def __init__(self, size: int = 0, key_prefix: str = "", val: JsonValue = "") -> None:
        super().__init__()
        self.size = size
        self.key_prefix = key_prefix
        self.val = val

    def run(self, context: ActionContext) -> JsonObject:
        """Return the mapping."""
        return {f"{self.key_prefix}{index}": self.val for index in range(self.size)}


def _seconds(value: JsonValue) -> float:
    """Return ``value`` as seconds; what is no number, or negative, means no delay (spec of the language)."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def _whole_seconds(value: JsonValue) -> int:
    try:
        return max(int(value), 0)
    except (TypeError, ValueError, OverflowError):
        return 0
