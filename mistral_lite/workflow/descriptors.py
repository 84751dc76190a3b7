"""What the decision core knows of an action: its parameters and whether it waits for a third party.

Pure data. Nothing here imports, builds or runs an action; ``actions/registry.py`` fills these from classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonValue

# The worker of actions on the queues in our own database. Executors have no database, so none bears this name.
EMBEDDED_QUEUES = "mistral_lite.queues"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionParameter:
    """One parameter of an action; ``default`` means something only where ``required`` is false."""

    name: str
    required: bool = True
    default: JsonValue = None

    @property
    def signature(self) -> str:
        """Return ``name`` or ``name=<JSON of the default>``."""
        return self.name if self.required else f"{self.name}={json.dumps(self.default)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDescriptor:
    """An action as workflows see it.

    ``accepts_any``: the action takes further parameters, so nothing is checked. ``is_sync`` is what the class
    says without an instance; an executor that reports "sent" knows better. ``class_name`` is the dotted name
    for messages. ``declared_signature`` replaces the text made from ``parameters`` where a class gives its own.
    ``worker``: who alone can run it, whatever target a task names; None for any executor.
    """

    name: str
    class_name: str
    description: str | None = None
    parameters: tuple[ActionParameter, ...] = ()
    accepts_any: bool = False
    is_sync: bool = True
    declared_signature: str | None = None
    worker: str | None = None

    @property
    def signature(self) -> str:
        """Return the parameter list as the API shows it, e.g. ``output, delay=0``; empty without parameters."""
        if self.declared_signature is not None:
            return self.declared_signature
        parts = [parameter.signature for parameter in self.parameters]
        if self.accepts_any:
            parts.append("**kwargs")
        return ", ".join(parts)

    def check(self, names: Iterable[str]) -> None:
        """Compare the given parameter names (an input mapping will do) with the declared ones.

        Raises ``InputError`` listing the missing and the unexpected names, never a value.
        """
        if self.accepts_any:
            return
        given = list(names)
        declared = {parameter.name for parameter in self.parameters}
        missing = [item.name for item in self.parameters if item.required and item.name not in given]
        unexpected = [name for name in given if name not in declared]
        if not missing and not unexpected:
            return
        facts = [f"name={self.name}", f"class={self.class_name}"]
        if missing:
            facts.append(f"missing={missing}")
        if unexpected:
            facts.append(f"unexpected={unexpected}")
        raise InputError(
            f"Invalid input [{', '.join(facts)}]", action=self.name, missing=missing, unexpected=unexpected
        )
