"""How requests wait for an engine: told, or by looking, and never longer than allowed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from mistral_lite.api.waiting import Waiting

LONG_S = 120.0


def never() -> bool:
    return False


@pytest.fixture
def waiting() -> Waiting:
    waiting = Waiting()
    waiting.is_told = True
    return waiting


def test_a_word_said_after_listening_began_ends_the_wait_without_a_look(waiting: Waiting) -> None:
    with waiting.expect("7") as expectation:
        waiting.tell(["7"])
        assert expectation.wait(never, LONG_S)


def test_a_word_said_before_or_about_something_else_is_made_up_for_by_a_look(waiting: Waiting) -> None:
    looks: list[bool] = []

    def look() -> bool:
        looks.append(len(looks) == 1)
        return looks[-1]

    waiting.tell(["7"])
    with waiting.expect("7") as expectation:
        waiting.tell(["8"])
        assert expectation.wait(look, LONG_S)
    assert looks == [False, True]


@pytest.mark.parametrize("is_told", [True, False])
def test_when_the_time_is_up_the_last_look_counts(waiting: Waiting, is_told: bool) -> None:
    waiting.is_told = is_told
    with waiting.expect("7") as expectation:
        assert not expectation.wait(never, 0.0)
        assert expectation.wait(lambda: True, 0.0)


def test_everybody_who_waits_for_the_same_is_woken(waiting: Waiting) -> None:
    everybody = Barrier(5)

    def wait(_: int) -> bool:
        with waiting.expect("7") as expectation:
            everybody.wait(LONG_S)
            return expectation.wait(never, LONG_S)

    with ThreadPoolExecutor(4) as pool:
        waits = pool.map(wait, range(4))
        everybody.wait(LONG_S)
        waiting.tell(["7"])
        assert list(waits) == [True] * 4
