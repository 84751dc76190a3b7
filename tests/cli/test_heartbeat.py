"""What processes say of themselves, and what an engine says of the executors that it hears."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from mistral_lite.cli.heartbeat import Heartbeat
from mistral_lite.db import services, tables
from mistral_lite.db.transaction import Database


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request: pytest.FixtureRequest, open_database: Callable[[str], Database]) -> Database:
    return open_database(request.param)


def roles(database: Database) -> list[str]:
    with database.read() as connection:
        return [beat.service.role for beat in services.list_all(connection)]


def test_a_process_has_one_line_however_often_it_beats(database: Database) -> None:
    heard = [{"host/e1", "host/e2"}, {"host/e1"}]
    heartbeat = Heartbeat(database, "engine", lambda: heard.pop(0))
    heartbeat.work()
    heartbeat.work()
    assert roles(database) == ["engine", "executor", "executor"]

    with database.read() as connection:
        silent = min(services.list_all(connection), key=lambda beat: beat.heartbeat_at)
    assert (silent.service.id, silent.service.host) == ("e2", "host")

    heartbeat.end()
    assert roles(database) == ["executor", "executor"]


def test_a_process_that_was_killed_is_forgotten_after_a_while(database: Database) -> None:
    Heartbeat(database, "api").work()
    table = tables.services
    with database.write() as connection:
        long_ago = database.now(connection) - timedelta(hours=1)
        connection.execute(sa.update(table).values(heartbeat_at=long_ago))
    Heartbeat(database, "serve").work()
    assert roles(database) == ["serve"]


def test_one_that_never_began_ends_in_silence(database: Database) -> None:
    Heartbeat(database, "api").end()
    assert roles(database) == []
