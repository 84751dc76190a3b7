"""The schema of the database: where its Alembic scripts are, and the steps of ``mistral-lite db``.

Each command is one transaction that begins by taking a lock of the database's own, so that several
processes started at once upgrade one after the other. PostgreSQL and SQLite roll a failed step back as a
whole; MariaDB commits each DDL statement, so a step there must be repeatable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from mistral_lite.db.transaction import Database
from mistral_lite.errors import ConflictError, InputError, UnavailableError

# Any constant will do; it only has to be the same in every process.
_POSTGRESQL_LOCK = 0x6D6C_6974  # "mlit"
_MYSQL_LOCK = "mistral_lite.schema"
_LOCK_WAIT_S = 60


def scripts_directory() -> Path:
    """Return the folder of the Alembic scripts: inside an installed package, or beside it in a source tree."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_alembic"
    return installed if installed.is_dir() else package.parent / "alembic"


def head() -> str | None:
    """Return the revision that this release needs; None if it has no migrations."""
    return _scripts().get_current_head()


def current(url: str) -> str | None:
    """Return the revision that the database at ``url`` is at; None before the first upgrade."""
    with _connection(url) as connection:
        return _revision(connection)


def upgrade(url: str, revision: str = "head") -> str | None:
    """Bring the schema up to ``revision`` and return where it is then; does nothing if it is there.

    Raises ``UnavailableError`` if the database does not answer, ``InputError`` for an unknown revision.
    """
    with _connection(url, lock=True) as connection, _translated_errors():
        command.upgrade(_alembic(connection), revision)
        return _revision(connection)


def downgrade(url: str, revision: str) -> str | None:
    """Bring the schema down to ``revision`` (``base``, ``-1`` or an identifier) and return where it is then."""
    with _connection(url, lock=True) as connection, _translated_errors():
        command.downgrade(_alembic(connection), revision)
        return _revision(connection)


def require_current(url: str) -> None:
    """Raise ``ConflictError`` if the schema is older than this release needs.

    A revision that this release does not know is a newer one: during a rolling upgrade the processes of the
    previous release go on with it.
    """
    wanted, present = head(), current(url)
    if present == wanted:
        return
    if present is None:
        raise ConflictError("The database has no tables yet: run 'mistral-lite db upgrade' first.")
    if is_known(present):
        raise ConflictError(
            f"The database is at revision {present}, this release needs {wanted}: run 'mistral-lite db upgrade' first."
        )


def is_known(revision: str) -> bool:
    """Tell whether this release has the migration ``revision``; one that it has not is of a newer release."""
    return revision in {script.revision for script in _scripts().walk_revisions()}


def _alembic(connection: sa.Connection | None = None) -> Config:
    config = Config()
    # "%" is special in options of Alembic, and a path may hold one.
    config.set_main_option("script_location", str(scripts_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_alembic())


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise InputError(f"The schema cannot be moved there: {error}") from error


@contextmanager
def _connection(url: str, *, lock: bool = False) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction; with ``lock`` no other process is in such a block."""
    database = Database(url, pool_size=1)
    try:
        with database.write() if lock else database.read() as connection:
            if lock:
                _take_turn(connection, database.dialect)
            yield connection
    except UnavailableError as error:
        place = database.url.render_as_string(hide_password=True)
        raise UnavailableError(f"The database {place} is not usable: {_cause(error)}") from error
    finally:
        database.dispose()


def _take_turn(connection: sa.Connection, dialect: str) -> None:
    """Wait until no other process changes the schema; SQLite's BEGIN IMMEDIATE has done so already."""
    if dialect == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRESQL_LOCK)))
    elif dialect in {"mysql", "mariadb"}:
        # Ends with the connection, which its caller closes.
        taken = connection.scalar(sa.select(sa.func.get_lock(_MYSQL_LOCK, _LOCK_WAIT_S)))
        if taken != 1:
            raise UnavailableError(f"another process has been changing the schema for {_LOCK_WAIT_S} s.")


def _cause(error: BaseException) -> str:
    """Return the first line of what the driver said; drivers do not repeat passwords."""
    driver_error = getattr(error.__cause__, "orig", None) or error
    return str(driver_error).strip().splitlines()[0]
