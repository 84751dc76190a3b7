"""Connections and transactions, the same for SQLite, PostgreSQL and MariaDB.

One way in: ``Database.read()`` and ``Database.write()`` yield a connection, the latter inside one transaction.
PostgreSQL and MariaDB run at READ COMMITTED: a statement sees what was committed before it, which the row
lock on an execution's root relies on. SQLite has one writer: a lock in this process hands the turn over, and
``BEGIN IMMEDIATE`` takes the file's lock before the first statement, so that nobody ever meets a lock
halfway. Commits are synchronous everywhere.

Foreign errors do not leave this package: a lost or refused connection becomes ``UnavailableError``, and so
does a deadlock that outlived its retries. Its details tell them apart: ``transient`` after a deadlock, after which
the same transaction may be run again; ``is_lost`` where a connection that was there has ended, after which the next
one is new.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from mistral_lite import faults
from mistral_lite.db.statements import keep_prepared
from mistral_lite.errors import ConflictError, LimitExceededError, UnavailableError

T = TypeVar("T")

_RETRIES = 5
# SQLSTATEs of PostgreSQL and error numbers of MySQL after which the same transaction may be run again:
# serialization failure, deadlock, lock wait timeout.
_TRANSIENT = frozenset({"40001", "40P01", "55P03", 1205, 1213, 1020})
# After these it will never fit: program limit exceeded, packet too large.
_OVERSIZED = frozenset({"54000", 1153})


def normalize_url(text: str) -> URL:
    """Return the SQLAlchemy URL for a connection string as operators of OpenStack services write it."""
    url = make_url(text)
    backend = url.get_backend_name()
    if backend in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+psycopg")
    if backend in {"mysql", "mariadb"}:
        return url.set(drivername="mysql+pymysql").update_query_dict({"charset": "utf8mb4"})
    return url


class Database:
    """A pool of connections to one database.

    ``pool_size`` bounds the connections kept open; ``connect_timeout_s`` bounds the wait for one.
    """

    def __init__(self, url: str, *, pool_size: int = 10, connect_timeout_s: int = 5) -> None:
        self.url = normalize_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._write_turn = threading.Lock()
        self.engine = self._create_engine(pool_size, connect_timeout_s)
        self.dialect = self.engine.dialect.name

    def _create_engine(self, pool_size: int, connect_timeout_s: int) -> sa.Engine:
        if self.is_sqlite:
            engine = sa.create_engine(
                self.url,
                poolclass=sa.QueuePool,
                pool_size=pool_size,
                max_overflow=50,
                connect_args={"check_same_thread": False, "timeout": 30},
                hide_parameters=True,
            )
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        engine = sa.create_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=50,
            pool_pre_ping=False,
            pool_recycle=1800,
            # Inputs and results are parameters; they must not reach a log by way of an error.
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": connect_timeout_s},
        )
        event.listen(engine, "rollback", keep_prepared)
        return engine

    @contextmanager
    def read(self, *, is_snapshot: bool = False) -> Iterator[sa.Connection]:
        """Yield a connection for statements that change nothing.

        With ``is_snapshot`` all of them see the same state, not each what was committed before it.
        """
        if self.dialect == "postgresql" and not is_snapshot:
            with _translated_errors(), self.engine.connect() as connection, _without_transaction(connection):
                yield connection
            return
        # PostgreSQL's driver begins at the level that it is told; SQLite's read transactions are snapshots anyway.
        is_told = is_snapshot and self.dialect == "postgresql"
        level = {"isolation_level": "REPEATABLE READ"} if is_told else {}
        with _translated_errors(), self.engine.connect() as plain:
            connection = plain.execution_options(**level)
            with connection.begin():
                if is_snapshot and self.dialect in {"mysql", "mariadb"}:
                    # Begun at once: a level that nothing has used yet would wait for the next transaction.
                    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT")
                yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection inside a transaction that commits at the end of the block, or rolls back."""
        if not self.is_sqlite:
            with _translated_errors(), self.engine.begin() as connection:
                yield connection
        else:
            with self._write_turn, _translated_errors(), self.engine.connect() as plain:
                connection = plain.execution_options(sqlite_write=True)
                with connection.begin():
                    yield connection
        # A lost answer to COMMIT looks like this: the caller gets an error, and everything is done.
        faults.reach("database.after_commit")

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Return ``work(connection)`` from one write transaction, repeated after a deadlock.

        ``work`` must be repeatable: it may read and write this database only.
        """
        for _ in range(_RETRIES - 1):
            try:
                with self.write() as connection:
                    return work(connection)
            except UnavailableError as error:
                if not error.details.get("transient"):
                    raise
        with self.write() as connection:
            return work(connection)

    def insert_ignoring(self, table: sa.Table) -> sa.Insert:
        """Return an INSERT that leaves out rows whose key exists already."""
        if self.dialect in {"mysql", "mariadb"}:
            return sa.insert(table).prefix_with("IGNORE")
        if self.dialect == "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        return sqlite.insert(table).on_conflict_do_nothing()

    def now(self, connection: sa.Connection) -> datetime:
        """Return the time of the database, aware, in UTC."""
        if self.is_sqlite:
            return datetime.now(UTC)
        if self.dialect == "postgresql":
            text = "SELECT clock_timestamp() AT TIME ZONE 'UTC'"
        else:
            text = "SELECT UTC_TIMESTAMP(6)"
        value = connection.exec_driver_sql(text).scalar_one()
        assert isinstance(value, datetime)
        return value.replace(tzinfo=UTC)

    def isolation_level(self, connection: sa.Connection) -> str:
        """Return the isolation level that the transaction of ``connection`` runs at, in capitals."""
        if self.is_sqlite:
            return "SERIALIZABLE"
        if self.dialect == "postgresql":
            value = connection.exec_driver_sql("SHOW transaction_isolation").scalar_one()
        else:
            # MySQL and MariaDB do not agree about the name.
            value = connection.exec_driver_sql(
                "SHOW SESSION VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')"
            ).all()[-1][1]
        return str(value).replace("-", " ").upper()

    def require_read_committed(self) -> None:
        """Raise ``ConflictError`` if transactions run at another level than they were asked to.

        The locks of the engine rely on it: what the last holder committed must be visible to the next one.
        """
        with self.write() as connection:
            level = self.isolation_level(connection)
        if not self.is_sqlite and level != "READ COMMITTED":
            raise ConflictError(
                f"The database runs transactions at {level} although READ COMMITTED was asked for. Look for a "
                "connection pooler or a setting of the database account that changes the isolation level."
            )

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


class DatabaseClock:
    """The time of the database, read rarely and carried on by this machine's monotonic clock.

    All processes agree on it, whatever their own clocks say, and it never jumps between two readings.
    """

    def __init__(self, database: Database, monotonic: Callable[[], float] = monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._read_at = 0.0
        self._value = datetime.now(UTC)

    def synchronize(self, connection: sa.Connection) -> None:
        """Read the database's time."""
        started = self._monotonic()
        self._value = self._database.now(connection)
        self._read_at = (started + self._monotonic()) / 2

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
        return self._value + timedelta(seconds=self._monotonic() - self._read_at)


@contextmanager
def _without_transaction(connection: sa.Connection) -> Iterator[None]:
    """Spare the statements of the block, which only read, the two exchanges that begin and end a transaction."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.autocommit = True
    try:
        yield
    finally:
        if not connection.invalidated:
            try:
                driver.autocommit = False
            except psycopg.Error:
                # It has ended, or a statement still runs; the next user must not get it in this state.
                connection.invalidate()


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # SQLAlchemy's begin event emits BEGIN itself; the driver must not do so on its own.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("sqlite_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise UnavailableError("All database connections are in use.") from error
    except DBAPIError as error:
        if _is_transient(error):
            raise UnavailableError(
                "The database chose this transaction to give way.", transient=True
            ) from error
        if _is_oversized(error):
            raise LimitExceededError("A value is larger than the database takes.") from error
        if error.connection_invalidated or isinstance(error, OperationalError):
            raise UnavailableError(
                "The database does not answer.", is_lost=error.connection_invalidated
            ) from error
        raise


def _is_transient(error: DBAPIError) -> bool:
    return not _TRANSIENT.isdisjoint(_codes(error))


def _is_oversized(error: DBAPIError) -> bool:
    return not _OVERSIZED.isdisjoint(_codes(error))


def _codes(error: DBAPIError) -> tuple[object, object]:
    """Return the SQLSTATE of PostgreSQL and the error number of MySQL, as far as there are any."""
    original = error.orig
    number = original.args[0] if original is not None and original.args else None
    return getattr(original, "sqlstate", None), number if isinstance(number, int) else None
