"""``with-items``: which variables run over which sources."""

from __future__ import annotations

import re

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonValue
from mistral_lite.lang import inline, shapes
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.loader import shorten

# Not anchored at the end: what follows the source has never counted.
_ITEM = re.compile(r"\s*([\w\d_\-]+)\s*in\s*(\[.+\]|{{(?:.*?)}}|<%.*?%>)")

WithItems = tuple[tuple[str, list[JsonValue] | str], ...]


def parse_with_items(value: JsonValue) -> WithItems:
    """Return variables and sources in document order; of a repeated variable the last source counts.

    Raises ``DefinitionError`` if a text has another shape or holds a list that is no JSON.
    """
    texts = value if isinstance(value, list) else [value]
    return tuple(dict(_item(text) for text in texts).items())


def check_with_items(findings: Findings, place: Place, value: JsonValue) -> None:
    """A text ``VAR in SOURCE``, or a list of them."""
    shapes.text_or_text_list(findings, place, value)
    for index, text in enumerate(value) if isinstance(value, list) else ((None, value),):
        if isinstance(text, str) and text:
            try:
                _item(text)
            except DefinitionError as error:
                findings.add(place if index is None else place.at(index), error.message)


def _item(text: str) -> tuple[str, list[JsonValue] | str]:
    match = _ITEM.match(text)
    if match is None:
        raise DefinitionError(
            f"Wrong format of 'with-items' property: '{shorten(text)}'; write \"i in <% $.list %>\", "
            '"i in {{ _.list }}" or "i in [1, 2]" with at least one item'
        )
    variable, source = match.groups()
    if not source.startswith("["):
        return variable, source
    try:
        items: list[JsonValue] = inline.json_literal(source)
    except ValueError as error:
        raise DefinitionError(
            f"Invalid array in 'with-items' clause: '{shorten(source)}' is not JSON ({error}); "
            "put texts into double quotes"
        ) from error
    return variable, items
