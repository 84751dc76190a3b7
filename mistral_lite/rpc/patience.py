"""Reading messages without looking up between them.

A thread of oslo.messaging that reads messages wakes up 1, 2, 4, ... milliseconds after each one, to acknowledge what
other threads have handled meanwhile. Calls and their answers are acknowledged as they are read, so it finds nothing
to do, and spends about as much time on that as on the message. Here such a thread wakes up once a second.

Notifications, which are acknowledged later, are read as oslo.messaging does it.
"""

from __future__ import annotations

from typing import Any

from oslo_messaging._drivers import amqpdriver

# Also how long a thread takes at most to notice that it is to end.
_LEAST_WAIT_S = 1.0


class _PatientConnection:
    """A connection that waits for messages at least ``_LEAST_WAIT_S``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def consume(self, timeout: float | None = None) -> None:
        """Take in the next message. Raises what says that none came in time."""
        self._connection.consume(timeout=None if timeout is None else max(timeout, _LEAST_WAIT_S))


class _PatientListener(amqpdriver.RpcAMQPListener):
    """Reads calls."""

    def __init__(self, driver: Any, connection: Any) -> None:
        super().__init__(driver, _PatientConnection(connection))


class _PatientReplyWaiter(amqpdriver.ReplyWaiter):
    """Reads answers."""

    def __init__(self, queue: str, connection: Any, allowed_modules: list[str]) -> None:
        super().__init__(queue, _PatientConnection(connection), allowed_modules)


def install() -> None:
    """Let every transport that is made from now on read so."""
    amqpdriver.RpcAMQPListener = _PatientListener
    amqpdriver.ReplyWaiter = _PatientReplyWaiter
