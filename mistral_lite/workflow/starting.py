"""What must be right before a workflow execution exists: its input, environment, variables.

Used by the API for root executions and by the core for nested ones, so that both refuse the same things.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mistral_lite.errors import InputError, LimitExceededError
from mistral_lite.expressions.base import ExpressionEvaluator, LayeredContext
from mistral_lite.jsontext import JsonObject, JsonValue, dump
from mistral_lite.lang.specs import Parameter, WorkflowSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedStart:
    """The parts of a new workflow execution that depend on what the caller gave."""

    input: JsonObject
    params: JsonObject
    context: JsonObject


class StartView:
    """What expression functions see before the execution exists: its environment and itself."""

    def __init__(self, environment: JsonObject, execution: JsonObject, new_uuid: str) -> None:
        self._environment = environment
        self._execution = execution
        self._uuid = new_uuid

    def environment(self) -> Mapping[str, JsonValue]:
        """Return the environment of the root execution."""
        return self._environment

    def execution(self) -> JsonObject:
        """Return the execution to be."""
        return self._execution

    def executions(self, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        """Refuse: other executions cannot be looked at before this one exists."""
        raise InputError("executions() cannot be used in 'vars' or in an environment.")

    def task(self, name: str | None) -> JsonObject | None:
        """Return None: there are no tasks yet."""
        return None

    def tasks(self, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        """Refuse: other executions cannot be looked at before this one exists."""
        raise InputError("tasks() cannot be used in 'vars' or in an environment.")

    def global_variable(self, name: str) -> JsonValue:
        """Return None: there are no variables yet."""
        return None

    def new_uuid(self) -> str:
        """Return the identifier that was drawn for this start."""
        return self._uuid


def prepare_start(
    spec: WorkflowSpec,
    *,
    execution_id: str,
    workflow_input: JsonObject,
    params: JsonObject,
    environment: JsonObject,
    evaluator: ExpressionEvaluator,
    root_environment: JsonObject | None = None,
    field_size_limit_kb: int = -1,
    new_uuid: str = "",
    facts: JsonObject | None = None,
) -> PreparedStart:
    """Check and complete what a start was given.

    ``environment`` is the resolved ``env`` of ``params``; a nested start passes the root's as
    ``root_environment``, which is what ``env()`` shows. ``facts`` are what ``vars`` may see of whom it works for
    (``openstack``). Raises ``InputError`` and ``EvaluationError``.
    """
    check_input(spec, workflow_input)
    _check_target(spec, params)
    complete = {**workflow_input, **_defaults(spec.input, workflow_input)}
    view = StartView(
        environment if root_environment is None else root_environment,
        {"id": execution_id, "name": spec.name, "spec": spec.source, "input": complete, "params": params},
        new_uuid,
    )
    if params.get("evaluate_env", True) and environment:
        environment = evaluator.evaluate(environment, {"__env": environment}, view)
    if root_environment is None:
        view = StartView(environment, view.execution(), new_uuid)
    layers = ({"__env": view.environment()}, {**(facts or {}), "__execution": {"id": execution_id}}, complete)
    context = evaluator.evaluate(spec.vars, LayeredContext(layers), view) if spec.vars else {}
    prepared = PreparedStart(input=complete, params={**params, "env": environment}, context=context)
    check_size("input", prepared.input, field_size_limit_kb)
    check_size("params", prepared.params, field_size_limit_kb)
    return prepared


def check_input(spec: WorkflowSpec, given: Mapping[str, JsonValue]) -> None:
    """Raise ``InputError`` unless ``given`` is what a workflow wants as its input."""
    check_parameters(spec.name, _class_name(spec), spec.input, given)


def check_parameters(
    name: str, class_name: str, declared: tuple[Parameter, ...], given: Mapping[str, JsonValue]
) -> None:
    """Raise ``InputError`` unless ``given`` has every required parameter and no undeclared one."""
    missing = [parameter.name for parameter in declared if parameter.required and parameter.name not in given]
    names = {parameter.name for parameter in declared}
    unexpected = [key for key in given if key not in names]
    if not missing and not unexpected:
        return
    parts = [f"name={name}", f"class={class_name}"]
    if missing:
        parts.append(f"missing={missing}")
    if unexpected:
        parts.append(f"unexpected={unexpected}")
    raise InputError(f"Invalid input [{', '.join(parts)}]", missing=missing, unexpected=unexpected)


def with_defaults(declared: tuple[Parameter, ...], given: JsonObject) -> JsonObject:
    """Return ``given`` completed by the declared defaults, which are taken literally."""
    return {**given, **_defaults(declared, given)}


def check_size(field: str, value: JsonValue, limit_kb: int) -> None:
    """Raise ``LimitExceededError`` if the text form of a value is over ``limit_kb`` (negative: no limit)."""
    if limit_kb < 0 or not value:
        return
    size_kb = len(dump(value).encode()) / 1024
    if size_kb > limit_kb:
        raise LimitExceededError(
            f"Field size limit exceeded [class=TaskExecution, field={field}, "
            f"size={round(size_kb) or 1}KB, limit={limit_kb}KB]",
            field=field,
        )


def _defaults(declared: tuple[Parameter, ...], given: Mapping[str, JsonValue]) -> JsonObject:
    return {
        parameter.name: parameter.default
        for parameter in declared
        if not parameter.required and parameter.name not in given
    }


def _class_name(spec: WorkflowSpec) -> str:
    # Part of a text that clients search for; the names are those the reference shows.
    return "ReverseWorkflowSpec" if spec.type == "reverse" else "DirectWorkflowSpec"


def _check_target(spec: WorkflowSpec, params: JsonObject) -> None:
    if spec.type == "reverse" and params.get("task_name") not in spec.tasks:
        raise InputError(
            f"Invalid task name [wf_spec={spec.name}, task_name={params.get('task_name')}]: a reverse "
            "workflow needs the parameter 'task_name' with the name of one of its tasks."
        )
