"""One line per record: a message, its event and declared fields, whatever the values hold."""

from __future__ import annotations

import logging

import pytest

from mistral_lite.log import Event, write


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "Said event=event.ignored"),
        ({"attempt": 2}, "Said event=event.ignored attempt=2"),
        ({"duration_s": 0.12345678}, "Said event=event.ignored duration_s=0.123457"),
        ({"task_name": "two words"}, 'Said event=event.ignored task_name="two words"'),
        ({"reason": ""}, 'Said event=event.ignored reason=""'),
        ({"reason": 'a" attempt=9'}, 'Said event=event.ignored reason="a\\" attempt=9"'),
        ({"reason": "a\nb\x1b"}, 'Said event=event.ignored reason="a\\u000ab\\u001b"'),
        ({"reason": "x" * 301}, f'Said event=event.ignored reason="{"x" * 300}…"'),
    ],
)
def test_a_record_is_one_line_of_fields(
    caplog: pytest.LogCaptureFixture, fields: dict[str, object], expected: str
) -> None:
    with caplog.at_level(logging.INFO):
        write(logging.getLogger("somewhere"), logging.INFO, Event.EVENT_IGNORED, "Said", **fields)
    assert [record.getMessage() for record in caplog.records] == [expected]
    assert caplog.records[0].funcName == "test_a_record_is_one_line_of_fields"


def test_a_record_below_the_level_costs_no_text(caplog: pytest.LogCaptureFixture) -> None:
    class Untouchable:
        def __str__(self) -> str:
            raise AssertionError("made into text")

    with caplog.at_level(logging.WARNING):
        write(logging.getLogger("a"), logging.INFO, Event.EVENT_IGNORED, "Said", reason=Untouchable())
    assert not caplog.records
