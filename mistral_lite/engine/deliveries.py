"""Who of those that wait for messages of a queue gets which, and its result in the inbox.

Knows nothing of where the messages come from: their ends are the caller's, in the same transaction. The queue's row is
locked by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from mistral_lite.db import inbox, queues
from mistral_lite.db.queues import Waiter
from mistral_lite.errors import EvaluationError
from mistral_lite.expressions import Evaluator
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow.states import State

# Waiters are read in portions.
_MOST_WAITERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a wait ends; ``taken`` are the ids of the messages that its value holds."""

    waiter: Waiter
    state: State
    value: JsonValue
    taken: tuple[str, ...] = ()


class Deliverer:
    """Finds the next delivery by what those who wait say of the messages that they want."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def find_next(
        self, connection: sa.Connection, queue_id: str, views: Sequence[JsonObject]
    ) -> Delivery | None:
        """Return the delivery to the first that waits for any of these messages, as ``popped_view`` shows them."""
        after = 0
        while views:
            waiters = queues.list_waiters(connection, queue_id, after, _MOST_WAITERS)
            if not waiters:
                break
            for waiter in waiters:
                delivery = self._delivery_to(waiter, views)
                if delivery is not None:
                    return delivery
            after = waiters[-1].seq
        return None

    def check_syntax(self, condition: str) -> None:
        """Raise ``ExpressionSyntaxError`` if a condition cannot be parsed."""
        self._evaluator.check_syntax(_expression(condition))

    def _delivery_to(self, waiter: Waiter, views: Sequence[JsonObject]) -> Delivery | None:
        found: list[JsonObject] = []
        try:
            for view in views:
                if waiter.expression is None or self._holds(waiter.expression, view):
                    found.append(view)
                if len(found) == waiter.most_messages:
                    break
        except EvaluationError as error:
            text = f"'match' of zaqar.queue_wait cannot be evaluated: {error}"
            return Delivery(waiter=waiter, state=State.ERROR, value=text)
        if not found:
            return None
        taken = tuple(view["id"] for view in found)
        return Delivery(waiter=waiter, state=State.SUCCESS, value=found, taken=taken)

    def _holds(self, condition: str, view: JsonObject) -> bool:
        with self._evaluator.one_step():
            return bool(self._evaluator.evaluate(_expression(condition), view, None))


def settle(connection: sa.Connection, delivery: Delivery, now: datetime) -> str | None:
    """End a wait: put the result into the inbox and return the tree that it is for.

    None if nobody is interested any more: the action ended otherwise, and the messages are for the next one.
    """
    action_id = delivery.waiter.action_execution_id
    claimant = queues.lock_unfinished(connection, action_id)
    queues.delete_waiter(connection, delivery.waiter.seq)
    is_wanted = claimant is not None and queues.is_counted(connection, claimant)
    if claimant is None or not is_wanted or inbox.find_results(connection, [action_id]):
        return None
    root_id = claimant.root_execution_id
    inbox.append_result(connection, root_id, action_id, delivery.state.value, delivery.value, now)
    return root_id


def _expression(condition: str) -> str:
    return f"<% {condition} %>"
