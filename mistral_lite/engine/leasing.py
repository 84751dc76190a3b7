"""Leases actions to the executors that call, and says what each call is answered.

The last step of a turn before its changes are written: what it queued itself is leased in the very statement
that inserts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta

import sqlalchemy as sa

from mistral_lite.db import action_queue, delegations, trees
from mistral_lite.engine import lookups
from mistral_lite.engine.agenda import Agenda, Outcome, TurnSettings
from mistral_lite.engine.mailbox import Ticket
from mistral_lite.engine.origins import Origins
from mistral_lite.jsontext import JsonObject
from mistral_lite.rpc.protocol import ActionRequest, AttemptRef, ExchangeReply
from mistral_lite.workflow.descriptors import EMBEDDED_QUEUES
from mistral_lite.workflow.library import Library
from mistral_lite.workflow.model import PendingAction


class Leasing:
    """The part of one turn that deals with executors."""

    def __init__(
        self,
        connection: sa.Connection,
        library: Library,
        settings: TurnSettings,
        now: datetime,
        changes: trees.Changes,
        origins: Origins,
    ) -> None:
        """``changes``: what the turn has decided; the leases of what is new in it are noted there.

        ``origins``: where it is noted which trees the actions belong to that are handed out.
        """
        self._connection = connection
        self._library = library
        self._settings = settings
        self._now = now
        self._changes = changes
        self._origins = origins
        # Whom the actions of a tree work for, by root.
        self._security: dict[str, JsonObject] = {}

    def serve(
        self, agenda: Agenda, outcome: Outcome, *, unsettled: Set[AttemptRef], has_deleted: bool
    ) -> None:
        """Lease actions: first those that this turn queued, then those that wait in the queue. Note the replies.

        ``unsettled``: reports that were not taken and are to come again. ``has_deleted``: whether rows may have
        gone from the queue of which nothing is known here.
        """
        lease_until = self._now + timedelta(seconds=self._settings.lease_s)
        fresh = [
            change.after
            for change in self._changes.pending.values()
            if change.after is not None and change.after.available_at <= self._now
        ]
        # These no executor can carry out.
        outcome.has_queue_orders = any(pending.target == EMBEDDED_QUEUES for pending in fresh)
        fresh = [pending for pending in fresh if pending.target != EMBEDDED_QUEUES]
        # A call whose reports could not be taken yet is not answered, so it must not be given work either.
        tickets = [ticket for ticket in agenda.tickets if ticket not in outcome.unreported]
        given: dict[Ticket, list[PendingAction]] = {ticket: [] for ticket in tickets}
        fresh = self._lease_fresh(given, fresh, lease_until)
        # Who bears the same names finds the same actions; what is left may be for somebody else.
        exhausted: set[tuple[str, ...]] = set()
        for ticket in tickets:
            room = ticket.request.capacity - len(given[ticket])
            if room > 0 and agenda.may_have_waiting and ticket.request.targets not in exhausted:
                claimed = self._claim(ticket, room, lease_until)
                given[ticket].extend(claimed)
                if len(claimed) < room:
                    exhausted.add(ticket.request.targets)
        is_left = agenda.may_have_waiting and (
            not exhausted or action_queue.has_waiting(self._connection, self._now)
        )
        outcome.is_work_left = bool(fresh)
        outcome.may_have_waiting = is_left or bool(fresh) or has_deleted
        self._load_security(given)
        for ticket, actions in given.items():
            reply = self._reply_to(ticket, actions, unsettled, lease_until)
            if reply is not None:
                outcome.replies[ticket] = reply

    def _load_security(self, given: Mapping[Ticket, Sequence[PendingAction]]) -> None:
        """Look up whom the actions that are handed out work for."""
        root_ids = {pending.root_id for actions in given.values() for pending in actions}
        if self._settings.has_security and root_ids:
            self._security = delegations.load_contexts(self._connection, sorted(root_ids))

    def _lease_fresh(
        self,
        given: dict[Ticket, list[PendingAction]],
        fresh: list[PendingAction],
        lease_until: datetime,
    ) -> list[PendingAction]:
        """Lease this turn's new attempts in the very statement that inserts them; return what is left."""
        for ticket, actions in given.items():
            left = []
            for pending in fresh:
                fits = pending.target is None or pending.target in ticket.request.targets
                if fits and len(actions) < ticket.request.capacity:
                    actions.append(pending)
                    lease = trees.Lease(ticket.request.executor_id, ticket.request.call_id, lease_until)
                    self._changes.leases[pending.action_id] = lease
                else:
                    left.append(pending)
            fresh = left
        return fresh

    def _claim(self, ticket: Ticket, most: int, lease_until: datetime) -> list[PendingAction]:
        claimed = action_queue.claim(
            self._connection,
            executor_id=ticket.request.executor_id,
            claim_id=ticket.request.call_id,
            targets=ticket.request.targets,
            most=most,
            now=self._now,
            lease_until=lease_until,
        )
        # An attempt that ended in this very turn is still in the table; its deletion is not written yet.
        gone = {key for key, change in self._changes.pending.items() if change.after is None}
        return [pending for pending in claimed if pending.action_id not in gone]

    def _reply_to(
        self,
        ticket: Ticket,
        actions: list[PendingAction],
        unsettled: Set[AttemptRef],
        lease_until: datetime,
    ) -> ExchangeReply | None:
        """Return the answer to a call, None if it has none yet and may be parked."""
        lost = self._renew(ticket, lease_until)
        request = ticket.request
        settled = tuple(report.ref for report in request.reports if report.ref not in unsettled)
        is_urgent = len(settled) < len(request.reports) or request.disowned or request.wait_s <= 0
        if not (actions or lost or is_urgent):
            return None
        return ExchangeReply(
            settled=settled,
            actions=tuple(self._request(pending) for pending in actions),
            lost=lost,
        )

    def _renew(self, ticket: Ticket, lease_until: datetime) -> tuple[AttemptRef, ...]:
        if ticket.is_renewed:
            return ()
        ticket.is_renewed = True
        lost = action_queue.renew(
            self._connection,
            executor_id=ticket.request.executor_id,
            attempts=[(ref.action_execution_id, ref.attempt) for ref in ticket.request.running],
            lease_until=lease_until,
        )
        return tuple(
            AttemptRef(action_execution_id=action_id, attempt=attempt) for action_id, attempt in lost
        )

    def _request(self, pending: PendingAction) -> ActionRequest:
        self._origins.note(pending.action_id, pending.root_id)
        order = pending.request
        code = order.get("code")
        if code is not None:
            order = {**order, "code": lookups.complete_code(self._connection, self._library, code)}
        return ActionRequest(
            action_execution_id=pending.action_id,
            attempt=pending.attempt,
            lease_s=self._settings.lease_s,
            security=self._security.get(pending.root_id),
            **order,
        )
