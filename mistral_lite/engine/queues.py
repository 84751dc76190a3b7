"""Carries out the actions on our own queues, and delivers their messages to those that wait for some.

An executor has no database, so these orders wait in the action queue for a worker that no executor is. What an
action does to a queue and its result in the inbox are one transaction: a crash loses both or neither. The same
holds for a message and the action that gets it. Every engine process does this; rows and their locks say who
is first, so nobody is told what another one does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic

import sqlalchemy as sa

from mistral_lite import faults, log
from mistral_lite.actions.queues import QUEUE_ACTIONS, popped_view
from mistral_lite.db import action_queue, inbox, queues
from mistral_lite.db.queues import ProjectQueues
from mistral_lite.db.transaction import Database
from mistral_lite.engine.courier import MOST_OFFERED, Courier
from mistral_lite.engine.deliveries import Deliverer, settle
from mistral_lite.engine.periodic import Periodic
from mistral_lite.errors import ActionError, ExpressionSyntaxError, InputError, UnavailableError
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
# Mistakes of whoever wrote the workflow; anything else is one of ours.
_USER_ERRORS = (ActionError, ExpressionSyntaxError, InputError)


class QueueKeeper:
    """Works on queues, in a thread of each engine process. ``courier``: who brings messages from a Zaqar, if there is one."""

    def __init__(self, database: Database, evaluator: Evaluator, courier: Courier | None = None) -> None:
        self._database = database
        self._deliverer = Deliverer(evaluator)
        self._courier = courier
        self._ring: Ring = _nobody
        self._is_closed = False
        self._pruned_at = monotonic()
        self._periodic = Periodic("queues", _SWEEP_S, self.work)

    def start(self, ring: Ring) -> None:
        """Begin to work. ``ring`` tells the engine which trees have something in their inbox."""
        self._ring = ring
        self._periodic.start()
        if self._courier is not None:
            self._courier.start(ring)

    def stop(self) -> None:
        """End after what is being done."""
        self._is_closed = True
        self._periodic.stop()
        if self._courier is not None:
            self._courier.stop()

    def wake(self) -> None:
        """Look for orders now, and into the Zaqar."""
        self._periodic.wake()
        if self._courier is not None:
            self._courier.wake()

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
            if orders and self._courier is not None:
                # Some may have begun to wait.
                self._courier.wake()
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
            self._deliverer.check_syntax(given["match"])
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
        found = queues.find_free(connection, queue_id, now, MOST_OFFERED) if name is not None else []
        views = [popped_view(str(name), message) for message in found]
        delivery = self._deliverer.find_next(connection, queue_id, views)
        if delivery is None:
            return None, False
        root_id = settle(connection, delivery, now)
        if root_id is not None:
            queues.delete_messages(connection, delivery.taken)
            faults.reach("queues.before_delivery")
        return root_id, True


def _give_up(_order: PendingAction, _store: ProjectQueues) -> tuple[JsonValue, bool]:
    raise ActionError("an internal error of the service; the operator's log has the details.")


def _log_bug() -> None:
    log.write(LOG, logging.ERROR, log.Event.INTERNAL_ERROR, "Work on queues failed", exc_info=True)


def _nobody(_root_ids: Sequence[str]) -> None:
    return None
