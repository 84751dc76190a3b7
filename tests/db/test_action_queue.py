"""Leases: no attempt is held twice, a silent executor loses what it holds, nothing else does."""

from __future__ import annotations

from datetime import timedelta
from itertools import chain
from threading import Barrier

import pytest
import sqlalchemy as sa

from mistral_lite.db import action_queue, tables, timers

several_writers = pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)


@pytest.fixture
def later(now):
    """Return a time some seconds from now."""
    return lambda seconds: now + timedelta(seconds=seconds)


@pytest.fixture
def claim(now, later):
    """Claim attempts."""

    def claim(connection, most=10, executor_id="e1", claim_id="c1", targets=(), at=0.0, lease_s=30.0):
        return action_queue.claim(
            connection,
            executor_id=executor_id,
            claim_id=claim_id,
            targets=targets,
            most=most,
            now=later(at),
            lease_until=later(at + lease_s),
        )

    return claim


def numbers(attempts):
    return [int(each.action_id[-4:]) for each in attempts]


def test_those_that_wait_longest_are_claimed_first_and_once(database, rows, claim, later):
    for number, waited in ((1, 0), (2, 5), (3, 9), (4, 2)):
        rows.store(database, rows.pending(number, available_at=later(-waited)))

    with database.write() as connection:
        assert numbers(claim(connection, most=3)) == [3, 2, 4]
        assert numbers(claim(connection, most=3)) == [1]
        assert claim(connection) == []


@pytest.mark.parametrize(
    ("targets", "expected"), [((), [1]), (("a",), [1, 2]), (("a", "b"), [1, 2, 3]), (("A", "x"), [1])]
)
def test_a_target_is_for_those_who_bear_its_name(database, rows, claim, targets, expected):
    rows.store(
        database,
        rows.pending(1),
        rows.pending(2, target="a"),
        rows.pending(3, target="b"),
        rows.pending(4, target="c"),
    )

    with database.write() as connection:
        assert sorted(numbers(claim(connection, targets=targets))) == expected


def test_what_is_not_due_is_not_claimed(database, rows, claim, later):
    rows.store(database, rows.pending(1, available_at=later(1)))

    with database.write() as connection:
        assert claim(connection) == []
        assert not action_queue.has_waiting(connection, later(0.9))
        assert action_queue.has_waiting(connection, later(1))
        assert numbers(claim(connection, at=1)) == [1]
        assert not action_queue.has_waiting(connection, later(1))


@several_writers
def test_what_another_connection_claims_is_left_out(database, rows, claim):
    rows.store(database, *(rows.pending(number) for number in range(1, 7)))

    with database.write() as mine, database.write() as other:
        first, second = claim(mine, most=4), claim(other, most=4, executor_id="e2", claim_id="c2")

    assert sorted(numbers(first) + numbers(second)) == [1, 2, 3, 4, 5, 6]


def test_no_attempt_is_claimed_twice(database, rows, claim, pool):
    rows.store(database, *(rows.pending(number) for number in range(1, 61)))
    barrier = Barrier(4)

    def take_part(part):
        barrier.wait()
        taken = []
        while True:
            batch = database.run(
                lambda connection: claim(connection, most=7, executor_id=f"e{part}", claim_id=f"c{part}")
            )
            if not batch:
                with database.read() as connection:
                    if not action_queue.has_waiting(connection, rows.now):
                        return taken
            taken += numbers(batch)

    taken = list(pool.map(take_part, range(4)))

    assert sorted(chain.from_iterable(taken)) == list(range(1, 61))
    with database.read() as connection:
        for part in range(4):
            held = action_queue.list_claimed(connection, [f"c{part}"])
            assert sorted(numbers(held)) == sorted(taken[part])


RENEWALS = [
    pytest.param("e1", [(1, 1)], [], id="held"),
    pytest.param("e1", [(1, 2)], [(1, 2)], id="another attempt"),
    pytest.param("e2", [(1, 1)], [(1, 1)], id="another executor"),
    pytest.param("e1", [(9, 1)], [(9, 1)], id="unknown"),
    pytest.param("e1", [(3, 1)], [(3, 1)], id="never claimed"),
    pytest.param("e1", [(1, 1), (9, 1), (2, 1)], [(9, 1)], id="some"),
    pytest.param("e1", [], [], id="nothing"),
]


@pytest.mark.parametrize(("executor", "running", "lost"), RENEWALS)
def test_a_lease_is_renewed_for_its_holder_only(database, rows, claim, later, executor, running, lost):
    rows.store(database, rows.pending(1), rows.pending(2))
    with database.write() as connection:
        claim(connection, lease_s=10)
    rows.store(database, rows.pending(3))

    with database.write() as connection:
        found = action_queue.renew(
            connection,
            executor_id=executor,
            attempts=[(rows.ident(number), attempt) for number, attempt in running],
            lease_until=later(99),
        )

    assert found == [(rows.ident(number), attempt) for number, attempt in lost]
    if executor == "e2":
        with database.write() as connection:
            assert len(action_queue.lock_expired(connection, later(10.1), most=9)) == 2


def test_a_lease_runs_out_after_its_time_and_not_before(database, rows, claim, later):
    rows.store(database, rows.pending(1, 8, attempt=4))
    with database.write() as connection:
        claim(connection, lease_s=10)
        assert action_queue.lock_expired(connection, later(10), most=9) == []
        (lost,) = action_queue.lock_expired(connection, later(10.000001), most=9)

    assert lost == action_queue.LostAttempt(action_id=rows.ident(1), root_id=rows.ident(8), attempt=4)


def test_leases_that_ran_out_first_come_first(database, rows, claim, later):
    rows.store(database, *(rows.pending(number) for number in (1, 2, 3)))
    with database.write() as connection:
        for number, lease_s in ((1, 3), (2, 1), (3, 2)):
            assert numbers(claim(connection, most=1, lease_s=lease_s)) == [number]

        assert numbers(action_queue.lock_expired(connection, later(9), most=2)) == [2, 3]


@several_writers
def test_a_heartbeat_does_not_revive_what_is_being_given_up(database, rows, claim, later, pool):
    rows.store(database, rows.pending(1))
    with database.write() as connection:
        claim(connection, lease_s=10)

    def renew():
        return database.run(
            lambda connection: action_queue.renew(
                connection, executor_id="e1", attempts=[(rows.ident(1), 1)], lease_until=later(99)
            )
        )

    with database.write() as engine:
        assert numbers(action_queue.lock_expired(engine, later(11), most=9)) == [1]
        heartbeat = pool.submit(renew)
        with database.write() as second_engine:
            assert action_queue.lock_expired(second_engine, later(11), most=9) == []
        engine.execute(sa.update(tables.action_queue).values(attempt=2, executor_id=None, lease_until=None))

    assert heartbeat.result() == [(rows.ident(1), 1)]
    with database.read() as connection:
        assert action_queue.has_waiting(connection, later(0))


def test_what_a_lost_answer_gave_out_is_found(database, rows, claim):
    rows.store(database, *(rows.pending(number, 8) for number in (1, 2, 3)))
    with database.write() as connection:
        for call in ("c1", "c2", "c3"):
            claim(connection, most=1, claim_id=call)
        found = action_queue.list_claimed(connection, ["c1", "c3", "c9"])

    assert sorted(numbers(found)) == [1, 3]


def test_the_roots_of_queued_actions(database, rows):
    rows.store(database, rows.pending(1, 8), rows.pending(2, 9), rows.pending(3))

    with database.read() as connection:
        found = action_queue.find_roots(connection, [rows.ident(number) for number in (1, 2, 7)])

    assert found == {rows.ident(1): rows.ident(8), rows.ident(2): rows.ident(9)}


def test_timers_come_by_time(database, rows, later):
    rows.store(database, *(rows.timer(number, 1, 2, due) for number, due in ((1, 3), (2, 1), (3, 2), (4, 9))))

    with database.read() as connection:
        due = timers.list_due(connection, later(5), most=10)
        assert [timer.id for timer in due] == [rows.ident(number) for number in (2, 3, 1)]
        assert due[0] == timers.DueTimer(id=rows.ident(2), root_id=rows.ident(1), due_at=later(1))
        assert len(timers.list_due(connection, later(5), most=2)) == 2
        assert timers.list_due(connection, later(1), most=10) == [], "before, not at"
