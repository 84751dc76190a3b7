"""Routing clauses: ``on-success`` and its kin, engine commands, and the ``publish`` inside a clause.

Checks one clause and builds its spec. Whether targets exist is for ``validate.py`` to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mistral_lite.errors import DefinitionError
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang import inline, shapes
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.loader import describe, shorten
from mistral_lite.lang.specs import COMMANDS, ClauseSpec, PublishSpec, Transition

SCOPES = ("branch", "global", "atomic")

_BARE = re.compile(r"^\S+$")
_COMMAND = re.compile(r"^\w+ \w+=(.*)$")
_CALL = re.compile(r"^(\w+)\(\w+=(.*)\)$")
_ADVANCED = frozenset({"publish", "next"})


def parse_clause(value: JsonValue) -> ClauseSpec:
    """Return the spec of a checked clause, in any of its forms."""
    if is_advanced(value):
        return ClauseSpec(
            next=_transitions(value.get("next")),
            publish=_publish(value["publish"]) if "publish" in value else None,
        )
    return ClauseSpec(next=_transitions(value))


def is_advanced(value: JsonValue) -> bool:
    """Tell whether a clause is the mapping form with ``publish`` or ``next``."""
    return isinstance(value, dict) and bool(value) and set(value) <= _ADVANCED


def with_default(own: ClauseSpec | None, default: ClauseSpec | None, task: str) -> ClauseSpec | None:
    """Return the clause in force for ``task``: without a ``next`` of its own it takes the default's.

    Transitions of the default to the task itself are left out; the default's publish never counts.
    """
    if default is None or (own is not None and own.next):
        return own
    inherited = tuple(transition for transition in default.next if transition.target != task)
    return ClauseSpec(next=inherited, publish=own.publish if own else None)


def split_target(text: str) -> tuple[str, JsonObject]:
    """Return target and parameters of ``text``: ``t``, ``fail msg="x"`` or ``fail(msg="x")``.

    Raises ``DefinitionError`` if it does not start with a name.
    """
    call = _CALL.match(text)
    if call and " " not in text:
        # Without a blank only commands are calls; for a task the parentheses belong to its name.
        return (call[1], inline.parse_parameters(text)) if call[1] in COMMANDS else (text, {})
    return inline.split(text)


def check_clause(findings: Findings, place: Place, value: JsonValue) -> None:
    """Report what is wrong with the shape of a clause."""
    if is_advanced(value):
        if "next" in value:
            _check_next(findings, place.at("next"), value["next"])
        if "publish" in value:
            _check_publish(findings, place.at("publish"), value["publish"])
    elif isinstance(value, dict) and len(value) > 1:
        findings.add(
            place,
            "is not valid: a mapping here has the keys 'publish' and 'next' only; "
            "write several transitions as a list",
        )
    else:
        _check_next(findings, place, value)


def _check_next(findings: Findings, place: Place, value: JsonValue) -> None:
    if not isinstance(value, list):
        _check_item(findings, place, value)
        return
    if not value:
        findings.add(place, "should be non-empty; remove it or list a task")
    for index, item in enumerate(value):
        _check_item(findings, place.at(index), item)
    shapes.unique(findings, place, value)


def _check_item(findings: Findings, place: Place, value: JsonValue) -> None:
    if isinstance(value, str):
        if findings.is_date(place) or not value or not _is_target(value):
            findings.add(
                place,
                f"'{shorten(value)}' is not valid: write a task name without blanks, or a command such as "
                "fail msg=\"why\" or fail(msg='why')",
            )
        return
    if not isinstance(value, dict) or len(value) != 1:
        kind = "a mapping with more or less than one key" if isinstance(value, dict) else describe(value)
        findings.add(place, f"is {kind}, which is not valid: write a task name, or 'name: <% condition %>'")
        return
    for target, condition in value.items():
        if findings.is_odd_key(place.at(target)):
            findings.add(place.at(target), "the key is not a text in YAML; quote it")
        try:
            split_target(target)
        except DefinitionError as error:
            findings.add(place.at(target), error.message)
        shapes.expression(findings, place.at(target), condition)


def _is_target(text: str) -> bool:
    return any(pattern.search(text) for pattern in (_BARE, _COMMAND, _CALL))


def _check_publish(findings: Findings, place: Place, value: JsonValue) -> None:
    if not isinstance(value, dict):
        findings.add(place, f"is {describe(value)}, not of type 'object'; write a mapping of scopes")
    elif not value:
        findings.add(place, "Either 'branch', 'global' or 'atomic' must be specified")
    else:
        shapes.fields(findings, place, value, dict.fromkeys(SCOPES, shapes.mapping))


def _transitions(value: JsonValue) -> tuple[Transition, ...]:
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    return tuple(_transition(item) for item in items)


def _transition(item: str | Mapping[str, str]) -> Transition:
    text, condition = (item, None) if isinstance(item, str) else next(iter(item.items()))
    target, parameters = split_target(text)
    return Transition(target=target, condition=condition, parameters=parameters)


def _publish(value: JsonObject) -> PublishSpec:
    return PublishSpec(
        branch=value.get("branch", {}), global_=value.get("global", {}), atomic=value.get("atomic", {})
    )
