"""Patterns of cron triggers: what they match next, and what is no pattern."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mistral_lite import cron
from mistral_lite.errors import InputError

# A Saturday.
NOW = datetime(2026, 11, 21, 22, 37, 10, 250_001, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("* * * * *", "2026-11-21 22:38:00"),
        ("*/5 * * * *", "2026-11-21 22:40:00"),
        ("* * * * * *", "2026-11-21 22:37:11"),
        ("* * * * * */15", "2026-11-21 22:37:15"),
        ("30 12 * * mon-fri", "2026-11-23 12:30:00"),
        ("0 0 29 2 *", "2028-02-29 00:00:00"),
        ("@hourly", "2026-11-21 23:00:00"),
        ("@midnight", "2026-11-22 00:00:00"),
        ("@yearly", "2027-01-01 00:00:00"),
        # Day of month and day of week are alternatives, as in cron.
        (cron.NEVER, "2027-02-07 00:00:00"),
    ],
)
def test_next_match(pattern: str, expected: str) -> None:
    cron.check_pattern(pattern, NOW)
    assert cron.next_match(pattern, NOW) == datetime.fromisoformat(f"{expected}+00:00")


@pytest.mark.parametrize("pattern", ["0 0 30 2 *", "0 0 31 4 *", "* * * * * * 2025"])
def test_what_never_matches_is_refused(pattern: str) -> None:
    assert cron.next_match(pattern, NOW) is None
    with pytest.raises(InputError, match="never matches"):
        cron.check_pattern(pattern, NOW)


@pytest.mark.parametrize(
    "pattern", ["", " ", "5 *", "60 * * * *", "* 24 * * *", "* * * 13 *", "* * * * 8", "@x"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match="Give five fields"):
        cron.check_pattern(pattern, NOW)


_FIELD = st.one_of(
    st.just("*"),
    st.integers(0, 70).map(str),
    st.integers(1, 70).map("*/{}".format),
    st.text("0123456789*/-,@LW#?HRjan ", min_size=1, max_size=4),
)


@given(st.lists(_FIELD, min_size=4, max_size=7), st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
def test_any_pattern_is_refused_or_matches_later(fields: list[str], moment: datetime) -> None:
    after = moment.replace(tzinfo=UTC)
    pattern = " ".join(fields)
    try:
        cron.check_pattern(pattern, after)
    except InputError:
        return
    found = cron.next_match(pattern, after)
    assert found is None or found > after
