"""From a parsed expression to closures.

Owns which expressions are compiled; one that holds anything else is the library's as a whole, but for the simple
parts that ``accelerate`` replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from yaql.language import expressions

from mistral_lite.expressions.fast import mappings, queries, texts
from mistral_lite.expressions.fast.operators import (
    SCALAR_OPERATORS,
    TRUTHS,
    Operator,
    add,
    add_also_lists,
    index,
    is_in,
    negative,
)
from mistral_lite.expressions.fast.results import ConverterFactory, FastExpression
from mistral_lite.expressions.fast.values import (
    Closure,
    ComputedMapping,
    ListIterator,
    NotFastError,
    Run,
    Value,
    mapping,
    member,
    scalar,
)
from mistral_lite.expressions.functions import ExpressionFunction, Scope
from mistral_lite.expressions.limits import Guard

# The library has no types of its own.
YaqlNode = Any

# Functions whose result is a look-up: calling them twice, when the fast way is left, changes nothing.
_LOOKUPS = frozenset({"env", "execution", "task", "global"})
_METHODS: Mapping[str, Callable[..., Value]] = {**queries.METHODS, **texts.METHODS, **mappings.METHODS}
_FUNCTIONS: Mapping[str, Callable[..., Value]] = {**texts.FUNCTIONS, **mappings.FUNCTIONS}
# They take a moment whatever the data are; all others are watched.
_QUICK = frozenset(
    {*texts.METHODS, *texts.FUNCTIONS, "get", "keys", "values", "items", "containsKey", "len", "count"}
    | {"first", "last"}
) - {"join", "indexOf"}
_SEQUENCE_BYTES = 64

# Takes the evaluation, what `$` means, and the value before the dot.
_Access = Callable[[Run, Value, Value], Value]


def compile_fast(
    node: YaqlNode,
    functions: Mapping[str, ExpressionFunction],
    guard: Guard,
    converter: ConverterFactory,
) -> FastExpression | None:
    """Return what evaluates ``node`` directly, or None if only the library can.

    The library must have found that ``node`` stays small. ``functions`` are those of our own.
    """
    try:
        compiler = _Compiler(functions, has_lookups=_has_lookups(node, functions))
        code = compiler.compile(node)
    except (NotFastError, RecursionError):
        return None
    return FastExpression(
        code.evaluate, guard, converter, is_watched=compiler.has_loops, is_part=code.is_part
    )


class FastNode(expressions.Expression):
    """A node that the library evaluates like any other, but directly where the data allow it."""

    def __init__(self, original: YaqlNode, evaluate: Closure, run: Run) -> None:
        self.uses_receiver = False
        self._original = original
        self._evaluate = evaluate
        self._run = run

    def __call__(self, receiver: object, context: Any, engine: object) -> Any:
        try:
            return self._evaluate(self._run, context["$"])
        except NotFastError:
            return self._original(receiver, context, engine)

    def __str__(self) -> str:
        return str(self._original)


def accelerate(node: YaqlNode, guard: Guard) -> YaqlNode:
    """Return ``node`` with its simplest parts replaced by ``FastNode``; changes ``node``.

    It is for what ``compile_fast`` refused as a whole, above all the bodies of functions.
    """
    try:
        # Scalars are not accounted for, so one will do for all evaluations.
        return _accelerate(node, Run(guard, Scope({}, None)))
    except RecursionError:
        return node


def _accelerate(node: YaqlNode, run: Run) -> YaqlNode:
    kind = type(node)
    if kind is expressions.BinaryOperator or kind is expressions.UnaryOperator:
        with suppress(NotFastError):
            return FastNode(node, _ScalarCompiler().compile(node).evaluate, run)
    if isinstance(node, expressions.Function) and kind is not expressions.GetContextValue:
        node.args = tuple(_accelerate(arg, run) for arg in node.args)
    elif kind is expressions.Wrap:
        node.expr = _accelerate(node.expr, run)
    elif kind is expressions.MappingRuleExpression:
        node.source = _accelerate(node.source, run)
        node.destination = _accelerate(node.destination, run)
    return node


@dataclass(frozen=True, slots=True)
class _Code:
    """``is_part``: any number of such values is no larger than the data and what was accounted for."""

    evaluate: Closure
    is_part: bool = True


class _ScalarCompiler:
    """Compiles paths through mappings and operators on scalars, which are the same over the library's values."""

    def compile(self, node: YaqlNode) -> _Code:
        """Return the closure of ``node``. Raises ``NotFastError`` if there is none."""
        kind = type(node)
        if isinstance(node, expressions.Constant):
            value = node.value
            return _Code(lambda run, it: value, is_part=type(value) is not str)
        if kind is expressions.GetContextValue and node.path.value == "$":
            return _Code(_current)
        if kind is expressions.Wrap:
            return self.compile(node.expr)
        if kind is expressions.UnaryOperator:
            return self._unary(node.operator, self.compile(node.args[0]).evaluate)
        if kind is expressions.BinaryOperator:
            return self._binary(node.operator, *node.args)
        raise NotFastError

    def _unary(self, symbol: str, inner: Closure) -> _Code:
        if symbol != "not":
            raise NotFastError
        return _Code(lambda run, it: not inner(run, it))

    def _binary(self, symbol: str, left: YaqlNode, right: YaqlNode) -> _Code:
        if symbol in {".", "?."}:
            return self._dot(symbol, left, right)
        first, second = self.compile(left), self.compile(right)
        a, b = first.evaluate, second.evaluate
        is_part = first.is_part and second.is_part
        if symbol == "and":
            return _Code(lambda run, it: a(run, it) and b(run, it), is_part)
        if symbol == "or":
            return _Code(lambda run, it: a(run, it) or b(run, it), is_part)
        apply = self._operator(symbol)
        return _Code(lambda run, it: apply(run, a(run, it), b(run, it)), is_part or symbol in TRUTHS)

    def _operator(self, symbol: str) -> Operator:
        if symbol not in SCALAR_OPERATORS:
            raise NotFastError
        return SCALAR_OPERATORS[symbol]

    def _dot(self, symbol: str, left: YaqlNode, right: YaqlNode) -> _Code:
        if symbol != "." or type(right) is not expressions.KeywordConstant:
            raise NotFastError
        inner, key = self.compile(left).evaluate, right.value
        return _Code(lambda run, it: mapping(inner(run, it))[key])


class _Compiler(_ScalarCompiler):
    """Compiles expressions over plain data. For one expression."""

    def __init__(self, functions: Mapping[str, ExpressionFunction], *, has_lookups: bool) -> None:
        """``has_lookups``: lists may come from elsewhere than the data."""
        self.has_loops = False
        self._functions = functions
        self._has_lookups = has_lookups
        self._depth = 0

    def compile(self, node: YaqlNode) -> _Code:
        """Return the closure of ``node``. Raises ``NotFastError`` if there is none."""
        kind = type(node)
        if kind is expressions.Function:
            return self._function(node.name, node.args)
        if kind is expressions.IndexExpression and len(node.args) == 2:
            return self._index(node.args)
        if kind is expressions.ListExpression:
            return self._list(node.args)
        if kind is expressions.MapExpression:
            return self._map(node.args)
        return super().compile(node)

    def _unary(self, symbol: str, inner: Closure) -> _Code:
        if symbol == "-":
            return _Code(lambda run, it: negative(inner(run, it)))
        return super()._unary(symbol, inner)

    def _operator(self, symbol: str) -> Operator:
        if symbol == "+":
            return add if self._has_lookups else add_also_lists
        if symbol == "in":
            return is_in
        return super()._operator(symbol)

    def _dot(self, symbol: str, left: YaqlNode, right: YaqlNode) -> _Code:
        receiver = self.compile(left)
        inner = receiver.evaluate
        if inner is _current and symbol == "." and type(right) is expressions.KeywordConstant:
            return _member_of_current(right.value)
        access, is_part = self._access(right, receiver)
        if symbol == ".":
            return _Code(lambda run, it: access(run, it, inner(run, it)), is_part)

        def evaluate(run: Run, it: Value) -> Value:
            value = inner(run, it)
            return None if value is None else access(run, it, value)

        return _Code(evaluate, is_part)

    def _access(self, node: YaqlNode, receiver: _Code) -> tuple[_Access, bool]:
        """Return what follows a dot, and whether its result is a part."""
        kind = type(node)
        if kind is expressions.KeywordConstant:
            key = node.value
            return lambda run, it, value: member(value, key), receiver.is_part
        if kind is not expressions.Function:
            raise NotFastError
        if node.name in queries.WITH_BODY:
            return self._with_body(node, receiver)
        if node.name not in _METHODS:
            raise NotFastError
        self.has_loops |= node.name not in _QUICK
        call = _METHODS[node.name]
        args = [self.compile(arg) for arg in node.args]
        is_part = receiver.is_part and all(arg.is_part for arg in args)
        closures = [arg.evaluate for arg in args]
        if not closures:
            return lambda run, it, value: call(run, value), is_part
        return lambda run, it, value: call(run, value, *[arg(run, it) for arg in closures]), is_part

    def _with_body(self, node: YaqlNode, receiver: _Code) -> tuple[_Access, bool]:
        call = queries.WITH_BODY[node.name]
        self._depth += 1
        bodies = [self.compile(arg) for arg in node.args]
        self._depth -= 1
        self.has_loops = True
        closures = [body.evaluate for body in bodies]
        is_part = receiver.is_part and (node.name in queries.PICKING or all(body.is_part for body in bodies))
        return lambda run, it, value: call(run, value, *closures), is_part

    def _function(self, name: str, args: tuple[YaqlNode, ...]) -> _Code:
        if name in self._functions:
            return self._lookup(self._functions[name], args)
        if name == "switch":
            return self._switch(args)
        if name == "coalesce":
            return self._coalesce(args)
        if name == "dict" and args and type(args[0]) is expressions.MappingRuleExpression:
            return self._map(args)
        if name not in _FUNCTIONS:
            raise NotFastError
        self.has_loops |= name not in _QUICK
        call = _FUNCTIONS[name]
        codes = [self.compile(arg) for arg in args]
        closures = [code.evaluate for code in codes]
        is_part = all(code.is_part for code in codes)
        return _Code(lambda run, it: call(run, *[arg(run, it) for arg in closures]), is_part)

    def _lookup(self, function: ExpressionFunction, args: tuple[YaqlNode, ...]) -> _Code:
        is_known = function.name in _LOOKUPS and function.parameters is not None
        # Not in a loop: what is looked up may be large, and is not a part of what the loop goes over.
        if not is_known or self._depth or not all(isinstance(arg, expressions.Constant) for arg in args):
            raise NotFastError
        values = [arg.value for arg in args]
        return _Code(lambda run, it: function.invoke_within(run.guard, run.scope, values, {}))

    def _switch(self, args: tuple[YaqlNode, ...]) -> _Code:
        rules = [(self.compile(source), self.compile(result)) for source, result in map(_rule, args)]
        closures = [(source.evaluate, result.evaluate) for source, result in rules]

        def evaluate(run: Run, it: Value) -> Value:
            for source, result in closures:
                if source(run, it):
                    return result(run, it)
            return None

        return _Code(evaluate, all(result.is_part for _, result in rules))

    def _coalesce(self, args: tuple[YaqlNode, ...]) -> _Code:
        codes = [self.compile(arg) for arg in args]
        closures = [code.evaluate for code in codes]

        def evaluate(run: Run, it: Value) -> Value:
            values = (closure(run, it) for closure in closures)
            return next((value for value in values if value is not None), None)

        return _Code(evaluate, all(code.is_part for code in codes))

    def _index(self, args: tuple[YaqlNode, ...]) -> _Code:
        value, key = (self.compile(arg) for arg in args)
        a, b = value.evaluate, key.evaluate
        return _Code(lambda run, it: index(a(run, it), b(run, it)), value.is_part)

    def _list(self, args: tuple[YaqlNode, ...]) -> _Code:
        closures = [self.compile(arg).evaluate for arg in args]
        size = _SEQUENCE_BYTES + 8 * len(closures)

        def evaluate(run: Run, it: Value) -> Value:
            run.spend(size)
            return tuple([closure(run, it) for closure in closures])

        return _Code(evaluate, is_part=False)

    def _map(self, args: tuple[YaqlNode, ...]) -> _Code:
        closures = [
            (self.compile(key).evaluate, self.compile(value).evaluate) for key, value in map(_rule, args)
        ]

        def evaluate(run: Run, it: Value) -> Value:
            mappings.spend_mapping(run, len(closures))
            return ComputedMapping({scalar(key(run, it)): value(run, it) for key, value in closures})

        return _Code(evaluate, is_part=False)


def _current(_run: Run, it: Value) -> Value:
    # In the library each reader of an iterator would find what others have left.
    if type(it) is ListIterator:
        raise NotFastError
    return it


def _member_of_current(key: str) -> _Code:
    def evaluate(run: Run, it: Value) -> Value:
        return it[key] if type(it) is dict else member(_current(run, it), key)

    return _Code(evaluate)


def _rule(node: YaqlNode) -> tuple[YaqlNode, YaqlNode]:
    if type(node) is not expressions.MappingRuleExpression:
        raise NotFastError
    return node.source, node.destination


def _has_lookups(node: YaqlNode, functions: Collection[str]) -> bool:
    """Tell whether ``node`` calls functions of our own."""
    if isinstance(node, expressions.Wrap):
        return _has_lookups(node.expr, functions)
    if isinstance(node, expressions.MappingRuleExpression):
        return _has_lookups(node.source, functions) or _has_lookups(node.destination, functions)
    if not isinstance(node, expressions.Function):
        return False
    return node.name in functions or any(_has_lookups(arg, functions) for arg in node.args)
