"""The direct way through YAQL gives what the library gives: the same value of the same type, or the same error."""

from __future__ import annotations

import re
from typing import Any

import immutables
import pytest
import yaql
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mistral_lite.errors import EvaluationError
from mistral_lite.expressions import Evaluator, ExpressionSettings, LayeredContext
from mistral_lite.expressions.fast import compile_fast
from mistral_lite.expressions.functions import function_table
from mistral_lite.expressions.limits import Guard
from tests.expressions.conftest import FakeView

DIRECT = Evaluator(ExpressionSettings())
# With a limit of the operator's the library alone evaluates; this one is the limit that holds anyway.
LIBRARY = Evaluator(ExpressionSettings(limit_iterators=ExpressionSettings().max_items))

ROWS = [
    {"name": "b", "up": True, "load": 3, "tags": ["x", "y"], "in": {"k": 1}},
    {"name": "a", "up": False, "load": 1.5, "tags": [], "in": {"k": 2}},
    {"name": "c", "up": True, "load": 3, "tags": ["y"], "in": {"k": None}},
]
DATA: dict[str, Any] = {
    "n": 3,
    "s": "one, two",
    "z": None,
    "t": True,
    "f": 1.5,
    "l": [3, 1, 2, 3],
    "w": ["b", "a", "B"],
    "e": [],
    "rows": ROWS,
    "d": {"k": "v", "n": {"m": [1, 2]}},
}


def outcome(evaluator: Evaluator, text: str, data: dict[str, Any]) -> str:
    """Return a text that tells values, types and orders of keys apart."""
    try:
        return repr(evaluator.evaluate(text, LayeredContext([immutables.Map(data)]), FakeView()))
    except EvaluationError as error:
        return f"fails: {error}"


def assert_same(body: str, data: dict[str, Any]) -> None:
    for text in (f"<% {body} %>", f"is <% {body} %>"):
        assert outcome(DIRECT, text, data) == outcome(LIBRARY, text, data), (text, data)


# Compiled, and not left to the library with these data.
COMPILED = """
$.n
$.rows[1].name
$.rows[-1].tags
$.rows.name
$.rows.tags
$.d[k]
$.z?.k
$.d?.n?.m
$.n + 1 - 2 * 3 / 2 mod 2
-$.n
$.s + 'x'
$.l + $.e + [1]
$.d + {z => 1}
$.n > 2 and $.f < 2 or not $.t
$.s = 'one, two'
$.n != null
null < $.n
$.z >= null
1 in $.l
tw in $.s
[$.n, $.d, $.rows.where($.up)]
{a => $.n, b => [$.l, $.e], c => $}
$
[$]
$.rows.where($.up).select($.name)
$.rows.where($.load > 2 and $.up = true).len()
$.rows.select({n => $.name, l => $.load * 2})
$.rows.select([$.name, const]).toList()
$.rows.selectMany($.tags)
$.rows.select($.tags).flatten()
$.rows.select($.tags.where($ = y).len())
$.rows.load.sum()
$.l.sum(1)
$.l.max()
$.w.min()
$.l.distinct()
$.rows.distinct($.load)
$.rows.orderBy($.load).select($.name)
$.rows.orderByDescending($.name).first().name
$.w.orderBy($)
$.rows.toDict($.name, $.load)
$.rows.toDict($.name)
$.rows.groupBy($.load, $.name)
$.rows.groupBy($.load).len()
$.rows.any($.load > 2)
$.l.any()
$.rows.all($.up)
$.l.first()
$.e.first(null)
$.rows.where($.up).last().name
$.l.limit(2)
$.l.skip(1)
$.l.reverse()
$.l.append(7, x)
$.w.enumerate()
$.l.contains(3)
$.l.indexOf(2)
$.l.indexWhere($ < 3)
$.l.takeWhile($ > 2)
$.l.skipWhile($ > 2)
$.d.get(k)
$.d.get(q, 1)
$.d.keys()
$.d.keys().len()
$.d.values()
$.d.items().select($[0])
$.d.containsKey(k)
$.d.containsValue(v)
$.d.set(k, 1)
$.d.delete(k, q)
dict($.w.select([$, 1]))
dict(a => 1)
list($.n, $.w.where($ = a), [1])
range(3)
range(5, 1, -2)
len($.s)
str($.n) + str(null) + str(true) + str($.f)
int('12') + int($.f) + int(null)
float('1.5')
bool($.e)
abs(-1)
max(1, $.n)
min(1.0, 1)
isString($.s) and isInteger($.n) and isNumber($.f) and isBoolean($.t) and isDict($.d) and isList($.l)
isEmpty($.s)
concat($.s, x)
$.s.toUpper().toLower()
$.s.split(', ')
$.s.split(',').len()
$.s.replace(o, '0', 1)
$.s.substring(-3, 2)
$.s.indexOf(t)
$.s.startsWith(o, x)
$.s.endsWith(x)
$.s.trim(o)
' x '.norm()
$.l.join(',')
', '.join($.w)
switch($.n > 3 => a, $.n > 2 => b)
coalesce($.z, $.d.get(q), $.s)
task().name
task(t).result.a
task(t).result.a.select($ + 1)
env().k + execution().name
global(g)
$.rows.where($.name in [a, b]).select(switch($.up => yes, true => no))
""".strip().splitlines()


@pytest.mark.parametrize("body", COMPILED)
def test_what_is_compiled_gives_what_the_library_gives(body: str) -> None:
    guard = Guard(ExpressionSettings())
    node = yaql.YaqlFactory().create()(body).expression
    fast = compile_fast(
        node, function_table({}), guard, lambda kind, for_text: kind(guard, for_text=for_text)
    )
    assert fast is not None
    fast.evaluate(DATA, FakeView(), for_text=False)
    assert_same(body, DATA)


LEFT_TO_THE_LIBRARY = """
$.s.lastIndexOf(o)
$.s.rightSplit(o)
$.d[q, 7]
$.d.items()
$.nope
$.s.nope
$.l.nope()
$.z.k
$.z.len()
$.rows.where($.up)[0]
$.d.values().len()
$.rows.orderBy($.name).len()
$.rows.orderBy($.up)
$.rows.groupBy($.tags)
$.rows.distinct()
$.l = $.l
[1, [2]] = [1, [2]]
$.rows.select($.tags).select([$.len(), $.len()])
[$.l.where($ > 1)].select([$.len(), $.len()])
[$.l.where($ > 1)].select($.toList()).select($ + $)
(task(t).result.a + [1])[0]
$.s.split(',') + [1]
($.s.split(',') + [1])[0]
'a' + 1
$.t + 1
$.t > 1
1 / 0
1 mod 0
$.l.where(true / 0)
$.l.select(1 / ($ - 3)).first()
$.l.select(1 / ($ - 1)).first()
$.l[7]
$.l[null]
$.e.first()
$.e.sum()
$.w.sum()
$.e.max()
$.l.limit(-1)
$.l.limit(null)
$.l.any(null)
$.l.where(null)
int(x)
int($.l)
str($.l)
str($.d)
$.l.join(1)
$.rows.join(',')
max(null, 1)
max(a, 1)
dict(1)
dict([[1]])
dict([ab])
{[1] => 2}
$.d.get([1])
[1] in $.l
1 in $.d
1 in $.s
$.s in $.s
range(1, 2, 0)
switch()
coalesce()
list()
dict()
len()
len($.l, 1)
first($.l)
$.l.len(1)
$.l.str()
$.l.where()
$.l.first(default => 1)
$.l.reverse().last()
null?.k
null.isEmpty()
$.z.isEmpty()
$.z.norm()
isEmpty($.z)
$.e.isEmpty()
$.rows.where($.up) and $.e
not $.e.where($)
not $.rows.orderBy($.name)
$.e or $.d or 1
$.e.where($) = $.e.where($)
$.e.where($) = null
let(5) -> $ + 1
let(x => 1) -> $.rows.where($.load > $x).name
def(len, 1) -> len($.l)
$.rows.groupBy($.load, $.name, $.len())
$.rows.groupBy($.load).select($[1] + $[1])
$.l.toSet()
$.rows.orderBy($.load).thenBy($.name).name
$.rows.where($.name =~ '[ab]')
$.rows.aggregate($1, 0)
$.rows.select($.in.k)
$.rows.select($.get('in').k).where($ != null)
$.l.select($).where($ > 1).toList()[0]
'x'.replace('', abc)
''.split()
''.split('')
$.s.split(null)
$.s.substring(100)
$.s.replace({one => 1})
-true
-null
--1
$.n.toUpper()
$.l.count().str()
$.keys().len()
$.get(n)
$.items().select($[0])
$.containsKey(n)
$.len()
[$.l, $.l].select($.sum())
[[1, 2], [3]].select($ + [0])
{a => [1]}.a + [2]
{a => $.l.where($ > 1)}.a.len()
{a => $.l.where($ > 1)}
{null => 1, true => 2, 1 => 3, 1.5 => 4}
{1 => 2}.keys()
task(nope).result
task(nope)
execution().nope
$.rows.select(task(t).name)
uuid().len()
json_parse('[1]') + [2]
1000000000000 * 1000000000000 * 1000000000000
$.f * 1e308 * 10
1.0 = 1
true = 1
[1, 1.0, true].distinct()
[1, 1.0].max()
[1, 1.0].min()
[1.0, 1].orderBy($)
[b, a, b].orderByDescending($)
[null, 1].orderBy($)
[1].orderBy(null)
""".strip().splitlines()


@pytest.mark.parametrize("body", LEFT_TO_THE_LIBRARY)
def test_what_is_hard_to_tell_is_as_in_the_library(body: str) -> None:
    assert_same(body, DATA)


# What may stand for each kind of value; the kinds are not kept strictly, and what is wrong must be wrong in both.
GRAMMAR = {
    "number": """
        $.n | 0 | 1 | 2 | 1.5 | $.f | {list}.len() | {rows}.count() | len({text}) | ({number} + {number})
        | ({number} - {number}) | ({number} * {number}) | ({number} / {number}) | ({number} mod {number}) | (-{number})
        | {rows}.load.sum() | {list}.sum({number}) | {list}.max() | {list}.min({number}) | {list}.first({number})
        | {list}[{number}] | {list}.indexOf({any}) | {text}.indexOf({text}) | {text}.lastIndexOf({text})
        | int({any}) | float({any}) | abs({number}) | max({number}, {any}) | min({number}, {any})
        | {list}.indexWhere({item}) | {rows}.select($.load).last() | {list}.last()
    """,
    "text": """
        $.s | 'one, two' | a | '' | ',' | ({text} + {text}) | {text}.toUpper() | {text}.toLower() | {text}.trim()
        | {text}.trim({text}) | {text}.replace({text}, {text}) | {text}.substring({number}) | str({any})
        | {text}.substring({number}, {number}) | {list}.join({text}) | {text}.join({list}) | concat({text}, {text})
        | {rows}.name.first() | {rows}.orderBy({row}).last().name | {text}.norm() | norm({any})
        | {text}.replace({text}, {text}, {number}) | {text}.trimLeft({text}) | {text}.trimRight({text})
    """,
    "truth": """
        $.t | true | null | ({any} = {any}) | ({any} != {any}) | ({number} < {number}) | ({text} >= {text})
        | ({any} <= null) | ({any} > {any}) | (not {any}) | ({any} and {any}) | ({any} or {any}) | ({any} in {list})
        | ({text} in {text}) | {rows}.any({row}) | {list}.all() | {list}.any() | {rows}.all({row})
        | {list}.contains({any}) | {map}.containsKey({text}) | {map}.containsValue({any}) | {text}.startsWith({text})
        | {text}.endsWith({text}, a) | {text}.isEmpty() | isEmpty({any}) | isString({any}) | isNumber({any})
        | isInteger({any}) | isBoolean({any}) | isDict({any}) | isList({any}) | bool({any})
    """,
    "list": """
        $.l | $.w | $.e | [] | [{any}, {any}] | {list}.toList() | {list}.where({item}) | {list}.select({item})
        | {list}.distinct() | {list}.orderBy($) | {list}.orderByDescending({item}) | {list}.reverse()
        | {list}.limit({number}) | {list}.skip({number}) | {list}.append({any}) | {list}.enumerate()
        | {list}.takeWhile({item}) | {list}.skipWhile({item}) | ({list} + {list}) | {list}.flatten()
        | {text}.split({text}) | {text}.split() | {text}.rightSplit({text}, {number}) | {map}.values() | {map}.keys()
        | {rows}.name | {rows}.select({row}) | {rows}.selectMany($.tags) | {rows}.tags.flatten() | list({any}, {list})
        | range({number}) | range({number}, {number}) | task(t).result.a | {map}.items().select($[0])
        | {rows}.groupBy({row}, {row}) | {rows}.select([{row}, {row}]) | {list}.selectMany([$, {item}])
    """,
    "rows": """
        $.rows | {rows}.where({row}) | {rows}.distinct({row}) | {rows}.orderBy({row}) | {rows}.toList()
        | {rows}.orderByDescending({row}) | {rows}.limit({number}) | {rows}.where({row}).reverse() | [{map}, {map}]
        | {rows}.select({{name => {row}, load => {row}}}) | {rows}.takeWhile({row})
    """,
    "map": """
        $.d | $.rows[0] | {{k => {any}}} | {{a => {any}, {text} => {any}}} | ({map} + {map}) | {rows}.first()
        | {rows}.toDict({row}) | {rows}.toDict({row}, {row}) | {map}.set({text}, {any}) | {map}.delete({text})
        | dict({list}.select([$, {item}])) | dict(k => {any}) | $ | {rows}.last({any})
    """,
    "row": """
        $.load | $.name | $.up | $ | $.k | $.tags | $.get(k) | ($.load + 1) | ($.name = a) | ($.load > {item})
        | ($.up and {row}) | ($.name in [a, b]) | $.tags.len() | $.tags.where({item}) | {{n => {row}}} | [$.name, a]
        | switch($.up => {row}, true => {row}) | coalesce($.get(k), {row}) | not {row} | $.name.toUpper()
        | str($.load) | $.keys().len() | {any}
    """,
    "item": """
        $ | ($ > 1) | ($ + 1) | ($ = a) | not $ | str($) | [$] | ($ != null) | isString($) | 1 | a | null | true
        | len($) | $.len() | $.name | {any}
    """,
    "any": """
        {number} | {text} | {truth} | {list} | {rows} | {map} | $.z | {map}.get({text}) | {map}.get({text}, {any})
        | {map}.k | $.z?.k | {map}?.k.m | {list}.first() | {rows}.last() | coalesce({any}, {any})
        | switch({truth} => {any}, true => {any}) | {map}[{text}] | task().name | global(g) | env().k
    """,
}
CHOICES = {kind: [choice.strip() for choice in text.split(" | ")] for kind, text in GRAMMAR.items()}
LEAVES = {kind: [choice for choice in choices if "{" not in choice] for kind, choices in CHOICES.items()}
LEAVES["any"] += ["$.l", "$.rows", "$.d", "$.n", "$.s"]


@st.composite
def bodies(draw: st.DrawFn, kind: str = "any", depth: int = 3) -> str:
    """An expression in which calls nest ``depth`` deep."""
    if draw(st.integers(0, 30)) == 30:
        kind = draw(st.sampled_from(sorted(CHOICES)))
    choice = draw(st.sampled_from(CHOICES[kind] if depth else LEAVES[kind]))
    return re.sub(
        r"{(\w+)}|({{|}})",
        lambda match: draw(bodies(match[1], depth - 1)) if match[1] else match[2][0],
        choice,
    )


SCALARS = st.sampled_from([0, 1, 2, -1, 1.0, 1.5, None, True, False, "", "a", "b", "one, two", "12", " x"])
ROW = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "c"]), "up": st.booleans(), "load": st.integers(0, 2)},
    optional={"tags": st.lists(SCALARS, max_size=2), "k": SCALARS},
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "n": st.integers(-2, 3),
        "s": st.sampled_from(["", "a", "one, two", "12"]),
        "z": st.one_of(st.none(), SCALARS),
        "t": st.booleans(),
        "f": st.sampled_from([0.0, 1.0, -2.5, 1e300]),
        "l": st.lists(st.one_of(st.integers(-1, 2), SCALARS), max_size=3),
        "w": st.lists(st.sampled_from(["a", "b", "B", ""]), max_size=3),
        "e": st.just([]),
        "rows": st.lists(ROW, max_size=3),
        "d": st.dictionaries(
            st.sampled_from(["k", "n", "m", "1"]),
            st.one_of(SCALARS, st.lists(SCALARS, max_size=2)),
            max_size=3,
        ),
    }
)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(bodies(), DOCUMENTS)
@example("$.rows.where($.up).select($.name)", DATA)
def test_whatever_is_written_gives_what_the_library_gives(body: str, data: dict[str, Any]) -> None:
    assert_same(body, data)
