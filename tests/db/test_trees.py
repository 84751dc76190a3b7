"""Execution trees are locked without waiting, loaded whole, written and deleted."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables, trees
from mistral_lite.workflow.decision import Change, Decision
from mistral_lite.workflow.states import State

# SQLite has one writer at a time.
several_writers = pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)


def count_rows(database) -> dict[str, int]:
    names = ("workflow_executions", "task_executions", "action_executions", "timers", "action_queue")
    with database.read() as connection:
        return {
            name: connection.scalar(sa.select(sa.func.count()).select_from(tables.metadata.tables[name]))
            for name in names
        }


def lock(connection, root_ids):
    """Lock roots of both kinds; return their versions."""
    return {**trees.lock(connection, root_ids)(), **trees.lock_alone(connection, root_ids)()}


def test_versions_come_with_the_lock(database, rows):
    rows.store(database, rows.workflow(1), rows.workflow(2), rows.action(3))
    with database.write() as connection:
        trees.write(connection, rows.changes(versions={rows.ident(2): 7}))

    with database.write() as connection:
        locked = lock(connection, [rows.ident(number) for number in (3, 2, 1, 99)])

    assert locked == {rows.ident(1): 0, rows.ident(2): 7, rows.ident(3): 0}


@several_writers
@pytest.mark.parametrize("first", [1, 3], ids=["workflow", "stand-alone action"])
def test_a_tree_that_another_connection_holds_is_left_out(database, rows, first):
    rows.store(database, rows.workflow(1), rows.workflow(2), rows.action(3), rows.action(4))
    everything = [rows.ident(number) for number in (1, 2, 3, 4)]

    with database.write() as mine:
        assert lock(mine, [rows.ident(first)]).keys() == {rows.ident(first)}
        with database.write() as other:
            assert lock(other, everything).keys() == {*everything} - {rows.ident(first)}
    with database.write() as later:
        assert lock(later, everything).keys() == {*everything}


@several_writers
def test_an_inbox_row_can_be_added_while_the_tree_is_locked(database, rows, pool):
    # With a foreign key this would wait for the engine, and a callback would take as long as a decision.
    rows.store(database, rows.workflow(1))

    with database.write() as mine:
        trees.lock(mine, [rows.ident(1)])()
        with database.write() as other:
            other.execute(
                sa.insert(tables.inbox).values(
                    root_execution_id=rows.ident(1),
                    kind="pause",
                    subject_id=rows.ident(1),
                    payload="{}",
                    created_at=rows.now,
                )
            )


def test_only_the_wanted_trees_are_loaded(database, rows, library):
    rows.store(
        database,
        *(rows.workflow(number) for number in (1, 2)),
        rows.workflow(5, root=1, parent_task_id=rows.ident(11)),
        *(rows.task(10 + number, number) for number in (1, 2)),
        *(rows.action(20 + number, 10 + number, number) for number in (1, 2)),
        *(rows.pending(20 + number, number) for number in (1, 2)),
        rows.action(30),
        rows.pending(30),
    )

    with database.read() as connection:
        found = trees.load(connection, {rows.ident(1): 4, rows.ident(30): 0}, library)

    assert found.keys() == {rows.ident(1), rows.ident(30)}
    workflow, alone = found[rows.ident(1)], found[rows.ident(30)]
    assert (workflow.version, alone.version) == (4, 0)
    assert workflow.workflows.keys() == {rows.ident(1), rows.ident(5)}
    assert workflow.tasks.keys() == {rows.ident(11)}
    assert workflow.actions.keys() == workflow.pending.keys() == {rows.ident(21)}
    assert alone.actions.keys() == alone.pending.keys() == {rows.ident(30)}


def test_more_trees_than_fit_into_one_statement(database, rows, library):
    roots = [rows.workflow(number) for number in range(1, 1203)]
    rows.store(database, *roots)

    with database.write() as connection:
        locked = lock(connection, [root.id for root in roots])
        loaded = trees.load(connection, locked, library)

    assert locked.keys() == loaded.keys() == {root.id for root in roots}


def test_rows_are_inserted_changed_and_removed(database, rows, library):
    workflow, task, gone = rows.workflow(1), rows.task(2, 1), rows.timer(4, 1, 2)
    other, attempt = rows.task(3, 1), rows.pending(5, 1)
    rows.store(database, workflow, task, other, gone, attempt, rows.action(5, 2, 1))
    after = task._replace(state=State.ERROR, state_info="why", runtime={"k": 1}, finished_at=rows.now)
    changes = trees.Changes(
        versions={workflow.id: 3},
        workflows={workflow.id: Change(before=workflow, after=workflow._replace(context={"a": 1}))},
        tasks={
            task.id: Change(before=task, after=after),
            other.id: Change(before=other, after=other._replace(state=State.SUCCESS)),
        },
        timers={gone.id: Change(before=gone, after=None)},
        pending={attempt.action_id: Change(before=attempt, after=attempt._replace(attempt=2))},
    )

    with database.write() as connection:
        trees.write(connection, changes)
        snapshot = trees.load(connection, trees.lock(connection, [workflow.id])(), library)[workflow.id]

    assert snapshot.version == 3
    assert snapshot.root.context == {"a": 1}
    assert snapshot.tasks == {task.id: after, other.id: other._replace(state=State.SUCCESS)}
    assert snapshot.timers == {}
    assert snapshot.pending[attempt.action_id].attempt == 2


def test_a_new_attempt_has_no_lease_unless_it_is_given_one(database, rows, now):
    first, second = rows.pending(1), rows.pending(2)
    changes = rows.changes(first, second)
    changes.leases[second.action_id] = trees.Lease("executor", "call", now)
    again = trees.Changes(pending={second.action_id: Change(before=second, after=second._replace(attempt=2))})

    def leases(connection):
        columns = tables.action_queue.c["attempt", "executor_id", "claim_id", "lease_until"]
        key = tables.action_queue.c.action_execution_id
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(key))]

    with database.write() as connection:
        trees.write(connection, changes)
        assert leases(connection) == [(1, None, None, None), (1, "executor", "call", now)]
        trees.write(connection, again)
        assert leases(connection) == [(1, None, None, None), (2, None, None, None)]


STEPS = [
    pytest.param([("a", None, 1)], ("a", None, 1), id="insert"),
    pytest.param([("a", None, 1), ("a", 1, 2)], ("a", None, 2), id="insert, update"),
    pytest.param([("a", 1, 2), ("a", 2, 3)], ("a", 1, 3), id="update, update"),
    pytest.param([("a", 1, 2), ("a", 2, None)], ("a", 1, None), id="update, delete"),
    pytest.param([("a", None, 1), ("a", 1, None)], None, id="insert, delete"),
    pytest.param([("a", 1, None), ("a", None, 2)], ("a", 1, 2), id="delete, insert"),
]


@pytest.mark.parametrize(("steps", "expected"), STEPS)
def test_decisions_add_up(steps, expected):
    changes = trees.Changes()

    for number, (key, before, after) in enumerate(steps, start=1):
        decision = Decision(version=number, timers={key: Change(before=before, after=after)})
        changes.add("root", decision)

    assert changes.versions == {"root": len(steps)}
    found = [(key, change.before, change.after) for key, change in changes.timers.items()]
    assert found == ([expected] if expected else [])


def test_an_empty_decision_leaves_the_version_alone():
    changes = trees.Changes()

    changes.add("root", Decision(version=5, ignored="nothing to do"))

    assert changes.versions == {}


def build_family(database, rows) -> None:
    """Two trees; in the first, workflow 1 runs 3, and 3 runs 5, each by a task numbered one higher."""
    for root, base in ((1, 0), (101, 100)):
        made = []
        for number in (1, 3, 5):
            parent = rows.ident(base + number - 1) if number > 1 else None
            made += [
                rows.workflow(base + number, root=root, parent_task_id=parent),
                rows.task(base + number + 1, base + number, root=root, type="WORKFLOW"),
                rows.task(base + number + 10, base + number, root=root),
                rows.timer(base + number + 20, root, base + number + 10),
            ]
            action = rows.action(base + number + 30, base + number + 10, base + number)
            made += [action._replace(root_id=rows.ident(root)), rows.pending(base + number + 30, root)]
        rows.store(database, *made)


@pytest.mark.parametrize(
    ("workflow", "left"),
    [(1, []), (3, [1]), (5, [1, 3])],
    ids=["the root", "with what is below", "a leaf"],
)
def test_a_workflow_goes_with_all_below_it_and_nothing_else(database, rows, library, workflow, left):
    build_family(database, rows)

    with database.write() as connection:
        versions = trees.lock(connection, [rows.ident(1)])()
        snapshot = trees.load(connection, versions, library)[rows.ident(1)]
        trees.delete(connection, snapshot, rows.ident(workflow))

    with database.write() as connection:
        versions = trees.lock(connection, [rows.ident(1), rows.ident(101)])()
        found = trees.load(connection, versions, library)
    assert len(found[rows.ident(101)].workflows) == 3
    assert versions.get(rows.ident(1)) == (1 if left else None), "cached snapshots must become stale"
    expected = {"workflow_executions": len(left) + 3, "task_executions": 2 * len(left) + 6}
    expected |= dict.fromkeys(("action_executions", "timers", "action_queue"), len(left) + 3)
    assert count_rows(database) == expected
