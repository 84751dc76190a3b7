"""One workflow: its checks and its spec."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang import shapes
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.loader import describe, shorten
from mistral_lite.lang.parameters import check_parameters, parse_parameters
from mistral_lite.lang.parse_task import DEFAULTS_FIELDS, check_task, parse_defaults, parse_task
from mistral_lite.lang.specs import WorkflowSpec

VERSION = "2.0"
MAX_NAME = 255
# The key "version" may stand among named entities without being one of them.
RESERVED = "version"
TYPES = ("direct", "reverse")


def check_name(findings: Findings, place: Place, name: str) -> None:
    """Report why ``name`` cannot be the name of a stored entity."""
    if findings.is_odd_key(place):
        findings.add(place, "the name is not a text in YAML; quote it")
    if not name:
        findings.add(place, "the name should be non-empty; give it one")
    if " " in name:
        findings.add(place, f"Name '{shorten(name)}' must not contain spaces; use '-' or '_'")
    if len(name) > MAX_NAME:
        findings.add(place, f"the name has {len(name)} characters, {MAX_NAME} are allowed; shorten it")


def check_workflow(findings: Findings, place: Place, name: str, body: JsonValue) -> None:
    """Report what is wrong with the shape of the workflow ``name``; ``place`` is the workflow's."""
    check_name(findings, place, name)
    if is_uuid(name):
        findings.add(place, "Workflow name cannot be in the format of UUID; choose a word")
    if not shapes.is_mapping(findings, place, body):
        return
    # Keys that are not known here have always been let through; lint tells of them.
    for key, check in WORKFLOW_FIELDS.items():
        if key in body:
            check(findings, place.at(key), body[key])
    workflow_type = body.get("type", "direct")
    if workflow_type not in TYPES:
        findings.add(place.at("type"), "is an unknown workflow type; write 'direct' or 'reverse'")
        return
    if "tasks" not in body:
        findings.add(place, "'tasks' is a required property; Workflow doesn't have any tasks")
        return
    _check_tasks(findings, place, body["tasks"], workflow_type)


def _check_tasks(findings: Findings, place: Place, tasks: JsonValue, workflow_type: str) -> None:
    if not isinstance(tasks, dict):
        findings.add(
            place.at("tasks"), f"is {describe(tasks)}, not of type 'object'; write a mapping of tasks"
        )
    elif not tasks:
        findings.add(place.at("tasks"), "should be non-empty: Workflow doesn't have any tasks")
    else:
        for name, body in tasks.items():
            check_task(findings, place.entity("task", name, "tasks"), name, body, workflow_type)


def _check_defaults(findings: Findings, place: Place, value: JsonValue) -> None:
    if shapes.is_mapping(findings, place, value):
        shapes.fields(findings, place, value, DEFAULTS_FIELDS)


WORKFLOW_FIELDS: Mapping[str, shapes.Check] = {
    "tags": shapes.text_list,
    "input": check_parameters,
    "vars": shapes.mapping,
    "output": shapes.mapping,
    "output-on-error": shapes.mapping,
    "task-defaults": _check_defaults,
}

KNOWN_KEYS = frozenset({*WORKFLOW_FIELDS, "type", "description", "tasks", "name", "version"})


def workflow_source(name: str, body: JsonObject) -> JsonObject:
    """Return what is stored for a workflow: ``body`` with name, version and the tasks' names injected."""
    workflow_type = body.get("type", "direct")
    tasks = {}
    for task_name, task in body["tasks"].items():
        tasks[task_name] = {**task, "type": workflow_type}
        if task_name != RESERVED:
            tasks[task_name] |= {"name": task_name, "version": VERSION}
    return {**body, "tasks": tasks, "name": name, "version": VERSION}


def parse_workflow(source: JsonObject) -> WorkflowSpec:
    """Return the spec of a checked workflow from its source, without checking it again.

    Raises ``DefinitionError`` where only parsing shows a mistake.
    """
    workflow_type: str = source.get("type", "direct")
    defaults = parse_defaults(source.get("task-defaults"), workflow_type)
    description = source.get("description")
    return WorkflowSpec(
        name=source["name"],
        source=source,
        type=workflow_type,
        description=description if isinstance(description, str) else None,
        tags=tuple(source.get("tags", ())),
        input=parse_parameters(source.get("input")),
        vars=source.get("vars", {}),
        output=source.get("output"),
        output_on_error=source.get("output-on-error"),
        tasks={
            name: parse_task(task, defaults) for name, task in source["tasks"].items() if name != RESERVED
        },
    )


def is_uuid(name: str) -> bool:
    """Tell whether ``name`` is a UUID in any of its spellings."""
    try:
        UUID(name)
    except ValueError:
        return False
    return True
