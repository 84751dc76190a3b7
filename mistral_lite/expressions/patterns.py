"""What matching a regular expression may cost.

Owns a bound that errs on the side of caution and takes time linear in the pattern. ``re`` can be stopped by
nothing but the end of its process, so what is not cheap by this bound is matched in a process that may end.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Steps that the matcher certainly does within some milliseconds.
_CHEAP_STEPS = 1_000_000
_MAX_PATTERN_CHARS = 200
# Each may be tried in several ways at one place of the text.
_CHOICES = frozenset("*+?{|")
# A repeated group, or a reference to what a group matched: their cost has no simple bound.
_UNBOUNDED = re.compile(r"\)[*+?{]|\\[1-9]|\(\?P=")


def is_cheap(pattern: str, text_length: int) -> bool:
    """Tell whether matching ``pattern`` anywhere in a text of ``text_length`` characters is surely quick."""
    choices = _count_choices(pattern)
    # One more: the place where the match begins.
    return choices is not None and (text_length + 2) ** (choices + 1) <= _CHEAP_STEPS


@lru_cache(1024)
def _count_choices(pattern: str) -> int | None:
    if len(pattern) > _MAX_PATTERN_CHARS or _UNBOUNDED.search(pattern):
        return None
    return sum(character in _CHOICES for character in pattern)
