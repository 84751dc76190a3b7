"""What every part may rely on: isolation, one writer on SQLite, repetition after deadlocks, errors of ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Barrier, Event

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.db.transaction import Database, DatabaseClock
from mistral_lite.errors import ConflictError, UnavailableError

several_writers = pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)

specs = tables.specs


def put(connection, key, source=""):
    connection.execute(sa.insert(specs).values(hash=key, kind="k", source=source))


def keys(connection):
    return sorted(connection.execute(sa.select(specs.c.hash)).scalars())


def test_a_block_commits_at_its_end_or_not_at_all(database):
    with database.write() as connection:
        put(connection, "kept")
    with pytest.raises(KeyError), database.write() as connection:  # noqa: PT012 - the block is the subject
        put(connection, "lost")
        raise KeyError

    with database.read() as connection:
        assert keys(connection) == ["kept"]


def test_nobody_sees_what_is_not_committed(database):
    with database.write() as writer:
        put(writer, "a")
        with database.read() as reader:
            assert keys(reader) == []


@several_writers
def test_a_statement_sees_what_was_committed_before_it(database):
    # The engine reads a tree after it waited for nobody: what the last holder committed must be visible.
    with database.write() as connection:
        assert keys(connection) == []
        with database.write() as other:
            put(other, "a")
        assert keys(connection) == ["a"]


def test_eight_threads_write_at_once(database, pool):
    barrier = Barrier(8)

    def take_part(thread):
        barrier.wait()
        for number in range(20):

            def add(connection, number=number):
                before = connection.scalar(sa.select(sa.func.count()).select_from(specs))
                put(connection, f"{thread}-{number}")
                return before

            database.run(add)
            with database.read() as connection:
                assert connection.scalar(sa.select(sa.func.count()).select_from(specs)) > 0

    list(pool.map(take_part, range(8)))

    with database.read() as connection:
        assert len(keys(connection)) == 160


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_two_processes_share_an_sqlite_file(database, pool):
    # Two pools do not know of each other's turn, as two processes: the file's lock orders them.
    others = [database, Database(database.url.render_as_string()), Database(database.url.render_as_string())]
    barrier = Barrier(3)

    def take_part(index):
        barrier.wait()
        for number in range(20):
            others[index].run(lambda connection, number=number: put(connection, f"{index}-{number}"))

    list(pool.map(take_part, range(3)))

    with database.read() as connection:
        assert len(keys(connection)) == 60
    for other in others[1:]:
        other.dispose()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_sqlite_writes_survive_a_power_cut(database):
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2


def lock(connection, key):
    connection.execute(sa.select(specs).where(specs.c.hash == key).with_for_update()).all()


@several_writers
def test_a_deadlock_is_run_again(database, pool):
    with database.write() as connection:
        put(connection, "a", "0")
        put(connection, "b", "0")
    barrier, tries = Barrier(2), []

    def count_up(order):
        def work(connection):
            tries.append(order)
            lock(connection, order[0])
            if len(tries) <= 2:
                barrier.wait()
            lock(connection, order[1])
            for row in connection.execute(sa.select(specs)).all():
                connection.execute(
                    sa.update(specs).where(specs.c.hash == row.hash).values(source=str(int(row.source) + 1))
                )

        database.run(work)

    list(pool.map(count_up, ["ab", "ba"]))

    # The one that gave way may meet the other again before it is through.
    assert len(tries) >= 3
    with database.read() as connection:
        assert connection.execute(sa.select(specs.c.source)).scalars().all() == ["2", "2"]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("transient", "expected"), [(True, 5), (False, 1)])
def test_only_what_may_pass_is_run_again_and_not_for_ever(database, transient, expected):
    tries = []

    def work(connection):
        tries.append(1)
        raise UnavailableError("no", transient=transient)

    with pytest.raises(UnavailableError):
        database.run(work)

    assert len(tries) == expected


@pytest.mark.parametrize("block", ["read", "write"])
def test_a_server_that_is_away_is_an_error_of_ours(backend, unreachable, block):
    error, make = unreachable
    database = make(backend)

    with pytest.raises(error) as caught, getattr(database, block)():
        raise AssertionError("there is no such database")

    assert not caught.value.details.get("transient")
    database.dispose()


KILL = {
    "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
    "mariadb": ("SELECT CONNECTION_ID()", "KILL {}"),
}


@several_writers
def test_a_lost_connection_is_an_error_of_ours_and_the_next_one_is_new(backend, database):
    whoami, kill = KILL[backend]

    with pytest.raises(UnavailableError), database.write() as connection:  # noqa: PT012 - the block is the subject
        put(connection, "lost")
        number = connection.exec_driver_sql(whoami).scalar_one()
        with database.write() as other:
            other.exec_driver_sql(kill.format(number))
        put(connection, "too late")

    with database.write() as connection:
        assert keys(connection) == []


@several_writers
def test_idle_connections_that_died_do_not_stay_in_the_pool(backend, database):
    whoami, kill = KILL[backend]
    idle = Database(database.url.render_as_string(hide_password=False), pool_size=1)
    with idle.read() as connection:
        number = connection.exec_driver_sql(whoami).scalar_one()
    with database.write() as other:
        other.exec_driver_sql(kill.format(number))

    with pytest.raises(UnavailableError), idle.read() as connection:
        keys(connection)
    with idle.read() as connection:
        assert keys(connection) == []
    idle.dispose()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_what_is_written_after_reads_over_the_same_connection_is_one_transaction(database):
    single = Database(database.url.render_as_string(hide_password=False), pool_size=1)
    with single.read() as connection:
        assert keys(connection) == []
    with pytest.raises(sa.exc.ProgrammingError), single.read() as connection:
        connection.exec_driver_sql("SELECT nothing FROM nowhere")

    with pytest.raises(ZeroDivisionError), single.write() as connection:  # noqa: PT012 - the block is the subject
        put(connection, "lost")
        1 / 0  # noqa: B018 - anything that breaks off

    with single.read() as connection:
        assert keys(connection) == []
    single.dispose()


def test_a_mistake_in_a_statement_is_no_outage(database):
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:  # noqa: PT012 - the block is the subject
        put(connection, "a")
        put(connection, "a")


def test_a_row_that_is_there_already_can_be_left_out(database):
    for source in ("first", "second"):
        with database.write() as connection:
            statement = database.insert_ignoring(specs)
            connection.execute(statement, {"hash": "a", "kind": "k", "source": source})

    with database.read() as connection:
        assert connection.execute(sa.select(specs.c.source)).scalars().all() == ["first"]


def test_names_are_told_apart_by_case_and_accent(database):
    with database.write() as connection:
        for key in ("straße", "strasse", "Strasse"):
            put(connection, key)
        assert connection.execute(sa.select(specs.c.hash).where(specs.c.hash == "strasse")).all() == [
            ("strasse",)
        ]


def test_times_keep_zone_and_microseconds(database):
    moment = datetime(2026, 3, 29, 1, 30, 0, 999_999, tzinfo=UTC)
    elsewhere = moment.astimezone(tz=None)

    with database.write() as connection:
        connection.execute(
            sa.insert(tables.services).values(
                id="s", role="engine", host="h", started_at=elsewhere, heartbeat_at=moment
            )
        )
        row = connection.execute(sa.select(tables.services)).one()

    assert row.started_at == row.heartbeat_at == moment
    assert row.started_at.utcoffset() == timedelta(0)


def test_the_time_of_the_database_does_not_stand_still_in_a_transaction(database):
    with database.write() as connection:
        first, second = database.now(connection), database.now(connection)

    assert first < second
    assert first.tzinfo is UTC


def test_the_clock_goes_on_by_itself(database):
    clock = DatabaseClock(database)
    with database.read() as connection:
        before = database.now(connection)
        clock.synchronize(connection)

    first, second = clock.now(), clock.now()

    assert before <= first <= second


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_pool_that_is_used_up_is_an_error_of_ours(database, pool):
    small = Database(database.url.render_as_string(), pool_size=1)
    small.engine.pool._max_overflow = 0
    small.engine.pool._timeout = 0.01
    held, done = Event(), Event()

    def hold():
        with small.read():
            held.set()
            done.wait()

    holder = pool.submit(hold)
    held.wait()
    with pytest.raises(UnavailableError), small.read():
        raise AssertionError("there is one connection only")
    done.set()
    holder.result()
    small.dispose()


@several_writers
def test_another_isolation_level_than_the_one_asked_for_is_refused(database):
    database.require_read_committed()
    url = database.url.render_as_string(hide_password=False)
    meddled = Database(url)

    # As a pooler or a hook of the server would.
    @sa.event.listens_for(meddled.engine, "begin")
    def meddle(connection):
        if meddled.dialect == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        else:
            connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")

    with pytest.raises(ConflictError, match=r"SERIALIZABLE.*READ COMMITTED"):
        meddled.require_read_committed()
    meddled.dispose()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_sqlite_needs_no_isolation_level(database):
    database.require_read_committed()


@several_writers
def test_a_snapshot_sees_one_state_only(database):
    with database.write() as connection:
        put(connection, "a")
    with database.read(is_snapshot=True) as connection:
        assert keys(connection) == ["a"]
        with database.write() as other:
            put(other, "b")
        assert keys(connection) == ["a"]
    # The connection is as it was when it comes back from the pool.
    with database.write() as connection:
        assert database.isolation_level(connection) == "READ COMMITTED"


@several_writers
def test_a_snapshot_that_nobody_looked_at_leaves_the_next_transaction_as_it_was(database):
    single = Database(database.url.render_as_string(hide_password=False), pool_size=1)
    with single.read(is_snapshot=True):
        pass
    with single.write() as connection:
        assert keys(connection) == []
        with database.write() as other:
            put(other, "a")
        assert keys(connection) == ["a"]
    single.dispose()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_serialization_failure_is_run_again(database):
    with database.write() as connection:
        put(connection, "a", "0")
    tries = []

    def count_up(connection):
        tries.append(1)
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        value = int(connection.scalar(sa.select(specs.c.source)))
        if len(tries) == 1:
            with database.write() as other:
                other.execute(sa.update(specs).values(source="10"))
        connection.execute(sa.update(specs).values(source=str(value + 1)))

    database.run(count_up)

    assert len(tries) == 2
    with database.read() as connection:
        assert connection.scalar(sa.select(specs.c.source)) == "11"
