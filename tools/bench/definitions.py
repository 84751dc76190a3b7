"""The texts of the workflows that are run, and their inputs. All of them are plain Mistral language 2.0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ONE = """
version: '2.0'
bench_one:
  tasks:
    only:
      action: std.noop
"""

PARKED = """
version: '2.0'
bench_parked:
  tasks:
    only:
      action: std.async_noop
"""

ITEMS = """
version: '2.0'
bench_items:
  input:
    - items
  output:
    results: <% $.results %>
  tasks:
    each:
      with-items: i in <% $.items %>
      action: std.echo output=<% $.i %>
      publish:
        results: <% task().result %>
"""

ITEMS_BY_TEN = ITEMS.replace("bench_items", "bench_items_by_ten").replace(
    "      publish:", "      concurrency: 10\n      publish:"
)

NESTED = """
version: '2.0'
bench_leaf:
  input:
    - number
  output:
    number: <% $.number %>
  tasks:
    only:
      action: std.noop

bench_nested:
  input:
    - items
  tasks:
    each:
      with-items: i in <% $.items %>
      workflow: bench_leaf number=<% $.i %>
"""

# An expression over ``hosts`` that takes far longer than all else that a task needs.
PAIRS = '"{% for a in _.hosts %}{% for b in _.hosts %}{% if a.load > b.load + 15 %}x{% endif %}{% endfor %}{% endfor %}"'


def chain(name: str, length: int, inputs: Sequence[str] = ()) -> str:
    """Return a workflow of ``length`` tasks, one after the other, that takes ``inputs`` and does not use them."""
    lines = ["version: '2.0'", f"{name}:"]
    lines += ["  input:", *(f"    - {name}" for name in inputs)] if inputs else []
    lines.append("  tasks:")
    for number in range(1, length + 1):
        lines += [f"    t{number}:", "      action: std.noop"]
        if number < length:
            lines.append(f"      on-success: t{number + 1}")
    return "\n".join(lines) + "\n"


def fan_out(name: str, width: int) -> str:
    """Return a workflow in which one task starts ``width`` others and one task joins them all."""
    lines = ["version: '2.0'", f"{name}:", "  tasks:", "    split:", "      action: std.noop"]
    lines.append("      on-success: [" + ", ".join(f"t{number}" for number in range(width)) + "]")
    for number in range(width):
        lines += [f"    t{number}:", "      action: std.noop", "      on-success: last"]
    lines += ["    last:", "      join: all", "      action: std.noop"]
    return "\n".join(lines) + "\n"


def data_chain(name: str, length: int, expression: str) -> str:
    """Return a chain in which every task evaluates ``expression`` and publishes it under a name of its own."""
    lines = ["version: '2.0'", f"{name}:", "  input:", "    - hosts", "  tasks:"]
    for number in range(1, length + 1):
        lines += [
            f"    t{number}:",
            "      action: std.noop",
            "      publish:",
            f"        p{number}: {expression}",
        ]
        if number < length:
            lines.append(f"      on-success: t{number + 1}")
    return "\n".join(lines) + "\n"


def hosts(count: int, note_length: int = 0) -> dict[str, Any]:
    """Return an input of ``count`` structured rows, each with a text of ``note_length`` characters."""
    return {
        "hosts": [
            {"name": f"host{number}", "up": number % 2 == 0, "load": number % 17, "note": "x" * note_length}
            for number in range(count)
        ]
    }
