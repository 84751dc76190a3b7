"""The installed actions by name: the standard ones, those on queues, and those of plug-ins.

Owns names, aliases and descriptors made from Python classes. Knows nothing of ad-hoc actions, which are data
in the database, and runs nothing.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from mistral_lib.actions import Action

from mistral_lite.actions.egress import HttpSettings
from mistral_lite.actions.plugins import (
    ActionClass,
    LoadedProvider,
    ProvidedAction,
    load_classes,
    load_providers,
)
from mistral_lite.actions.queues import QUEUE_ACTIONS, Connect, QueueAction
from mistral_lite.actions.std import STANDARD_ACTIONS
from mistral_lite.actions.std.http import HttpAction
from mistral_lite.actions.transport import HttpTransport
from mistral_lite.errors import NotFoundError
from mistral_lite.jsontext import JsonObject
from mistral_lite.workflow.descriptors import ActionDescriptor, ActionParameter

_STANDARD_PREFIX = "std."


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSettings:
    """Which actions there are and what bounds them.

    ``load_plugins``: whether actions of other installed distributions are offered beside the standard ones.
    ``connect_queues``: with what ``zaqar.*`` reach the queues of a Zaqar. Without, they work on those in our own database
    if there are ``embedded_queues``, and else are left to plug-ins.
    """

    http: HttpSettings = field(default_factory=HttpSettings)
    load_plugins: bool = True
    embedded_queues: bool = True
    connect_queues: Connect | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    build: Callable[..., Action]
    descriptor: ActionDescriptor


class ActionRegistry:
    """Finds installed actions by name; unchanging once made, so it may be shared by threads.

    Providers may have more actions than they list, and are asked for each name that is not there.
    """

    def __init__(
        self,
        classes: Mapping[str, ActionClass],
        settings: ActionSettings,
        providers: Sequence[LoadedProvider] = (),
    ) -> None:
        """``providers`` list actions by names that no class has."""
        transport = HttpTransport(settings.http)
        self._entries = {name: _make_entry(name, cls, transport) for name, cls in classes.items()}
        self._providers = tuple(providers)
        for provider in self._providers:
            self._entries.update(
                {name: _provided_entry(name, item) for name, item in provider.listed.items()}
            )
        self._aliases = {
            name.removeprefix(_STANDARD_PREFIX): name
            for name in self._entries
            if name.startswith(_STANDARD_PREFIX) and name.removeprefix(_STANDARD_PREFIX) not in self._entries
        }

    @classmethod
    def load(cls, settings: ActionSettings) -> Self:
        """Return a registry of all installed actions. A plug-in that cannot be loaded is logged and left out."""
        classes: dict[str, ActionClass] = {**STANDARD_ACTIONS}
        connect = settings.connect_queues
        if connect is not None:
            classes.update((name, action.over(connect)) for name, action in QUEUE_ACTIONS.items())
        elif settings.embedded_queues:
            classes.update(QUEUE_ACTIONS)
        if not settings.load_plugins:
            return cls(classes, settings)
        classes.update(load_classes(taken=classes.keys()))
        return cls(classes, settings, load_providers(taken=classes.keys()))

    def find(self, name: str) -> ActionDescriptor | None:
        """Return the descriptor of ``name``, which may lack the prefix ``std.``, or None."""
        entry = self._find_entry(name)
        return entry.descriptor if entry else None

    def get(self, name: str) -> ActionDescriptor:
        """Return the descriptor of ``name``. Raises ``NotFoundError``."""
        return self._get_entry(name).descriptor

    def list_all(self) -> tuple[ActionDescriptor, ...]:
        """Return the descriptors of all actions under their full names, sorted by name."""
        return tuple(self._entries[name].descriptor for name in sorted(self._entries))

    def instantiate(self, name: str, arguments: JsonObject) -> Action:
        """Return a new action object. Raises ``NotFoundError`` and whatever its constructor raises."""
        return self._get_entry(name).build(**arguments)

    def _find_entry(self, name: str) -> _Entry | None:
        entry = self._entries.get(self._aliases.get(name, name))
        if entry is not None:
            return entry
        answers = (provider.find(name) for provider in self._providers)
        found = next((answer for answer in answers if answer is not None), None)
        return None if found is None else _provided_entry(name, found)

    def _get_entry(self, name: str) -> _Entry:
        entry = self._find_entry(name)
        if entry is None:
            raise NotFoundError(f"Failed to find action [action_name={name}]", action=name)
        return entry


def describe_class(name: str, action_class: ActionClass) -> ActionDescriptor:
    """Return the descriptor of an action class from its constructor's signature and its documentation."""
    constructor = action_class.__init__
    text: str | None = getattr(constructor, "__arguments__", None)
    text = text or getattr(action_class, "__arguments__", None)
    if text:
        parameters, accepts_any = _parse_declared(text), "**" in text
    else:
        parameters, accepts_any = _read_signature(constructor)
    return ActionDescriptor(
        name=name,
        class_name=f"{action_class.__module__}.{action_class.__name__}",
        description=inspect.getdoc(action_class),
        parameters=parameters,
        accepts_any=accepts_any,
        is_sync=_is_sync(action_class),
        declared_signature=text or None,
        worker=action_class.worker if issubclass(action_class, QueueAction) else None,
    )


def _make_entry(name: str, action_class: ActionClass, transport: HttpTransport) -> _Entry:
    if issubclass(action_class, HttpAction):
        action_class = action_class.bound_to(transport)
    return _Entry(build=action_class, descriptor=describe_class(name, action_class))


def _provided_entry(name: str, provided: ProvidedAction) -> _Entry:
    text = provided.parameters
    return _Entry(
        # Nothing is known here of the workflow, which Mistral would pass to some providers.
        build=lambda **arguments: provided.instantiate(arguments, None),
        descriptor=ActionDescriptor(
            name=name,
            class_name=provided.class_name or name,
            description=provided.description,
            parameters=_parse_declared(text),
            accepts_any="**" in text,
            declared_signature=text or None,
        ),
    )


def _read_signature(constructor: object) -> tuple[tuple[ActionParameter, ...], bool]:
    """Return the parameters of a constructor but ``self``, and whether it takes any others."""
    signature = inspect.signature(constructor)  # type: ignore[arg-type]  # a slot wrapper is callable too
    parameters: list[ActionParameter] = []
    accepts_any = False
    for item in list(signature.parameters.values())[1:]:
        if item.kind is item.VAR_KEYWORD:
            accepts_any = True
        elif item.kind is not item.VAR_POSITIONAL:
            required = item.default is item.empty
            default = None if required or not _is_json(item.default) else item.default
            parameters.append(ActionParameter(name=item.name, required=required, default=default))
    return tuple(parameters), accepts_any


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _parse_declared(text: str) -> tuple[ActionParameter, ...]:
    """Return the parameters that an ``__arguments__`` text names: ``name`` or ``name=<default>`` by commas."""
    parameters: list[ActionParameter] = []
    for part in text.split(","):
        name, equals, default = part.strip().partition("=")
        if name and not name.startswith("*"):
            parameters.append(ActionParameter(name=name, required=not equals, default=default or None))
    return tuple(parameters)


def _is_sync(action_class: ActionClass) -> bool:
    """Ask the class without running its constructor; one that needs its instance counts as synchronous."""
    try:
        return bool(action_class.is_sync(object.__new__(action_class)))
    except Exception:  # noqa: BLE001 - foreign code on a half-made object may raise anything
        return True
