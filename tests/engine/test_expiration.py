"""Old executions go as whole trees, by their finished root; what works stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.engine.expiration import Expiration, ExpirationPolicy
from mistral_lite.workflow.states import State

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)
servers = pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)

NOW = datetime(2026, 11, 21, 22, 40, tzinfo=UTC)


def ident(number):
    return f"00000000-0000-7000-8000-{number:012d}"


@pytest.fixture
def put(database):
    """Insert a workflow execution that changed last ``age_min`` minutes ago; ``root`` makes it a nested one."""

    def put(number, state="SUCCESS", age_min=0, root=None):
        changed = NOW - timedelta(minutes=age_min)
        row = {
            "id": ident(number),
            "root_execution_id": ident(root or number),
            "task_execution_id": ident(1000 + number) if root else None,
            "workflow_id": ident(900),
            "workflow_name": "wf",
            "spec_hash": "0",
            "state": state,
            "input": "{}",
            "params": "{}",
            "context": "{}",
            "project_id": "p",
            "created_at": changed - timedelta(minutes=500),
            "updated_at": changed,
        }
        with database.write() as connection:
            connection.execute(sa.insert(tables.workflow_executions).values(**row))

    return put


@pytest.fixture
def left(database):
    """Return the numbers of the workflow executions that are left."""

    def left():
        with database.read() as connection:
            ids = connection.execute(sa.select(tables.workflow_executions.c.id)).scalars()
            return sorted(int(identifier[-12:]) for identifier in ids)

    return left


@everywhere
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"older_than_s": 3600}, [1, 2, 5, 6, 7]),
        ({"older_than_s": 3601}, [1, 2, 5, 6, 7, 8]),
        ({"older_than_s": 60 * 1000}, [1, 2, 3, 4, 5, 6, 7, 8]),
        # Without an age Mistral fails here.
        ({"max_finished": 2}, [1, 2, 5, 6, 7]),
        ({"max_finished": 1}, [1, 5, 6, 7]),
        ({"max_finished": 99}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"older_than_s": 3600, "max_finished": 1}, [1, 5, 6, 7]),
        ({"older_than_s": 60 * 65, "max_finished": 3}, [1, 2, 5, 6, 7, 8]),
        ({"older_than_s": 3600, "ignored_states": frozenset({State.ERROR})}, [1, 2, 3, 5, 6, 7]),
        (
            {"max_finished": 1, "ignored_states": frozenset({State.ERROR, State.CANCELLED})},
            [1, 2, 3, 4, 5, 6, 7],
        ),
        ({"older_than_s": 3600, "batch_size": 1}, [1, 2, 5, 6, 7]),
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_which_are_removed(database, put, left, policy, expected):
    put(1, "SUCCESS", age_min=1)
    put(2, "ERROR", age_min=10)
    put(3, "ERROR", age_min=70)
    put(4, "CANCELLED", age_min=80)
    put(5, "RUNNING", age_min=90)
    put(6, "PAUSED", age_min=100)
    # A nested one counts with its root only.
    put(7, "SUCCESS", age_min=200, root=5)
    put(8, "SUCCESS", age_min=60.01)

    removed = Expiration(database, ExpirationPolicy(**policy)).expire(NOW)

    assert left() == expected
    assert removed == 8 - len(expected)


@everywhere
def test_the_whole_tree_goes_and_no_other(database, put, left):
    put(1, age_min=70)
    put(2, age_min=70, root=1)
    put(3, age_min=1)
    with database.write() as connection:
        for root, number in ((1, 11), (3, 13)):
            common = {"root_execution_id": ident(root), "created_at": NOW}
            task = {"workflow_execution_id": ident(root), "name": "t", "type": "ACTION", "state": "SUCCESS"}
            action = {"name": "std.noop", "state": "SUCCESS", "input": "{}", "is_sync": True}
            connection.execute(
                sa.insert(tables.task_executions).values(id=ident(number), project_id="p", **task, **common)
            )
            connection.execute(
                sa.insert(tables.action_executions).values(
                    id=ident(100 + number),
                    project_id="p",
                    task_execution_id=ident(number),
                    **action,
                    **common,
                )
            )
            connection.execute(
                sa.insert(tables.action_queue).values(
                    action_execution_id=ident(100 + number),
                    root_execution_id=ident(root),
                    attempt=1,
                    available_at=NOW,
                    request="{}",
                )
            )
            connection.execute(
                sa.insert(tables.timers).values(
                    id=ident(number),
                    root_execution_id=ident(root),
                    kind="timeout",
                    subject_id=ident(number),
                    due_at=NOW,
                )
            )

    assert Expiration(database, ExpirationPolicy(older_than_s=3600)).expire(NOW) == 1

    assert left() == [3]
    with database.read() as connection:
        for table in (tables.task_executions, tables.action_executions, tables.action_queue, tables.timers):
            roots = list(connection.execute(sa.select(table.c.root_execution_id)).scalars())
            assert roots == [ident(3)], table.name


@everywhere
def test_what_was_given_a_command_stays_until_it_is_applied(database, put, left):
    put(1, "ERROR", age_min=70)
    with database.write() as connection:
        connection.execute(
            sa.insert(tables.inbox).values(
                root_execution_id=ident(1), kind="rerun", subject_id=ident(11), payload="{}", created_at=NOW
            )
        )
    policy = ExpirationPolicy(older_than_s=60, max_finished=1)
    put(2)
    put(3)

    assert Expiration(database, policy).expire(NOW) == 1
    assert left() == [1, 3]


@servers
def test_an_execution_that_an_engine_holds_is_left_for_the_next_time(database, put, left):
    put(1, age_min=70)
    put(2, age_min=70)
    expiration = Expiration(database, ExpirationPolicy(older_than_s=60))

    with database.write() as connection:
        connection.execute(
            sa.select(tables.workflow_executions)
            .where(tables.workflow_executions.c.id == ident(1))
            .with_for_update()
        )
        assert expiration.expire(NOW) == 1
        assert left() == [1]

    assert expiration.expire(NOW) == 1
    assert left() == []


@servers
def test_engines_that_remove_at_once_keep_the_newest(database, put, left):
    for number in range(1, 41):
        put(number, age_min=100 - number)
    policy = ExpirationPolicy(max_finished=10, batch_size=3)

    with ThreadPoolExecutor(4) as pool:
        removed = list(pool.map(lambda _: Expiration(database, policy).expire(NOW), range(4)))

    assert left() == list(range(31, 41))
    assert sum(removed) == 30


def test_the_time_is_that_of_the_database(database, put, left):
    put(1, age_min=-60 * 24 * 365 * 900)
    put(2, age_min=60 * 24 * 365 * 900)

    Expiration(database, ExpirationPolicy(older_than_s=60)).work()

    assert left() == [1]
