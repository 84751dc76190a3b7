"""Where expressions stand in a text, found in time linear in its length.

A regular expression such as ``<%.*?%>`` looks from every opening to the end of its line, which for a text that
only opens takes the square of its length; and ``re`` holds up every thread of the process meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator


def find_spans(text: str, opening: str, closing: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each ``opening … closing``; both stand on one line, the nearest closing counts."""
    position = 0
    line_end = -1
    while (start := text.find(opening, position)) >= 0:
        if start > line_end:
            line_end = text.find("\n", start)
            line_end = len(text) if line_end < 0 else line_end
        end = text.find(closing, start + len(opening), line_end)
        if end < 0:
            position = line_end
            continue
        position = end + len(closing)
        yield start, position


def has_span(text: str, opening: str, closing: str) -> bool:
    """Tell whether ``text`` holds an ``opening … closing`` on one line."""
    return opening in text and next(find_spans(text, opening, closing), None) is not None
