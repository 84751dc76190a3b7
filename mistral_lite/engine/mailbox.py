"""Where the outside leaves things for the engine's loop: calls of executors, and doorbells.

Everything that arrives while one batch commits makes up the next one: under load batches grow, at rest a
single event waits for nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mistral_lite.errors import UnavailableError
from mistral_lite.rpc.protocol import ExchangeReply, ExchangeRequest


class Ticket:
    """One call of an executor, until it is answered; to be parked until ``deadline`` (monotonic seconds).

    Who calls waits until ``given_up_at`` at most. ``tell`` gets the answer as well, from the engine's own thread; it must not block.
    """

    def __init__(
        self,
        request: ExchangeRequest,
        deadline: float,
        given_up_at: float,
        tell: Callable[[ExchangeReply | None], None] | None = None,
    ) -> None:
        self.request = request
        self._tell = tell
        # Whether it tells something that is not committed yet.
        self.has_news = bool(request.reports or request.disowned)
        # Whether its leases were renewed: a parked call is looked at many times.
        self.is_renewed = not request.running
        self.deadline = deadline
        self.given_up_at = given_up_at
        self._answered = threading.Event()
        self._reply: ExchangeReply | None = None

    def answer(self, reply: ExchangeReply | None) -> None:
        """Let the caller go on; None means that nothing was done and the call must be repeated."""
        self._reply = reply
        self._answered.set()
        if self._tell is not None:
            self._tell(reply)

    def send_home(self) -> None:
        """Answer that there is no work, and that its reports are settled; "repeat it" if they are not committed."""
        settled = tuple(report.ref for report in self.request.reports)
        self.answer(None if self.has_news else ExchangeReply(settled=settled))

    @property
    def is_answered(self) -> bool:
        """Whether ``wait`` would return, or raise, at once."""
        return self._answered.is_set()

    def wait(self, timeout_s: float) -> ExchangeReply:
        """Return the answer. Raises ``UnavailableError`` if there is none within ``timeout_s``."""
        if not self._answered.wait(timeout_s) or self._reply is None:
            raise UnavailableError("The engine could not take the call; repeat it.")
        return self._reply


@dataclass(slots=True, kw_only=True)
class Batch:
    """What arrived since the last turn."""

    tickets: list[Ticket] = field(default_factory=list)
    root_ids: set[str] = field(default_factory=set)
    has_offer: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing arrived."""
        return not (self.tickets or self.root_ids or self.has_offer)


class Mailbox:
    """A place to put things from any thread; one thread takes them out."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._batch = Batch()
        self._is_closed = False

    def put(self, ticket: Ticket) -> None:
        """Leave a call. Raises ``UnavailableError`` once the engine stops."""
        with self._condition:
            if self._is_closed:
                raise UnavailableError("This engine is stopping.")
            self._batch.tickets.append(ticket)
            self._condition.notify()

    def ring(self, root_ids: Sequence[str]) -> None:
        """Say that trees have something in their inbox."""
        with self._condition:
            self._batch.root_ids.update(root_ids)
            self._condition.notify()

    def notice_work(self) -> None:
        """Say that actions are queued which no executor has."""
        with self._condition:
            self._batch.has_offer = True
            self._condition.notify()

    def close(self) -> None:
        """Take nothing more, and wake the loop."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()

    def wait_closed(self, timeout_s: float) -> None:
        """Wait until the engine is to stop, or for ``timeout_s``."""
        with self._condition:
            self._condition.wait_for(lambda: self._is_closed, timeout_s)

    @property
    def is_closed(self) -> bool:
        """Whether the engine is to stop."""
        return self._is_closed

    def take(self, timeout_s: float) -> Batch:
        """Return what arrived, waiting up to ``timeout_s`` for something to arrive."""
        with self._condition:
            if self._batch.is_empty and not self._is_closed:
                self._condition.wait(timeout_s)
            batch, self._batch = self._batch, Batch()
            return batch
