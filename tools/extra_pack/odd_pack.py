"""Actions as other packs have them: of a provider that lists one and knows more, and one that cannot be loaded."""

from __future__ import annotations

from typing import Any

from mistral_lib.actions import Action
from mistral_lib.actions.providers.base import ActionDescriptorBase

ENTRY_POINTS = """[mistral.action.providers]
odd = odd_pack:Provider
[mistral.actions]
odd.broken = odd_pack:no_such_class
"""


class Sized(Action):
    """Says how long its name is."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def run(self, context: Any) -> int:
        return len(self._name)


class Descriptor(ActionDescriptorBase):
    """One action of the provider."""

    def instantiate(self, params: dict[str, Any], wf_ctx: Any) -> Sized:
        return Sized(self.name, **params)


class Provider:
    """Lists ``odd.listed``, and has whatever is called ``odd.<anything>``."""

    def __init__(self, name: str) -> None:
        self._prefix = f"{name}."

    def find_all(self, *_given: Any, **_filters: Any) -> list[Descriptor]:
        return [Descriptor(f"{self._prefix}listed", "Says how long its name is.", "")]

    def find(self, action_name: str, namespace: str | None = None) -> Descriptor | None:
        if not action_name.startswith(self._prefix):
            return None
        return Descriptor(action_name, "Says how long its name is.", "")
