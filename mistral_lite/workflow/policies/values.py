"""The values of a task's policies: evaluated and checked, once when it begins and once when it ends."""

from __future__ import annotations

from dataclasses import dataclass

from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonValue
from mistral_lite.lang.specs import PolicySpecs
from mistral_lite.workflow.model import TaskExecution
from mistral_lite.workflow.step import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyValues:
    """Policy values in force; times are whole seconds, 0 and false mean "no such policy"."""

    pause_before: bool = False
    wait_before: int = 0
    wait_after: int = 0
    retry_count: int = 0
    retry_delay: int = 0
    timeout: int = 0
    concurrency: int = 0


_NO_POLICIES = PolicySpecs()
_NO_VALUES = PolicyValues()


def evaluate(step: Step, task: TaskExecution, specs: PolicySpecs) -> PolicyValues:
    """Return the policy values of a task over its inbound context.

    Every policy is evaluated and checked at both hooks, whether or not it acts there. Raises ``InputError``
    for a value of the wrong type and ``EvaluationError``.
    """
    if specs == _NO_POLICIES:
        return _NO_VALUES
    branch = step.inbound(task)

    def number(policy: str, field: str, value: JsonValue) -> int:
        if value is None:
            return 0
        if isinstance(value, str):
            value = step.evaluate_for_task(value, task, branch, field=field)
        return _natural(policy, field, value)

    pause_before = specs.pause_before
    if isinstance(pause_before, str):
        pause_before = step.evaluate_for_task(pause_before, task, branch, field="pause-before")
        _require_flag(pause_before)
    return PolicyValues(
        pause_before=bool(pause_before),
        wait_before=number("WaitBeforePolicy", "wait-before", specs.wait_before),
        wait_after=number("WaitAfterPolicy", "wait-after", specs.wait_after),
        retry_count=number("RetryPolicy", "count", specs.retry.count) if specs.retry else 0,
        retry_delay=number("RetryPolicy", "delay", specs.retry.delay) if specs.retry else 0,
        timeout=number("TimeoutPolicy", "timeout", specs.timeout),
        concurrency=number("ConcurrencyPolicy", "concurrency", specs.concurrency),
    )


def _require_flag(value: JsonValue) -> None:
    if not isinstance(value, bool):
        raise _wrong("PauseBeforePolicy", "pause-before", "true or false", value)


def _natural(policy: str, field: str, value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(policy, field, "a whole number, 0 or more", value)
    return value


def _wrong(policy: str, field: str, expected: str, value: JsonValue) -> InputError:
    return InputError(
        f"Invalid data type in {policy}: '{field}' must be {expected}, not a value of type "
        f"{type(value).__name__}."
    )
