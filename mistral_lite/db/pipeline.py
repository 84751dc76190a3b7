"""Statements to PostgreSQL by way of libpq: as many as wish share one exchange, prepared once, without cursors.

What a cursor of the driver does around a statement costs several times what libpq needs for it. The driver is
asked for its forms of values and for its errors, and its connections are as it knows them between two exchanges.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer

_FAILED = frozenset({pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED})
_IN_TRANSACTION = frozenset({pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR})
# What was prepared is of no use any more, as when the schema was upgraded meanwhile.
_OUTDATED = (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidSqlStatementName)

Values = Sequence[Any]


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One execution of a statement; ``rows`` are there once it was sent."""

    text: str
    values: Sequence[Buffer | None]
    rows: Sequence[Values] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Preparation:
    """A text that the server gets to know by a name."""

    text: str
    name: bytes


class Pipeline:
    """What one connection sends together. Unless it commits by itself, a transaction begins with the first statement."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self._driver = driver
        self._transformer = Transformer(driver)
        # The names of statements that the server has prepared, by their texts.
        self._names: dict[str, bytes] = {}
        self._last_name = 0
        self._queued: list[Exchange] = []
        # Whether statements wait for others, to be sent together.
        self.is_open = False

    def queue(self, text: str, values: Values) -> Exchange:
        """Add a statement with parameters ``$1``, ``$2``...; it goes with the next ``send``."""
        dumped = self._transformer.dump_sequence(values, [PyFormat.TEXT] * len(values))
        exchange = Exchange(text=text, values=dumped)
        self._queued.append(exchange)
        return exchange

    def drop(self) -> None:
        """Forget what is queued."""
        self._queued = []

    def send(self, *, commits: bool = False) -> None:
        """Send what is queued, and COMMIT behind it if it ``commits``; give each statement its rows.

        Raises the driver's errors. What was queued behind a statement that failed has not been executed.
        """
        queued, self._queued = self._queued, []
        commits = commits and bool(queued or self._driver.pgconn.transaction_status in _IN_TRANSACTION)
        if not queued and not commits:
            return
        try:
            steps = self._post(queued, commits=commits)
            results = self._receive()
        except BaseException:
            # Nobody knows how far it got; the server rolls back.
            self._driver.close()
            raise
        for step, result in zip(steps, results, strict=True):
            if result.status in _FAILED:
                error = psycopg.errors.error_from_result(result)
                if isinstance(error, _OUTDATED):
                    self._names = {}
                raise error
            if isinstance(step, _Preparation):
                self._names[step.text] = step.name
            elif isinstance(step, Exchange) and result.status == pq.ExecStatus.TUPLES_OK:
                self._transformer.set_pgresult(result)
                step.rows = self._transformer.load_rows(0, result.ntuples, tuple)

    def roll_back(self) -> None:
        """End the transaction that is under way. The driver, if it did, would drop what the server has prepared."""
        self._queued = []
        connection = self._driver.pgconn
        if connection.transaction_status in _IN_TRANSACTION:
            connection.exec_(b"ROLLBACK")

    def _post(self, queued: Sequence[Exchange], *, commits: bool) -> list[Exchange | _Preparation | None]:
        """Hand everything over to libpq and return what it was, one for each result that will come."""
        connection = self._driver.pgconn
        connection.enter_pipeline_mode()
        steps: list[Exchange | _Preparation | None] = []
        is_idle = connection.transaction_status == pq.TransactionStatus.IDLE
        if is_idle and not self._driver.autocommit:
            connection.send_query_params(self._begin(), None)
            steps.append(None)
        names = self._names
        for exchange in queued:
            if exchange.text not in names:
                self._last_name += 1
                name = b"pipeline_%d" % self._last_name
                connection.send_prepare(name, exchange.text.encode())
                steps.append(_Preparation(text=exchange.text, name=name))
                names = {**names, exchange.text: name}
            connection.send_query_prepared(names[exchange.text], exchange.values)
            steps.append(exchange)
        if commits:
            connection.send_query_params(b"COMMIT", None)
            steps.append(None)
        connection.pipeline_sync()
        return steps

    def _begin(self) -> bytes:
        level = self._driver.isolation_level
        return b"BEGIN" if level is None else f"BEGIN ISOLATION LEVEL {level.name.replace('_', ' ')}".encode()

    def _receive(self) -> list[pq.abc.PGresult]:
        """Return the results up to the end of the exchange."""
        connection = self._driver.pgconn
        poll = select.poll()
        results: list[pq.abc.PGresult] = []
        is_unsent = True
        while True:
            # A server that has much to say takes no more before it is heard, so both go on side by side.
            is_unsent = is_unsent and connection.flush() != 0
            poll.register(connection.socket, select.POLLIN | (select.POLLOUT if is_unsent else 0))
            poll.poll()
            connection.consume_input()
            while not connection.is_busy():
                result = connection.get_result()
                if result is not None and result.status == pq.ExecStatus.PIPELINE_SYNC:
                    connection.exit_pipeline_mode()
                    return results
                if result is not None:
                    results.append(result)
                elif connection.status == pq.ConnStatus.BAD:
                    raise psycopg.OperationalError("the connection is lost")
