"""Hearing what other processes say by way of the database (NOTIFY).

Only PostgreSQL can. Words may be lost, so nobody may rely on them: whoever listens looks for himself in the end.
"""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Callable, Mapping
from time import monotonic

import psycopg
from psycopg import sql

from mistral_lite.db.transaction import Database

_RETRY_S = 1.0
# Also how long a listener takes at most to notice that it is to end.
_TICK_S = 1.0


class Listener:
    """Listens to channels and hands on what is said there, from a thread and over a connection of its own."""

    def __init__(
        self,
        database: Database,
        name: str,
        heard: Mapping[str, Callable[[str], None]],
        *,
        is_on: Callable[[bool], None] | None = None,
        announce: tuple[str, str] | None = None,
    ) -> None:
        """``heard``: who gets what is said, by channel. ``is_on`` is told when listening begins and when it breaks off.

        ``announce``: a channel, and what to say there as long as this listens, once a second.
        """
        url = database.url.set(drivername="postgresql")
        self._url = url.render_as_string(hide_password=False) if database.dialect == "postgresql" else None
        self._heard = heard
        self._is_on = is_on or _tell_nobody
        self._announce = announce
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to listen, where the database can tell."""
        if self._url is not None:
            self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopped.is_set():
            # A database that is away is noticed, and logged, by those who need it.
            with contextlib.suppress(psycopg.Error):
                self._listen()
            self._is_on(False)
            self._stopped.wait(_RETRY_S)

    def _listen(self) -> None:
        assert self._url is not None
        with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
            # What arrives together with the answer to a statement.
            connection.add_notify_handler(lambda notice: self._take(notice.channel, notice.payload))
            for channel in self._heard:
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self._is_on(True)
            while not self._stopped.is_set():
                if self._announce is not None:
                    connection.execute("SELECT pg_notify(%s, %s)", self._announce)
                self._hear(connection, monotonic() + _TICK_S)

    def _hear(self, connection: psycopg.Connection, until: float) -> None:
        """Hand on what is said before ``until``. The generator of the driver would wake up ten times a second."""
        while not self._stopped.is_set() and (left_s := until - monotonic()) > 0:
            if select.select([connection.fileno()], (), (), left_s)[0]:
                connection.pgconn.consume_input()
                while (notice := connection.pgconn.notifies()) is not None:
                    self._take(notice.relname.decode(), notice.extra.decode())

    def _take(self, channel: str, payload: str) -> None:
        self._heard[channel](payload)


def _tell_nobody(_is_on: bool) -> None:
    """Where nobody asks whether words are heard."""
