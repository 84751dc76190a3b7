"""What is wrong with a definition, and where: places, and a list that collects all findings.

Knows nothing about the language itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from mistral_lite.errors import DefinitionError, ExpressionSyntaxError
from mistral_lite.lang.loader import Document, Path, shorten

_MAX_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a document: its path, the entity it lies in, and how many steps lead to that entity.

    Made for every value that is checked and shown for few, so its words are put together only when shown.
    """

    path: Path = ()
    owner: str = ""
    depth: int = 0

    def entity(self, kind: str, name: str, *steps: str) -> Place:
        """Return the place of the entity ``name``, found under ``steps`` from here."""
        label = f"{kind} '{shorten(name)}'"
        path = (*self.path, *steps, name)
        return Place(path, f"{self.owner}, {label}" if self.owner else label, len(path))

    def at(self, *steps: str | int) -> Place:
        """Return the place of a field or item further inside."""
        return Place((*self.path, *steps), self.owner, self.depth)

    def __str__(self) -> str:
        parts = [self.owner] if self.owner else []
        field = "".join(
            f"[{step}]" if isinstance(step, int) else f".{shorten(step)}" for step in self.path[self.depth :]
        )
        if field:
            parts.append(f"field '{field.removeprefix('.')}'")
        return ", ".join(parts) or "document"


class Findings:
    """Collects what is wrong in one document; the same thing at the same place counts once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._texts: dict[str, None] = {}
        self._only_expressions = True

    def __bool__(self) -> bool:
        return bool(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, place: Place, message: str) -> None:
        """Record that ``message`` holds at ``place``."""
        self._only_expressions = False
        self._record(place, message)

    def add_expression(self, place: Place, message: str) -> None:
        """Record that the expression at ``place`` cannot be parsed."""
        self._record(place, message)

    def is_date(self, place: Place) -> bool:
        """Tell whether the text at ``place`` is an unquoted date."""
        return place.path in self.document.dates

    def is_odd_key(self, place: Place) -> bool:
        """Tell whether the key at ``place`` was a number, a boolean or null in YAML."""
        return place.path in self.document.odd_keys

    def raise_if_any(self) -> None:
        """Raise ``DefinitionError`` (``ExpressionSyntaxError`` if it is all about expressions) with everything."""
        if not self._texts:
            return
        texts = list(self._texts)
        shown = texts[:_MAX_SHOWN]
        if len(texts) > len(shown):
            shown.append(f"and {len(texts) - len(shown)} more")
        kind = ExpressionSyntaxError if self._only_expressions else DefinitionError
        raise kind("Invalid DSL: " + "\n".join(shown), findings=shown)

    def _record(self, place: Place, message: str) -> None:
        line = self.document.line(place.path)
        where = f"{place} (line {line})" if line else str(place)
        self._texts[f"{where}: {message}"] = None
