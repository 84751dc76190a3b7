"""The page about tempest is that of the recorded runs, and nothing that passes on Mistral fails here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from tempest_suite import document
from tempest_suite.suite import Outcome, parse

PLACE = "mistral_tempest_tests.tests.api.v2.test_tasks.TasksTestsV2"


def test_every_test_that_passes_on_mistral_passes_here() -> None:
    genuine, here = document.load(document.GENUINE), document.load(document.HERE)
    assert len(genuine) >= 129
    assert set(here) == set(genuine)
    assert document.missed(here) == []


def test_the_page_is_that_of_the_recorded_runs() -> None:
    assert document.DOCUMENT.read_text(encoding="utf-8") == document.rendered()


@pytest.mark.parametrize(
    ("line", "name", "outcome"),
    [
        (f"{{0}} {PLACE}.test_a [0.07s] ... ok", "test_a", Outcome(result="ok")),
        (f"{{0}} {PLACE}.test_a [0.07s] ... FAILED", "test_a", Outcome(result="FAILED")),
        (
            f"{{0}} {PLACE}.test_a ... SKIPPED: no: time",
            "test_a",
            Outcome(result="SKIPPED", reason="no: time"),
        ),
        (f"{{0}} {PLACE}.test_a [id-1,smoke] [0.07s] ... ok", "test_a", Outcome(result="ok")),
    ],
)
def test_lines_of_tempest_are_read(line: str, name: str, outcome: Outcome) -> None:
    assert parse(f"{line}\n    ... ok\n") == {f"api.v2.test_tasks.TasksTestsV2.{name}": outcome}


def test_a_class_that_cannot_be_set_up_is_a_failure() -> None:
    line = f"{{0}} setUpClass ({PLACE}) [0.000000s] ... FAILED"
    assert parse(line) == {"setUpClass api.v2.test_tasks.TasksTestsV2": Outcome(result="FAILED")}
