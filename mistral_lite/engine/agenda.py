"""What a turn of the engine is given, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field

from mistral_lite.engine.mailbox import Ticket
from mistral_lite.rpc.protocol import ExchangeReply
from mistral_lite.workflow.model import Timer


@dataclass(slots=True, kw_only=True)
class Agenda:
    """What a turn is to work on.

    ``root_ids``: trees with something in their inbox. ``tickets``: calls of executors, new and parked.
    ``timers``: (timer id, root id) that are due. ``expired``: attempts whose lease may have run out.
    ``may_have_waiting``: whether attempts may be queued that nobody has. ``excluded``: trees that are left out
    as if they were not there. ``only``: the one tree that is worked on; then no call is answered.
    """

    root_ids: set[str] = field(default_factory=set)
    tickets: list[Ticket] = field(default_factory=list)
    timers: list[tuple[str, str]] = field(default_factory=list)
    look_for_expired: bool = False
    may_have_waiting: bool = False
    excluded: frozenset[str] = frozenset()
    only: str | None = None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a turn did, valid once it is committed.

    ``replies``: by ticket, for those that are to be answered now. ``skipped_root_ids``, ``skipped_timers``:
    work on trees that another engine held. ``unreported``: calls of which some reports are still to be
    taken, for the same reason. ``new_timers``: set in this turn. ``may_have_waiting``: attempts may be in
    the queue. ``is_work_left``: some that this turn queued found no executor here. ``has_notifications``:
    some were written to the outbox. ``has_queue_orders``: actions on embedded queues were queued. ``applied``: the numbers of the inbox rows that were consumed and the ids of
    stand-alone actions that ended.
    """

    replies: dict[Ticket, ExchangeReply] = field(default_factory=dict)
    skipped_root_ids: set[str] = field(default_factory=set)
    skipped_timers: list[tuple[str, str]] = field(default_factory=list)
    unreported: set[Ticket] = field(default_factory=set)
    new_timers: list[Timer] = field(default_factory=list)
    may_have_waiting: bool = False
    is_work_left: bool = False
    has_notifications: bool = False
    has_queue_orders: bool = False
    applied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSettings:
    """``lease_s``: how long an executor may be silent about an action.

    ``has_security``: whether executions may have security contexts to hand on to their actions.
    """

    lease_s: float = 30.0
    has_security: bool = False
