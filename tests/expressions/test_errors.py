"""How expressions fail: every failure is an EvaluationError that names the expression and never the data."""

from __future__ import annotations

from typing import Any

import pytest

from mistral_lite.errors import EvaluationError
from mistral_lite.expressions import Evaluator, ExpressionSettings

SECRET = "hunter2"
DATA: dict[str, Any] = {
    "n": 1,
    "l": [1],
    "z": None,
    "s": SECRET,
    "d": {"k": SECRET},
    "ll": [{"a": 1, "b": SECRET}, {"a": 2}],
}


def boom(_context: object, kind: str) -> None:
    errors: dict[str, Exception] = {
        "value": ValueError(f"bad value '{SECRET}'"),
        "attribute": AttributeError("no such attribute"),
        "memory": MemoryError(),
        "recursion": RecursionError(),
        "key": KeyError(SECRET),
        "nameless": RuntimeError(),
        "long": RuntimeError("x" * 10_000),
    }
    raise errors[kind]


EVALUATOR = Evaluator(ExpressionSettings(), {"boom": boom})

YAQL = [
    ("$.nope", "'nope'"),
    ("$.d.nope", "'nope'"),
    ("$.d[nope]", "'nope'"),
    ("$.d[$.s]", "the mapping has no such key"),
    ("$.ll.b", "'b'"),
    ("$.nope?.x", "'nope'"),
    ("$.n.x", 'Unknown function "#property#x"'),
    ("$.z.x", 'Unknown function "#property#x"'),
    ("$.l.x", 'Unknown function "#property#x"'),
    ("task(x).result", 'Unknown function "#property#result"'),
    ("foo()", 'Unknown function "foo"'),
    ("$.foo()", 'Unknown method "foo"'),
    ("$.s.foo()", 'Unknown method "foo"'),
    ("$.s.json_dump()", 'Unknown method "json_dump"'),
    ("$.s.format(1)", 'No method "format" matches supplied arguments'),
    ("$.s + 1", 'No function "#operator_+" matches supplied arguments'),
    ("$.s > 1", 'No function "#operator_>" matches supplied arguments'),
    ("$.s[0]", 'No function "#indexer" matches supplied arguments'),
    ("$.l[5]", "tuple index out of range"),
    ("1/0", "integer division or modulo by zero"),
    ("int($.s)", "invalid literal for int() with base 10: '***'"),
    ("int('zz')", "invalid literal for int() with base 10: 'zz'"),
    ("[].first()", "the collection has no element to take; give a default"),
    ("[1, 2].single()", "Collection contains more than one item"),
    ("$.d.items()", None),
    ("[set([1])]", "unhashable type: 'list'"),
    ("{[1] => 1}", "unhashable type: 'list'"),
    ("json_parse('{')", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ("json_parse($.s)", "Expecting value: line 1 column 1 (char 0)"),
    ("json_parse(1)", "json_parse() reads a text, not a value of type 'int'"),
    ("yaml_parse('a: [')", None),
    ("json_dump()", "json_dump() needs the argument 'data'"),
    ("json_dump(1, 2)", "json_dump() takes at most 1 arguments, 2 are given"),
    ("json_dump(1, other => 2)", "json_dump() has no argument 'other', or it is given twice"),
    ("timespan(hours => 1)", None),
    ("let(a => 1)", None),
    ("$.l.assert(false, 'my message')", "my message"),
    ("boom(value)", "bad value '***'"),
    ("boom(attribute)", "no such attribute"),
    ("boom(memory)", "not enough memory"),
    ("boom(recursion)", "it is nested too deeply"),
    ("boom(key)", "the mapping has no such key"),
    ("boom(nameless)", "RuntimeError"),
    ("boom(long)", "x" * 500 + "…"),
]

JINJA = [
    ("_.nope", "'dict object' has no attribute 'nope'"),
    ("_.d.nope", "'dict object' has no attribute 'nope'"),
    ("_.nope.x", "'dict object' has no attribute 'nope'"),
    ("[_.nope]", "'dict object' has no attribute 'nope'"),
    ("_.d[_.s]", "'dict object' has no attribute '***'"),
    ("_.s.x", "'str object' has no attribute 'x'"),
    ("_.z.x", "'None' has no attribute 'x'"),
    ("_.l[5]", "list object has no element 5"),
    ("nope", "'nope' is undefined"),
    ("now()", "'now' is undefined"),
    ("1/0", "division by zero"),
    ("_.s + 1", 'can only concatenate str (not "int") to str'),
    ("_.n | nofilter", "No filter named 'nofilter'."),
    ("1, 2", "chunk after expression"),
    ("[] | first", "No first item, sequence was empty."),
    ("_.d | json_dump", "json_dump() needs the argument 'data'"),
    ("_.__class__", "access to attribute '__class__' of 'dict' object is unsafe."),
    ("''.__class__", "access to attribute '__class__' of 'str' object is unsafe."),
    ("_.l['app' ~ 'end'](1)", None),
    ("range(1000000)", None),
    ("namespace(a=1)", None),
    ("lipsum", None),
    ("boom('value')", "bad value '***'"),
    ("boom('memory')", "not enough memory"),
]


@pytest.mark.parametrize(("body", "cause"), YAQL)
def test_yaql_errors(view: Any, body: str, cause: str | None) -> None:
    check(view, f"<% {body} %>", "YAQL", body, cause)


@pytest.mark.parametrize(("body", "cause"), JINJA)
def test_jinja_errors(view: Any, body: str, cause: str | None) -> None:
    text = "{{ " + body + " }}"
    check(view, text, "Jinja", text, cause)


def check(view: Any, text: str, language: str, shown: str, cause: str | None) -> None:
    with pytest.raises(EvaluationError) as caught:
        EVALUATOR.evaluate(text, DATA | {"d2": {"a": [SECRET]}}, view)
    message = str(caught.value)
    assert SECRET not in message
    start = f"Can not evaluate {language} expression [expression={shown}, error="
    assert message.startswith(start)
    if cause is not None:
        assert message == f"{start}{cause}]"


def test_bare_items_of_a_mapping_with_lists_fail_as_users_know_it() -> None:
    with pytest.raises(EvaluationError, match="unhashable type: 'list'"):
        EVALUATOR.evaluate("<% $.d.items() %>", DATA, None)


@pytest.mark.parametrize("call", ["env()", "execution()", "task()", "tasks()", "global(a)", "uuid()"])
def test_functions_need_an_execution(call: str) -> None:
    with pytest.raises(EvaluationError, match="not available here: there is no workflow execution"):
        EVALUATOR.evaluate(f"<% {call} %>", DATA, None)


def test_a_value_nested_too_deeply_is_an_error() -> None:
    value: Any = "<% 1 %>"
    for _ in range(5000):
        value = [value]
    with pytest.raises(EvaluationError, match="nested too deeply"):
        EVALUATOR.evaluate(value, DATA, None)


# The direct way must differ from the library in nothing; a memory quota switches it off.
LIBRARY = Evaluator(ExpressionSettings(memory_quota_bytes=1_000_000_000))
OPERANDS = ["$.i", "$.f", "$.s", "$.t", "$.z", "$.l", "$.d", "$", "$.m", "x", "2", "$.d.k", "task(t).state"]
OPERATORS = ["=", "!=", "<", ">=", "and", "or", "+", "-"]
VALUES: dict[str, Any] = {"i": 2, "f": 2.0, "s": "x", "t": True, "z": None, "l": [{"k": 1}], "d": {"k": "x"}}


def outcome(evaluator: Evaluator, text: str, view: Any) -> tuple[str, object]:
    try:
        result = evaluator.evaluate(text, VALUES, view)
    except EvaluationError as error:
        return "error", str(error)
    return type(result).__name__, result


@pytest.mark.parametrize("left", OPERANDS)
@pytest.mark.parametrize("symbol", OPERATORS)
def test_the_direct_way_equals_the_library(view: Any, left: str, symbol: str) -> None:
    for right in OPERANDS:
        for text in (f"<% {left} {symbol} {right} %>", f"a <% [1].select(not ({left} {symbol} {right})) %>"):
            assert outcome(EVALUATOR, text, view) == outcome(LIBRARY, text, view)


@pytest.mark.parametrize("body", ["$.k", "$.k.j", "$.l.k", "$.d.k", "$.d.k.j", "task(t).result.a", "$.len()"])
def test_direct_paths_equal_the_library(view: Any, body: str) -> None:
    for text in (f"<% {body} %>", f"a <% {body} %>", f"<% [$, $.d].select({body}) %>"):
        assert outcome(EVALUATOR, text, view) == outcome(LIBRARY, text, view)
