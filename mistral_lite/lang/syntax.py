"""Which texts of a definition are checked for expression syntax, and the check itself.

Only the first level of mappings and lists is looked at: deeper mistakes show when they are evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mistral_lite.errors import ExpressionSyntaxError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang import inline, policies
from mistral_lite.lang.clauses import parse_clause
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.specs import ActionSpec, Clause, PublishSpec, TaskSpec, WorkflowSpec

# Of all texts of one entity that hold expressions; parsing them takes about 10 s for a million.
MAX_EXPRESSION_CHARS = 262_144
_OPENINGS = ("<%", "{{", "{%")

SyntaxChecker = Callable[[str], None]
Texts = Iterator[tuple[Place, str]]


def check_workflow_syntax(
    findings: Findings, place: Place, spec: WorkflowSpec, checker: SyntaxChecker
) -> None:
    """Report the expressions of a workflow that ``checker`` refuses."""
    _check(findings, checker, _workflow_texts(place, spec))


def check_action_syntax(findings: Findings, place: Place, spec: ActionSpec, checker: SyntaxChecker) -> None:
    """Report the expressions of an ad-hoc action that ``checker`` refuses."""
    _check(findings, checker, _action_texts(place, spec))


def _check(findings: Findings, checker: SyntaxChecker, texts: Texts) -> None:
    left = MAX_EXPRESSION_CHARS
    for place, text in texts:
        if any(opening in text for opening in _OPENINGS):
            left -= len(text)
        if left < 0:
            findings.add(
                place,
                f"the texts with expressions up to here have more than {MAX_EXPRESSION_CHARS} characters; move some "
                "into further workflows",
            )
            return
        try:
            checker(text)
        except ExpressionSyntaxError as error:
            findings.add_expression(place, error.message)


def _first_level(place: Place, value: JsonValue) -> Texts:
    if isinstance(value, str):
        yield place, value
        return
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for step, item in entries:
        if isinstance(item, str):
            yield place.at(step), item


def _workflow_texts(place: Place, spec: WorkflowSpec) -> Texts:
    yield from _first_level(place.at("vars"), spec.vars)
    yield from _first_level(place.at("output"), spec.output)
    defaults = spec.source.get("task-defaults", {})
    yield from _shared_texts(place.at("task-defaults"), defaults)
    for name, task in spec.tasks.items():
        yield from _task_texts(place.entity("task", name, "tasks"), task)


def _task_texts(place: Place, task: TaskSpec) -> Texts:
    yield from _first_level(place.at("input"), task.input)
    for field in ("publish", "publish-on-error", "publish-on-skip"):
        yield from _first_level(place.at(field), task.source.get(field))
    for variable, source in task.with_items:
        yield from _first_level(place.at("with-items", variable), source)
    yield from _first_level(place.at("keep-result"), task.source.get("keep-result"))
    yield from _shared_texts(place, task.source)


def _shared_texts(place: Place, body: JsonObject) -> Texts:
    """Texts of what a task and ``task-defaults`` have in common."""
    for field in (*policies.FIELDS, "safe-rerun"):
        value = body.get(field)
        if field == "retry" and isinstance(value, str):
            value = inline.parse_parameters(value)
        yield from _first_level(place.at(field), value)
    for clause in Clause:
        if clause in body:
            yield from _clause_texts(place.at(clause), body[clause])


def _clause_texts(place: Place, value: JsonValue) -> Texts:
    spec = parse_clause(value)
    for transition in spec.next:
        yield place.at(transition.target), transition.target
        # Messages of commands have never been looked at here; a broken one shows when it is evaluated.
        yield from _first_level(place.at(transition.target), transition.condition)
    yield from _publish_texts(place.at("publish"), spec.publish)


def _publish_texts(place: Place, publish: PublishSpec | None) -> Texts:
    if publish is not None:
        yield from _first_level(place.at("branch"), publish.branch)
        yield from _first_level(place.at("global"), publish.global_)
        yield from _first_level(place.at("atomic"), publish.atomic)


def _action_texts(place: Place, spec: ActionSpec) -> Texts:
    yield from _first_level(place.at("base-input"), spec.base_input)
    if isinstance(spec.output, str):
        yield place.at("output"), spec.output
