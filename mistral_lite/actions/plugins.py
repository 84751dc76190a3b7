"""Actions of other installed distributions, in the three ways in which packs for Mistral offer them.

Entry points of ``mistral.actions`` are classes. Those of ``mistral.generators`` are callables that return makers of
many classes. Those of ``mistral.action.providers`` are classes of providers, which are asked once for all their
actions, and again for names that nobody has. What cannot be loaded is logged and left out: a bad distribution must not
take others with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
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


class Descriptor(Protocol):
    """What is used of a ``mistral_lib.actions.ActionDescriptor``, as providers return them."""

    @property
    def name(self) -> str:
        """Return the name of the action."""

    @property
    def description(self) -> str | None:
        """Return its documentation."""

    @property
    def params_spec(self) -> str | None:
        """Return its parameters: ``name`` or ``name=<default>`` by commas, with ``**`` in it if anything goes."""

    @property
    def action_class_name(self) -> str | None:
        """Return its dotted name for messages."""

    def instantiate(self, params: JsonObject, wf_ctx: object) -> Action:
        """Return a new action object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvidedAction:
    """What a descriptor said, all of it asked where its code may fail."""

    name: str
    description: str | None
    parameters: str
    class_name: str | None
    instantiate: Callable[[JsonObject, object], Action]


class Provider(Protocol):
    """What is used of a ``mistral_lib.actions.ActionProvider``."""

    def find(self, action_name: str) -> Descriptor | None:
        """Return an action, which ``find_all`` need not return."""

    def find_all(self) -> Iterable[Descriptor]:
        """Return the actions to list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedProvider:
    """A provider that works. ``listed``: its actions by name as the process started, but for names that others have."""

    entry_point: str
    provider: Provider
    listed: Mapping[str, ProvidedAction]

    def find(self, name: str) -> ProvidedAction | None:
        """Ask for an action that nobody has. If the provider fails, it has none."""
        try:
            found = self.provider.find(name)
            return None if found is None else _read(found)
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            _tell_failure("A plug-in failed to look for an action", PROVIDERS, self.entry_point, error)
            return None


def are_installed() -> bool:
    """Tell whether any other distribution offers actions. Nothing is imported."""
    groups = (CLASSES, GENERATORS, PROVIDERS)
    return any(not found.value.startswith(_OWN) for group in groups for found in entry_points(group=group))


def load_classes(taken: Collection[str]) -> dict[str, ActionClass]:
    """Return the classes of plug-ins by the names of their actions, but for the names ``taken``."""
    classes: dict[str, ActionClass] = {}
    for entry_point, made in _read_all(GENERATORS, entry_points(group=GENERATORS), _generate):
        classes.update(_without(made, taken, GENERATORS, entry_point.name))
    declared = [found for found in entry_points(group=CLASSES) if not found.value.startswith(_OWN)]
    for hidden in (found for found in declared if found.name in taken):
        # Not even imported.
        _without({hidden.name: hidden}, taken, CLASSES, hidden.name)
    for _, loaded in _read_all(CLASSES, (found for found in declared if found.name not in taken), _load):
        classes.update(loaded)
    return classes


def load_providers(taken: Collection[str]) -> tuple[LoadedProvider, ...]:
    """Return all providers; what they list has none of the names ``taken``."""
    foreign = (found for found in entry_points(group=PROVIDERS) if found.name not in _OWN_PROVIDERS)
    return tuple(
        LoadedProvider(
            entry_point=entry_point.name,
            provider=provider,
            listed=_without(listed, taken, PROVIDERS, entry_point.name),
        )
        for entry_point, (provider, listed) in _read_all(PROVIDERS, foreign, _ask)
    )


def _read_all(
    group: str, found: Iterable[EntryPoint], read: Callable[[EntryPoint], T]
) -> list[tuple[EntryPoint, T]]:
    """Return the entry points of a group that can be read, with what they hold."""
    sound: list[tuple[EntryPoint, T]] = []
    for entry_point in found:
        try:
            sound.append((entry_point, read(entry_point)))
        except Exception as error:  # noqa: BLE001 - importing foreign code may raise anything
            _tell_failure("A plug-in cannot be loaded and was left out", group, entry_point.name, error)
    return sound


def _without(found: Mapping[str, T], taken: Collection[str], group: str, entry_point: str) -> dict[str, T]:
    """Return ``found`` but for the names ``taken``, and say which those are."""
    hidden = sorted(name for name in found if name in taken)
    if hidden:
        log.write(
            LOG,
            logging.INFO,
            log.Event.ACTIONS_HIDDEN,
            "Actions of a plug-in were left out, as there are others of their names",
            plugin=f"{group}:{entry_point}",
            action_name=", ".join(hidden),
        )
    return {name: item for name, item in found.items() if name not in hidden}


def _tell_failure(message: str, group: str, entry_point: str, error: Exception) -> None:
    log.write(
        LOG,
        logging.WARNING,
        log.Event.INTERNAL_ERROR,
        message,
        plugin=f"{group}:{entry_point}",
        error_type=type(error).__name__,
        reason=str(error),
    )


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


def _ask(entry_point: EntryPoint) -> tuple[Provider, dict[str, ProvidedAction]]:
    provider: Provider = entry_point.load()(entry_point.name)
    read = (_read(found) for found in provider.find_all())
    return provider, {found.name: found for found in read}


def _read(found: Descriptor) -> ProvidedAction:
    return ProvidedAction(
        name=str(found.name),
        description=found.description,
        parameters=str(found.params_spec or ""),
        class_name=found.action_class_name,
        instantiate=found.instantiate,
    )


def _checked(found: object) -> ActionClass:
    if isinstance(found, type) and issubclass(found, Action):
        return found
    raise TypeError("it is not a subclass of mistral_lib.actions.Action")
