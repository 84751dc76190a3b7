"""Hostile expressions end as errors, within bounded time and memory, and harm nobody else."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest

from mistral_lite.errors import EvaluationError
from mistral_lite.expressions import Evaluator, ExpressionSettings

SETTINGS = ExpressionSettings(max_time_s=0.2, max_result_bytes=1_000_000, max_items=50_000)
EVALUATOR = Evaluator(SETTINGS)
# The size checks must not lean on the clock.
PATIENT = Evaluator(ExpressionSettings(max_time_s=60, max_result_bytes=1_000_000, max_items=50_000))
TOO_LONG = "it ran for more than 0.2 s"

ENDLESS = [
    "<% generate(1, true, $ + 1).len() %>",
    "<% range(1000000000).len() %>",
    "<% range(100000).join(range(100000), true, 1).len() %>",
    "<% def(f, switch($ < 2 => 1, true => f($ - 1) + f($ - 2))) -> f(40) %>",
    "<% range(60).aggregate([$1, $1], [1]).flatten().len() %>",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{{ m(n-1) ~ m(n-1) if n else 'xx' }}{% endmacro %}{{ m(40) }}",
    "<% yaml_parse('- 1\\n' * 200000) %>",
    "text <% generate(1, true, $ + 1).len() %>",
    # Single calls that nothing can interrupt.
    "<% ('a' * 400000).lastIndexOf('ab' + 'a' * 200000) %>",
    "<% ('a' * 400000).rightSplit('ab' + 'a' * 200000) %>",
    "<% ('a' * 400000).trim('b' * 300000 + 'a') %>",
    "{{ ('a' * 400000).rfind('ab' ~ 'a' * 200000) }}",
    "{{ ('a' * 400000) | trim('b' * 300000 ~ 'a') }}",
    # A compiled one, which the library does anew when it has built too much.
    "<% range(30000).select(range(30000).select(range(30000).sum()).sum()).sum() %>",
]

# Sizes are beyond any memory: a check that came too late would end in a MemoryError.
HUGE = [
    "<% generate(1, true, $ + 1) %>",
    "<% range(1000000000) %>",
    "<% sequence().toList() %>",
    "<% range(30000).select('" + "x" * 10000 + "') %>",
    "<% range(30000).select({a => '" + "x" * 10000 + "'}).toList() %>",
    "<% range(30000).select([$, '" + "x" * 10000 + "']) %>",
    "<% sequence().toSet() %>",
    "<% 'x' * 1000000000000000 %>",
    "<% 1000000000000000 * 'x' %>",
    "<% [0] * 1000000000000000 %>",
    "<% 1000000000000000 * [0] %>",
    "<% pow(10, 100000000) %>",
    "<% shiftBitsLeft(1, 100000000000000000) %>",
    "<% generate(3, true, $ * $).last() %>",
    "<% range(1000).select('x' * 900000).toList().len() %>",
    "<% $.a.replace('x', $.a * 900).replace('x', $.a) %>",
    "<% $.a.replace({x => $.a * 900}).replace({x => $.a}) %>",
    "<% regex('x').replace($.a * 900, $.a * 900) %>",
    "<% let(b => $.a * 900) -> regex(x).replaceBy($b, $b) %>",
    "<% let(b => $.a * 900) -> $b.replaceBy(regex(x), $b) %>",
    "<% [1].cycle().where(false) %>",
    "<% 5 in range(1000000000).where(false) %>",
    "<% [1, 2].join('x' * 999999).join([1, 2, 3]) %>",
    "<% regex('a' * 20000) %>",
    "<% str(range(22).aggregate([$1, $1], [1])) %>",
    "<% range(22).aggregate([$1, $1], [1]) %>",
    "{{ 'x' * 10**9 }}",
    "{{ 10 ** (10 ** 8) }}",
    "{% for a in range(9999) %}{{ _.a }}{% endfor %}",
    "{% for a in range(9999) %}{% set x %}{{ _.a * 900 }}{% endset %}{% endfor %}",
    "{{ range(9999) | list | join(_.a) }}",
    "{{ range(9999) | map('string') | join(_.a * 9) }}",
    "{{ 'x' | center(1000000000000000) }}",
    "{{ 'x' | indent(1000000000000000, true) }}",
    "{{ [1] | batch(1000000000000000, 0) | list }}",
    "{{ 1 | round(100000000, 'ceil') }}",
    "{{ _.a | replace('x', 'y' * 10000) }}",
    "{{ '%1000000000000000d' % 1 }}",
    "{{ '%*d' % (1000000000000000, 1) }}",
    "{{ '%1000000000000000d' | format(1) }}",
    "{{ '{:>1000000000000000}'.format(1) }}",
    "{{ '{:>{}}'.format(1, 1000000000000000) }}",
    "{{ 'x'.ljust(1000000000000000) }}",
    "{{ '\t'.expandtabs(1000000000000000) }}",
    "{{ _.a.replace('x', 'y' * 10000) }}",
    "{{ (_.a * 9).join([_.a * 900, _.a * 99, _.a]) }}",
    "{{ 'x'.join(range(3) | map('string')) }}",
    "{{ _.a.translate({120: 'y' * 10000}) }}",
    "{{ (1).to_bytes(1000000000000000, 'big') }}",
    "{% set n = namespace(x='aaaa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "{% set n = namespace(x='aaaa') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "{% set n = namespace(x=[1]) %}{% for i in range(22) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=[1]) %}{% for i in range(22) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
]

DEEP = [
    "<% def(f, f($)) -> f(1) %>",
    "<% range(2000).aggregate([$1], [1]) %>",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "<% " + "not " * 3000 + "1 %>",
]


def fail(evaluator: Evaluator, text: str) -> str:
    with pytest.raises(EvaluationError) as caught:
        evaluator.evaluate(text, {"a": "x" * 1000}, None)
    return str(caught.value)


@pytest.mark.parametrize("text", ENDLESS)
def test_endless_expressions_are_stopped(text: str) -> None:
    assert TOO_LONG in fail(EVALUATOR, text)


def test_a_compiled_loop_is_stopped() -> None:
    evaluator = Evaluator(ExpressionSettings(max_time_s=0.01))
    assert "it ran for more than" in fail(
        evaluator, "<% range(20000).where(coalesce(" + "null, " * 300 + "1)).len() %>"
    )


@pytest.mark.parametrize("text", HUGE)
def test_huge_values_are_refused(text: str) -> None:
    cause = fail(PATIENT, text)
    assert any(
        word in cause for word in ("builds", "larger", "longer", "xceeds", "more than", "computes", "join()")
    )
    assert "it ran for" not in cause


@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_deep_recursion_is_an_error(text: str) -> None:
    assert "nested too deeply" in fail(PATIENT, text)


def test_operators_own_limit_for_collections() -> None:
    evaluator = Evaluator(ExpressionSettings(limit_iterators=3))
    assert evaluator.evaluate("<% range(3) %>", {"l": [1, 2, 3, 4]}, None) == [0, 1, 2]
    for text in ("<% range(4) %>", "<% $.l.select($) %>"):
        with pytest.raises(EvaluationError):
            evaluator.evaluate(text, {"l": [1, 2, 3, 4]}, None)


def test_memory_quota_of_yaql() -> None:
    evaluator = Evaluator(ExpressionSettings(memory_quota_bytes=2000))
    with pytest.raises(EvaluationError, match="too much memory"):
        evaluator.evaluate("<% range(1000).toList().len() %>", {"a": 1}, None)


def test_a_stopped_expression_leaves_its_thread_and_others_alone() -> None:
    failures: list[str] = []

    def work(text: str, rounds: int) -> None:
        for _ in range(rounds):
            try:
                EVALUATOR.evaluate(text, {"a": [1, 2]}, None)
            except EvaluationError as error:
                failures.append(str(error))
            if EVALUATOR.evaluate("<% $.a.select($ + 1) %>", {"a": [1, 2]}, None) != [2, 3]:
                failures.append("wrong result")

    texts = [("<% range(1000000000).len() %>", 2), ("{{ range(9)|sum }}", 300), ("<% $.a.len() %>", 300)]
    threads = [threading.Thread(target=work, args=arguments) for arguments in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 2
    assert all(TOO_LONG in failure for failure in failures)


def test_a_lookup_of_the_caller_is_never_interrupted() -> None:
    finished: list[int] = []

    def look_up(_context: Any) -> int:
        finished.append(sum(1 for _ in range(10_000_000)))
        return 1

    evaluator = Evaluator(ExpressionSettings(max_time_s=0.05), {"look_up": look_up})
    # It may be too late afterwards, but the look-up itself comes to its end.
    with contextlib.suppress(EvaluationError):
        evaluator.evaluate("<% look_up() %>", {"a": 1}, None)
    assert finished == [10_000_000]


def test_a_plugin_may_evaluate_in_turn() -> None:
    evaluators: list[Evaluator] = []

    def again(context: Any) -> Any:
        return evaluators[0].evaluate("<% [1].select($ + 1) %>", context, None)

    evaluators.append(Evaluator(ExpressionSettings(), {"again": again}))
    assert evaluators[0].evaluate("<% again()[0] + $.a %>", {"a": 1}, None) == 3
