"""What engines of other processes say by way of the database."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue

import pytest

from mistral_lite.db import applied
from mistral_lite.db.listening import Listener
from mistral_lite.db.transaction import Database

LONG_S = 120.0


@pytest.fixture
def database(open_database) -> Database:
    return open_database("postgresql")


def listen(database: Database, words: Queue[list[str]], states: Queue[bool]) -> Listener:
    heard = {applied.CHANNEL: lambda payload: words.put(list(applied.read(payload)))}
    return Listener(database, "listener", heard, is_on=states.put)


@pytest.fixture
def heard(database: Database) -> Iterator[Queue[list[str]]]:
    words: Queue[list[str]] = Queue()
    states: Queue[bool] = Queue()
    listener = listen(database, words, states)
    listener.start()
    try:
        assert states.get(timeout=LONG_S)
        yield words
    finally:
        listener.stop()


def test_what_was_committed_is_heard_and_what_was_rolled_back_is_not(database: Database, heard) -> None:
    def fail() -> None:
        with database.write() as connection:
            applied.tell(connection, ["1"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.write() as connection:
        applied.tell(connection, ["2", "3"])
    assert heard.get(timeout=LONG_S) == ["2", "3"]


def test_long_lists_arrive_in_portions(database: Database, heard) -> None:
    keys = [f"00000000-0000-7000-8000-{number:012}" for number in range(450)]
    with database.write() as connection:
        applied.tell(connection, keys)
    found: list[str] = []
    while len(found) < len(keys):
        found += heard.get(timeout=LONG_S)
    assert found == keys


def test_listening_begins_again_after_the_connection_broke(database: Database) -> None:
    states: Queue[bool] = Queue()
    words: Queue[list[str]] = Queue()
    listener = listen(database, words, states)
    listener.start()
    try:
        assert states.get(timeout=LONG_S)
        with database.write() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
            )
        assert not states.get(timeout=LONG_S)
        assert states.get(timeout=LONG_S)
        with database.write() as connection:
            applied.tell(connection, ["4"])
        assert words.get(timeout=LONG_S) == ["4"]
    finally:
        listener.stop()


@pytest.mark.parametrize("backend", ["sqlite", "mariadb"])
def test_other_databases_tell_nobody(open_database, backend: str) -> None:
    database = open_database(backend)
    with database.write() as connection:
        applied.tell(connection, ["1"])
    listener = listen(database, Queue(), Queue())
    listener.start()
    listener.stop()
