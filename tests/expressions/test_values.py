"""What expressions return: detection, typing, both languages, functions. Confirmed on the reference."""

from __future__ import annotations

from typing import Any

import immutables
import pytest

from mistral_lite.errors import EvaluationError, ExpressionSyntaxError, InputError, UnavailableError
from mistral_lite.expressions import Evaluator, ExpressionSettings, LayeredContext

DATA: dict[str, Any] = {
    "n": 3,
    "l": [1],
    "z": None,
    "s": "abc",
    "t": True,
    "f": 1.5,
    "d": {"k": "v", "n": {"m": [1, 2]}},
    "ll": [{"a": 1, "b": "x"}, {"a": 2}],
    "big": [3, 1, 2],
    "layers": "no attribute",
}
CONTEXT = LayeredContext([immutables.Map({"n": 3, "l": [1]}), {"n": 99}, DATA])
EVALUATOR = Evaluator(ExpressionSettings(), {"shout_": lambda context, text: f"{text}!{context['n']}"})

# Text, result. Source: language reference 14.3 and 20.5.
WHOLE_OR_MIXED = [
    ("<% $.n %>", 3),
    ("<%$.n%>", 3),
    ("<%% $.n %%>", 3),
    ("<% $.n %> ", "3 "),
    (" <% $.n %>", " 3"),
    ("<% $.n %>\n", "3\n"),
    ("v<% $.n %>", "v3"),
    ("<% $.l %>", [1]),
    ("<% $.l %>!", "[1]!"),
    ("<% $.z %>", None),
    ("x<% $.z %>", "xNone"),
    ("x<% $.t %>", "xTrue"),
    ("x<% $.d %>", "x{'k': 'v', 'n': {'m': [1, 2]}}"),
    ("<% $.l[0] %> and <% $.l[0] %>", "1 and 1"),
    ("<% '<%' %>", "<%"),
    ("<% '$.n' %><% $.n %>", "$.n3"),
    ("<% $.a +\n $.b %>", "<% $.a +\n $.b %>"),
    ("<% $.a", "<% $.a"),
    ("{{ _.n }}", 3),
    ("{{_.n}}", 3),
    ("{{ _.n + 1 }}", 4),
    ("{{ _.n }}{{ _.n }}", "33"),
    ("{{ _.n }}\n", "3"),
    ("{{ _.n }} ", "3 "),
    ("{{ _.d }}\n\n", "{'k': 'v', 'n': {'m': [1, 2]}}\n"),
    ("x{{ _.z }}", "xNone"),
    ("{{ {'a': 1} }}", {"a": 1}),
    ("{{ {'a': {'b': 1}} }}", "{'a': {'b': 1}}"),
    ("{% for i in _.l %}{{ i }};{% endfor %}", "1;"),
    ("{% for i in _.l %}\n  {{ i }}\n{% endfor %}", "  1\n"),
    ("{% if true %}a{% endif %}", "a"),
    ("{%- if true -%} a {%- endif -%}", "a"),
    ("{# c #}", "{# c #}"),
    ("{{ _.n }", "{{ _.n }"),
    ("{{ 1 }} <% 2 %>", "1 <% 2 %>"),
    ("plain", "plain"),
]

YAQL = [
    ("$.d.n.m", [1, 2]),
    ("$.ll.a", [1, 2]),
    ("$.get(q)", None),
    ("$.get(q, 7)", 7),
    ("$.d[k]", "v"),
    ("$.d[nope, 1]", 1),
    ("$.z?.x", None),
    ("$.d?.k", "v"),
    ("5/2", 2),
    ("5.0/2", 2.5),
    ("$.n mod 2", 1),
    ("$.n - 1", 2),
    ("$.n + $.f", 4.5),
    ("$.n > 2 and $.s = abc", True),
    ("$.z or $.l", [1]),
    ("not $.z", True),
    ("$.n != 3", False),
    ("null > 1", False),
    ("$.l = [1]", True),
    ("$.d = {k => v, n => {m => [1, 2]}}", True),
    ("$.l + [2]", [1, 2]),
    ("($.l + [2])[1]", 2),
    ("$.d + {z => 1}", {"k": "v", "n": {"m": [1, 2]}, "z": 1}),
    ("range(3)", [0, 1, 2]),
    ("set(1, 2)", [1, 2]),
    ("{a => set(1)}", {"a": [1]}),
    ("{1 => 2}", {"1": 2}),
    ("{null => 1}", {"null": 1}),
    ("$.ll.toDict($.a, $.get(b))", {"1": "x", "2": None}),
    ("$.d.values()", ["v", {"m": [1, 2]}]),
    ("$.d.items().toList()", [["k", "v"], ["n", {"m": [1, 2]}]]),
    ("$.d.items().select($[0])", ["k", "n"]),
    ("k in $.d.keys()", True),
    ("$.ll.where($.a > 1)", [{"a": 2}]),
    ("$.ll.where($.get(b) != null).a", [1]),
    ("$.ll.select({x => $.a + 1})", [{"x": 2}, {"x": 3}]),
    ("$.ll.groupBy($.a)", [[1, [{"a": 1, "b": "x"}]], [2, [{"a": 2}]]]),
    ("$.ll.distinct()", [{"a": 1, "b": "x"}, {"a": 2}]),
    ("$.big.orderBy($)", [1, 2, 3]),
    ("$.big.select($ * 2)", [6, 2, 4]),
    ("switch($.n > 2 => a, true => b)", "a"),
    ("coalesce(null, 1)", 1),
    ("let(x => 1) -> $x + $.n", 4),
    ("def(f, $ + 1) -> f(2)", 3),
    ("def('#operator_>', same) -> 1 > 2", "same"),
    ("str($.d)", "{'k': 'v', 'n': {'m': (1, 2)}}"),
    ("str(true)", "true"),
    ("','.join([a, 1, true, null])", "a,1,true,null"),
    ("'aXbX'.replace(X, '--')", "a--b--"),
    ("$.s =~ 'a.*'", True),
    ("regex('b').replace($.s, B)", "aBc"),
    ("'x' * 3", "xxx"),
    ("3 * [1]", [1, 1, 1]),
    ("pow(2, 10)", 1024),
    ("10000000000000000000000", 10000000000000000000000),
    ("datetime(2020, 1, 1)", "2020-01-01T00:00:00.000000"),
    ("now().format('%Y').len()", 4),
    ("json_parse('[1, 2]') = [1, 2]", False),
    ("json_parse('[{\"a\": 1}]').a", [1]),
    ("$.layers", "no attribute"),
]

JINJA = [
    ("_['d']['k']", "v"),
    ("_.layers", "no attribute"),
    ("_.d.k.upper()", "V"),
    ("_.d.items()", [["k", "v"], ["n", {"m": [1, 2]}]]),
    ("_.d.keys()", ["k", "n"]),
    ("_.l | map('string')", ["1"]),
    ("_.ll | selectattr('b', 'defined') | list", [{"a": 1, "b": "x"}]),
    ("'a' if false", None),
    ("['a' if false]", [None]),
    ("(1, 2)", [1, 2]),
    ("range(3)", [0, 1, 2]),
    ("'<a>' | escape", "&lt;a&gt;"),
    ("_.nope is defined", False),
    ("_.nope | default(5)", 5),
    ("_.d is mapping", True),
    ("_.d | tojson", '{"k": "v", "n": {"m": [1, 2]}}'),
    ("'%s' % _.n", "3"),
    ("'a' ~ 1", "a1"),
    ("2 ** 3", 8),
    ("'{:>3}'.format(_.n)", "  3"),
    ("_.big | sort | join(',')", "1,2,3"),
    ("'ab'.replace('a', 'x')", "xb"),
    ("_.l.append(2)", None),
]


@pytest.mark.parametrize(("text", "expected"), WHOLE_OR_MIXED)
def test_whole_expressions_keep_their_type(text: str, expected: object) -> None:
    assert_same(EVALUATOR.evaluate(text, CONTEXT, None), expected)


@pytest.mark.parametrize(("body", "expected"), YAQL)
def test_yaql(body: str, expected: object) -> None:
    assert_same(EVALUATOR.evaluate(f"<% {body} %>", CONTEXT, None), expected)


@pytest.mark.parametrize(("body", "expected"), JINJA)
def test_jinja(body: str, expected: object) -> None:
    assert_same(EVALUATOR.evaluate(f"{{{{ {body} }}}}", CONTEXT, None), expected)
    assert DATA["l"] == [1], "an expression changed the data"


def assert_same(result: object, expected: object) -> None:
    assert (result, type(result)) == (expected, type(expected))


def test_a_set_and_a_date_in_a_text_look_as_python_shows_them() -> None:
    text = "<% set(1, 2) %> <% datetime(2020, 1, 1) %>"
    assert EVALUATOR.evaluate(text, CONTEXT, None) == "{1, 2} 2020-01-01 00:00:00+00:00"


@pytest.mark.parametrize("text", ["<% $ %>", "{{ _ }}"])
def test_the_whole_context_is_a_plain_mapping_of_visible_values(text: str) -> None:
    result = EVALUATOR.evaluate(text, CONTEXT, None)
    assert type(result) is dict
    assert result == DATA


def test_a_local_list_may_be_collected_without_touching_the_data() -> None:
    text = "{% set x = _.big %}{% for i in _.l %}{% set _i = x.append(i) %}{% endfor %}{{ x }}"
    assert EVALUATOR.evaluate(text, CONTEXT, None) == "[3, 1, 2, 1]"
    assert DATA["big"] == [3, 1, 2]


def test_structures_are_walked_but_neither_keys_nor_results() -> None:
    value = {"<% $.n %>": ["<% $.n %>", {"a": ("{{ _.n }}", 1, None)}], "text": "<% $.e %>"}
    result = EVALUATOR.evaluate(value, {"n": 3, "e": "<% $.n %>"}, None)
    assert result == {"<% $.n %>": [3, {"a": [3, 1, None]}], "text": "<% $.n %>"}


@pytest.mark.parametrize(
    ("text", "result", "expected"),
    [
        ("<% $ %>", "abc", "abc"),
        ("<% $ %>!", 5, "5!"),
        ("<% $ * 2 %>", 5, 10),
        ("<% $.where($ > 1) %>", [1, 2], [2]),
        ("<% $.name %>", [{"name": "a"}], ["a"]),
        ("<% $ %>", [1, {"a": 2}], [1, {"a": 2}]),
        ("<% $ = null %>", None, True),
        ("was <% $ %>", None, "was None"),
        ("<% $ %>", {}, {}),
        ("<% len($) %>", [], 0),
        ("{{ _ }}", "abc", "abc"),
        ("{{ _ + 1 }}", 5, 6),
        ("{{ _ | join('-') }}", [1, 2], "1-2"),
        ("{{ _[0].name }}", [{"name": "a"}], "a"),
        ("{{ _ }}", [1], [1]),
        ("{{ _ }}!", None, "None!"),
        ("{{ _ }}", {}, {}),
    ],
)
def test_the_output_of_an_adhoc_action_sees_any_result(text: str, result: object, expected: object) -> None:
    assert EVALUATOR.evaluate(text, result, None) == expected


def test_an_empty_context_is_evaluated_over_like_any_other() -> None:
    value = {"a": ["<% 1 %>"]}
    assert EVALUATOR.evaluate(value, LayeredContext([{}]), None) == {"a": [1]}


FUNCTIONS = [
    ("env().k", "env().k", "env value"),
    ("execution().name", "execution().name", "wf"),
    ("execution().input.ll.a", "execution().input.ll | map(attribute='a')", [1, 2]),
    ("task().name", "task().name", "t"),
    ("task(other).state", "task('other').state", "ERROR"),
    ("task(name => other).state", "task(name='other').state", "ERROR"),
    ("task(taskName => other).state", "task(task_name='other').state", "ERROR"),
    ("task(unknown)", "task('unknown')", None),
    ("task(t).result.a", "task('t').result.a", [1, 2]),
    ("tasks().select($.name)", "tasks() | map(attribute='name')", ["t", "other"]),
    ("executions().select($.id)", "executions() | map(attribute='id')", ["e1"]),
    ("global(g)", "global('g')", [1]),
    ("global(varName => none_such)", "global(var_name='none_such')", None),
    ("uuid().len()", "uuid() | length", 36),
    ("json_dump({a => [1]})", "json_dump({'a': [1]})", '{\n    "a": [\n        1\n    ]\n}'),
    ("json_dump(set(1))", "json_dump((1,))", "[\n    1\n]"),
    ("json_pp(data => 1)", "json_pp(data=1)", "1"),
    ("json_parse('[1]')", "json_parse('[1]')", [1]),
    ("yaml_dump({b => 1, a => [x]})", "yaml_dump({'b': 1, 'a': ['x']})", "a:\n- x\nb: 1\n"),
    ("yaml_parse('a: &x 1')", "yaml_parse('a: &x 1')", {"a": "&x 1"}),
    ("yaml_parse('a: [1]')", "yaml_parse(data='a: [1]')", {"a": [1]}),
    ("shout($.s)", "shout(_.s)", "abc!3"),
    ("1 + task(t).result.a[0]", "1 + task('t').result.a[0]", 2),
]


@pytest.mark.parametrize(("yaql", "jinja", "expected"), FUNCTIONS)
def test_functions_are_the_same_in_both_languages(view: Any, yaql: str, jinja: str, expected: object) -> None:
    assert EVALUATOR.evaluate(f"<% {yaql} %>", CONTEXT, view) == expected
    text = "{{ " + jinja + " }}"
    assert EVALUATOR.evaluate([text], CONTEXT, view) == [expected]


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("<% executions(state => ERROR) %>", {"state": "ERROR"}),
        ("{{ executions('i', from_time='t') }}", {"id": "i", "from_time": "t"}),
        ("<% tasks() %>", {"recursive": False, "flat": False}),
        (
            "<% tasks(w, true, ERROR, flat => true) %>",
            {"workflow_execution_id": "w", "recursive": True, "state": "ERROR", "flat": True},
        ),
        (
            "<% tasks(workflowExecutionId => w) %>",
            {"workflow_execution_id": "w", "recursive": False, "flat": False},
        ),
    ],
)
def test_filters_reach_the_view(view: Any, text: str, filters: dict[str, Any]) -> None:
    EVALUATOR.evaluate(text, CONTEXT, view)
    assert view.filters == [filters]


def test_functions_are_filters_of_the_context(view: Any) -> None:
    assert EVALUATOR.evaluate("{{ (_|task('other')).state }}", CONTEXT, view) == "ERROR"


def test_uuid_twice_in_one_yaql_text_is_evaluated_once() -> None:
    calls = iter(range(9))
    evaluator = Evaluator(ExpressionSettings(), {"count": lambda _: next(calls)})
    assert evaluator.evaluate("<% count() %> <% count() %>", {"a": 1}, None) == "0 0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<% %>", "Parse error: unexpected end of statement"),
        ("a<%%>b", "Parse error: unexpected end of statement"),
        ("<% <$.n> %>", "Parse error: unexpected '<' at position 1 of expression ' <$.n> '"),
        ("<% ^ %>", "Lexical error: illegal character '^' at position 1"),
        ("<% 'a%>b' %>", "Lexical error: illegal character ''' at position 1"),
        ("<% 1 %> <% foo( %>", "Parse error: unexpected end of statement"),
        ("{{ _. }}", "Syntax error 'expected name or number'."),
        ("{% if %}", "Syntax error 'Expected an expression, got 'end of statement block''."),
        ("{{ 1 }} <% 2 %>", "Mixing expression types in a single line is not allowed."),
    ],
)
def test_syntax_is_checked(text: str, message: str) -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        EVALUATOR.check_syntax(text)
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize(
    "text", ["plain", "<% $.a", "<% nosuch($.x) %>", "{{ _.n | nofilter }}", "{{ 1, 2 }}"]
)
def test_only_syntax_is_checked(text: str) -> None:
    EVALUATOR.check_syntax(text)


@pytest.mark.parametrize(("allowed", "text"), [(("yaql",), "{{ 1 }}"), (("jinja",), "<% 1 %>")])
def test_a_language_can_be_disabled(allowed: tuple[str, ...], text: str) -> None:
    evaluator = Evaluator(ExpressionSettings(allowed_languages=allowed))
    assert evaluator.is_expression(text)
    with pytest.raises(ExpressionSyntaxError, match="disabled by the operator"):
        evaluator.check_syntax(text)
    with pytest.raises(EvaluationError, match="disabled by the operator"):
        evaluator.evaluate(text, {"a": 1}, None)


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"convert_sets_to_lists": True}, "x<% set(1) %>", "x[1]"),
        ({"convert_sets_to_lists": True}, "<% $.d.items() %>", [["k", "v"], ["n", {"m": [1, 2]}]]),
        ({"convert_tuples_to_lists": False}, "x<% $.l %>", "x(1,)"),
        ({"convert_tuples_to_lists": False}, "<% $.l %>", [1]),
        ({"convert_input_data": False}, "<% $.l + [2] %>", [1, 2]),
        ({"convert_input_data": False, "convert_output_data": False}, "<% $.d.items() %>", [["k", "v"]]),
        ({"iterable_dicts": True}, "<% $.d.toList() %>", ["k", "n"]),
        ({"keyword_operator": ":"}, "<% {a: 1} %>", {"a": 1}),
        ({"allow_delegates": True}, "<% let(f => lambda(2 * $)) -> $f(4) %>", 8),
    ],
)
def test_options_of_yaql(options: dict[str, Any], text: str, expected: object) -> None:
    context = CONTEXT
    if expected == [["k", "v"]]:
        context = LayeredContext([{"d": {"k": "v"}}])
    assert Evaluator(ExpressionSettings(**options)).evaluate(text, context, None) == expected


def test_output_conversion_cannot_be_off_alone() -> None:
    with pytest.raises(InputError, match="convert_input_data"):
        ExpressionSettings(convert_output_data=False)


def test_an_unavailable_database_is_no_fault_of_the_expression(view: Any) -> None:
    def look_up(_context: object) -> None:
        raise UnavailableError("the database is away")

    evaluator = Evaluator(ExpressionSettings(), {"look_up": look_up})
    for text in ("<% look_up() %>", "{{ look_up() }}"):
        with pytest.raises(UnavailableError):
            evaluator.evaluate(text, {"a": 1}, view)
