"""Cases as written in ``tests/differential/cases/*.yaml``.

Owns their shape and the unique names of a run; knows nothing of servers.

A file is a list of mappings:

``name``        unique over all files
``shows``       one sentence: what the case is about
``workflow``, ``workbook``, ``action``
                documents (a text or a list of texts); a missing ``version`` is added
``environment`` stored environments, a list of ``{name, variables}``
``steps``       what happens, in order; default is ``[{start: {}}]``
``ends``        ``quiet`` (default: everything finished) or ``still`` (nothing moves any more)
``ignores``     fields of the outcome that the reference leaves to chance
``differs``     why mistral_lite deliberately ends otherwise

Every name that starts with ``our_`` is made unique for the run, in documents and in steps.
``PEER_URL`` stands for the small web server of the runner.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CASES = Path(__file__).resolve().parents[2] / "tests" / "differential" / "cases"
NAME_MARK = "our_"
PEER_MARK = "PEER_URL"
_KEYS = {
    "name", "shows", "workflow", "workbook", "action", "environment", "steps", "ends", "ignores", "differs",
}  # fmt: skip
_DOCUMENT_KINDS = ("action", "workbook", "workflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One definition to upload; ``kind`` is action, workbook or workflow."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One case; see the module's docstring for the meaning of its fields."""

    name: str
    theme: str
    shows: str
    documents: tuple[Document, ...]
    environments: tuple[dict[str, Any], ...]
    steps: tuple[dict[str, Any], ...]
    ends: str
    ignores: frozenset[str]
    differs: str | None


def load_cases(folder: Path = CASES) -> list[Case]:
    """Read all cases, in the order of files and lines; raises ValueError for a malformed one."""
    cases = [
        _case(body, path.stem)
        for path in sorted(folder.glob("*.yaml"))
        for body in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]
    names = [case.name for case in cases]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"names used twice: {sorted(repeated)}")
    return cases


def _case(body: dict[str, Any], theme: str) -> Case:
    unknown = set(body) - _KEYS
    if unknown or "name" not in body or "shows" not in body:
        raise ValueError(
            f"{theme}: {body.get('name')}: unknown keys {sorted(unknown)} or no 'name' and 'shows'"
        )
    return Case(
        name=body["name"],
        theme=theme,
        shows=" ".join(body["shows"].split()),
        documents=tuple(
            Document(kind=kind, text=text) for kind in _DOCUMENT_KINDS for text in _texts(body.get(kind, []))
        ),
        environments=tuple(body.get("environment", [])),
        steps=tuple(body.get("steps", [{"start": {}}])),
        ends=body.get("ends", "quiet"),
        ignores=frozenset(body.get("ignores", [])),
        differs=" ".join(body["differs"].split()) if body.get("differs") else None,
    )


def _texts(value: str | list[str]) -> list[str]:
    return [
        text if text.startswith("version:") else f"version: '2.0'\n{text}"
        for text in ([value] if isinstance(value, str) else value)
    ]


def renamed(value: Any, marks: dict[str, str]) -> Any:
    """Return ``value`` with every mark replaced in every text, keys included."""
    if isinstance(value, str):
        for mark, text in marks.items():
            value = value.replace(mark, text)
        return value
    if isinstance(value, list):
        return [renamed(item, marks) for item in value]
    if isinstance(value, dict):
        return {renamed(key, marks): renamed(item, marks) for key, item in value.items()}
    return value
