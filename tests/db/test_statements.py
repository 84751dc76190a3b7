"""Statements on the driver itself: the same values, rows and errors as by way of SQLAlchemy."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from mistral_lite.db import tables
from mistral_lite.db.rows import TIMERS
from mistral_lite.db.statements import ListStatement, Statement, Writing, pipelined
from mistral_lite.db.transaction import Database
from mistral_lite.errors import UnavailableError

NOW = datetime(2026, 11, 22, 12, 30, 15, 123456, tzinfo=UTC)
ALL = Statement(sa.select(tables.timers).order_by(tables.timers.c.id))
OF_SUBJECTS = ListStatement(
    lambda ids: (
        sa.select(tables.timers.c.id)
        .where(tables.timers.c.subject_id.in_(ids), tables.timers.c.kind == sa.bindparam("kind"))
        .order_by(tables.timers.c.id)
    )
)
WRITING = Writing(TIMERS)


def timer(number: int, **more: object) -> dict[str, object]:
    row = {
        "id": f"t{number:03}",
        "root_execution_id": "r",
        "kind": "retry",
        "subject_id": f"s{number:03}",
        "due_at": NOW,
    }
    return {**row, **more}


def everything(database: Database) -> list[dict[str, object]]:
    with database.read() as connection:
        return ALL.rows(connection, {})


@pytest.mark.parametrize("count", [1, 2, 700])
def test_rows_come_back_as_they_were_given(database: Database, count: int) -> None:
    rows = [timer(number) for number in range(count)]
    with database.write() as connection, pipelined(connection):
        WRITING.insert.run_many(connection, rows)
    assert everything(database) == rows


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 500, 501])
def test_a_list_of_any_length_finds_each_of_its_keys_once(database: Database, count: int) -> None:
    with database.write() as connection:
        WRITING.insert.run_many(connection, [timer(number) for number in range(600)])
    keys = [f"s{number:03}" for number in range(count)]
    with database.read() as connection:
        found = OF_SUBJECTS.rows(connection, keys, kind="retry")
        assert OF_SUBJECTS.rows(connection, keys, kind="timeout") == []
    assert [row["id"] for row in found] == [f"t{number:03}" for number in range(count)]


def test_an_insert_tells_what_the_database_made_up(database: Database) -> None:
    columns = ("root_execution_id", "kind", "subject_id", "payload", "created_at")
    inserted = Statement(
        sa.insert(tables.inbox)
        .values({name: sa.bindparam(name, type_=tables.inbox.c[name].type) for name in columns})
        .returning(tables.inbox.c.seq)
    )
    row = {"root_execution_id": "r", "kind": "start", "subject_id": "r", "payload": "{}", "created_at": NOW}
    with database.write() as connection:
        (first,), (second,) = (inserted.rows(connection, row) for _ in range(2))
        stored = (
            connection.execute(sa.select(tables.inbox.c.seq).order_by(tables.inbox.c.seq)).scalars().all()
        )
    assert [first["seq"], second["seq"]] == stored


def test_rows_change_and_go(database: Database) -> None:
    later = NOW.replace(year=2027)
    with database.write() as connection, pipelined(connection):
        WRITING.insert.run_many(connection, [timer(1), timer(2), timer(3)])
        WRITING.update(("b_id", "due_at")).run_many(
            connection, [{"b_id": "t001", "due_at": later}, {"b_id": "t003", "due_at": later}]
        )
        WRITING.delete.run(connection, ["t002"])
        WRITING.delete.run(connection, [])
    assert everything(database) == [timer(1, due_at=later), timer(3, due_at=later)]


@pytest.mark.parametrize("is_pipelined", [False, True])
def test_an_error_is_sqlalchemys_and_nothing_is_done(database: Database, is_pipelined: bool) -> None:
    def insert_twice() -> None:
        with database.write() as connection:
            WRITING.insert.run(connection, timer(1))
            if is_pipelined:
                with pipelined(connection):
                    WRITING.insert.run(connection, timer(1, subject_id="hidden"))
            else:
                WRITING.insert.run(connection, timer(1, subject_id="hidden"))

    with pytest.raises(IntegrityError) as caught:
        insert_twice()
    assert "hidden" not in str(caught.value)
    assert everything(database) == []


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)
def test_a_lost_connection_is_an_outage_and_the_next_one_serves(database: Database, backend: str) -> None:
    own_id, end = {
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
        "mariadb": ("SELECT CONNECTION_ID()", "KILL {}"),
    }[backend]

    def lose() -> None:
        with database.write() as connection:
            number = connection.exec_driver_sql(own_id).scalar_one()
            with database.write() as other:
                other.exec_driver_sql(end.format(number))
            WRITING.insert.run(connection, timer(1))

    with pytest.raises(UnavailableError):
        lose()
    for _ in range(3):
        assert everything(database) == []


postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def test_what_a_block_asks_is_answered_when_it_ends(database: Database) -> None:
    with database.write() as connection:
        with pipelined(connection):
            before = ALL.ask(connection, {})
            WRITING.insert.run(connection, timer(1))
            after = ALL.ask(connection, {})
        assert (before(), after()) == ([], [timer(1)])


@postgresql
def test_a_block_may_commit(database: Database) -> None:
    with database.write() as connection:
        with pipelined(connection, commits=True):
            WRITING.insert.run(connection, timer(1))
        assert everything(database) == [timer(1)], "others see it at once"
    assert everything(database) == [timer(1)]


def test_a_block_that_fails_does_not_commit(database: Database) -> None:
    def insert_twice() -> None:
        with database.write() as connection, pipelined(connection, commits=True):
            WRITING.insert.run(connection, timer(1))
            WRITING.insert.run(connection, timer(1))

    with pytest.raises(IntegrityError):
        insert_twice()
    assert everything(database) == []


def test_a_block_that_is_left_by_an_error_sends_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection, pipelined(connection, commits=True):
            WRITING.insert.run(connection, timer(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert everything(database) == []


@postgresql
def test_much_may_go_both_ways_at_once(database: Database) -> None:
    # More than the buffers between client and server hold, in either direction.
    echo = Statement(sa.select(sa.bindparam("text", type_=sa.Text).label("text")))
    text = "x" * 1_000_000
    with database.write() as connection:
        with pipelined(connection):
            asked = [echo.ask(connection, {"text": text}) for _ in range(20)]
        assert [answer() for answer in asked] == [[{"text": text}]] * 20


@postgresql
def test_statements_stay_prepared_after_a_rollback(database: Database) -> None:
    prepared = "SELECT count(*) FROM pg_prepared_statements"

    def count_and_fail() -> None:
        with database.write() as connection:
            assert ALL.rows(connection, {}) == []
            # The driver prepares what it has seen a few times.
            counts.append([connection.exec_driver_sql(prepared).scalar_one() for _ in range(9)][-1])
            raise ZeroDivisionError

    counts: list[int] = []
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            count_and_fail()
    assert counts[0] == counts[1] == counts[2] > 1


@postgresql
def test_an_upgrade_of_the_schema_breaks_one_transaction_at_most(database: Database) -> None:
    assert everything(database) == []
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE timers ALTER COLUMN kind TYPE varchar(40)")
    with pytest.raises(DBAPIError):
        everything(database)
    assert everything(database) == []
