"""Checks of primitive values: texts, lists, mappings, numbers and values that may be expressions.

Every check gets the findings, the place and the value, and reports; none raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeGuard

from mistral_lite.jsontext import JsonObject, JsonValue, dump
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.loader import describe, shorten

Check = Callable[[Findings, Place, JsonValue], None]

_JINJA_WHOLE = re.compile(r"^({{(.*?)}})\s*$")
_YAQL_WHOLE = re.compile(r"^<%.*?%>\s*$")
_WORD = re.compile(r"^\w+$")


def is_whole_expression(value: JsonValue) -> TypeGuard[str]:
    """Tell whether ``value`` is a text that starts with the opening and ends with the closing of one language."""
    if not isinstance(value, str):
        return False
    return bool(_JINJA_WHOLE.search(value) or _YAQL_WHOLE.search(value))


def is_count(value: JsonValue) -> bool:
    """Tell whether ``value`` is a whole number, 0 or more; ``1.0`` is one, ``True`` is not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value >= 0 and (isinstance(value, int) or value.is_integer())


def whole(value: JsonValue) -> JsonValue:
    """Return an integral float as the integer it means, anything else unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def text(findings: Findings, place: Place, value: JsonValue) -> None:
    """A text of at least one character."""
    if not isinstance(value, str):
        findings.add(place, f"is {describe(value)}, not of type 'string'; quote it if it is meant as text")
    elif findings.is_date(place):
        findings.add(place, "is read as a date; quote it")
    elif not value:
        findings.add(place, "should be non-empty; remove it or write a text")


def text_list(findings: Findings, place: Place, value: JsonValue) -> None:
    """A list of different, non-empty texts, at least one."""
    if not isinstance(value, list):
        findings.add(place, f"is {describe(value)}, not of type 'array'; write a list of texts")
        return
    if not value:
        findings.add(place, "should be non-empty; remove it or list something")
    for index, item in enumerate(value):
        text(findings, place.at(index), item)
    unique(findings, place, value)


def text_or_text_list(findings: Findings, place: Place, value: JsonValue) -> None:
    """One text or a list of them."""
    (text_list if isinstance(value, list) else text)(findings, place, value)


def unique(findings: Findings, place: Place, value: list[JsonValue]) -> None:
    """No two items of a list are equal."""
    seen: set[str] = set()
    for index, item in enumerate(value):
        key = dump(item)
        if key in seen:
            findings.add(place.at(index), "has non-unique elements: the same item stands before; remove one")
        seen.add(key)


def anything(findings: Findings, place: Place, value: JsonValue) -> None:
    """Any JSON value; an unquoted date is none."""
    if findings.is_date(place):
        findings.add(place, f"'{value}' is read as a date, which is no JSON value; quote it")


def is_mapping(findings: Findings, place: Place, value: JsonValue) -> bool:
    """Report unless ``value`` is a mapping with at least one entry, all of whose keys are texts."""
    if not isinstance(value, dict):
        findings.add(place, f"is {describe(value)}, not of type 'object'; write a mapping")
        return False
    if not value:
        findings.add(place, "should be non-empty; remove it or give it an entry")
        return False
    for key in value:
        if findings.is_odd_key(place.at(key)):
            findings.add(place.at(key), "the key is not a text in YAML; quote it")
    return True


def mapping(findings: Findings, place: Place, value: JsonValue) -> None:
    """A non-empty mapping of any values."""
    if is_mapping(findings, place, value):
        for key, item in value.items():
            # Entries with other characters in their names have never been looked at.
            if _WORD.match(key):
                anything(findings, place.at(key), item)


def mapping_or_text(findings: Findings, place: Place, value: JsonValue) -> None:
    """A non-empty mapping, or a text (an expression that gives one)."""
    (text if isinstance(value, str) else mapping)(findings, place, value)


def expression(findings: Findings, place: Place, value: JsonValue) -> None:
    """One whole expression."""
    if not is_whole_expression(value):
        findings.add(
            place, f"{_shown(value)} is not valid: write one expression, '<% ... %>' or '{{{{ ... }}}}'"
        )


def count_or_expression(findings: Findings, place: Place, value: JsonValue) -> None:
    """A whole number from 0 up, or one whole expression."""
    if not is_count(value) and not is_whole_expression(value):
        findings.add(
            place,
            f"{_shown(value)} is not valid: write a whole number (0 or more, unquoted) or one expression "
            "'<% ... %>' or '{{ ... }}'",
        )


def flag_or_expression(findings: Findings, place: Place, value: JsonValue) -> None:
    """A boolean, or one whole expression."""
    if not isinstance(value, bool) and not is_whole_expression(value):
        findings.add(
            place,
            f"{_shown(value)} is not valid: write true, false or one expression '<% ... %>' or '{{{{ ... }}}}'",
        )


def ignored(findings: Findings, place: Place, value: JsonValue) -> None:
    """Anything; the value has no effect."""


def fields(findings: Findings, place: Place, body: JsonObject, known: Mapping[str, Check]) -> None:
    """Check every field of ``body`` by its entry in ``known``; fields without one are reported."""
    for key, value in body.items():
        check = known.get(key)
        if check is not None:
            check(findings, place.at(key), value)
        elif findings.is_odd_key(place.at(key)):
            findings.add(
                place.at(key),
                "the key is not a text in YAML (on, off, yes, no and numbers are not); quote it",
            )
        else:
            findings.add(
                place.at(key),
                f"Additional properties are not allowed ('{shorten(key)}' was unexpected); "
                f"known here: {', '.join(sorted(known))}",
            )


def _shown(value: JsonValue) -> str:
    if isinstance(value, (list, dict)) or value is None:
        return describe(value)
    return f"'{shorten(str(value))}'"
