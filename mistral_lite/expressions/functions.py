"""The functions that both languages offer: one table, one way to bind arguments.

Owns names, parameters and meaning. A function gets a ``Scope`` and arguments that are plain JSON data, and
returns plain JSON data; it must be free of side effects, since an evaluation may be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import yaml

from mistral_lite.errors import EvaluationError
from mistral_lite.expressions.base import EvaluationView
from mistral_lite.expressions.limits import Guard
from mistral_lite.jsontext import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Scope:
    """What a function may look at besides its arguments."""

    context: Mapping[str, JsonValue]
    """The data of the evaluation, as ``$`` shows them."""
    view: EvaluationView | None
    """Wider look-ups; None where there is no workflow execution (ad-hoc output, stand-alone actions)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: the name that is documented, and the others that existing workflows use."""

    name: str
    aliases: tuple[str, ...] = ()
    is_required: bool = False
    default: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionFunction:
    """A function of the table. ``parameters`` None (plug-ins) passes arguments on as they are."""

    name: str
    call: Callable[..., JsonValue]
    parameters: tuple[Parameter, ...] | None = ()
    is_pure: bool = False
    """Computes from its arguments alone; others may hold a transaction and must not be interrupted."""

    def invoke_within(
        self, guard: Guard, scope: Scope, args: Sequence[JsonValue], kwargs: Mapping[str, JsonValue]
    ) -> JsonValue:
        """Call the function inside a guarded evaluation."""
        if self.is_pure:
            return self.invoke(scope, args, kwargs)
        return guard.shielded(lambda: self.invoke(scope, args, kwargs))

    def invoke(self, scope: Scope, args: Sequence[JsonValue], kwargs: Mapping[str, JsonValue]) -> JsonValue:
        """Call the function. Raises ``TypeError`` if the arguments do not fit its parameters."""
        if self.parameters is None:
            return self.call(scope.context, *args, **kwargs)
        return self.call(scope, *self._bind(self.parameters, args, kwargs))

    def _bind(
        self, parameters: tuple[Parameter, ...], args: Sequence[JsonValue], kwargs: Mapping[str, JsonValue]
    ) -> list[JsonValue]:
        if len(args) > len(parameters):
            raise TypeError(f"{self.name}() takes at most {len(parameters)} arguments, {len(args)} are given")
        left = dict(kwargs)
        bound: list[JsonValue] = list(args)
        for parameter in parameters[len(args) :]:
            names = [name for name in (parameter.name, *parameter.aliases) if name in left]
            if names:
                bound.append(left.pop(names[0]))
            elif parameter.is_required:
                raise TypeError(f"{self.name}() needs the argument '{parameter.name}'")
            else:
                bound.append(parameter.default)
        if left:
            raise TypeError(f"{self.name}() has no argument '{min(left)}', or it is given twice")
        return bound


def _view(scope: Scope, name: str) -> EvaluationView:
    if scope.view is None:
        raise EvaluationError(f"{name}() is not available here: there is no workflow execution")
    return scope.view


def _filters(**values: JsonValue) -> JsonObject:
    return {name: value for name, value in values.items() if value is not None}


def _env(scope: Scope) -> JsonValue:
    return dict(_view(scope, "env").environment())


def _execution(scope: Scope) -> JsonValue:
    return _view(scope, "execution").execution()


def _executions(
    scope: Scope,
    execution_id: JsonValue,
    root_execution_id: JsonValue,
    state: JsonValue,
    from_time: JsonValue,
    to_time: JsonValue,
) -> JsonValue:
    filters = _filters(
        id=execution_id,
        root_execution_id=root_execution_id,
        state=state,
        from_time=from_time,
        to_time=to_time,
    )
    return list(_view(scope, "executions").executions(filters))


def _task(scope: Scope, name: JsonValue) -> JsonValue:
    return _view(scope, "task").task(name)


def _tasks(
    scope: Scope, workflow_execution_id: JsonValue, recursive: JsonValue, state: JsonValue, flat: JsonValue
) -> JsonValue:
    filters = _filters(workflow_execution_id=workflow_execution_id, state=state)
    filters |= {"recursive": bool(recursive), "flat": bool(flat)}
    return list(_view(scope, "tasks").tasks(filters))


def _global(scope: Scope, name: JsonValue) -> JsonValue:
    return _view(scope, "global").global_variable(name)


def _uuid(scope: Scope) -> JsonValue:
    return _view(scope, "uuid").new_uuid()


def _json_dump(_scope: Scope, data: JsonValue) -> JsonValue:
    return json.dumps(data, indent=4)


def _json_parse(_scope: Scope, text: JsonValue) -> JsonValue:
    if not isinstance(text, str):
        raise TypeError(f"json_parse() reads a text, not a value of type '{type(text).__name__}'")
    return json.loads(text)


class _TextAnchorsLoader(yaml.SafeLoader):
    """Reads ``&x`` and ``*x`` as plain text: aliases let a short text describe a huge value."""

    def fetch_anchor(self) -> None:
        self.fetch_plain()

    def fetch_alias(self) -> None:
        self.fetch_plain()


def _yaml_dump(_scope: Scope, data: JsonValue) -> JsonValue:
    return yaml.dump(data, Dumper=_FullDumper, default_flow_style=False)


class _FullDumper(yaml.SafeDumper):
    """Writes shared parts in full: the reader of the text knows no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _yaml_parse(_scope: Scope, text: JsonValue) -> JsonValue:
    if not isinstance(text, str):
        raise TypeError(f"yaml_parse() reads a text, not a value of type '{type(text).__name__}'")
    try:
        return yaml.load(text, Loader=_TextAnchorsLoader)  # noqa: S506 (a safe loader)
    except yaml.MarkedYAMLError as error:
        # The library quotes the text, which is data.
        where = error.problem_mark or error.context_mark
        line = f" in line {where.line + 1}, column {where.column + 1}" if where else ""
        raise EvaluationError(f"the text is no YAML: {error.problem}{line}") from None


_DATA = (Parameter(name="data", aliases=("text", "value"), is_required=True),)


_STANDARD = (
    ExpressionFunction(name="env", call=_env),
    ExpressionFunction(name="execution", call=_execution),
    ExpressionFunction(
        name="executions",
        call=_executions,
        parameters=(
            Parameter(name="id", aliases=("id_",)),
            Parameter(name="root_execution_id", aliases=("rootExecutionId",)),
            Parameter(name="state"),
            Parameter(name="from_time", aliases=("fromTime",)),
            Parameter(name="to_time", aliases=("toTime",)),
        ),
    ),
    ExpressionFunction(
        name="task", call=_task, parameters=(Parameter(name="name", aliases=("task_name", "taskName")),)
    ),
    ExpressionFunction(
        name="tasks",
        call=_tasks,
        parameters=(
            Parameter(name="workflow_execution_id", aliases=("workflowExecutionId",)),
            Parameter(name="recursive", default=False),
            Parameter(name="state"),
            Parameter(name="flat", default=False),
        ),
    ),
    ExpressionFunction(
        name="global",
        call=_global,
        parameters=(Parameter(name="name", aliases=("var_name", "varName"), is_required=True),),
    ),
    ExpressionFunction(name="json_dump", call=_json_dump, parameters=_DATA, is_pure=True),
    ExpressionFunction(name="json_pp", call=_json_dump, parameters=_DATA, is_pure=True),
    ExpressionFunction(name="json_parse", call=_json_parse, parameters=_DATA, is_pure=True),
    ExpressionFunction(name="yaml_dump", call=_yaml_dump, parameters=_DATA, is_pure=True),
    ExpressionFunction(name="yaml_parse", call=_yaml_parse, parameters=_DATA, is_pure=True),
    ExpressionFunction(name="uuid", call=_uuid),
)


STANDARD_NAMES = frozenset(function.name for function in _STANDARD)


def function_table(plugins: Mapping[str, Callable[..., JsonValue]]) -> dict[str, ExpressionFunction]:
    """Return all functions by name; a plug-in of the same name wins.

    A trailing underscore of a plug-in's name is a convention for names that Python reserves and is dropped.
    """
    table = {function.name: function for function in _STANDARD}
    for name, call in plugins.items():
        visible = name.rstrip("_")
        table[visible] = ExpressionFunction(name=visible, call=call, parameters=None)
    return table
