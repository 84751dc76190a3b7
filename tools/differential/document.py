"""The generated part of ``docs/differences.rst``: every case with a stated difference, by theme."""

from __future__ import annotations

from differential.cases import CASES, Case

DOCUMENT = CASES.parents[2] / "docs" / "differences.rst"
_MARK = (
    ".. Generated from tests/differential/cases by 'python -m differential document'; do not edit below.\n"
)


def rendered(cases: list[Case]) -> str:
    """Return the whole text of the page: the hand-written part as it is, the generated part anew."""
    written = DOCUMENT.read_text(encoding="utf-8").split(_MARK)[0]
    lines = [written + _MARK, "Seen by the differential test", "-----------------------------", ""]
    for theme in sorted({case.theme for case in cases if case.differs}):
        lines += [f"{theme}", "~" * len(theme), ""]
        for case in cases:
            if case.theme == theme and case.differs:
                lines += [f"``{case.name}``: {case.shows}", f"    {case.differs}", ""]
    return "\n".join(lines).rstrip("\n") + "\n"
