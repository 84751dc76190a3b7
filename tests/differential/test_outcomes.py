"""Every case ends here as it was recorded from a genuine Mistral, or as the stated difference says."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from differential import records
from differential.cases import Case, load_cases
from differential.document import DOCUMENT, rendered
from differential.runner import Outcome, Pace, run_cases

CASES = load_cases()
REFERENCE = records.load(records.REFERENCE)
HERE = records.load(records.HERE)
PACE = Pace(poll_s=0.1, still_s=1.0, deadline_s=120.0)


@pytest.fixture(scope="session")
def outcomes(base_url: str) -> Mapping[str, Outcome]:
    return run_cases(base_url, CASES, PACE)


# All cases run at once, within the first test; together they take longer than a test usually may.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.theme}-{case.name}")
def test_case_ends_as_recorded(case: Case, outcomes: Mapping[str, Outcome]) -> None:
    assert outcomes[case.name] == (HERE if case.differs else REFERENCE)[case.name]


@pytest.mark.parametrize("case", [case for case in CASES if case.differs], ids=lambda case: case.name)
def test_stated_difference_exists(case: Case) -> None:
    assert HERE[case.name] != REFERENCE[case.name]


def test_there_are_enough_cases_and_no_stale_records() -> None:
    assert len(CASES) >= 150
    assert set(REFERENCE) == {case.name for case in CASES}
    assert set(HERE) == {case.name for case in CASES if case.differs}


def test_document_lists_the_stated_differences() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == rendered(CASES)
