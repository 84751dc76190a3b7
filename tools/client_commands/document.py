"""The generated part of ``docs/client.rst``: every command that was seen, and every stated difference."""

from __future__ import annotations

from client_commands.script import FOLDER, Theme, client_commands

DOCUMENT = FOLDER.parents[2] / "docs" / "client.rst"
_MARK = ".. Generated from tests/e2e/client_commands by 'python -m client_commands document'; do not edit below.\n"


def rendered(themes: list[Theme]) -> str:
    """Return the whole text of the page: the hand-written part as it is, the generated part anew."""
    written = DOCUMENT.read_text(encoding="utf-8").split(_MARK)[0]
    lines = [written + _MARK, "Every command", "-------------", ""]
    lines += ["Each was typed this often, with success and with typical mistakes, on both sides.", ""]
    commands = [command for theme in themes for command in theme.commands]
    counts = dict.fromkeys(sorted(client_commands()), 0)
    for command in commands:
        counts[command.name] += 1
    lines += _table(("command", "cases"), [(f"``{name}``", str(count)) for name, count in counts.items()])
    lines += ["", "Where the answer differs on purpose", "-----------------------------------", ""]
    reasons: dict[str, list[str]] = {}
    for command in commands:
        if command.differs:
            reasons.setdefault(command.differs, []).append(f"``{command.text}``")
    for reason, texts in reasons.items():
        lines += [reason, "", *(f"* {text}" for text in dict.fromkeys(texts)), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(heads: tuple[str, str], rows: list[tuple[str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in (0, 1)]
    rule = "  ".join("=" * width for width in widths)
    body = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    head = "  ".join(cell.ljust(width) for cell, width in zip(heads, widths, strict=True)).rstrip()
    return [rule, head, rule, *body, rule]
