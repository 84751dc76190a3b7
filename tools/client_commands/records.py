"""Recorded outcomes: one JSON file per theme and side under ``tests/e2e/client_commands/recorded/``.

``reference`` is what the client showed with the genuine server; ``here`` what it shows with mistral_lite, for the
commands that state a difference.
"""

from __future__ import annotations

import json

from client_commands.runner import MUTE, Outcome
from client_commands.script import FOLDER

REFERENCE = "reference"
HERE = "here"


def load(side: str, theme: str) -> list[Outcome]:
    """Return the outcomes of one theme; empty if nothing is recorded."""
    path = FOLDER / "recorded" / side / f"{theme}.json"
    found: list[Outcome] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return found


def comparable(outcomes: list[Outcome]) -> list[Outcome]:
    """Return what is recorded of outcomes."""
    return [{key: value for key, value in outcome.items() if key != MUTE} for outcome in outcomes]


def save(side: str, theme: str, outcomes: list[Outcome]) -> None:
    """Record the outcomes of one theme; without any, nothing stays recorded."""
    path = FOLDER / "recorded" / side / f"{theme}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    outcomes = comparable(outcomes)
    if outcomes:
        path.write_text(json.dumps(outcomes, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        path.unlink(missing_ok=True)
