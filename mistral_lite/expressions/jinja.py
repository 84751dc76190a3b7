"""The Jinja2 language: sandboxed templates and expressions over read-only data.

Owns everything that knows the ``jinja2`` library. Data are not copied for an evaluation, therefore nothing
may change them: calls that change a list or a mapping are refused, unless the text itself uses one (the
idiom of collecting into a local list); such texts, and only they, work on copies. Operations that can build much from
little go through the guard: operators, calls, filters, concatenation and the output itself.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import lru_cache, update_wrapper
from string import Formatter
from typing import Any

import jinja2
from jinja2 import nodes, sandbox
from jinja2.compiler import CodeGenerator, Frame, optimizeconst
from jinja2.runtime import Context

from mistral_lite.errors import EvaluationError, ExpressionSyntaxError, UnavailableError
from mistral_lite.expressions.base import EvaluationView, ExpressionSettings, ViewNotReady
from mistral_lite.expressions.functions import ExpressionFunction, Scope
from mistral_lite.expressions.growth import jinja_stays_small
from mistral_lite.expressions.jinja_guards import WIDTH, check_call, check_percent, guard_filter
from mistral_lite.expressions.limits import Guard, LimitReachedError, TooExpensiveError
from mistral_lite.expressions.messages import describe_cause
from mistral_lite.expressions.plain import PlainConverter
from mistral_lite.expressions.spans import find_spans, has_span
from mistral_lite.jsontext import JsonValue

_PATH = re.compile(r"{{\s*_((?:\.[A-Za-z]\w*)*)\s*}}\Z", re.ASCII)
_CHANGERS = frozenset(
    {"add", "append", "clear", "difference_update", "discard", "extend", "insert", "intersection_update"}
    | {"pop", "popitem", "remove", "reverse", "setdefault", "sort", "symmetric_difference_update", "update"}
)
# A name that is also an attribute means the attribute; only the library knows what to do then.
_ATTRIBUTES = frozenset(dir(dict)) | frozenset(dir(Mapping))


class _StrictUndefined(jinja2.StrictUndefined):
    """An undefined name whose message calls every mapping a dict, as users know it."""

    @property
    def _undefined_message(self) -> str:
        is_missing = not self._undefined_hint and isinstance(self._undefined_name, str)
        if is_missing and isinstance(self._undefined_obj, Mapping):
            return f"'dict object' has no attribute {self._undefined_name!r}"
        return super()._undefined_message


class _CodeGenerator(CodeGenerator):
    """Compiles ``a ~ b`` to a guarded call; the library would join texts without asking the environment."""

    @optimizeconst
    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 (the library's name)
        self.write("environment.concat_values((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Environment(sandbox.SandboxedEnvironment):
    """The sandbox, with the guard in front of everything that can grow."""

    code_generator_class = _CodeGenerator
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, guard: Guard, *, may_change: bool) -> None:
        super().__init__(
            undefined=_StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=0,
            finalize=guard.text_of,
        )
        self.guard = guard
        self._may_change = may_change
        self.concat = self._concat  # type: ignore[method-assign]
        self.filters = {name: guard_filter(name, call, guard) for name, call in self.filters.items()}

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return the globals of a template in one mapping: each evaluation copies them."""
        return {**self.globals, **(d or {})}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse internals, and changes where data are shared."""
        if not self._may_change and sandbox.modifies_known_mutable(obj, attr):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Do a binary operation after the guard has agreed."""
        if operator == "*":
            self.guard.multiply(left, right)
        elif operator == "**":
            self.guard.power(left, right)
        elif operator == "%" and isinstance(left, str):
            check_percent(self.guard, left, right)
        result = super().call_binop(context, operator, left, right)
        self.guard.charge_value(result)
        return result

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call ``obj`` after the guard has agreed."""
        check_call(self.guard, obj, args)
        result = super().call(context, obj, *args, **kwargs)
        self.guard.charge_value(result)
        return result

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return the sandbox's safe ``str.format``, with widths checked."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def call(*args: Any, **kwargs: Any) -> str:
            text = value.__self__
            if any(spec and ("{" in spec or WIDTH.search(spec)) for _, _, spec, _ in Formatter().parse(text)):
                raise LimitReachedError("a format has a width of more than 9999 or a computed one")
            for argument in (*args, *kwargs.values()):
                self.guard.text_of(argument)
            self.guard.charge(len(text))
            return wrapped(*args, **kwargs)

        return update_wrapper(call, wrapped)

    def concat_values(self, values: Iterable[Any]) -> str:
        """Return the texts of ``values`` in one."""
        return self.guard.join([self.guard.text_of(value) for value in values], "")

    def _concat(self, parts: Iterable[str]) -> str:
        collected = []
        size = 0
        for part in parts:
            size += len(part)
            if size > self.guard.max_bytes:
                raise LimitReachedError(f"its result is larger than {self.guard.max_bytes} bytes")
            collected.append(part)
        self.guard.charge_text(size)
        return "".join(collected)


class _View(Mapping[str, JsonValue]):
    """The context with the attributes of a mapping only: any other attribute would hide a variable."""

    __slots__ = ("__weakref__", "_expression_data")

    def __init__(self, data: Mapping[str, JsonValue]) -> None:
        self._expression_data = data

    def __getitem__(self, key: str) -> JsonValue:
        return self._expression_data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._expression_data)

    def __len__(self) -> int:
        return len(self._expression_data)

    def __repr__(self) -> str:
        return repr(dict(self.items()))


class _Copies(_View):
    """The context for texts that change what they read: each entry is copied when it is read first."""

    __slots__ = ("_expression_copies",)

    def __init__(self, data: Mapping[str, JsonValue]) -> None:
        super().__init__(data)
        self._expression_copies: dict[str, JsonValue] = {}

    def __getitem__(self, key: str) -> JsonValue:
        if key not in self._expression_copies:
            self._expression_copies[key] = copy.deepcopy(self._expression_data[key])
        return self._expression_copies[key]


class _Converter(PlainConverter):
    """Knows undefined values besides: strict ones fail, the one of an ``if`` without ``else`` is null."""

    __slots__ = ()

    def convert(self, value: object) -> JsonValue:
        """Return ``value`` as plain JSON data."""
        if isinstance(value, jinja2.Undefined):
            # Raises for strict ones.
            str(value)
            return None
        return super().convert(value)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A text made ready for evaluation."""

    render: Callable[[Mapping[str, JsonValue]], Any]
    is_typed: bool
    works_on_copies: bool


class JinjaLanguage:
    """Detects, checks and evaluates Jinja2 expressions in texts."""

    name = "jinja"

    def __init__(
        self, settings: ExpressionSettings, guard: Guard, functions: Mapping[str, ExpressionFunction]
    ) -> None:
        self._guard = guard
        self._functions = functions
        self._environments = {
            may_change: _create_environment(guard, functions, may_change=may_change)
            for may_change in (False, True)
        }
        self._compile = lru_cache(settings.cache_size)(self._compile_uncached)

    def is_found_in(self, text: str) -> bool:
        """Tell whether ``text`` holds a Jinja2 expression or block."""
        return has_span(text, "{{", "}}") or has_span(text, "{%", "%}")

    def check_syntax(self, text: str) -> None:
        """Raise ``ExpressionSyntaxError`` if ``text`` cannot be parsed."""
        try:
            self._environments[False].parse(text)
        except jinja2.TemplateSyntaxError as error:
            raise ExpressionSyntaxError(f"Syntax error '{error.message}'.", expression=text) from error
        except RecursionError as error:
            raise ExpressionSyntaxError("Syntax error 'nested too deeply'.", expression=text) from error
        except ValueError as error:
            cause = describe_cause(error, text)
            raise ExpressionSyntaxError(f"Syntax error '{cause}'.", expression=text) from error

    def evaluate(self, text: str, context: Mapping[str, JsonValue], view: EvaluationView | None) -> JsonValue:
        """Return the typed result of a text that is one ``{{ }}``, else the rendered text."""
        try:
            found, value = _follow_path(text, context)
            if found:
                return value
            return self._guard.run(context, view, lambda: self._render(text, context))
        except (UnavailableError, ViewNotReady):
            raise
        except Exception as error:
            message = error.message if isinstance(error, jinja2.TemplateSyntaxError) else None
            cause = message or describe_cause(error, text)
            raise EvaluationError(self.describe(text, cause)) from error

    def describe(self, text: str, cause: str) -> str:
        """Return the message of a failure of ``text``."""
        return f"Can not evaluate Jinja expression [expression={text}, error={cause}]"

    def _render(self, text: str, context: JsonValue) -> JsonValue:
        compiled = self._compile(text)
        if compiled is None:
            raise TooExpensiveError
        if not isinstance(context, Mapping):
            # The result of a base action; nobody else sees this copy.
            value = compiled.render(copy.deepcopy(context))
        else:
            value = compiled.render((_Copies if compiled.works_on_copies else _View)(context))
        if not compiled.is_typed:
            return str(value)
        return _Converter(self._guard, sets_as_lists=True).convert(value)

    def _compile_uncached(self, text: str) -> _Compiled | None:
        """Return the text made ready, None if it is not for this process."""
        parsed = self._environments[False].parse(text)
        if not (self._guard.is_contained or jinja_stays_small(parsed, self._functions)):
            return None
        changes = _uses_changes(parsed)
        environment = self._environments[changes]
        if next(find_spans(text, "{{", "}}"), None) == (0, len(text)):
            expression = environment.compile_expression(text[2:-2], undefined_to_none=False)
            return _Compiled(lambda data: expression(_=data), True, changes)
        template = environment.from_string(text)
        return _Compiled(lambda data: template.render(_=data), False, changes)


def _follow_path(text: str, context: Mapping[str, JsonValue]) -> tuple[bool, JsonValue]:
    """Look up ``{{ _.a.b }}`` directly; (False, None) if the library must answer."""
    match = _PATH.match(text)
    if match is None:
        return False, None
    value: JsonValue = context
    for name in match.group(1).split(".")[1:]:
        if name in _ATTRIBUTES or not _is_followed(value, context) or name not in value:
            return False, None
        value = value[name]
    return True, dict(context) if value is context and isinstance(context, Mapping) else value


def _is_followed(value: JsonValue, context: JsonValue) -> bool:
    return type(value) is dict or (value is context and isinstance(context, Mapping))


def _uses_changes(template: nodes.Template) -> bool:
    """Tell whether the text names a method that changes a list or a mapping."""
    names: set[object] = {node.attr for node in template.find_all(nodes.Getattr)}
    names |= {node.value for node in template.find_all(nodes.Const) if isinstance(node.value, str)}
    return not _CHANGERS.isdisjoint(names)


def _create_environment(
    guard: Guard, functions: Mapping[str, ExpressionFunction], *, may_change: bool
) -> _Environment:
    environment = _Environment(guard, may_change=may_change)
    for function in functions.values():
        environment.globals[function.name] = _as_global(function, guard, copies=may_change)
        environment.filters[function.name] = _as_filter(function, guard, copies=may_change)
    return environment


def _as_global(function: ExpressionFunction, guard: Guard, *, copies: bool) -> Callable[..., JsonValue]:
    def call(*args: object, **kwargs: object) -> JsonValue:
        return _invoke(function, guard, None, args, kwargs, copies=copies)

    return call


def _as_filter(function: ExpressionFunction, guard: Guard, *, copies: bool) -> Callable[..., JsonValue]:
    # What is piped in stands for the context, not for the first argument: `_|task('t1')`.
    def call(piped: object, *args: object, **kwargs: object) -> JsonValue:
        return _invoke(function, guard, piped, args, kwargs, copies=copies)

    return call


def _invoke(
    function: ExpressionFunction,
    guard: Guard,
    piped: object,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    *,
    copies: bool,
) -> JsonValue:
    evaluation = guard.current()
    if evaluation is None:
        raise EvaluationError(f"{function.name}() is not available here")
    context = piped if isinstance(piped, Mapping) else evaluation.context
    scope = Scope(context, evaluation.view)
    plain_args = [_Converter(guard, sets_as_lists=True).convert(value) for value in args]
    plain_kwargs = {
        name: _Converter(guard, sets_as_lists=True).convert(value) for name, value in kwargs.items()
    }
    result = function.invoke_within(guard, scope, plain_args, plain_kwargs)
    return copy.deepcopy(result) if copies else result
