"""Databases for tests: SQLite in a file, and a fresh database on each server that is there.

``MISTRAL_LITE_TEST_POSTGRESQL`` and ``MISTRAL_LITE_TEST_MARIADB`` name the servers by URLs of accounts that may
create databases. A server that is not there skips its tests; with ``CI=true`` it fails them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.db.transaction import Database, normalize_url
from mistral_lite.errors import UnavailableError

SERVERS = {
    "postgresql": ("MISTRAL_LITE_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "mariadb": ("MISTRAL_LITE_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1:3306/"),
}

# Several workers share the files of a run. These take longest and are begun first, so that none is begun when the others
# are done; the rest comes in random order.
LONGEST = (
    "simulation/test_simulation.py",
    "e2e/test_crash_points.py",
    "e2e/test_outages.py",
    "e2e/test_crashes.py",
    "e2e/test_signals.py",
    "e2e/test_client_commands.py",
    "differential/test_outcomes.py",
    "simulation/test_chaos.py",
    "e2e/test_waiters.py",
    "e2e/test_zaqar.py",
    "e2e/test_database_outages.py",
    "e2e/test_hostile.py",
    "e2e/test_keystone.py",
    "hostile/test_texts.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    root = Path(__file__).parent
    ranks = {root / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(LONGEST)))


class Stores:
    """Makes databases and drops them at the end of the session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._filled: dict[str, str] = {}
        self._made: list[tuple[sa.Engine, str]] = []

    def make_empty(self, backend: str) -> str:
        """Return the URL of a new database without tables; skip the test if there is no such server."""
        name = f"ml_test_{os.getpid()}_{next(self._numbers)}"
        if backend == "sqlite":
            return f"sqlite:///{self._folder}/{name}.sqlite"
        variable, default = SERVERS[backend]
        admin = sa.create_engine(
            normalize_url(os.environ.get(variable) or default),
            isolation_level="AUTOCOMMIT",
            poolclass=sa.NullPool,
            connect_args={"connect_timeout": 60},
        )
        try:
            with admin.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
        except sa.exc.OperationalError as error:
            reason = f"no {backend} server at {admin.url!r} (see {variable})"
            if os.environ.get("CI") == "true":
                raise AssertionError(reason) from error
            pytest.skip(reason)
        self._made.append((admin, name))
        url: sa.URL = admin.url.set(database=name)
        return url.render_as_string(hide_password=False)

    def open(self, backend: str) -> Database:
        """Return a connection pool on a database with all tables; on a server it is one for the session."""
        if backend not in self._filled:
            url = self.make_empty(backend)
            schema = Database(url)
            tables.metadata.create_all(schema.engine)
            schema.dispose()
            self._filled[backend] = url
        url = self._filled[backend]
        if backend == "sqlite":
            copy = self._folder / f"copy_{next(self._numbers)}.sqlite"
            shutil.copy(url.removeprefix("sqlite:///"), copy)
            url = f"sqlite:///{copy}"
        return Database(url)

    def close(self) -> None:
        """Drop what was made."""
        for admin, name in self._made:
            # A connection that a test has left open, or that ends a moment later, is no reason to keep it.
            force = " WITH (FORCE)" if admin.dialect.name == "postgresql" else ""
            with admin.connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE {name}{force}")
            admin.dispose()


def empty(database: Database) -> None:
    """Delete all rows but the counter of definition changes."""
    with database.write() as connection:
        for table in tables.metadata.tables.values():
            if table is not tables.definition_changes:
                connection.execute(sa.delete(table))


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Databases of this session."""
    stores = Stores(tmp_path_factory.mktemp("stores"))
    yield stores
    stores.close()


@pytest.fixture
def open_database(stores: Stores) -> Iterator[Callable[[str], Database]]:
    """Open an empty database with all tables by the name of its backend; closed and emptied afterwards."""
    with ExitStack() as stack:

        def open_database(backend: str) -> Database:
            database = stores.open(backend)
            stack.callback(database.dispose)
            if not database.is_sqlite:
                stack.callback(empty, database)
            return database

        yield open_database


@pytest.fixture
def unreachable() -> tuple[type[Exception], Callable[[str], Database]]:
    """The error of a database that does not answer, and a maker of such databases."""
    urls = {
        "sqlite": "sqlite:////nowhere/at/all.sqlite",
        "postgresql": "postgresql://nobody@127.0.0.1:1/none",
        "mariadb": "mysql://nobody@127.0.0.1:1/none",
    }
    return UnavailableError, lambda backend: Database(urls[backend], connect_timeout_s=1)


@pytest.fixture
def count_statements() -> Callable[[Database], AbstractContextManager[list[str]]]:
    """Collect the SQL of the statements that a database is sent while a block runs."""

    @contextmanager
    def count_statements(database: Database) -> Iterator[list[str]]:
        statements: list[str] = []

        def note(_connection: object, _cursor: object, text: str, *_: object) -> None:
            statements.append(text)

        sa.event.listen(database.engine, "before_cursor_execute", note)
        try:
            yield statements
        finally:
            sa.event.remove(database.engine, "before_cursor_execute", note)

    return count_statements


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for what happens at once."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield pool
