"""What a command printed, as data without what differs from run to run.

Ids become the names under which the script keeps them, times and durations marks; tables lose their widths.
"""

from __future__ import annotations

import json
import re
from typing import Any

from client_commands.script import Command

_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_DURATION = re.compile(r"^(\d+:\d\d:\d\d(\.\.\.)?|\.\.\.)$")
_ESTIMATE = re.compile(r"(for the execution to finish:) [\d.]+$", re.MULTILINE)
_ERROR_LINE = re.compile(r"(\(error info: )[^\n]*")
WORDS = "<words>"
# What the client itself says before or after the answers for several identifiers.
_OWN_LINE = re.compile(r"^Request to ")


def rows(text: str) -> list[dict[str, Any]]:
    """Return what ``-f json`` printed, always as a list."""
    value = json.loads(text)
    return value if isinstance(value, list) else [value]


def normal_rows(found: list[dict[str, Any]], kept: dict[str, str], command: Command) -> list[dict[str, Any]]:
    """Return rows that can be compared."""
    done = [
        {
            column: WORDS if column in command.own and value else normal_value(value, kept)
            for column, value in row.items()
            if column not in command.ignores
        }
        for row in found
    ]
    return done if command.ordered else sorted(done, key=lambda row: json.dumps(row, sort_keys=True))


def normal_value(value: Any, kept: dict[str, str]) -> Any:
    """Return a cell that can be compared."""
    if not isinstance(value, str):
        return value
    if _DURATION.match(value):
        return "<duration>"
    return normal_text(value, kept)


def normal_text(text: str, kept: dict[str, str]) -> str:
    """Return a text that can be compared."""
    for value, name in kept.items():
        text = text.replace(value, f"<{name}>")
    text = _ESTIMATE.sub(r"\1 <seconds>", text)
    text = _ERROR_LINE.sub(rf"\1{WORDS})", text)
    return _TIME.sub("<time>", _ID.sub("<id>", text))


def normal_table(text: str, kept: dict[str, str], *, ordered: bool) -> list[str]:
    """Return the lines of a table, cells separated by one blank."""
    lines = [_cells(line, kept) for line in text.splitlines() if line.startswith("|")]
    return lines if ordered else lines[:1] + sorted(lines[1:])


def _cells(line: str, kept: dict[str, str]) -> str:
    return " | ".join(str(normal_value(cell.strip(), kept)) for cell in line.strip("| ").split(" | "))


def lines_of_the_client(text: str, kept: dict[str, str]) -> str:
    """Return the lines that are the client's own words, for a command that failed."""
    return "\n".join(normal_text(line, kept) for line in text.splitlines() if _OWN_LINE.match(line))
