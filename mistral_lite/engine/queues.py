"""Carries out the actions on embedded queues, and delivers messages to those that wait for them.

An executor has no database, so these orders wait in the action queue for a worker that no executor is. What an
action does to a queue and its result in the inbox are one transaction: a crash loses both or neither. The same
holds for a message and the action that gets it. Every engine process does this; rows and their locks say who
is first, so nobody is told what another one does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from time import monotonic

import sqlalchemy as sa

from mistral_lite import faults, log
from mistral_lite.actions.queues import QUEUE_ACTIONS, popped_view
from mistral_lite.db import action_queue, inbox, queues
from mistral_lite.db.queues import ProjectQueues, Waiter
from mistral_lite.db.transaction import Database
from mistral_lite.errors import (
    ActionError,
    EvaluationError,
    ExpressionSyntaxError,
    InputError,
    UnavailableError,
)
from mistral_lite.expressions import Evaluator
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.workflow.descriptors import EMBEDDED_QUEUES
from mistral_lite.workflow.model import PendingAction
from mistral_lite.workflow.states import State

LOG = logging.getLogger(__name__)

Ring = Callable[[Sequence[str]], None]
# Returns a result, and whether it is one already.
Perform = Callable[[PendingAction, ProjectQueues], tuple[JsonValue, bool]]

# How often to look for orders of other engines, for claims that ran out, and for what a crash left.
_SWEEP_S = 1.0
_PRUNE_S = 30.0
_MOST_ORDERS = 100
# Waiters are read in portions; of a queue so many messages are offered to each.
_MOST_WAITERS = 100
_MOST_OFFERED = 100
# Mistakes of whoever wrote the workflow; anything else is one of ours.
_USER_ERRORS = (ActionError, ExpressionSyntaxError, InputError)


class QueueKeeper:
    """The thread of one engine process that works on queues."""

    def __init__(self, database: Database, evaluator: Evaluator) -> None:
        self._database = database
        self._evaluator = evaluator
        self._ring: Ring = _nobody
        self._is_closed = False
        self._rung = threading.Event()
        self._pruned_at = monotonic()
        self._thread = threading.Thread(target=self._run, name="queues", daemon=True)

    def start(self, ring: Ring) -> None:
        """Begin to work. ``ring`` tells the engine which trees have something in their inbox."""
        self._ring = ring
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after what is being done."""
        self._is_closed = True
        self._rung.set()
        self._thread.join(timeout_s)

    def wake(self) -> None:
        """Look for orders now."""
        self._rung.set()

    def _run(self) -> None:
        while not self._is_closed:
            try:
                self.work()
            except UnavailableError:
                # The engine's loop logs that the database is away.
                pass
            except Exception:  # noqa: BLE001 - a bug; later orders must not suffer
                _log_bug()
            self._rung.wait(_SWEEP_S)
            self._rung.clear()

    def work(self) -> None:
        """Carry out what is ordered and deliver what can be. Raises ``UnavailableError``."""
        is_more = True
        while is_more and not self._is_closed:
            with self._database.read() as connection:
                now = self._database.now(connection)
                orders = action_queue.list_waiting(connection, EMBEDDED_QUEUES, now, _MOST_ORDERS)
            is_more = len(orders) == _MOST_ORDERS
            for order in orders:
                self._carry_out_or_fail(order)
            with self._database.read() as connection:
                awaited = queues.list_awaited(connection, now)
            for queue_id in awaited:
                try:
                    self._deliver_all(queue_id)
                except UnavailableError:
                    raise
                except Exception:  # noqa: BLE001 - a bug, or a damaged row; other queues must not suffer
                    _log_bug()
        if monotonic() - self._pruned_at > _PRUNE_S:
            self._pruned_at = monotonic()
            self._database.run(lambda connection: queues.prune(connection, self._database.now(connection)))

    # -- orders ------------------------------------------------------------------------------------------

    def _carry_out_or_fail(self, order: PendingAction) -> None:
        try:
            self._carry_out(order, self._perform)
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001 - a bug, or a damaged row; it must fail its own action and no other
            _log_bug()
            self._carry_out(order, _give_up)

    def _carry_out(self, order: PendingAction, perform: Perform) -> None:
        """Do what one action is to do, together with its result."""

        def work(connection: sa.Connection) -> bool:
            claimant = queues.lock_unfinished(connection, order.action_id)
            if not action_queue.take_over(connection, order, EMBEDDED_QUEUES):
                return False
            if claimant is None or inbox.find_results(connection, [order.action_id]):
                return False
            now = self._database.now(connection)
            store = ProjectQueues(
                self._database,
                connection,
                project_id=claimant.project_id,
                action_execution_id=order.action_id,
                now=now,
            )
            try:
                with connection.begin_nested():
                    value, is_sync = perform(order, store)
            except _USER_ERRORS as error:
                value, is_sync, state = f"{order.request['name']} failed: {error}", True, State.ERROR
            else:
                state = State.SUCCESS
            if is_sync:
                inbox.append_result(connection, order.root_id, order.action_id, state.value, value, now)
            else:
                inbox.append(
                    connection,
                    root_execution_id=order.root_id,
                    kind=inbox.SENT,
                    subject_id=order.action_id,
                    payload={"attempt": order.attempt},
                    now=now,
                )
            faults.reach("queues.before_commit")
            return True

        is_done = self._database.run(work)
        faults.reach("queues.after_commit")
        if is_done:
            self._ring([order.root_id])

    def _perform(self, order: PendingAction, store: ProjectQueues) -> tuple[JsonValue, bool]:
        action_class = QUEUE_ACTIONS.get(order.request["name"])
        if action_class is None:
            raise ActionError(f"'{EMBEDDED_QUEUES}' is not the name of an executor; choose another target.")
        given: JsonObject = order.request["input"]
        try:
            action = action_class(**given)
        except TypeError as error:
            # Where any parameter is taken, nobody has looked for those that must be there.
            raise InputError(f"its parameters do not fit: {error}") from error
        if not action.is_sync() and given.get("match") is not None:
            self._evaluator.check_syntax(_expression(given["match"]))
        return action.carry_out(store), action.is_sync()

    # -- deliveries --------------------------------------------------------------------------------------

    def _deliver_all(self, queue_id: str) -> None:
        """Deliver messages of one queue until none that is free is for any that waits."""
        is_served = True
        while is_served and not self._is_closed:
            root_id, is_served = self._database.run(lambda connection: self._deliver(connection, queue_id))
            faults.reach("queues.after_delivery")
            if root_id is not None:
                self._ring([root_id])

    def _deliver(self, connection: sa.Connection, queue_id: str) -> tuple[str | None, bool]:
        """Serve the first that can be; return its tree, if anything was delivered, and whether there may be more.

        One in a transaction, which so locks one action only and meets no other in the wrong order.
        """
        name = queues.lock_queue(connection, queue_id)
        now = self._database.now(connection)
        messages = queues.find_free(connection, queue_id, now, _MOST_OFFERED) if name is not None else []
        after = 0
        while name is not None and messages:
            waiters = queues.list_waiters(connection, queue_id, after, _MOST_WAITERS)
            if not waiters:
                break
            for waiter in waiters:
                state, value, taken = self._result_for(waiter, name, messages)
                if state is not None:
                    return self._serve(connection, waiter, state, value, taken, now), True
            after = waiters[-1].seq
        return None, False

    def _result_for(
        self, waiter: Waiter, name: str, messages: Sequence[JsonObject]
    ) -> tuple[State | None, JsonValue, list[str]]:
        """Return how the wait ends and with which messages; no state if there is none for it."""
        found: list[JsonObject] = []
        try:
            for message in messages:
                view = popped_view(name, message)
                if waiter.expression is None or self._holds(waiter.expression, view):
                    found.append(view)
                if len(found) == waiter.most_messages:
                    break
        except EvaluationError as error:
            return State.ERROR, f"'match' of zaqar.queue_wait cannot be evaluated: {error}", []
        if not found:
            return None, None, []
        return State.SUCCESS, found, [view["id"] for view in found]

    def _holds(self, expression: str, message: JsonObject) -> bool:
        with self._evaluator.one_step():
            return bool(self._evaluator.evaluate(_expression(expression), message, None))

    @staticmethod
    def _serve(
        connection: sa.Connection,
        waiter: Waiter,
        state: State,
        value: JsonValue,
        taken: Sequence[str],
        now: datetime,
    ) -> str | None:
        action_id = waiter.action_execution_id
        claimant = queues.lock_unfinished(connection, action_id)
        queues.delete_waiter(connection, waiter.seq)
        is_wanted = claimant is not None and queues.is_counted(connection, claimant)
        if claimant is None or not is_wanted or inbox.find_results(connection, [action_id]):
            # It ended otherwise; the messages are for the next one.
            return None
        root_id = claimant.root_execution_id
        inbox.append_result(connection, root_id, action_id, state.value, value, now)
        queues.delete_messages(connection, taken)
        faults.reach("queues.before_delivery")
        return root_id


def _expression(text: str) -> str:
    return f"<% {text} %>"


def _give_up(_order: PendingAction, _store: ProjectQueues) -> tuple[JsonValue, bool]:
    raise ActionError("an internal error of the service; the operator's log has the details.")


def _log_bug() -> None:
    log.write(LOG, logging.ERROR, log.Event.INTERNAL_ERROR, "Work on queues failed", exc_info=True)


def _nobody(_root_ids: Sequence[str]) -> None:
    return None
