"""What an unfinished row waits for, one row of the table for each kind of waiting."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from mistral_lite.db import inbox, tables, waits
from mistral_lite.db.waits import Noun, WaitKind
from mistral_lite.workflow.model import TaskType, TimerKind
from mistral_lite.workflow.states import State

# name: (workflow values, task values, action values (None: no action), what is beside them, expected kinds)
LEASED, QUEUED, RETRY, DELAY, TIMEOUT, COMMAND, OTHER_TASK, NESTED = (
    "leased", "queued", "retry", "delay", "timeout", "command", "other task", "nested",
)  # fmt: skip
SYNC, ASYNC = {}, {"is_sync": False}

CASES = {
    "an action in the queue": ({}, {}, SYNC, {QUEUED}, ("task", "action", "queue")),
    "an action with an executor": ({}, {}, SYNC, {LEASED}, ("task", "action", "executor")),
    "a callback": ({}, {}, ASYNC, set(), ("task", "action", "callback")),
    "a callback with a time limit": ({}, {}, ASYNC, {TIMEOUT}, ("task", "action", "callback")),
    "a paused action": (
        {"state": State.PAUSED},
        {"state": State.PAUSED},
        {**ASYNC, "state": State.PAUSED},
        set(),
        ("operator", "action", "operator"),
    ),
    "a delay": ({}, {"state": State.DELAYED}, None, {DELAY}, ("task", "timer", None)),
    "a retry": ({}, {"state": State.DELAYED}, None, {RETRY}, ("task", "retry", None)),
    "a retry of a join": ({}, {"state": State.WAITING}, None, {RETRY}, ("task", "retry", None)),
    "a join": ({}, {"state": State.WAITING}, None, {OTHER_TASK}, ("task", "join", None)),
    "a nested workflow": ({}, {"type": TaskType.WORKFLOW}, None, {NESTED}, ("task", "workflow", None)),
    "a resume": ({"state": State.PAUSED}, {"state": State.IDLE}, None, set(), ("operator", "operator", None)),
    "a resume after a delay": (
        {"state": State.PAUSED},
        {"state": State.DELAYED, "runtime": {"held": "retry"}},
        None,
        set(),
        ("operator", "operator", None),
    ),
    "the engine": ({}, {}, None, {COMMAND}, ("inbox", "nothing", None)),
    "nothing, as all has ended": (
        {"state": State.ERROR},
        {"state": State.WAITING},
        None,
        set(),
        (None, "ended", None),
    ),
    "an action that was lost": ({}, {}, SYNC, set(), ("task", "action", "nothing")),
    "a timer that was lost": ({}, {"state": State.DELAYED}, None, set(), ("task", "nothing", None)),
    "a join that nobody reaches": ({}, {"state": State.WAITING}, None, set(), ("nothing", "nothing", None)),
    "a follow-up that was lost": ({}, {"state": State.SUCCESS}, None, set(), ("nothing", None, None)),
    "an idle task of a running workflow": ({}, {"state": State.IDLE}, None, set(), ("task", "nothing", None)),
}


def plant(database, rows, workflow, task, action, beside):
    planted = [rows.workflow(1, **workflow), rows.task(2, 1, **task)]
    if action is not None:
        planted.append(rows.action(3, 2, 1, **action))
    if beside & {QUEUED, LEASED}:
        planted.append(rows.pending(3, root=1))
    for kind, name in (
        (TimerKind.RETRY, RETRY),
        (TimerKind.WAIT_BEFORE, DELAY),
        (TimerKind.TIMEOUT, TIMEOUT),
    ):
        if name in beside:
            planted.append(rows.timer(4, 1, 2, 60, kind=kind))
    if OTHER_TASK in beside:
        planted += [rows.task(5, 1), rows.action(6, 5, 1), rows.pending(6, root=1)]
    if NESTED in beside:
        planted += [rows.workflow(7, root=1, parent_task_id=rows.ident(2)), rows.task(8, 7, root=1)]
        planted += [rows.action(9, 8, 1, is_sync=False)]
    rows.store(database, *planted)
    with database.write() as connection:
        if LEASED in beside:
            connection.execute(
                sa.update(tables.action_queue).values(
                    executor_id="e", lease_until=rows.now + timedelta(seconds=30)
                )
            )
        if COMMAND in beside:
            inbox.append(
                connection,
                root_execution_id=rows.ident(1),
                kind="start",
                subject_id=rows.ident(1),
                payload={},
                now=rows.now,
            )


def find(database, noun, *ids):
    with database.read(is_snapshot=True) as connection:
        return waits.find(connection, noun, ids)


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_waiting(database, rows, name):
    workflow, task, action, beside, expected = CASES[name]
    plant(database, rows, workflow, task, action, beside)

    found = [
        find(database, noun, rows.ident(number)).get(rows.ident(number))
        for noun, number in ((Noun.WORKFLOW, 1), (Noun.TASK, 2), (Noun.ACTION, 3))
    ]

    assert tuple(wait and str(wait.kind) for wait in found) == expected
    with database.read() as connection:
        stuck = {(row.noun, row.id) for row in waits.find_stuck(connection, [rows.ident(1)])}
    assert stuck == {
        (noun, rows.ident(number))
        for (noun, number), kind in zip(
            ((Noun.WORKFLOW, 1), (Noun.TASK, 2), (Noun.ACTION, 3)), expected, strict=True
        )
        if kind == "nothing"
    }


def test_when_a_wait_ends_and_what_it_is_for(database, rows):
    plant(database, rows, {}, {}, ASYNC, {TIMEOUT})
    due = rows.now + timedelta(seconds=60)

    (task,) = find(database, Noun.TASK, rows.ident(2)).values()
    (action,) = find(database, Noun.ACTION, rows.ident(3)).values()

    assert (task.kind, task.since, task.until, task.id) == (WaitKind.ACTION, rows.now, due, rows.ident(3))
    assert (action.kind, action.since, action.until) == (WaitKind.CALLBACK, rows.now, due)


def test_a_lease_names_the_executor_and_its_end(database, rows):
    plant(database, rows, {}, {}, SYNC, {LEASED})

    (wait,) = find(database, Noun.ACTION, rows.ident(3)).values()

    assert (wait.id, wait.until) == ("e", rows.now + timedelta(seconds=30))


def test_many_rows_cost_as_many_queries_as_one(database, rows, count_statements):
    planted = [rows.workflow(1)]
    for number in range(10, 60):
        planted += [
            rows.task(number, 1),
            rows.action(number + 100, number, 1),
            rows.pending(number + 100, root=1),
        ]
    rows.store(database, *planted)

    def cost(count):
        with count_statements(database) as statements:
            found = find(database, Noun.TASK, *map(rows.ident, range(10, 10 + count)))
            assert len(found) == count
        return len(statements)

    assert cost(50) == cost(1)


def test_what_is_finished_or_unknown_is_left_out(database, rows):
    rows.store(database, rows.workflow(1, state=State.SUCCESS), rows.task(2, 1, state=State.ERROR))

    for noun in Noun:
        assert find(database, noun, rows.ident(1), rows.ident(2), rows.ident(9)) == {}
