"""Brings messages from a Zaqar to the actions that wait for them.

A queue that somebody waits for is *looked at*: when it is due, one engine leases it for a moment, claims messages,
delivers them, has Zaqar delete them, and says when to look again. Zaqar calls the API when a message is posted, which
makes the queue due at once; where it does not call, looks follow each other at an interval, one for all who wait.

A message is applied once. It is claimed, so that nobody else gets it; its result and the note that it was taken are one
transaction, in which the claim still holds; then it is deleted, and the note with it. If the process dies before the
commit the claim runs out, and the message is there again. If it dies after, the next look finds the note and has the
message deleted; meanwhile nobody gets it again. So two engines that look at one queue, because a lease ran out, do no
harm.

Zaqar is never called within a transaction.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from time import monotonic
from typing import Protocol

import sqlalchemy as sa
from mistral_lib.actions.context import SecurityContext

from mistral_lite import faults, log
from mistral_lite.actions.queues import QueuesAwayError, QueueStore, popped_view
from mistral_lite.db import delegations, queues
from mistral_lite.db.queues import Waiter, Wanted, ZaqarQueue
from mistral_lite.db.transaction import Database
from mistral_lite.engine.deliveries import Deliverer, Delivery, settle
from mistral_lite.engine.periodic import Periodic
from mistral_lite.errors import ActionError, ForbiddenError, InputError, UnavailableError
from mistral_lite.expressions import Evaluator
from mistral_lite.jsontext import JsonObject
from mistral_lite.workflow.states import State

LOG = logging.getLogger(__name__)

# To each that waits so many messages of a queue are offered.
MOST_OFFERED = 100
DOORBELL_PATH = "v2/queue_doorbells"

# How soon looks that fell due are noticed without being told.
_SWEEP_S = 1.0
_MOST_QUEUES = 100
# Nobody else looks for so long. Too short does no harm, and after a crash others wait for its end.
_LEASE_S = 5
# The shortest claim that Zaqar takes; nothing is applied in its last seconds.
_CLAIM_S = 60
_CLAIM_MARGIN_S = 15
_GRACE_S = 60
# After Zaqar failed to answer.
_PAUSE_S = 2.0
# Zaqar may lose a call: then messages are found by a look all the same, so much later.
_CALLED_FACTOR = 15
_CALLED_S = 3600
# The faults of whoever waits, or of the configuration: trying again would not help.
_REFUSALS = (ActionError, ForbiddenError, InputError)


class RemoteQueues(QueueStore, Protocol):
    """The queues of one project in a Zaqar (``actions.zaqar.ZaqarQueues``)."""

    def release(self, queue: str, claim_id: str) -> None:
        """End a claim before its time."""

    def subscribe(self, queue: str, address: str, ttl_s: int) -> None:
        """Have Zaqar call ``address`` for each message that is posted within the next ``ttl_s``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """How to get into a Zaqar.

    ``open_security`` makes of what is stored about an execution, and of its project, what ``connect`` takes. ``uses_tokens``:
    nothing can be done there for a project of which no execution waits.
    """

    connect: Callable[[SecurityContext], RemoteQueues]
    open_security: Callable[[JsonObject | None, str | None], SecurityContext]
    uses_tokens: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierSettings:
    """``callback_url``: where Zaqar reaches the API; None if it does not, and is asked each ``poll_interval_s``."""

    callback_url: str | None = None
    poll_interval_s: float = 2.0


class Courier:
    """The thread of one engine process that looks into a Zaqar."""

    def __init__(
        self, database: Database, evaluator: Evaluator, entrance: Entrance, settings: CourierSettings
    ) -> None:
        self._database = database
        self._deliverer = Deliverer(evaluator)
        self._entrance = entrance
        self._settings = settings
        self._ring: Callable[[Sequence[str]], None] = lambda _root_ids: None
        self._is_closed = False
        self._is_away = False
        self._not_before = 0.0
        self._periodic = Periodic("courier", _SWEEP_S, self.work)

    def start(self, ring: Callable[[Sequence[str]], None]) -> None:
        """Begin to work. ``ring`` tells the engine which trees have something in their inbox."""
        self._ring = ring
        self._periodic.start()

    def stop(self) -> None:
        """End after what is being done."""
        self._is_closed = True
        self._periodic.stop()

    def wake(self) -> None:
        """See now what is due."""
        self._periodic.wake()

    def work(self) -> None:
        """Look at all queues that are due. Raises ``UnavailableError`` if our database is away."""
        # Until nothing is due: a call may come while its queue is being looked at.
        while self._may_look():
            with self._database.read() as connection:
                seen = queues.list_due(
                    connection,
                    self._database.now(connection),
                    _MOST_QUEUES,
                    with_taken=not self._entrance.uses_tokens,
                )
            if not seen:
                return
            for queue_id in seen:
                if self._may_look():
                    self._look(queue_id)

    def _may_look(self) -> bool:
        return not self._is_closed and monotonic() >= self._not_before

    def _look(self, queue_id: str) -> None:
        def begin(connection: sa.Connection) -> ZaqarQueue | None:
            now = self._database.now(connection)
            return queues.begin_look(connection, queue_id, now, now + timedelta(seconds=_LEASE_S))

        queue = self._database.run(begin)
        if queue is None:
            return
        with self._database.read() as connection:
            wanted = queues.read_wanted(connection, queue.id)
        interval_s = self._settings.poll_interval_s
        try:
            if self._serve(queue, wanted):
                interval_s *= _CALLED_FACTOR
            self._is_away = False
        except QueuesAwayError as error:
            interval_s = _PAUSE_S
            self._note_outage(error)
        except _REFUSALS as error:
            self._note_refusal(queue, str(error))
            if wanted.first is not None:
                self._fail(queue, wanted.first, str(error))
                # The next one may be let in.
                interval_s = 0.0

        def end(connection: sa.Connection) -> None:
            now = self._database.now(connection)
            queues.end_look(connection, queue, now + timedelta(seconds=interval_s))

        self._database.run(end)

    def _serve(self, queue: ZaqarQueue, wanted: Wanted) -> bool:
        """Do what is to be done for one queue; return whether Zaqar will call for the next message."""
        zaqar = self._enter(queue, wanted)
        with self._database.read() as connection:
            taken = queues.list_taken(connection, queue.id)
        self._delete(zaqar, queue, taken)
        is_called = wanted.first is not None and self._subscribe(zaqar, queue)
        while wanted.first is not None and self._hand_out(zaqar, queue, wanted):
            with self._database.read() as connection:
                wanted = queues.read_wanted(connection, queue.id)
        return is_called

    def _enter(self, queue: ZaqarQueue, wanted: Wanted) -> RemoteQueues:
        content = None
        if self._entrance.uses_tokens and wanted.root_execution_id is not None:
            with self._database.read() as connection:
                contents = delegations.load_contexts(connection, [wanted.root_execution_id])
            content = contents.get(wanted.root_execution_id)
        try:
            return self._entrance.connect(self._entrance.open_security(content, queue.project_id))
        except UnavailableError as error:
            # Of Keystone, whom a trust is taken on with.
            raise QueuesAwayError(error.message) from error

    def _subscribe(self, zaqar: RemoteQueues, queue: ZaqarQueue) -> bool:
        """Have Zaqar call for each message; return whether it will."""
        base_url = self._settings.callback_url
        if base_url is None:
            return False
        with self._database.read() as connection:
            now = self._database.now(connection)
        if queue.called_until is not None and queue.called_until > now + timedelta(seconds=_CALLED_S / 2):
            return True
        secret = secrets.token_urlsafe(32)
        try:
            zaqar.subscribe(queue.name, f"{base_url}/{DOORBELL_PATH}/{secret}", _CALLED_S)
        except _REFUSALS as error:
            self._note_refusal(queue, str(error))
            return False
        until = now + timedelta(seconds=_CALLED_S)
        doorbell_hash = sha256(secret.encode()).hexdigest()
        self._database.run(lambda connection: queues.set_doorbell(connection, queue.id, doorbell_hash, until))
        return True

    # -- messages ----------------------------------------------------------------------------------------

    def _hand_out(self, zaqar: RemoteQueues, queue: ZaqarQueue, wanted: Wanted) -> bool:
        """Claim messages and deliver what is wanted of them; return whether there may be more."""
        most = MOST_OFFERED if wanted.has_conditions else min(wanted.most_messages, MOST_OFFERED)
        if wanted.has_conditions and not self._is_any_wanted(zaqar, queue):
            # They are not even touched: others may want them.
            return False
        with self._database.read() as connection:
            claimed_at = self._database.now(connection)
        held = zaqar.claim(queue.name, _CLAIM_S, _GRACE_S, most)
        faults.reach("courier.after_claim")
        taken = self._deliver_all(queue, held, claimed_at + timedelta(seconds=_CLAIM_S - _CLAIM_MARGIN_S))
        self._delete(zaqar, queue, taken)
        unwanted = {message["claim_id"]: None for message in held if message["id"] not in taken}
        for claim_id in unwanted:
            zaqar.release(queue.name, claim_id)
        return bool(taken) and len(held) == most and not self._is_closed

    def _is_any_wanted(self, zaqar: RemoteQueues, queue: ZaqarQueue) -> bool:
        found = zaqar.read(queue.name, None, MOST_OFFERED, with_claimed=False)
        views = [popped_view(queue.name, message) for message in found]
        with self._database.read() as connection:
            return self._deliverer.find_next(connection, queue.id, views) is not None

    def _deliver_all(self, queue: ZaqarQueue, held: Sequence[JsonObject], until: datetime) -> list[str]:
        """Deliver claimed messages while the claim holds; return the ids of those that are to be deleted."""
        left = [popped_view(queue.name, message) for message in held]
        gone: list[str] = []
        is_more = True
        while left and is_more and not self._is_closed:
            root_id, taken, is_more = self._database.run(
                lambda connection, left=left: self._deliver(connection, queue, left, until)  # type: ignore[misc]
            )
            faults.reach("queues.after_delivery")
            if root_id is not None:
                self._ring([root_id])
            gone.extend(taken)
            left = [view for view in left if view["id"] not in taken]
        return gone

    def _deliver(
        self, connection: sa.Connection, queue: ZaqarQueue, views: Sequence[JsonObject], until: datetime
    ) -> tuple[str | None, list[str], bool]:
        """Serve the first that can be; return its tree, which messages are gone, and whether there may be more.

        One in a transaction, which so locks one action only and meets no other in the wrong order.
        """
        queues.lock_queue(connection, queue.id)
        now = self._database.now(connection)
        if now >= until:
            # They may be somebody else's by now.
            return None, [], False
        known = queues.list_taken(connection, queue.id, [view["id"] for view in views])
        fresh = [view for view in views if view["id"] not in known]
        delivery = self._deliverer.find_next(connection, queue.id, fresh)
        if delivery is None:
            return None, known, False
        root_id = settle(connection, delivery, now)
        if root_id is None:
            return None, known, True
        # A claim lengthens the life of a message.
        kept_s = _CLAIM_S + _GRACE_S
        lives_s = {view["id"]: max(view["ttl"] - view["age"], 0) + kept_s for view in fresh}
        expiries = {taken: now + timedelta(seconds=lives_s[taken]) for taken in delivery.taken}
        queues.take(connection, queue.id, expiries)
        faults.reach("queues.before_delivery")
        return root_id, [*known, *delivery.taken], True

    def _delete(self, zaqar: RemoteQueues, queue: ZaqarQueue, ids: Sequence[str]) -> None:
        """Have Zaqar delete messages that were taken, and forget them."""
        if not ids:
            return
        try:
            zaqar.delete_messages(queue.name, ids)
        except _REFUSALS as error:
            # Nobody gets them again all the same.
            self._note_refusal(queue, str(error))
            return
        self._database.run(lambda connection: queues.forget_taken(connection, queue.id, ids))

    # -- failures ----------------------------------------------------------------------------------------

    def _fail(self, queue: ZaqarQueue, waiter: Waiter, reason: str) -> None:
        def work(connection: sa.Connection) -> str | None:
            queues.lock_queue(connection, queue.id)
            text = f"zaqar.queue_wait failed: {reason}"
            return settle(
                connection,
                Delivery(waiter=waiter, state=State.ERROR, value=text),
                self._database.now(connection),
            )

        root_id = self._database.run(work)
        if root_id is not None:
            self._ring([root_id])

    def _note_outage(self, error: QueuesAwayError) -> None:
        self._not_before = monotonic() + _PAUSE_S
        if not self._is_away:
            self._is_away = True
            log.write(
                LOG,
                logging.WARNING,
                log.Event.ZAQAR_UNAVAILABLE,
                "Messages cannot be fetched; trying again until they can",
                reason=error.message,
            )

    def _note_refusal(self, queue: ZaqarQueue, reason: str) -> None:
        log.write(
            LOG,
            logging.WARNING,
            log.Event.ZAQAR_REFUSED,
            "Zaqar refuses a request",
            queue=queue.name,
            reason=reason,
        )
