"""A row of the core, written to its columns and read back, is the same row."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mistral_lite.db import rows, tables, trees
from mistral_lite.workflow.decision import Change
from mistral_lite.workflow.model import (
    ActionExecution,
    PendingAction,
    TaskExecution,
    TaskType,
    Timer,
    TimerKind,
    Trigger,
    WorkflowExecution,
)
from mistral_lite.workflow.states import State

# JSON text cannot carry lone surrogates; nothing that reaches a row holds them.
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
names = st.text(string.ascii_letters + string.digits + "_-. ", max_size=20)
ids = st.uuids().map(str)
times = st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)
tuples_of_names = st.lists(names, max_size=3).map(tuple)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


workflows = st.builds(
    WorkflowExecution,
    id=ids,
    root_id=ids,
    spec_hash=names,
    definition_id=ids,
    name=names,
    namespace=names,
    state=st.sampled_from(State),
    project_id=names,
    created_at=times,
    parent_task_id=maybe(ids),
    state_info=maybe(texts),
    input=json_objects,
    params=json_objects,
    context=json_objects,
    published_global=tuples_of_names,
    output=json_objects,
    position=st.integers(0, 10_000),
    workbook=maybe(names),
    backlog=st.lists(json_objects, max_size=2).map(tuple),
    pending_failure=maybe(texts),
    accepted=st.booleans(),
    paused_by=maybe(names),
    openstack=maybe(json_objects),
    description=maybe(texts),
    tags=tuples_of_names,
    scope=names,
    updated_at=maybe(times),
)
task_executions = st.builds(
    TaskExecution,
    id=ids,
    root_id=ids,
    workflow_id=ids,
    name=names,
    type=st.sampled_from(TaskType),
    state=st.sampled_from(State),
    project_id=names,
    created_at=times,
    state_info=maybe(texts),
    published=json_objects,
    published_global=json_objects,
    triggered_by=st.lists(st.builds(Trigger, task_id=ids, event=names), max_size=3).map(tuple),
    next_tasks=maybe(st.lists(st.tuples(names, names), max_size=3).map(tuple)),
    error_handled=st.booleans(),
    processed=st.booleans(),
    runtime=json_objects,
    tags=tuples_of_names,
    updated_at=maybe(times),
    started_at=maybe(times),
    finished_at=maybe(times),
)
action_executions = st.builds(
    ActionExecution,
    id=ids,
    root_id=ids,
    name=names,
    state=st.sampled_from([State.SUCCESS, State.ERROR, State.CANCELLED]),
    is_sync=st.booleans(),
    project_id=names,
    created_at=times,
    task_id=maybe(ids),
    workflow_id=maybe(ids),
    workflow_name=maybe(names),
    namespace=maybe(names),
    state_info=maybe(texts),
    input=json_objects,
    result=json_values,
    accepted=st.booleans(),
    position=st.integers(0, 10_000),
    safe_rerun=st.booleans(),
    is_ephemeral=st.booleans(),
    callback_digest=maybe(names),
    chain=tuples_of_names,
    description=maybe(texts),
    updated_at=maybe(times),
)
timers = st.builds(Timer, id=ids, root_id=ids, kind=st.sampled_from(TimerKind), subject_id=ids, due_at=times)
pending_actions = st.builds(
    PendingAction,
    action_id=ids,
    root_id=ids,
    attempt=st.integers(1, 100),
    target=maybe(names),
    available_at=times,
    request=json_objects,
)

KINDS = [
    pytest.param(rows.WORKFLOWS, rows.workflow_from, workflows, id="workflow"),
    pytest.param(rows.TASKS, rows.task_from, task_executions, id="task"),
    pytest.param(rows.ACTIONS, rows.action_from, action_executions, id="action"),
    pytest.param(rows.TIMERS, rows.timer_from, timers, id="timer"),
    pytest.param(rows.PENDING, rows.pending_from, pending_actions, id="pending"),
]


@pytest.mark.parametrize(("mapper", "read", "strategy"), KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_columns_and_back_is_identity(mapper, read, strategy, data):
    row = data.draw(strategy)

    assert read(mapper.insert_values(row)) == row


@pytest.mark.parametrize(("mapper", "read", "strategy"), KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_an_update_holds_all_that_differs(mapper, read, strategy, data):
    before, after = data.draw(strategy), data.draw(strategy)

    updated = {**mapper.insert_values(before), **mapper.update_values(before, after)}

    assert read(updated) == after


@pytest.mark.parametrize(("mapper", "read", "strategy"), KINDS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_what_did_not_change_is_not_written(mapper, read, strategy, data):
    row = data.draw(strategy)

    assert mapper.update_values(row, row._replace()) == {}


# Values that one database or another stores differently, refuses or cuts if it is asked the wrong way.
AWKWARD = {
    "text": "Grüße \U0001f600 'quoted' \"double\" \\ back % %s :name \n tab\t",
    "nul inside JSON": "a\x00b",
    "large": [2**64 - 1, -(2**63), 1e308, 0.1],
    "long": "x" * 70_000,
    "nested": {"": [None, True, {"k": []}]},
}


def test_awkward_values_survive_the_database(database, rows):
    text = AWKWARD["text"]
    workflow = rows.workflow(1, input=AWKWARD, output=AWKWARD, context=AWKWARD, state_info=text * 3000)
    workflow = workflow._replace(
        tags=("ä", ""), backlog=({"task": "t", "triggers": []},), pending_failure=text
    )
    task = rows.task(2, 1, name="Grüße.t-1", published=AWKWARD, next_tasks=(("a", "on-success"),))
    task = task._replace(triggered_by=(Trigger(task_id="x", event="on-error"),), finished_at=rows.now)
    action = rows.action(3, 2, 1, state=State.SUCCESS, result=AWKWARD, input=AWKWARD, chain=("a", "b"))
    timer, pending = rows.timer(4, 1, 2), rows.pending(3, 1, request=AWKWARD, target="host")

    rows.store(database, workflow, task, action, timer, pending)
    with database.read() as connection:
        snapshot = trees.load(connection, {workflow.id: 0}, library=None)[workflow.id]

    assert snapshot.workflows == {workflow.id: workflow}
    assert snapshot.tasks == {task.id: task}
    assert snapshot.actions == {action.id: action}
    assert snapshot.timers == {timer.id: timer}
    assert snapshot.pending == {action.id: pending}


@pytest.mark.parametrize("text", ["a\x00b", "\ud800 alone", "\x00"])
def test_plain_text_columns_take_whatever_an_action_says(database, rows, text):
    workflow = rows.workflow(1, state_info=text, description=text)
    task = rows.task(2, 1, state_info=text)

    rows.store(database, workflow, task)
    with database.read() as connection:
        snapshot = trees.load(connection, {workflow.id: 0}, library=None)[workflow.id]

    assert snapshot.workflows.keys() == {workflow.id}
    assert snapshot.tasks.keys() == {task.id}


@pytest.mark.parametrize("value", ["\ud800 alone", 2**70, float("inf"), float("nan")])
def test_json_columns_take_whatever_an_action_returns(database, rows, value):
    action = rows.action(1, state=State.SUCCESS, result=value, input={"given": value})

    rows.store(database, action)
    with database.read() as connection:
        snapshot = trees.load(connection, {action.id: 0}, library=None)[action.id]

    assert snapshot.actions.keys() == {action.id}


def test_columns_of_the_same_change_share_a_statement(database, rows, count_statements):
    tasks = [rows.task(number, 1) for number in range(2, 52)]
    rows.store(database, rows.workflow(1), *tasks)
    changes = trees.Changes()
    for task in tasks:
        changes.tasks[task.id] = Change(before=task, after=task._replace(state=State.SUCCESS, processed=True))

    with database.write() as connection, count_statements(database) as statements:
        trees.write(connection, changes)

    assert [text.split()[0] for text in statements] == ["UPDATE"]


def test_the_mappers_fill_every_column_without_default():
    theirs = {
        "task_executions": set(),
        "workflow_executions": {"version"},
        "action_executions": {"tags"},
        "timers": set(),
        "action_queue": {"executor_id", "lease_until", "claim_id"},
    }
    for mapper in (rows.WORKFLOWS, rows.TASKS, rows.ACTIONS, rows.TIMERS, rows.PENDING):
        columns = {field.column for field in mapper.fields}
        assert columns | theirs[mapper.table.name] == set(tables.metadata.tables[mapper.table.name].c.keys())
