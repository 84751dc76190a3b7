"""The text that is stored for each entity of a document that holds several.

The only entity of a document keeps the text as it was sent. Of several workflows each gets a document of
its own, written anew. A member of a workbook gets the lines that define it, moved to the left margin.
"""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.loader import Document, load, load_document
from mistral_lite.lang.parse_workflow import RESERVED


def workflow_texts(text: str, names: Iterable[str]) -> dict[str, str]:
    """Return the text to store for each of ``names``, which are the workflows that ``text`` defines."""
    wanted = list(names)
    if len(wanted) == 1:
        return {wanted[0]: text}
    document = load(text)
    return {name: _written({"version": document["version"], name: document[name]}) for name in wanted}


def workbook_member_texts(text: str) -> dict[str, dict[str, str]]:
    """Return ``{"workflows": {name: text}, "actions": {name: text}}`` for a valid workbook."""
    document = load_document(text)
    return {
        kind: {
            name: _member_text(document, text, kind, name)
            for name in document.value.get(kind, {})
            if name != RESERVED
        }
        for kind in ("workflows", "actions")
    }


def _member_text(document: Document, text: str, kind: str, name: str) -> str:
    wanted = {name: document.value[kind][name]}
    first = document.lines.get((kind, name))
    cut = _cut(text.splitlines(), first - 1) if first else ""
    # Where lines are not enough to tell (flow style, a key in quotes over two lines), it is written anew.
    return cut if _holds(cut, wanted) else _written(wanted)


def _cut(lines: list[str], first: int) -> str:
    margin = _indentation(lines[first])
    last = first
    for number in range(first + 1, len(lines)):
        line = lines[number]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if _indentation(line) <= margin:
            break
        last = number
    kept = (line[margin:] if not line[:margin].strip() else line.lstrip() for line in lines[first : last + 1])
    return "\n".join(kept) + "\n"


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _holds(text: str, wanted: JsonObject) -> bool:
    try:
        return bool(load_document(text).value == wanted)
    except DefinitionError:
        return False


def _written(value: JsonValue) -> str:
    written: str = yaml.safe_dump(value, sort_keys=False, default_flow_style=False, allow_unicode=True)
    return written
