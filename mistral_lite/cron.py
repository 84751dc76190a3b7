"""Patterns of cron triggers: which are valid, and when they match next. All times are UTC.

Syntax is that of croniter: five fields, a sixth for seconds, names such as ``@hourly``.
"""

from __future__ import annotations

from datetime import datetime

from croniter import croniter
from croniter.croniter import CroniterBadDateError

from mistral_lite.errors import InputError

# The 30th of February, or a Sunday in February: what the API shows for a trigger that has no pattern.
NEVER = "0 0 30 2 0"


def check_pattern(pattern: str, now: datetime) -> None:
    """Raise ``InputError`` unless ``pattern`` is valid and matches at some time after ``now``."""
    try:
        found = next_match(pattern, now)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # croniter means ValueError; what lies outside of its grammar sometimes ends in the others.
        raise InputError(
            f"The specified pattern is not valid: {pattern}. Give five fields (minute, hour, day of month, "
            "month, day of week), if need be a sixth (second), or a name such as @hourly."
        ) from error
    if found is None:
        raise InputError(f"The specified pattern is not valid: {pattern}. It never matches.")


def next_match(pattern: str, after: datetime) -> datetime | None:
    """Return the first time after ``after`` that a valid pattern matches, None if there is none."""
    try:
        found = croniter(pattern, after).get_next(datetime)
    except CroniterBadDateError:
        return None
    assert isinstance(found, datetime)
    return found
