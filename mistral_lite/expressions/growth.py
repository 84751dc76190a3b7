"""Which expressions may run in the thread of whoever asks, told from their syntax before anything is evaluated.

Owns two lists: what of YAQL and of Jinja2 gives results that are no larger than a small multiple of its
operands, and takes steps that Python counts. Whatever is not listed here is evaluated in a process of its own
(``containment.py``), which costs a fraction of a millisecond more and changes no result. So a name that is missing
here is a matter of speed, while one that does not belong here is a hole: with it a short text could build a
value that shares parts so often that the interpreter compares, hashes or prints it for ever in one call
that nothing can interrupt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from jinja2 import nodes
from yaql.language import expressions

# How many times larger than its data a result may become.
_MOST_GROWTH = 64


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_YAQL_SUMS = frozenset({"#list", "#map", "#operator_+"})
_YAQL_TRUTHS = frozenset(
    {"*equal", "*not_equal", "#operator_<", "#operator_<=", "#operator_>", "#operator_>=", "#operator_in"}
    | {"#operator_and", "#operator_or", "#unary_operator_not", "#operator_=~", "#operator_!~"}
)
_YAQL_FUNCTIONS = _names(
    """
    #get_context_data #indexer #operator_. #operator_?. #operator_- #operator_* #operator_/ #operator_mod
    #unary_operator_+ #unary_operator_- abs all any append bool characters coalesce concat contains containsKey
    containsValue count datetime defaultIfEmpty delete deleteAll dict difference distinct endsWith enumerate
    escapeRegex filter first flatten float get groupBy hex indexOf indexWhere insert insertMany int intersect
    isBoolean isDatetime isDict isEmpty isInteger isIterable isList isNumber isRegex isSet isString isTimespan
    items join keys last lastIndexOf lastIndexWhere len limit list map matches max min norm now orderBy
    orderByDescending random range regex remove replace reverse rightSplit round search searchAll select
    selectMany set sign single skip skipWhile slice sliceWhere split splitAt splitWhere startsWith str substring
    sum switch take takeWhile thenBy thenByDescending timespan toCharArray toDict toList toLower toSet toUpper
    trim trimLeft trimRight union utctz values where zip zipLongest
    """
)

_JINJA_NODES = (
    *(
        nodes.Template,
        nodes.Output,
        nodes.TemplateData,
        nodes.Name,
        nodes.Const,
        nodes.CondExpr,
        nodes.Filter,
    ),
    *(nodes.Test, nodes.Call, nodes.Getitem, nodes.Getattr, nodes.Slice, nodes.Compare, nodes.Operand),
    *(nodes.Keyword, nodes.If, nodes.For, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Sub),
    *(nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow),
)
_JINJA_SUMS = (nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Add, nodes.Concat)
_JINJA_FILTERS = _names(
    """
    abs batch capitalize center count d default dictsort e escape first float format groupby indent int items
    join last length list lower map max min random reject rejectattr replace reverse round safe select
    selectattr slice sort string title tojson trim truncate unique upper wordcount
    """
)
_JINJA_METHODS = _names(
    """
    capitalize count endswith find format get index isalnum isalpha isdigit islower isupper items join keys
    lower lstrip removeprefix removesuffix replace rfind rsplit rstrip split splitlines startswith strip title
    upper values
    """
)
_JINJA_GLOBALS = frozenset({"range", "dict"})


class _MayGrowError(Exception):
    """The expression holds something that is not listed."""


def yaql_stays_small(node: Any, functions: Collection[str]) -> bool:
    """Tell whether a parsed YAQL expression is on the list; ``functions`` are those of our own."""
    return _is_small(lambda: _yaql_growth(node, functions))


def jinja_stays_small(template: nodes.Template, functions: Collection[str]) -> bool:
    """Tell whether a parsed Jinja2 text is on the list; ``functions`` are those of our own."""
    return _is_small(lambda: _jinja_growth(template, functions))


def _is_small(measure: Callable[[], int]) -> bool:
    try:
        return measure() <= _MOST_GROWTH
    except (_MayGrowError, RecursionError):
        return False


def _yaql_growth(node: Any, functions: Collection[str]) -> int:
    """Return how many times larger than its data the value of ``node`` may be."""
    if isinstance(node, expressions.Constant):
        return 1
    if isinstance(node, expressions.Wrap):
        return _yaql_growth(node.expr, functions)
    if isinstance(node, expressions.MappingRuleExpression):
        return _yaql_growth(node.source, functions) + _yaql_growth(node.destination, functions)
    if isinstance(node, expressions.Statement):
        return _yaql_growth(node.expression, functions)
    if not isinstance(node, expressions.Function):
        raise _MayGrowError
    parts = [_yaql_growth(argument, functions) for argument in node.args]
    if node.name in _YAQL_SUMS:
        return max(1, sum(parts))
    if node.name in _YAQL_TRUTHS:
        return 1
    if node.name in _YAQL_FUNCTIONS or node.name in functions:
        return _product(parts)
    raise _MayGrowError


def _jinja_growth(node: nodes.Node, functions: Collection[str]) -> int:
    parts = [_jinja_growth(child, functions) for child in node.iter_child_nodes()]
    if isinstance(node, _JINJA_SUMS):
        return max(1, sum(parts))
    if not isinstance(node, _JINJA_NODES) or not _is_listed(node, functions):
        raise _MayGrowError
    # What is put out becomes text, whose size is counted as it is made.
    return max(parts, default=1) if isinstance(node, (nodes.Template, nodes.Output)) else _product(parts)


def _is_listed(node: nodes.Node, functions: Collection[str]) -> bool:
    if isinstance(node, nodes.Filter):
        return (node.name in _JINJA_FILTERS or node.name in functions) and _names_listed(node)
    if isinstance(node, nodes.For):
        return not node.recursive
    if not isinstance(node, nodes.Call):
        return True
    called = node.node
    if isinstance(called, nodes.Getattr):
        return called.attr in _JINJA_METHODS
    return isinstance(called, nodes.Name) and (called.name in _JINJA_GLOBALS or called.name in functions)


def _names_listed(node: nodes.Filter) -> bool:
    """Tell whether the filter that ``map`` is to apply is listed, too."""
    if node.name != "map" or not node.args:
        return True
    first = node.args[0]
    return isinstance(first, nodes.Const) and first.value in _JINJA_FILTERS - {"map"}


def _product(parts: list[int]) -> int:
    result = 1
    for part in parts:
        result *= part
        if result > _MOST_GROWTH:
            raise _MayGrowError
    return result
