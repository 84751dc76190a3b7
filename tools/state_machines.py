"""Writes docs/state_machines.rst from the tables in mistral_lite/workflow/states.py.

Run without arguments after a change of those tables. Knows nothing about states but what the tables say.
"""

from __future__ import annotations

from pathlib import Path

from mistral_lite.workflow.states import ALLOWED, FINISHED, Machine, State

TARGET = Path(__file__).resolve().parent.parent / "docs" / "state_machines.rst"

_HEAD = """\
======
States
======

.. Made by tools/state_machines.py from mistral_lite/workflow/states.py. Do not edit.

A row is the present state, a column what may follow. The engine refuses every other step; staying is always
allowed. States in **bold** are finished: nothing follows by itself. A step out of a finished state takes a rerun, a
skip, a policy that overrules a fresh end, or a late arrival at a join.
"""


def render() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *(_section(machine) for machine in Machine)])


def _section(machine: Machine) -> str:
    title = f"{machine.capitalize()} executions"
    table = ALLOWED[machine]
    # Rows and columns in the order in which State declares them.
    states = [state for state in State if state in table or any(state in after for after in table.values())]
    rows = [["from → to", *(_cell(state) for state in states)]]
    for before in states:
        marks = ["yes" if after in table.get(before, ()) else "" for after in states]
        rows.append([_cell(before), *marks])
    return f"{title}\n{'=' * len(title)}\n\n{_grid(rows)}\n"


def _cell(state: State) -> str:
    return f"**{state}**" if state in FINISHED else str(state)


def _grid(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rule = "+".join(["", *("-" * (width + 2) for width in widths), ""])
    lines = [rule]
    for row in rows:
        lines.append(
            "|".join(["", *(f" {cell:{width}} " for cell, width in zip(row, widths, strict=True)), ""])
        )
        lines.append(rule.replace("-", "=") if row is rows[0] else rule)
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
