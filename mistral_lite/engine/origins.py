"""Which trees the actions belong to that were handed out: known here, it need not be asked of the queue."""

from __future__ import annotations

from collections import OrderedDict

_MOST = 50_000


class Origins:
    """The roots of the actions that were handed out last, until somebody asks.

    Whoever is not found is looked up in the queue, and so is whoever is asked for again: it may be gone.
    """

    def __init__(self) -> None:
        self._root_ids: OrderedDict[str, str] = OrderedDict()

    def note(self, action_id: str, root_id: str) -> None:
        """Remember the root of an action."""
        self._root_ids[action_id] = root_id
        if len(self._root_ids) > _MOST:
            self._root_ids.popitem(last=False)

    def take(self, action_id: str) -> str | None:
        """Return the root of an action and forget it; None if it is not known."""
        return self._root_ids.pop(action_id, None)
