"""Recorded outcomes: one JSON file per theme and side under ``tests/differential/recorded/``.

``reference`` is what the genuine server did; ``here`` is what mistral_lite does in the cases that state a difference.
"""

from __future__ import annotations

import json
from pathlib import Path

from differential.cases import CASES, Case
from differential.runner import Outcome

RECORDED = CASES.parent / "recorded"
REFERENCE = "reference"
HERE = "here"


def load(side: str, folder: Path = RECORDED) -> dict[str, Outcome]:
    """Return the recorded outcomes of one side by case name."""
    outcomes: dict[str, Outcome] = {}
    for path in sorted((folder / side).glob("*.json")):
        outcomes.update(json.loads(path.read_text(encoding="utf-8")))
    return outcomes


def save(side: str, cases: list[Case], outcomes: dict[str, Outcome], folder: Path = RECORDED) -> None:
    """Write ``outcomes`` over what is recorded; drop what belongs to none of ``cases``."""
    known = {**load(side, folder), **outcomes}
    (folder / side).mkdir(parents=True, exist_ok=True)
    for theme in sorted({case.theme for case in cases}):
        names = [case.name for case in cases if case.theme == theme and case.name in known]
        path = folder / side / f"{theme}.json"
        if not names:
            path.unlink(missing_ok=True)
            continue
        text = json.dumps({name: known[name] for name in names}, indent=1, sort_keys=True, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
