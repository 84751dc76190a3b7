"""Ten thousand hostile texts: each is read, evaluated or refused, soon and within bounded memory."""

from __future__ import annotations

import pytest
from fuzz.attacks import ALL, DATA
from fuzz.runner import Runner, peak_bytes

from mistral_lite.errors import DefinitionError, EvaluationError
from mistral_lite.expressions import Evaluator, ExpressionSettings
from mistral_lite.lang import parse

# The limits of the service itself are wider; they are those of the tests of whole processes.
RUNNER = Runner(max_time_s=0.05)
EVALUATOR = Evaluator(ExpressionSettings(max_time_s=0.1))
# What a process of the service may grow by, whatever it is sent.
MOST_BYTES = 400 * 2**20


@pytest.mark.parametrize("seed", range(4))
def test_generated_texts_end_as_a_result_or_as_an_error(seed: int) -> None:
    before = peak_bytes()
    findings = list(RUNNER.run(seed, 2500))
    assert not findings, "\n".join(map(str, findings))
    assert peak_bytes() - before < MOST_BYTES


@pytest.mark.parametrize("text", ALL, ids=range(len(ALL)))
def test_known_attacks_end_as_errors(text: str) -> None:
    with pytest.raises(EvaluationError):
        EVALUATOR.evaluate(text, DATA, None)


def test_texts_that_are_large_or_mean_to_become_large_are_read_or_refused() -> None:
    before = peak_bytes()
    findings = list(RUNNER.run_bombs())
    assert not findings, "\n".join(map(str, findings))
    assert peak_bytes() - before < MOST_BYTES


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("<% [" + "1, " * 6000 + "1] %>", "the expression has 18009 characters, 16384 are allowed"),
        ("<% $.a %>" * 30000, "the texts with expressions up to here have more than 262144 characters"),
        ("<% " + "1" * 5000 + " %>", "a number has more than 4300 digits"),
        ("{{ " + "1" * 5000 + " }}", "a number has more than 4300 digits"),
    ],
)
def test_expressions_that_take_long_to_parse_are_refused(line: str, message: str) -> None:
    text = f"version: '2.0'\nw:\n  tasks:\n    t:\n      action: std.noop\n      publish:\n        a: \"{line}\"\n"
    with pytest.raises(DefinitionError) as caught:
        parse.parse_workflow_list(text, EVALUATOR.check_syntax)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("opening", "count"), [("<%", 500_000), ("{{", 500_000), ("{%", 500_000), ("<% %>", 1000)]
)
def test_openings_without_closings_take_linear_time(opening: str, count: int) -> None:
    """A search that looked to the end of the line from each of them would not end within the time of a test."""
    assert EVALUATOR.is_expression(opening * count) is ("%>" in opening)
