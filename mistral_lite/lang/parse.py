"""Texts to checked specs, and stored sources back to specs.

Three stages, each only if the one before found nothing: shapes of all entities; then expression syntax and
the task graph. All findings of a stage are reported together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang import shapes
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.lint import lint
from mistral_lite.lang.loader import Document, Limits, describe, load_document, shorten
from mistral_lite.lang.parse_action import action_source, check_action, parse_action
from mistral_lite.lang.parse_workflow import (
    MAX_NAME,
    RESERVED,
    VERSION,
    check_name,
    check_workflow,
    parse_workflow,
    workflow_source,
)
from mistral_lite.lang.specs import ActionSpec, WorkbookSpec, WorkflowSpec
from mistral_lite.lang.syntax import SyntaxChecker, check_action_syntax, check_workflow_syntax
from mistral_lite.lang.validate import check_graph

__all__ = [
    "action_from_source",
    "lint",
    "parse_action_list",
    "parse_workbook",
    "parse_workflow_list",
    "workflow_from_source",
]

_MEMBER_NAME = re.compile(r"[\w-]+")


def parse_workflow_list(
    text: str,
    checker: SyntaxChecker | None = None,
    *,
    graph_checks: bool = True,
    limits: Limits | None = None,
) -> tuple[WorkflowSpec, ...]:
    """Return the workflows of a document, in its order.

    ``checker`` refuses bad expressions, None leaves them unchecked; ``graph_checks`` off lets dangling
    transitions through. Raises ``DefinitionError`` with everything that is wrong.
    """
    findings = Findings(load_document(text, limits))
    bodies = _named_entities(findings, "workflow")
    for name, body in bodies.items():
        check_workflow(findings, Place().entity("workflow", name), name, body)
    findings.raise_if_any()
    specs = tuple(parse_workflow(workflow_source(name, body)) for name, body in bodies.items())
    for spec in specs:
        _check_meaning(
            findings, Place().entity("workflow", spec.name), spec, checker, graph_checks=graph_checks
        )
    findings.raise_if_any()
    return specs


def parse_action_list(
    text: str, checker: SyntaxChecker | None = None, *, limits: Limits | None = None
) -> tuple[ActionSpec, ...]:
    """Return the ad-hoc actions of a document, in its order. Raises ``DefinitionError`` as above."""
    findings = Findings(load_document(text, limits))
    bodies = _named_entities(findings, "action")
    for name, body in bodies.items():
        check_action(findings, Place().entity("action", name), name, body)
    findings.raise_if_any()
    specs = tuple(parse_action(action_source(name, body)) for name, body in bodies.items())
    if checker is not None:
        for spec in specs:
            check_action_syntax(findings, Place().entity("action", spec.name), spec, checker)
    findings.raise_if_any()
    return specs


def parse_workbook(
    text: str,
    checker: SyntaxChecker | None = None,
    *,
    graph_checks: bool = True,
    limits: Limits | None = None,
) -> WorkbookSpec:
    """Return a workbook with its members under their short names. Raises ``DefinitionError`` as above."""
    document = load_document(text, limits)
    findings = Findings(document)
    body = _top_mapping(document)
    _check_workbook_version(body)
    _check_workbook_fields(findings, body)
    action_bodies = _members(findings, body, "actions", check_action)
    workflow_bodies = _members(findings, body, "workflows", check_workflow)
    findings.raise_if_any()
    actions = {name: parse_action(action_source(name, member)) for name, member in action_bodies.items()}
    workflows = {
        name: parse_workflow(workflow_source(name, member)) for name, member in workflow_bodies.items()
    }
    for name, action in actions.items():
        if checker is not None:
            check_action_syntax(findings, Place().entity("action", name, "actions"), action, checker)
    for name, workflow in workflows.items():
        place = Place().entity("workflow", name, "workflows")
        _check_meaning(findings, place, workflow, checker, graph_checks=graph_checks)
    findings.raise_if_any()
    return WorkbookSpec(
        name=body["name"],
        source={**body, "version": VERSION},
        description=body.get("description"),
        tags=tuple(body.get("tags", ())),
        actions=actions,
        workflows=workflows,
    )


def workflow_from_source(source: JsonObject) -> WorkflowSpec:
    """Return the spec of a workflow from its stored source (``WorkflowSpec.source``), unchecked and fast."""
    return parse_workflow(source)


def action_from_source(source: JsonObject) -> ActionSpec:
    """Return the spec of an ad-hoc action from its stored source (``ActionSpec.source``), unchecked."""
    return parse_action(source)


def _check_meaning(
    findings: Findings, place: Place, spec: WorkflowSpec, checker: SyntaxChecker | None, *, graph_checks: bool
) -> None:
    if checker is not None:
        check_workflow_syntax(findings, place, spec, checker)
    if graph_checks:
        check_graph(findings, place, spec)


def _top_mapping(document: Document) -> JsonObject:
    if not isinstance(document.value, dict):
        raise DefinitionError(
            f"Invalid DSL: the document is {describe(document.value)}, not of type 'object'; "
            "start it with the key 'version'"
        )
    return document.value


def _named_entities(findings: Findings, kind: str) -> Mapping[str, JsonValue]:
    """Return name → body of a list document, its version checked."""
    document = _top_mapping(findings.document)
    place = Place().at("version")
    if "version" not in document:
        findings.add(Place(), "'version' is a required property; add the line version: '2.0'")
    else:
        _check_list_version(findings, place, document["version"])
    entities = {name: body for name, body in document.items() if name != RESERVED}
    if isinstance(entities.get("name"), str):
        findings.add(Place(), f"this looks like a workbook, not like a list of {kind}s; send it as one")
    findings.raise_if_any()
    if not entities:
        raise DefinitionError(
            f"Invalid DSL: document: At least one item must be in the list; add a {kind} beside 'version'"
        )
    return entities


def _check_list_version(findings: Findings, place: Place, value: JsonValue) -> None:
    if isinstance(value, str):
        shapes.text(findings, place, value)
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        findings.add(place, f"is {describe(value)}, which is not valid: write version: '2.0'")


def _check_workbook_version(body: JsonObject) -> None:
    version = body.get("version", VERSION)
    try:
        number = math.nan if isinstance(version, bool) else float(version)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if number != float(VERSION):
        raise DefinitionError(f"Unsupported DSL version: {shorten(str(version))}; write version: '{VERSION}'")


def _check_workbook_fields(findings: Findings, body: JsonObject) -> None:
    place = Place()
    for key in ("version", "name"):
        if key not in body:
            findings.add(place, f"'{key}' is a required property; add it")
    known: dict[str, shapes.Check] = {
        "version": shapes.ignored,
        "name": shapes.text,
        "description": shapes.text,
        "tags": shapes.text_list,
        "actions": _check_members,
        "workflows": _check_members,
    }
    shapes.fields(findings, place, body, known)
    name = body.get("name")
    if isinstance(name, str) and name:
        check_name(findings, place.at("name"), name)


def _check_members(findings: Findings, place: Place, value: JsonValue) -> None:
    shapes.is_mapping(findings, place, value)


def _members(
    findings: Findings,
    body: JsonObject,
    field: str,
    check: Callable[[Findings, Place, str, JsonValue], None],
) -> dict[str, JsonObject]:
    members = body.get(field)
    if not isinstance(members, dict):
        return {}
    found = {name: member for name, member in members.items() if name != RESERVED}
    workbook = str(body.get("name", ""))
    for name, member in found.items():
        place = Place().entity(field.removesuffix("s"), name, field)
        if not _MEMBER_NAME.fullmatch(name):
            findings.add(
                place, "the name of a workbook member has letters, digits, '_' and '-' only; rename it"
            )
        if len(workbook) + 1 + len(name) > MAX_NAME:
            findings.add(
                place, f"with the workbook's name it has more than {MAX_NAME} characters; shorten one"
            )
        check(findings, place, name, member)
    return found
