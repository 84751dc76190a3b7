"""Telling other processes, by way of the database, what an engine has applied.

A doorbell, no more: only PostgreSQL can (NOTIFY goes out with the commit), it may be lost, and whoever waits
looks for himself in the end.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import psycopg
import sqlalchemy as sa

from mistral_lite.db.statements import Statement
from mistral_lite.db.transaction import Database

_CHANNEL = "mistral_lite_applied"
_TELL = Statement(sa.select(sa.func.pg_notify(_CHANNEL, sa.bindparam("keys"))))
# PostgreSQL takes payloads of less than 8000 bytes; a key has at most 36.
_MOST_KEYS = 200
_RETRY_S = 1.0
_LOOK_S = 1.0


def tell(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Tell listeners of ``keys`` when the transaction commits."""
    if keys and connection.dialect.name == "postgresql":
        _TELL.run_many(connection, [{"keys": ",".join(part)} for part in _parts(keys)])


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _MOST_KEYS):
        yield keys[start : start + _MOST_KEYS]


class AppliedListener:
    """Hears what engines tell and hands it on, from a thread and over a connection of its own."""

    def __init__(
        self, database: Database, heard: Callable[[Iterable[str]], None], is_on: Callable[[bool], None]
    ) -> None:
        """``heard`` gets the keys; ``is_on`` is told when listening begins and when it breaks off."""
        url = database.url.set(drivername="postgresql")
        self._url = url.render_as_string(hide_password=False) if database.dialect == "postgresql" else None
        self._heard = heard
        self._is_on = is_on
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="applied-listener", daemon=True)

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
            connection.execute(f"LISTEN {_CHANNEL}")
            self._is_on(True)
            while not self._stopped.is_set():
                for notice in connection.notifies(timeout=_LOOK_S):
                    self._heard(notice.payload.split(","))
                    if self._stopped.is_set():
                        return
