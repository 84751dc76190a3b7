"""Warnings about documents that are valid but probably do not mean what they say.

Nothing here makes a definition invalid; what cannot be parsed is left to ``parse.py``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang import clauses, inline
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.loader import Document, load_document, shorten
from mistral_lite.lang.parse_action import action_source, check_action, parse_action
from mistral_lite.lang.parse_workflow import (
    KNOWN_KEYS,
    RESERVED,
    VERSION,
    check_workflow,
    parse_workflow,
    workflow_source,
)
from mistral_lite.lang.specs import COMMANDS, ActionSpec, Clause, TaskSpec, WorkflowSpec
from mistral_lite.lang.validate import requirement_cycle

Warnings = Iterator[tuple[Place, str]]

_PADDED = re.compile(r"\s+(<%(?:(?!%>).)*%>|{{(?:(?!}}).)*}})\s*|(<%(?:(?!%>).)*%>|{{(?:(?!}}).)*}})\s+")
_DELIMITERS = (("<%", "%>"), ("{{", "}}"), ("{%", "%}"))


def lint(text: str) -> list[str]:
    """Return warnings about a workflow list, an action list or a workbook; [] if it cannot be parsed."""
    try:
        document = load_document(text)
    except DefinitionError:
        return []
    found = list(document.duplicates)
    if isinstance(document.value, dict):
        for place, message in _document_warnings(document):
            line = document.line(place.path)
            found.append(f"{place} (line {line}): {message}" if line else f"{place}: {message}")
    return found


def _document_warnings(document: Document) -> Warnings:
    body: JsonObject = document.value
    if isinstance(body.get("name"), str):
        entities = [
            (Place().entity(kind.removesuffix("s"), name, kind), kind, name, member)
            for kind in ("workflows", "actions")
            if isinstance(body.get(kind), dict)
            for name, member in body[kind].items()
            if name != RESERVED
        ]
    else:
        if "version" in body and str(body["version"]) != VERSION:
            yield Place().at("version"), f"only '{VERSION}' exists; the value has no effect"
        entities = []
        for name, member in body.items():
            if name != RESERVED and isinstance(member, dict):
                kind = "actions" if "base" in member and "tasks" not in member else "workflows"
                entities.append((Place().entity(kind.removesuffix("s"), name), kind, name, member))
    for place, kind, name, member in entities:
        yield from _entity_warnings(document, place, kind, name, member)


def _entity_warnings(document: Document, place: Place, kind: str, name: str, body: JsonValue) -> Warnings:
    findings = Findings(document)
    check: Callable[[Findings, Place, str, JsonValue], None]
    check = check_action if kind == "actions" else check_workflow
    check(findings, place, name, body)
    if findings:
        return
    tasks = body.get("tasks", {}) if kind == "workflows" else {}
    yield from _text_warnings(place, {key: value for key, value in body.items() if value is not tasks})
    for task_name, task in tasks.items():
        yield from _text_warnings(place.entity("task", task_name, "tasks"), task)
    if kind == "actions":
        yield from _action_warnings(place, parse_action(action_source(name, body)))
    else:
        yield from _workflow_warnings(place, parse_workflow(workflow_source(name, body)))


def _text_warnings(place: Place, value: JsonValue) -> Warnings:
    """Warn of texts that look like expressions and are not."""
    if isinstance(value, str):
        if any("\n" in expression for expression in _expressions(value)):
            yield place, "an expression over several lines is plain text; write it on one line"
        elif value.count("<%") > value.count("%>"):
            yield place, "'<%' without '%>' is plain text; if a comma cut it, quote the whole expression"
        elif _PADDED.fullmatch(value):
            yield place, "blanks around the expression turn its value into text; remove them"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _text_warnings(place.at(key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _text_warnings(place.at(index), item)


def _expressions(text: str) -> Iterator[str]:
    """Yield what stands between opening and closing delimiters, line breaks or not."""
    for opening, closing in _DELIMITERS:
        start = text.find(opening)
        while start >= 0:
            end = text.find(closing, start + len(opening))
            if end < 0:
                break
            yield text[start:end]
            start = text.find(opening, end + len(closing))


def _action_warnings(place: Place, spec: ActionSpec) -> Warnings:
    yield from _leftover_warnings(place.at("base"), spec.source["base"])
    yield from _default_warnings(place, spec)


def _workflow_warnings(place: Place, spec: WorkflowSpec) -> Warnings:
    for key in spec.source:
        if key not in KNOWN_KEYS:
            near = difflib.get_close_matches(key, KNOWN_KEYS, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            yield place.at(key), f"a workflow has no such key, it has no effect{hint}"
    yield from _default_warnings(place, spec)
    yield from _defaults_warnings(place.at("task-defaults"), spec)
    for name, task in spec.tasks.items():
        yield from _task_warnings(place.entity("task", name, "tasks"), task, spec)
    if RESERVED in spec.source["tasks"]:
        yield place.at("tasks", RESERVED), f"'{RESERVED}' is no task name, the task is left out; rename it"
    circle = requirement_cycle(spec)
    if circle:
        shown = shorten(" → ".join(circle), 200)
        yield place, f"tasks require each other in a circle ({shown}); none of them can run"


def _default_warnings(place: Place, spec: WorkflowSpec | ActionSpec) -> Warnings:
    for parameter in spec.input:
        if isinstance(parameter.default, str) and any(_expressions(parameter.default)):
            yield place.at("input", parameter.name), "a default is never evaluated, it is used as plain text"


def _defaults_warnings(place: Place, spec: WorkflowSpec) -> Warnings:
    defaults = spec.source.get("task-defaults", {})
    unused = "requires" if spec.type == "direct" else None
    for key in defaults:
        if key == unused or (spec.type == "reverse" and key in tuple(Clause)):
            yield place.at(key), f"has no effect in a {spec.type} workflow"
    if spec.type == "direct":
        for clause in Clause:
            if clause in defaults:
                yield from _clause_warnings(place.at(clause), defaults[clause])
                if clauses.parse_clause(defaults[clause]).publish:
                    yield place.at(clause), "'publish' in a default clause has no effect"
    yield from _flag_warnings(place, defaults)


def _task_warnings(place: Place, task: TaskSpec, spec: WorkflowSpec) -> Warnings:
    source = task.source
    for field in ("action", "workflow"):
        if field in source:
            yield from _leftover_warnings(place.at(field), source[field])
    if isinstance(source.get("retry"), str):
        yield from _retry_warnings(place.at("retry"), source["retry"])
    yield from _flag_warnings(place, source)
    if task.name in COMMANDS and spec.type == "direct":
        yield place, f"a transition to '{task.name}' is always the engine command, never this task"
    if "concurrency" in source and not task.with_items:
        yield place.at("concurrency"), "has no effect without 'with-items'"
    for clause in Clause:
        if clause in source:
            yield from _clause_warnings(place.at(clause), source[clause])
    yield from _shadow_warnings(place, task, spec)


def _leftover_warnings(place: Place, text: str) -> Warnings:
    for piece in inline.leftovers(text):
        yield (
            place,
            f"'{shorten(piece)}' is not understood and has no effect; put the value into double quotes",
        )


def _retry_warnings(place: Place, text: str) -> Warnings:
    for piece in inline.scan(text).ignored:
        yield place, f"'{shorten(piece)}' is not understood and has no effect"


def _flag_warnings(place: Place, body: JsonObject) -> Warnings:
    for field in ("keep-result", "safe-rerun"):
        if isinstance(body.get(field), str):
            yield place.at(field), "an expression is not evaluated here and counts as true"


def _clause_warnings(place: Place, value: JsonValue) -> Warnings:
    if isinstance(value, dict) and not clauses.is_advanced(value):
        yield place, "a mapping is read as one conditional transition; write a list to say so"
    if clauses.is_advanced(value):
        if isinstance(value.get("next"), dict):
            yield place.at("next"), "a mapping is read as one conditional transition; write a list to say so"
        if "atomic" in value.get("publish", {}):
            yield place.at("publish", "atomic"), "has no effect"
    for transition in clauses.parse_clause(value).next:
        if transition.parameters and transition.target not in COMMANDS:
            yield place, f"parameters of the transition to task '{shorten(transition.target)}' have no effect"
        elif transition.target in COMMANDS and set(transition.parameters) - {"msg"}:
            yield place, f"'{transition.target}' reads the parameter 'msg' only"


def _shadow_warnings(place: Place, task: TaskSpec, spec: WorkflowSpec) -> Warnings:
    items = {variable for other in spec.tasks.values() for variable, _ in other.with_items}
    for field, name in _published(task):
        if name in spec.tasks:
            yield place.at(field, name), f"the variable has the name of a task: '{shorten(name)}'"
        if name in items:
            yield (
                place.at(field, name),
                f"the variable hides the with-items variable '{shorten(name)}' of later tasks; rename one",
            )


def _published(task: TaskSpec) -> Iterator[tuple[str, str]]:
    for field in ("publish", "publish-on-error", "publish-on-skip"):
        for name in task.source.get(field, {}):
            yield field, name
    for clause, spec in task.clauses.items():
        for name in spec.publish.branch if spec.publish else ():
            yield clause, name
