"""What a run found, as sections of text and tables: for the terminal, and in reStructuredText for the documents."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

# Between these two lines of a document stands what the tool wrote.
BEGIN = ".. What follows is written by tools/bench, up to the end that is marked like this."
END = ".. Here ends what tools/bench has written."


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text below a header of as many cells."""

    header: list[str]
    rows: list[list[str]]
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something aimed at, and whether it was met."""

    name: str
    is_met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What a part of the run found.

    ``failures``: what did not do what it should. ``elapsed_s``: how long the part took; 0 if another section says it.
    """

    title: str
    text: list[str]
    tables: list[Table]
    targets: list[Target] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0


def machine() -> dict[str, str]:
    """Return date and machine of the run."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} × {model}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def summary(sections: Sequence[Section]) -> list[str]:
    """Return how many targets were met, and which were not."""
    targets = [target for section in sections for target in section.targets]
    missed = [target.name for target in targets if not target.is_met]
    if not targets:
        return []
    text = f"{len(targets) - len(missed)} of {len(targets)} targets met."
    return [text + (f" Not met: {'; '.join(missed)}." if missed else "")]


def as_text(sections: Sequence[Section]) -> str:
    """Return sections for a terminal."""
    facts = machine()
    lines = [f"{facts['date']}, {facts['machine']}, Python {facts['python']}"]
    lines += [_durations(sections), *summary(sections)]
    for section in sections:
        lines += ["", f"== {section.title}", *_text(section)]
        for table in section.tables:
            lines += ["", *([table.title] if table.title else []), text_table(table.header, table.rows)]
    return "\n".join(lines)


def as_rst(sections: Sequence[Section]) -> str:
    """Return sections for a document, whose own sections are underlined with ``=``."""
    facts = machine()
    first = (
        f"Measured {facts['date']} on {facts['machine']}, Python {facts['python']}. {_durations(sections)}"
    )
    lines = [first, "", *_paragraphs(summary(sections))]
    for section in sections:
        lines += [section.title, "-" * len(section.title), "", *_paragraphs(_text(section))]
        for table in section.tables:
            lines += [*_paragraphs([f"{table.title}:"] if table.title else [])]
            lines += [rst_table(table.header, table.rows), ""]
    return "\n".join(lines)


def replaced(document: str, generated: str) -> str:
    """Return ``document`` with ``generated`` between the marks. Raises ``ValueError`` if they are not there."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("The document has no marks for what the tool writes.")
    return f"{before}{BEGIN}\n\n{generated.strip()}\n\n{END}{after}"


def text_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table for a terminal."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: list[str]) -> str:
        first, *rest = zip(row, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def rst_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [
            f"   {'*' if number == 0 else ' '} - {_plain(cell)}".rstrip() for number, cell in enumerate(row)
        ]
    return "\n".join(lines)


def number(value: float | None, suffix: str = "") -> str:
    """Return a figure with about three digits; a dash for none."""
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 1 if value >= 10 else 3 if value < 1 else 2
    return f"{value:.{digits}f}{suffix}"


def yes(is_met: bool) -> str:
    """Return the cell that says whether a target was met."""
    return "yes" if is_met else "no"


def _durations(sections: Sequence[Section]) -> str:
    parts = [f"{section.title} {section.elapsed_s:.0f} s" for section in sections if section.elapsed_s]
    return f"The run took {sum(section.elapsed_s for section in sections):.0f} s: {', '.join(parts)}."


def _text(section: Section) -> list[str]:
    return [*section.text, *(f"Failed: {failure}" for failure in section.failures)]


def _paragraphs(text: Sequence[str]) -> list[str]:
    return [line for paragraph in text for line in (_plain(paragraph), "")]


def _plain(text: str) -> str:
    """Return text for reStructuredText that has no markup, on one line."""
    return re.sub(r"([\\*`|]|_(?!\w))", r"\\\1", " ".join(text.split()))
