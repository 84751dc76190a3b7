"""The inbox keeps what was answered with a 2xx: each result once, in order, until it is applied."""

from __future__ import annotations

from threading import Barrier

import pytest
import sqlalchemy as sa

from mistral_lite.db import inbox, tables, trees
from mistral_lite.errors import ConflictError, NotFoundError
from mistral_lite.workflow.decision import Change
from mistral_lite.workflow.states import State

# SQLite has one writer at a time.
several_writers = pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)


@pytest.fixture
def running(database, rows):
    """An action execution that waits for its result."""
    action = rows.action(3, 2, 1, is_sync=False)
    rows.store(database, rows.workflow(1), rows.task(2, 1), action)
    return action


@pytest.fixture
def deliver(database, now):
    """Deliver a result."""

    def deliver(action_id, output, state="SUCCESS"):
        return inbox.deliver_result(
            database, action_execution_id=action_id, state=state, output=output, now=now
        )

    return deliver


@pytest.fixture
def append(database, now):
    """Add a row to the inbox."""

    def append(root_id, kind="pause", payload=None, subject_id=None, once=None):
        with database.write() as connection:
            return inbox.append(
                connection,
                root_execution_id=root_id,
                kind=kind,
                subject_id=subject_id or root_id,
                payload=payload or {},
                now=now,
                once=once,
            )()

    return append


def stored(database, root_id):
    with database.read() as connection:
        return inbox.load_waiting(connection, [root_id])()


def finish(database, action, state, digest):
    after = action._replace(state=state, callback_digest=digest)
    changes = trees.Changes(actions={action.id: Change(before=action, after=after)})
    with database.write() as connection:
        trees.write(connection, changes)


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED])
@pytest.mark.parametrize("output", [3, None, {"a": ["b"]}, "text", "\x00"])
def test_a_first_result_is_stored(database, running, deliver, state, output):
    with database.write() as connection:
        connection.execute(sa.update(tables.action_executions).values(state=state))

    delivery = deliver(running.id, output)

    (entry,) = stored(database, running.root_id)
    assert delivery == inbox.Delivery(root_execution_id=running.root_id, is_repeated=False, seq=entry.seq)
    assert (entry.kind, entry.subject_id) == (inbox.RESULT, running.id)
    assert (entry.payload["state"], entry.payload["output"]) == ("SUCCESS", output)


SECOND = [
    pytest.param("SUCCESS", {"a": 1, "b": 2}, True, id="the same"),
    pytest.param("SUCCESS", {"a": 1}, False, id="other data"),
    pytest.param("ERROR", {"a": 1, "b": 2}, False, id="another state"),
    pytest.param("SUCCESS", None, False, id="none"),
    pytest.param("SUCCESS", {"a": True, "b": 2}, False, id="equal in Python, not in JSON"),
]


@pytest.mark.parametrize("is_applied", [False, True], ids=["while it waits", "after it was applied"])
@pytest.mark.parametrize(("state", "output", "is_same"), SECOND)
def test_a_second_result_is_taken_only_if_it_is_the_same(
    database, running, deliver, state, output, is_same, is_applied
):
    deliver(running.id, {"a": 1, "b": 2})
    (entry,) = stored(database, running.root_id)
    if is_applied:
        finish(database, running, State.SUCCESS, entry.payload["digest"])
        with database.write() as connection:
            inbox.delete(connection, [entry.seq])

    if is_same:
        repeated = deliver(running.id, output, state)
        assert repeated.is_repeated
        assert repeated.seq == (None if is_applied else entry.seq)
    else:
        with pytest.raises(ConflictError, match="SUCCESS"):
            deliver(running.id, output, state)

    assert stored(database, running.root_id) == ([] if is_applied else [entry])


@pytest.mark.parametrize("state", [State.SUCCESS, State.ERROR, State.CANCELLED])
def test_what_ended_without_a_callback_takes_none(database, running, deliver, state):
    finish(database, running, state, None)

    for _ in range(2):
        with pytest.raises(ConflictError, match=state) as caught:
            deliver(running.id, 3)
        assert caught.value.details["state"] == state
    assert stored(database, running.root_id) == []


def test_an_unknown_action_is_not_found(database, rows, deliver):
    with pytest.raises(NotFoundError, match=rows.ident(77)):
        deliver(rows.ident(77), 3)


@pytest.mark.parametrize("outputs", [[1] * 6, [1, 2, 3, 4, 5, 6], [1, 1, 1, 2, 2, 2]])
def test_of_results_delivered_at_once_exactly_one_is_stored(database, running, deliver, pool, outputs):
    barrier = Barrier(len(outputs))

    def take_part(output):
        barrier.wait()
        try:
            return output, deliver(running.id, output).is_repeated
        except ConflictError:
            return output, None

    answers = list(pool.map(take_part, outputs))

    (entry,) = stored(database, running.root_id)
    winner = entry.payload["output"]
    assert sorted(answers, key=str) == sorted(
        [(winner, False)]
        + [(winner, True)] * (outputs.count(winner) - 1)
        + [(output, None) for output in outputs if output != winner],
        key=str,
    )


@several_writers
def test_a_result_waits_for_a_decision_that_ends_the_action(database, running, deliver, pool):
    # The row of the action is the lock: a time-out that commits first makes the callback a conflict.
    with database.write() as connection:
        connection.execute(
            sa.update(tables.action_executions)
            .where(tables.action_executions.c.id == running.id)
            .values(state="ERROR")
        )
        late = pool.submit(deliver, running.id, 3)

    with pytest.raises(ConflictError, match="ERROR"):
        late.result()
    assert stored(database, running.root_id) == []


def test_once_is_enforced_by_the_database(database, rows, append):
    append(rows.ident(1), once="result:x")

    with pytest.raises(sa.exc.IntegrityError):
        append(rows.ident(1), once="result:x")

    assert len(stored(database, rows.ident(1))) == 1


def test_entries_come_in_order_and_of_the_wanted_trees_only(database, rows, append):
    seqs = [append(rows.ident(1 + number % 3), payload={"number": number}) for number in range(9)]

    with database.read() as connection:
        found = inbox.load_waiting(connection, [rows.ident(2), rows.ident(1)])()

    assert [entry.payload["number"] for entry in found] == [0, 1, 3, 4, 6, 7]
    assert [entry.seq for entry in found] == [seqs[number] for number in (0, 1, 3, 4, 6, 7)]


def test_those_who_wait_longest_come_first(database, rows, append):
    for number in (3, 1, 3, 2, 1):
        append(rows.ident(number))

    with database.read() as connection:
        in_order = [rows.ident(number) for number in (3, 1, 2)]
        assert inbox.list_roots(connection, most=10) == (in_order, False)
        assert inbox.list_roots(connection, most=2) == (in_order[:2], True)
        assert inbox.list_roots(connection, most=10, without=in_order[:1]) == (in_order[1:], False)


def test_an_entry_is_consumed_once_it_is_deleted(database, rows, append):
    kept, gone = append(rows.ident(1)), append(rows.ident(1))

    with database.write() as connection:
        inbox.delete(connection, [gone])

    with database.read() as connection:
        assert inbox.is_consumed(connection, gone)
        assert not inbox.is_consumed(connection, kept)


@several_writers
def test_a_request_to_run_an_action_is_claimed_by_one(database, rows, append):
    append(rows.ident(1), kind=inbox.RUN_ACTION)
    append(rows.ident(2), kind="pause")
    wanted = [rows.ident(1), rows.ident(2)]

    with database.write() as mine, database.write() as other:
        first = inbox.claim_run_requests(mine, wanted)()
        second = inbox.claim_run_requests(other, wanted)()

    assert [entry.root_execution_id for entry in first] == [rows.ident(1)]
    assert second == []


def test_commands_about_what_is_gone_are_removed(database, rows, append):
    rows.store(database, rows.workflow(1), rows.action(2))
    for number in (1, 2, 3):
        append(rows.ident(number))
    append(rows.ident(4), kind=inbox.RUN_ACTION)

    with database.write() as connection:
        removed = inbox.delete_orphans(connection, [rows.ident(number) for number in (1, 2, 3, 4)])
        left, _ = inbox.list_roots(connection, most=10)

    assert removed == 1
    assert left == [rows.ident(number) for number in (1, 2, 4)]
