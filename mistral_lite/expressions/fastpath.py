"""A direct way through the commonest YAQL expressions: paths, calls of our functions, plain comparisons.

Owns nothing of its own meaning: for every expression and all data it gives what the library gives, or raises
``NotFastError`` and leaves the case to the library. It works on the plain data: nothing is wrapped or copied.
Everything here takes time linear in the text of the expression, so nothing needs watching.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from yaql.language import expressions

from mistral_lite.expressions.functions import ExpressionFunction, Scope
from mistral_lite.jsontext import JsonValue

FastExpression = Callable[[Scope], JsonValue]
# The library has no types of its own.
YaqlNode = Any

_SCALARS = frozenset({str, int, float, bool, type(None)})
_NUMBERS = frozenset({int, float})
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ARITHMETIC = {"+": operator.add, "-": operator.sub}
_EQUALITY = {"=": operator.eq, "!=": operator.ne}
# Functions whose result is a look-up: calling them twice, when the fast way is left, changes nothing.
_LOOKUPS = frozenset({"env", "execution", "task", "global"})


class NotFastError(Exception):
    """This expression, or these data, are for the library."""


def compile_fast(node: YaqlNode, functions: Mapping[str, ExpressionFunction]) -> FastExpression | None:
    """Return a function that evaluates ``node`` directly, or None if only the library can."""
    evaluate = _try_compile(node, functions)
    if evaluate is None:
        return None

    def whole(scope: Scope) -> JsonValue:
        value = evaluate(scope)
        # Data are plain already and are shared, but the context itself is an overlay.
        return dict(value) if value is scope.context and isinstance(value, Mapping) else value

    return whole


class FastNode(expressions.Expression):
    """A node that the library evaluates like any other, but directly where the data allow it."""

    def __init__(self, original: YaqlNode, fast: FastExpression) -> None:
        self.uses_receiver = False
        self._original = original
        self._fast = fast

    def __call__(self, receiver: object, context: Any, engine: object) -> Any:
        try:
            return self._fast(Scope(context["$"], None))
        except NotFastError:
            return self._original(receiver, context, engine)

    def __str__(self) -> str:
        return str(self._original)


def accelerate(node: YaqlNode) -> YaqlNode:
    """Return ``node`` with its simple parts replaced by ``FastNode``; changes ``node``.

    It is for what ``compile_fast`` refused as a whole, above all the bodies of ``where`` and ``select``.
    """
    try:
        return _accelerate(node)
    except RecursionError:
        return node


def _accelerate(node: YaqlNode) -> YaqlNode:
    kind = type(node)
    if kind is expressions.BinaryOperator or kind is expressions.UnaryOperator:
        fast = _try_compile(node, {})
        if fast is not None:
            return FastNode(node, fast)
    if isinstance(node, expressions.Function) and kind is not expressions.GetContextValue:
        node.args = tuple(_accelerate(arg) for arg in node.args)
    elif kind is expressions.Wrap:
        node.expr = _accelerate(node.expr)
    elif kind is expressions.MappingRuleExpression:
        node.source = _accelerate(node.source)
        node.destination = _accelerate(node.destination)
    return node


def _try_compile(node: YaqlNode, functions: Mapping[str, ExpressionFunction]) -> FastExpression | None:
    try:
        return _compile(node, functions)
    except (NotFastError, RecursionError):
        return None


def _compile(node: YaqlNode, functions: Mapping[str, ExpressionFunction]) -> FastExpression:
    kind = type(node)
    if kind is expressions.Constant or kind is expressions.KeywordConstant:
        value = node.value
        return lambda scope: value
    if kind is expressions.GetContextValue and node.path.value == "$":
        return lambda scope: scope.context
    if kind is expressions.Wrap:
        return _compile(node.expr, functions)
    if kind is expressions.BinaryOperator:
        return _compile_binary(node, functions)
    if kind is expressions.UnaryOperator and node.operator == "not":
        inner = _compile(node.args[0], functions)
        return lambda scope: not inner(scope)
    if kind is expressions.Function and node.name in _LOOKUPS and node.name in functions:
        return _compile_call(node, functions)
    raise NotFastError


def _compile_binary(node: YaqlNode, functions: Mapping[str, ExpressionFunction]) -> FastExpression:
    symbol = node.operator
    left = _compile(node.args[0], functions)
    if symbol == ".":
        if type(node.args[1]) is not expressions.KeywordConstant:
            raise NotFastError
        return _member(left, node.args[1].value)
    right = _compile(node.args[1], functions)
    _refuse_unfit_constants(symbol, node.args)
    if symbol == "and":
        return lambda scope: left(scope) and right(scope)
    if symbol == "or":
        return lambda scope: left(scope) or right(scope)
    if symbol in _EQUALITY:
        return _equality(_EQUALITY[symbol], left, right)
    if symbol in _ORDER:
        return _comparison(_ORDER[symbol], left, right)
    if symbol in _ARITHMETIC:
        return _arithmetic(_ARITHMETIC[symbol], left, right)
    raise NotFastError


def _refuse_unfit_constants(symbol: str, operands: tuple[YaqlNode, ...]) -> None:
    # The library looks at the types of constants before it evaluates anything, so it fails for another reason.
    fit = _NUMBERS if symbol in _ARITHMETIC else _NUMBERS | {str}
    if symbol in _ARITHMETIC or symbol in _ORDER:
        for operand in operands:
            if isinstance(operand, expressions.Constant) and type(operand.value) not in fit:
                raise NotFastError


def _member(left: FastExpression, key: str) -> FastExpression:
    def evaluate(scope: Scope) -> JsonValue:
        value = left(scope)
        # A dot on a collection maps over it, on anything else it fails in the library's words.
        if not isinstance(value, Mapping):
            raise NotFastError
        return value[key]

    return evaluate


def _equality(
    compare: Callable[[object, object], bool], left: FastExpression, right: FastExpression
) -> FastExpression:
    def evaluate(scope: Scope) -> JsonValue:
        a, b = left(scope), right(scope)
        if type(a) not in _SCALARS or type(b) not in _SCALARS:
            raise NotFastError
        return compare(a, b)

    return evaluate


def _comparison(
    compare: Callable[[Any, Any], bool], left: FastExpression, right: FastExpression
) -> FastExpression:
    def evaluate(scope: Scope) -> JsonValue:
        a, b = left(scope), right(scope)
        if (type(a) in _NUMBERS and type(b) in _NUMBERS) or (type(a) is str and type(b) is str):
            return compare(a, b)
        raise NotFastError

    return evaluate


def _arithmetic(
    compute: Callable[[Any, Any], JsonValue], left: FastExpression, right: FastExpression
) -> FastExpression:
    def evaluate(scope: Scope) -> JsonValue:
        a, b = left(scope), right(scope)
        if type(a) in _NUMBERS and type(b) in _NUMBERS:
            return compute(a, b)
        raise NotFastError

    return evaluate


def _compile_call(node: YaqlNode, functions: Mapping[str, ExpressionFunction]) -> FastExpression:
    function = functions[node.name]
    if function.parameters is None or not all(isinstance(arg, expressions.Constant) for arg in node.args):
        raise NotFastError
    args = [arg.value for arg in node.args]
    return lambda scope: function.invoke(scope, args, {})
