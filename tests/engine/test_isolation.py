"""One execution that cannot be taken further holds up no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.engine.quarantine import Quarantine
from mistral_lite.errors import UnavailableError
from tests.engine.conftest import PATIENCE_S, said

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)

TEXT = """
version: '2.0'
w:
  tasks:
    t:
      action: std.echo output='x'
      on-success: u
    u:
      action: std.async_noop
"""


# How each database is made to refuse rows of one tree, with the kind of error that a bad value gives.
TRIGGERS = {
    "sqlite": (
        (
            "CREATE TRIGGER refuse_{when} BEFORE {when} ON task_executions WHEN NEW.root_execution_id = '{root}' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        ),
        "DROP TRIGGER refuse_{when}",
    ),
    "postgresql": (
        (
            "CREATE FUNCTION refuse_{when}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF NEW.root_execution_id = '{root}' THEN RAISE data_exception USING MESSAGE = 'refused'; END IF; "
            "RETURN NEW; END $$; "
            "CREATE TRIGGER refuse_{when} BEFORE {when} ON task_executions FOR EACH ROW "
            "EXECUTE FUNCTION refuse_{when}()"
        ),
        "DROP FUNCTION refuse_{when} CASCADE",
    ),
    "mysql": (
        (
            "CREATE TRIGGER refuse_{when} BEFORE {when} ON task_executions FOR EACH ROW "
            "IF NEW.root_execution_id = '{root}' THEN "
            "SIGNAL SQLSTATE '22001' SET MYSQL_ERRNO = 1406, MESSAGE_TEXT = 'refused'; END IF"
        ),
        "DROP TRIGGER refuse_{when}",
    ),
}


class Refusals:
    """Lets the database refuse what is written about the tasks of one tree."""

    def __init__(self, database) -> None:
        self._database = database
        self._is_on = False

    def begin(self, root_id: str) -> None:
        self._execute(0, root_id)
        self._is_on = True

    def end(self) -> None:
        if self._is_on:
            self._execute(1)
            self._is_on = False

    def _execute(self, index: int, root_id: str = "") -> None:
        with self._database.write() as connection:
            for when in ("insert", "update"):
                text = TRIGGERS[self._database.dialect][index]
                connection.exec_driver_sql(text.format(when=when, root=root_id))


@pytest.fixture
def refusals(database):
    refusals = Refusals(database)
    yield refusals
    refusals.end()


def exchange(service, **values):
    """Call the engine until it answers, as an executor does."""
    deadline = monotonic() + PATIENCE_S
    while True:
        try:
            return service.exchange(**{"executor_id": "nobody", **values})
        except UnavailableError:
            if monotonic() > deadline:
                raise


def ring(service, *root_ids):
    service.engines[0].ring(root_ids)
    exchange(service)


def retry_parked(service):
    """Let the time of all parked trees have come."""
    quarantine = service.engines[0]._isolation._quarantine
    for root_id, parked in list(quarantine._parked.items()):
        quarantine._parked[root_id] = replace(parked, until=0.0)
    exchange(service)
    exchange(service)


@everywhere
def test_what_the_database_refuses_ends_its_own_execution_only(service, refusals):
    service.api.upload(TEXT)
    bad, good = service.api.start("w"), service.api.start("w")
    refusals.begin(bad)

    ring(service, bad, good)

    assert service.tasks(good) == {"t": "RUNNING"}
    assert (service.tasks(bad), service.state(bad)) == ({}, "RUNNING")

    retry_parked(service)
    retry_parked(service)
    row = service.workflow(bad)
    assert (row["state"], row["output"]) == ("ERROR", {"result": row["state_info"]})
    assert "refuses" in row["state_info"]
    assert service.state(good) == "RUNNING"
    assert service.rows(tables.inbox) == []


@everywhere
def test_an_execution_goes_on_once_it_is_refused_no_more(service, refusals):
    service.api.upload(TEXT)
    bad = service.api.start("w")
    refusals.begin(bad)
    ring(service, bad)
    assert service.tasks(bad) == {}

    refusals.end()
    retry_parked(service)

    assert service.tasks(bad) == {"t": "RUNNING"}


@everywhere
def test_a_report_that_is_refused_holds_up_no_other_of_the_same_call(service, refusals):
    service.api.upload(TEXT)
    bad, good = service.start("w"), service.start("w")
    actions = {action.execution["workflow_execution_id"]: action for action in service.claim()}
    refusals.begin(bad)
    reports = tuple(said(action, 1) for action in actions.values())

    assert set(exchange(service, reports=reports).settled) == {actions[good].ref}

    assert service.tasks(good) == {"t": "SUCCESS", "u": "RUNNING"}
    assert service.tasks(bad) == {"t": "RUNNING"}
    refusals.end()
    retry_parked(service)
    assert exchange(service, reports=reports[:1]).settled == (actions[bad].ref,)
    assert service.tasks(bad) == {"t": "SUCCESS", "u": "RUNNING"}


@everywhere
def test_a_row_of_the_queue_that_cannot_be_read_holds_up_nobody(service):
    service.api.upload(TEXT)
    bad = service.start("w")
    queue = tables.action_queue
    service._execute(sa.update(queue).where(queue.c.root_execution_id == bad).values(request="{"))
    good = service.start("w")

    actions = exchange(service, capacity=10).actions

    assert [action.execution["workflow_execution_id"] for action in actions] == [good]


def test_a_tree_whose_rows_cannot_be_read_holds_up_nobody(idle):
    idle.api.upload(TEXT)
    bad, good = idle.api.start("w"), idle.api.start("w")
    idle._execute(
        sa.update(tables.workflow_executions)
        .where(tables.workflow_executions.c.id == bad)
        .values(params="no json")
    )
    idle.add_engine()

    ring(idle, bad, good)

    assert idle.tasks(good) == {"t": "RUNNING"}
    assert idle.state(bad) == "RUNNING"


def test_pauses_grow_up_to_a_minute():
    quarantine = Quarantine()
    pauses = [quarantine.park("a", now=100.0) for _ in range(8)]

    assert pauses == [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 16.0), (6, 32.0), (7, 60.0), (8, 60.0)]
    assert quarantine.next_at == 160.0
    assert (quarantine.due(159.0), quarantine.due(160.0)) == ([], ["a"])
    quarantine.release("a")
    assert (quarantine.root_ids, quarantine.next_at) == (frozenset(), None)


def test_a_backlog_that_no_bell_told_of_is_worked_off_without_waiting_for_the_next_sweep(idle):
    # More than one sweep takes up; by its clock this engine sweeps once only.
    idle.api.upload(TEXT)
    started = copy_executions(idle, idle.api.start("w"), 1500)
    idle.add_engine()
    deadline = monotonic() + PATIENCE_S

    while idle.rows(tables.inbox) and monotonic() < deadline:
        exchange(idle)

    assert idle.rows(tables.inbox) == []
    assert len(idle.rows(tables.task_executions)) == 1 + len(started)


def copy_executions(service, execution_id, count):
    """Store copies of an execution and of its start, as many API processes at once would."""
    (row,) = service.rows(tables.workflow_executions, tables.workflow_executions.c.id == execution_id)
    ids = [f"00000000-0000-7000-8000-{number:012d}" for number in range(count)]
    with service.database.write() as connection:
        connection.execute(
            sa.insert(tables.workflow_executions),
            [{**row, "id": each, "root_execution_id": each} for each in ids],
        )
        connection.execute(
            sa.insert(tables.inbox),
            [
                {
                    "root_execution_id": each,
                    "kind": "start",
                    "subject_id": each,
                    "payload": "{}",
                    "created_at": datetime.now(UTC),
                }
                for each in ids
            ],
        )
    return ids
