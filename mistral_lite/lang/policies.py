"""Task policies as written: retry, waits, timeout, pause-before, fail-on, concurrency.

What they do at run time is decided in the ``workflow`` package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang import inline, shapes
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.loader import describe
from mistral_lite.lang.specs import PolicySpecs, RetrySpec


def check_retry(findings: Findings, place: Place, value: JsonValue) -> None:
    """A mapping with ``count`` and ``delay``, or a text such as ``count=3 delay=1``."""
    if isinstance(value, str) and value:
        body = _retry_body(value)
    elif isinstance(value, dict):
        body = value
    else:
        kind = "empty" if value == "" else describe(value)
        findings.add(place, f"is {kind}, which is not valid: write a mapping with 'count' and 'delay'")
        return
    for key in ("count", "delay"):
        if key not in body:
            findings.add(
                place,
                f"'{key}' is a required property; write retry: {{count: 3, delay: 1}} or retry: count=3 delay=1",
            )
    shapes.fields(findings, place, body, _RETRY_FIELDS)


_RETRY_FIELDS: Mapping[str, shapes.Check] = {
    "count": shapes.count_or_expression,
    "delay": shapes.count_or_expression,
    "break-on": shapes.expression,
    "continue-on": shapes.expression,
}

# Policies by their names in a task or in task-defaults.
FIELDS: Mapping[str, shapes.Check] = {
    "retry": check_retry,
    "wait-before": shapes.count_or_expression,
    "wait-after": shapes.count_or_expression,
    "timeout": shapes.count_or_expression,
    "concurrency": shapes.count_or_expression,
    "pause-before": shapes.flag_or_expression,
    "fail-on": shapes.flag_or_expression,
}


def parse_policies(body: JsonObject) -> PolicySpecs:
    """Return the policies that a checked task or ``task-defaults`` asks for; 0 and false ask for none."""
    return PolicySpecs(
        pause_before=body.get("pause-before") or None,
        wait_before=amount(body.get("wait-before")),
        wait_after=amount(body.get("wait-after")),
        fail_on=body.get("fail-on") or None,
        retry=_retry(body["retry"]) if "retry" in body else None,
        timeout=amount(body.get("timeout")),
        concurrency=amount(body.get("concurrency")),
    )


def with_defaults(own: PolicySpecs, default: PolicySpecs) -> PolicySpecs:
    """Return ``own`` with each absent policy taken from ``default``."""
    merged = {}
    for field in fields(PolicySpecs):
        value = getattr(own, field.name)
        merged[field.name] = getattr(default, field.name) if value is None else value
    return PolicySpecs(**merged)


def amount(value: JsonValue) -> int | str | None:
    """Return a number of seconds or items, None for none; expressions stay text."""
    whole: int | str | None = shapes.whole(value)
    return whole or None


def _retry(value: JsonValue) -> RetrySpec:
    body = _retry_body(value) if isinstance(value, str) else value
    return RetrySpec(
        count=shapes.whole(body["count"]),
        delay=shapes.whole(body["delay"]),
        break_on=body.get("break-on"),
        continue_on=body.get("continue-on"),
    )


def _retry_body(text: str) -> JsonObject:
    # Without a blank the whole text counts as a name, as everywhere in the one-line syntax.
    return inline.parse_parameters(text) if " " in text else {}
