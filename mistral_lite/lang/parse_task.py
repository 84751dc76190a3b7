"""One task: its checks and its spec, with ``task-defaults`` merged in.

Whether the graph of tasks makes sense is for ``validate.py`` to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang import clauses, inline, policies, shapes, with_items
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.loader import describe, shorten
from mistral_lite.lang.specs import Clause, ClauseSpec, PolicySpecs, TaskSpec

DEFAULT_ACTION = "std.noop"
MAX_TASK_NAME = 255
MAX_JOIN_NAME = 208

_WORD = re.compile(r"^\w+$")


def check_join(findings: Findings, place: Place, value: JsonValue) -> None:
    """``all``, ``one`` or a whole number."""
    if value not in ("all", "one") and not shapes.is_count(value):
        findings.add(place, "is not valid: write 'all', 'one' or a whole number (0 or more, unquoted)")


def _check_inline_name(findings: Findings, place: Place, value: JsonValue) -> None:
    shapes.text(findings, place, value)
    if isinstance(value, str) and value:
        try:
            inline.split(value)
        except DefinitionError as error:
            findings.add(place, error.message)


# Fields of a task in a workflow of either type.
_COMMON: Mapping[str, shapes.Check] = {
    # Overwritten by the service, whatever they hold.
    "name": shapes.ignored,
    "type": shapes.ignored,
    "version": shapes.ignored,
    "description": shapes.text,
    "tags": shapes.text_list,
    "action": _check_inline_name,
    "workflow": _check_inline_name,
    "input": shapes.mapping_or_text,
    "with-items": with_items.check_with_items,
    "publish": shapes.mapping,
    "publish-on-error": shapes.mapping,
    "publish-on-skip": shapes.mapping,
    "keep-result": shapes.flag_or_expression,
    "safe-rerun": shapes.flag_or_expression,
    "target": shapes.text,
    **policies.FIELDS,
}

_CLAUSES: Mapping[str, shapes.Check] = dict.fromkeys(Clause, clauses.check_clause)

FIELDS: Mapping[str, Mapping[str, shapes.Check]] = {
    "direct": {**_COMMON, "join": check_join, **_CLAUSES},
    "reverse": {**_COMMON, "requires": shapes.text_or_text_list},
}

DEFAULTS_FIELDS: Mapping[str, shapes.Check] = {
    "name": shapes.ignored,
    "version": shapes.ignored,
    "description": shapes.text,
    "tags": shapes.text_list,
    "safe-rerun": shapes.flag_or_expression,
    "requires": shapes.text_or_text_list,
    **policies.FIELDS,
    **_CLAUSES,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefaults:
    """What ``task-defaults`` gives to every task of a workflow."""

    policies: PolicySpecs = field(default_factory=PolicySpecs)
    clauses: Mapping[Clause, ClauseSpec] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    safe_rerun: JsonValue = None


def check_task(findings: Findings, place: Place, name: str, body: JsonValue, workflow_type: str) -> None:
    """Report what is wrong with the body of the task ``name``; ``place`` is the task's."""
    _check_name(findings, place, name, body)
    if not isinstance(body, dict):
        findings.add(place, f"is {describe(body)}, not of type 'object'; write at least 'action: std.noop'")
        return
    if not body and _WORD.match(name):
        findings.add(place, "should be non-empty; write at least 'action: std.noop'")
    shapes.fields(findings, place, body, FIELDS[workflow_type])
    if "action" in body and "workflow" in body:
        findings.add(place, "has both 'action' and 'workflow'; keep one of them")
    call = body.get("action", body.get("workflow"))
    has_inline = isinstance(call, str) and " " in call and bool(inline.parse_parameters(call))
    if has_inline and isinstance(body.get("input"), str):
        findings.add(
            place.at("input"),
            "is a text while the task has one-line parameters too; write all parameters in one way",
        )


def _check_name(findings: Findings, place: Place, name: str, body: JsonValue) -> None:
    if not name:
        findings.add(place, "the task has an empty name; give it one")
    if findings.is_odd_key(place):
        findings.add(
            place, "the task name is not a text in YAML (on, off, yes, no and numbers are not); quote it"
        )
    if len(name) > MAX_TASK_NAME:
        findings.add(
            place,
            f"The length of a '{shorten(name)}' task name must not exceed {MAX_TASK_NAME} symbols; shorten it",
        )
    elif len(name) > MAX_JOIN_NAME and isinstance(body, dict) and body.get("join"):
        findings.add(
            place,
            f"The length of a '{shorten(name)}' join task name must not exceed {MAX_JOIN_NAME} symbols; "
            "shorten it",
        )


def parse_defaults(body: JsonObject | None, workflow_type: str) -> TaskDefaults:
    """Return the spec of checked ``task-defaults``; what the workflow type has no use for is left out."""
    if not body:
        return TaskDefaults()
    direct = workflow_type == "direct"
    return TaskDefaults(
        policies=policies.parse_policies(body),
        clauses=_clauses(body) if direct else {},
        requires=() if direct else names(body.get("requires")),
        safe_rerun=body.get("safe-rerun"),
    )


def parse_task(source: JsonObject, defaults: TaskDefaults) -> TaskSpec:
    """Return the spec of a checked task; ``source`` has ``name`` and ``type`` injected.

    Raises ``DefinitionError`` where only parsing shows a mistake (with-items, one-line parameters).
    """
    name: str = source["name"]
    action, workflow, task_input = _call(source)
    own_policies = policies.parse_policies(source)
    reverse = source["type"] == "reverse"
    own_requires = names(source.get("requires")) if reverse else ()
    return TaskSpec(
        name=name,
        source=source,
        description=source.get("description"),
        tags=tuple(source.get("tags", ())),
        action=action,
        workflow=workflow,
        input=task_input,
        with_items=with_items.parse_with_items(source["with-items"]) if "with-items" in source else (),
        publish=source.get("publish", {}),
        publish_on_error=source.get("publish-on-error", {}),
        publish_on_skip=source.get("publish-on-skip", {}),
        policies=policies.with_defaults(own_policies, defaults.policies),
        own_timeout=own_policies.timeout,
        # An expression counts as true here without being evaluated, and so it does for safe-rerun.
        keep_result=bool(source.get("keep-result", True)),
        safe_rerun=bool(source.get("safe-rerun", defaults.safe_rerun)),
        target=source.get("target"),
        join=None if reverse else _join(source.get("join")),
        requires=_requires(name, own_requires, defaults.requires),
        clauses={} if reverse else _effective_clauses(name, _clauses(source), defaults.clauses),
    )


def names(value: JsonValue) -> tuple[str, ...]:
    """Return one name or a list of names as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def _call(source: JsonObject) -> tuple[str | None, str | None, JsonObject | str]:
    kind = "workflow" if "workflow" in source else "action"
    name, parameters = inline.split(source.get(kind, DEFAULT_ACTION))
    own = source.get("input", {})
    if parameters:
        own = {**own, **parameters}
    return (name, None, own) if kind == "action" else (None, name, own)


def _join(value: JsonValue) -> int | str | None:
    if value == "one":
        return 1
    join: int | str | None = shapes.whole(value)
    return join or None


def _requires(name: str, own: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    inherited = (required for required in default if required != name)
    return tuple(dict.fromkeys((*own, *inherited)))


def _clauses(body: JsonObject) -> dict[Clause, ClauseSpec]:
    return {clause: clauses.parse_clause(body[clause]) for clause in Clause if clause in body}


def _effective_clauses(
    name: str, own: Mapping[Clause, ClauseSpec], default: Mapping[Clause, ClauseSpec]
) -> dict[Clause, ClauseSpec]:
    effective = {}
    for clause in Clause:
        merged = clauses.with_default(own.get(clause), default.get(clause), name)
        if merged is not None:
            effective[clause] = merged
    return effective
