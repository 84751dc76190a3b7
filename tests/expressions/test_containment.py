"""What may not run among threads is evaluated in a process of its own: same results, bounded, never an orphan."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mistral_lite.errors import EvaluationError
from mistral_lite.expressions import Evaluator, ExpressionSettings
from mistral_lite.expressions.base import ViewNotReady
from mistral_lite.expressions.patterns import is_cheap

DATA = {"l": [3, 1, 2], "d": {"a": {"b": None}}, "s": "text", "odd": "é\ud800", "n": 2**70}

SHARED = Evaluator(ExpressionSettings(max_time_s=20))

VALUES = [
    ("<% let(x => $.l) -> $x.select($ * 2) %>", [6, 2, 4]),
    ("<% $.l.aggregate($1 + $2) %>", 6),
    ("<% let(a => 1) -> {k => $.d, n => $.n} %>", {"k": {"a": {"b": None}}, "n": 2**70}),
    ("<% let(a => $.odd) -> $a %>", "é\ud800"),
    ("<% regex('(t|e)+').search($.s) %>", "te"),
    ("<% let(a => set(1, 2)) -> $a %>", [1, 2]),
    ("both <% let(a => null) -> $a %> and <% $.s %>", "both None and text"),
    ("{% set x = namespace(v=0) %}{% for i in _.l %}{% set x.v = x.v + i %}{% endfor %}{{ x.v }}", "6"),
    ("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(_.s) }}", "<text>"),
    ("{{ _.l | sum(start=4) }}", 10),
    ("<% let(t => task(t)) -> $t.result.a %>", [1, 2]),
    ("<% let(e => env()) -> $e.k %>", "env value"),
    ("<% let(e => execution()) -> $e.id %>", "e1"),
    ("<% let(e => tasks(state => ERROR)) -> $e.len() %>", 2),
    ("<% let(e => uuid()) -> $e %>", "00000000-0000-4000-8000-000000000001"),
    ("<% let(e => global(g)) -> $e %>", [1]),
    ("{% set t = task('other') %}{{ t.published.x }}", "1"),
]

CATASTROPHIC = [
    "<% regex('(a+)+$').matches($.a) %>",
    "<% $.a.matches('^(a|a)*$') %>",
    "<% $.a !~ '^(?:a?){30}a{30}b' %>",
    "<% $.a.replaceBy(regex('(a+)+$'), b) %>",
]

# One call into C each, on structures that are huge only when they are walked.
SHARING = [
    "<% let(x => range(50).aggregate([$1, $1], [1])) -> $x = range(50).aggregate([$1, $1], [1]) %>",
    (
        "{% set n = namespace(x=1, y=1) %}{% for i in range(50) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}"
        "{% endfor %}{{ n.x == n.y }}"
    ),
]


@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_results_are_those_of_the_same_expression_anywhere(text: str, expected: Any, view: Any) -> None:
    inside = Evaluator(ExpressionSettings(), is_contained=True)
    assert SHARED.evaluate(text, DATA, view) == inside.evaluate(text, DATA, view) == expected


def test_errors_are_those_of_the_same_expression_anywhere(view: Any) -> None:
    inside = Evaluator(ExpressionSettings(), is_contained=True)
    for text in (
        "<% let(a => 1) -> $.nothing.more %>",
        "<% let(a => int(secret)) -> $a %>",
        "{% set a = _.nothing.more %}{{ a }}",
        "<% let(t => task(nobody).result) -> $t %>",
        "text <% 1 %> <% let(a => $.l.x) -> $a %>",
    ):
        messages = []
        for evaluator in (SHARED, inside):
            with pytest.raises(EvaluationError) as caught:
                evaluator.evaluate(text, DATA, view)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


@pytest.mark.parametrize("text", CATASTROPHIC + SHARING)
def test_one_call_that_nothing_can_interrupt_is_ended_with_its_process(text: str) -> None:
    evaluator = Evaluator(ExpressionSettings(max_time_s=0.3))
    with pytest.raises(EvaluationError, match=r"ran for more than 0.3 s") as caught:
        evaluator.evaluate(text, {"a": "a" * 5000 + "!"}, None)
    assert text.strip("<%> ") in str(caught.value)
    assert evaluator.evaluate("<% let(a => 1) -> $a %>", {}, None) == 1


def test_memory_is_bounded() -> None:
    evaluator = Evaluator(ExpressionSettings(max_time_s=60, max_memory_bytes=16 * 2**20))
    with pytest.raises(EvaluationError, match="memory"):
        evaluator.evaluate(
            "<% range(99999).select({a => $}).toList().select({b => $}).toList().len() %>", {}, None
        )
    assert evaluator.evaluate("<% let(a => 1) -> $a %>", {}, None) == 1


def test_a_view_that_must_fetch_something_first_is_asked_again() -> None:
    class Unready:
        is_ready = False

        def environment(self) -> dict[str, int]:
            if not self.is_ready:
                raise ViewNotReady("environment")
            return {"k": 1}

    view: Any = Unready()
    with pytest.raises(ViewNotReady):
        SHARED.evaluate("<% let(e => env()) -> $e.k %>", {}, view)
    view.is_ready = True
    assert SHARED.evaluate("<% let(e => env()) -> $e.k %>", {}, view) == 1


def test_plugins_are_called_here_and_may_evaluate_in_turn() -> None:
    evaluators: list[Evaluator] = []

    def double(context: Any, number: int, *, again: int = 0) -> Any:
        assert context == {"n": 4}
        if again:
            return evaluators[0].evaluate(
                f"<% let(a => double($.n, again => {again - 1})) -> $a %>", context, None
            )
        return number * 2

    evaluators.append(Evaluator(ExpressionSettings(), {"double": double}))
    assert evaluators[0].evaluate("<% let(a => double(21)) -> $a %>", {"n": 4}, None) == 42
    assert evaluators[0].evaluate("<% let(a => double(1, again => 3)) -> $a %>", {"n": 4}, None) == 8


def test_expressions_of_one_step_share_their_time() -> None:
    evaluator = Evaluator(ExpressionSettings(max_time_s=0.2))
    slow = "<% let(a => 1) -> generate(1, true, $ + 1).len() %>"
    with evaluator.one_step():
        causes = []
        for _ in range(20):
            with pytest.raises(EvaluationError) as caught:
                evaluator.evaluate(slow, {}, None)
            causes.append("of one step" in str(caught.value))
    assert causes == sorted(causes)
    assert causes[-1]
    with pytest.raises(EvaluationError, match=r"ran for more than 0.2 s"):
        evaluator.evaluate(slow, {}, None)


def test_an_integer_that_no_text_can_hold_is_refused() -> None:
    for text in ("<% pow(7, 20000) %>", "{{ 7 ** 20000 }}", "<% let(a => pow(7, 20000)) -> [$a] %>"):
        with pytest.raises(EvaluationError, match="integer of more than 4000 digits"):
            SHARED.evaluate(text, {}, None)


def test_a_process_that_somebody_ended_is_replaced() -> None:
    evaluator = Evaluator(ExpressionSettings(max_time_s=20))
    before = children()
    assert evaluator.evaluate("<% let(a => 1) -> $a %>", {}, None) == 1
    (pid,) = children() - before
    os.kill(pid, signal.SIGKILL)
    # Until its parent could take note of its end, without doing so in its place.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert evaluator.evaluate("<% let(a => 2) -> $a %>", {}, None) == 2


def test_processes_end_with_their_evaluator() -> None:
    evaluator = Evaluator(ExpressionSettings(max_time_s=20))
    before = children()
    evaluator.evaluate("<% let(a => 1) -> $a %>", {}, None)
    (pid,) = children() - before
    del evaluator
    until(lambda: not is_running(pid))


@pytest.mark.parametrize("text", ["<% let(a => 1) -> $a %>", "<% '" + "a" * 50 + "!'.matches('(a+)+$') %>"])
def test_no_process_outlives_its_parent(text: str) -> None:
    script = (
        "import sys, threading\n"
        "from mistral_lite.expressions import Evaluator, ExpressionSettings\n"
        "evaluator = Evaluator(ExpressionSettings(max_time_s=5))\n"
        "evaluator.evaluate('<% let(a => 1) -> $a %>', {}, None)\n"
        "print('ready', flush=True)\n"
        "evaluator.evaluate(sys.argv[1], {}, None)\n"
        "threading.Event().wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, text], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (pid,) = children(parent.pid)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        parent.kill()
    until(lambda: not is_running(pid))


def test_threads_share_the_processes() -> None:
    evaluator = Evaluator(ExpressionSettings(max_time_s=20))
    results: list[Any] = []

    def work(number: int) -> None:
        results.append(evaluator.evaluate(f"<% let(a => {number}) -> $a %>", {}, None))

    before = children()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(12))
    assert len(children() - before) <= 2


@pytest.mark.parametrize(
    ("pattern", "length", "expected"),
    [
        ("^abc$", 100_000, True),
        ("^[a-z]+-[0-9]+$", 60, True),
        ("^[a-z]+-[0-9]+$", 1000, False),
        ("a*", 100_000, False),
        ("(a+)+", 10, False),
        ("(a)\\1", 10, False),
        ("a?" * 30, 30, False),
        ("(a|b)(a|b)", 20, True),
        ("x" * 1000, 1, False),
    ],
)
def test_which_patterns_are_matched_here(pattern: str, length: int, expected: bool) -> None:
    assert is_cheap(pattern, length) is expected


def children(parent: int | None = None) -> set[int]:
    """Return the processes of evaluators that ``parent`` (this process) has."""
    parent = parent or os.getpid()
    found = set()
    for task in Path(f"/proc/{parent}/task").iterdir():
        # Threads and processes may end while they are looked at.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for pid in (task / "children").read_text().split():
                if b"expressions.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.add(int(pid))
    return found


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    pause = threading.Event()
    while not check():
        assert time.monotonic() < deadline
        pause.wait(0.02)
