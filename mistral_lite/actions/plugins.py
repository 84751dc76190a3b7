"""Actions of other installed distributions, in the three ways in which packs for Mistral offer them.

Entry points of ``mistral.actions`` are classes. Those of ``mistral.generators`` are callables that return makers of
many classes. Those of ``mistral.action.providers`` are classes of providers, which are asked once for all their
actions. What cannot be loaded is logged and left out: a bad distribution must not take others with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar

from mistral_lib.actions import Action

from mistral_lite import log
from mistral_lite.jsontext import JsonObject

LOG = logging.getLogger(__name__)

CLASSES = "mistral.actions"
GENERATORS = "mistral.generators"
PROVIDERS = "mistral.action.providers"

# Mistral's own; what they provide is here in other ways.
_OWN_PROVIDERS = frozenset({"legacy", "adhoc", "dynamic"})

ActionClass = type[Action]

# How what our own entry points name begins.
_OWN = "mistral_lite."

T = TypeVar("T")


class ProvidedAction(Protocol):
    """What is used of a ``mistral_lib.actions.ActionDescriptor``, as providers return them.

    ``params_spec``: ``name`` or ``name=<default>`` by commas, with ``**`` in it if anything goes.
    """

    @property
    def name(self) -> str:
        """Return the name of the action."""

    @property
    def description(self) -> str | None:
        """Return its documentation."""

    @property
    def params_spec(self) -> str | None:
        """Return its parameters."""

    @property
    def action_class_name(self) -> str | None:
        """Return its dotted name for messages."""

    def instantiate(self, params: JsonObject, wf_ctx: object) -> Action:
        """Return a new action object."""


def are_installed() -> bool:
    """Tell whether any other distribution offers actions. Nothing is imported."""
    groups = (CLASSES, GENERATORS, PROVIDERS)
    return any(not found.value.startswith(_OWN) for group in groups for found in entry_points(group=group))


def load_classes(taken: Collection[str]) -> dict[str, ActionClass]:
    """Return the classes of plug-ins by the names of their actions, but for the names ``taken``."""
    classes = _collect(GENERATORS, _generate)
    classes.update(_collect(CLASSES, _load, without=taken))
    return {name: found for name, found in classes.items() if name not in taken}


def load_provided(taken: Collection[str]) -> dict[str, ProvidedAction]:
    """Return what providers provide by the names of the actions, but for the names ``taken``."""
    provided = _collect(PROVIDERS, _ask, without=_OWN_PROVIDERS)
    return {name: found for name, found in provided.items() if name not in taken}


def _collect(
    group: str, read: Callable[[EntryPoint], Mapping[str, T]], without: Collection[str] = ()
) -> dict[str, T]:
    """Return what all entry points of a group hold. Those called ``without`` are not even imported."""
    collected: dict[str, T] = {}
    for entry_point in entry_points(group=group):
        if entry_point.name in without:
            continue
        try:
            collected.update(read(entry_point))
        except Exception as error:  # noqa: BLE001 - importing foreign code may raise anything
            log.write(
                LOG,
                logging.WARNING,
                log.Event.INTERNAL_ERROR,
                "A plug-in cannot be loaded and was left out",
                plugin=f"{group}:{entry_point.name}",
                error_type=type(error).__name__,
                reason=str(error),
            )
    return collected


def _load(entry_point: EntryPoint) -> dict[str, ActionClass]:
    return {entry_point.name: _checked(entry_point.load())}


def _generate(entry_point: EntryPoint) -> dict[str, ActionClass]:
    """Return what the makers behind an entry point make: each action a mapping of facts."""
    classes: dict[str, ActionClass] = {}
    for maker in entry_point.load()():
        for facts in maker.create_actions():
            base = _checked(facts["class"])
            told = {
                "__module__": base.__module__,
                "__doc__": facts.get("description"),
                "__arguments__": facts.get("arg_list"),
            }
            classes[facts["name"]] = type(base.__name__, (base,), told)
    return classes


def _ask(entry_point: EntryPoint) -> dict[str, ProvidedAction]:
    provider = entry_point.load()(entry_point.name)
    return {str(found.name): found for found in provider.find_all()}


def _checked(found: object) -> ActionClass:
    if isinstance(found, type) and issubclass(found, Action):
        return found
    raise TypeError("it is not a subclass of mistral_lib.actions.Action")
