"""Each kind of damage is found by the doctor, named, and repaired where that is safe."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mistral_lite.cli import db
from mistral_lite.cli.doctor import Doctor, Level, Report
from mistral_lite.db import inbox, services, tables
from mistral_lite.db.services import Service
from mistral_lite.db.transaction import Database
from mistral_lite.errors import NotFoundError, UnavailableError

LATE = timedelta(minutes=5)


def ident(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def database(backend: str, open_database: Callable[[str], Database]) -> Database:
    return open_database(backend)


class Planted:
    """A database with an engine and an executor that live, and rows as a test wants them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = datetime.now(UTC)
        self.long_ago = self.now - LATE
        self.beat("engine", self.now)
        self.beat("executor", self.now)

    def beat(self, role: str, at: datetime, number: int = 0) -> None:
        service = Service(id=f"{role}-{number}", role=role, host="h", started_at=self.long_ago)
        with self.database.write() as connection:
            services.beat(connection, [service], at)

    def put(self, table: sa.Table, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(sa.insert(table), [values])

    def workflow(self, number: int, **values: Any) -> None:
        row = {"id": ident(number), "root_execution_id": ident(number), "workflow_id": ident(900)}
        row |= {"workflow_name": "wf", "spec_hash": "0", "state": "RUNNING", "input": "{}", "params": "{}"}
        row |= {"context": "{}", "project_id": "p", "created_at": self.long_ago}
        self.put(tables.workflow_executions, **{**row, **values})

    def task(self, number: int, workflow: int = 1, root: int = 1, **values: Any) -> None:
        row = {"id": ident(number), "root_execution_id": ident(root), "name": f"t{number}", "type": "ACTION"}
        row |= {"workflow_execution_id": ident(workflow), "state": "RUNNING", "project_id": "p"}
        self.put(tables.task_executions, **{**row, "created_at": self.long_ago, **values})

    def action(self, number: int, task: int | None, root: int = 1, **values: Any) -> None:
        row = {"id": ident(number), "root_execution_id": ident(root), "name": "std.noop", "state": "RUNNING"}
        row |= {"task_execution_id": task and ident(task), "input": "{}", "is_sync": True, "project_id": "p"}
        self.put(tables.action_executions, **{**row, "created_at": self.long_ago, **values})

    def queue(self, action: int, root: int = 1, **values: Any) -> None:
        row = {"action_execution_id": ident(action), "root_execution_id": ident(root), "attempt": 1}
        self.put(tables.action_queue, **{**row, "available_at": self.now, "request": "{}", **values})

    def timer(self, number: int, task: int, root: int = 1, due_at: datetime | None = None) -> None:
        row = {"id": ident(number), "root_execution_id": ident(root), "subject_id": ident(task)}
        self.put(tables.timers, **row, kind="retry", due_at=due_at or self.now)

    def entry(self, root: int = 1) -> None:
        row = {"root_execution_id": ident(root), "subject_id": ident(root), "kind": "pause", "payload": "{}"}
        self.put(tables.inbox, **row, created_at=self.long_ago)

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with self.database.read() as connection:
            return [dict(row) for row in connection.execute(sa.select(table)).mappings()]

    def examine(self, execution: str | None = None, **values: Any) -> Report:
        return Doctor(self.database, db.head(), None).examine(execution, **values)


@pytest.fixture
def planted(database: Database) -> Planted:
    return Planted(database)


def levels(report: Report) -> dict[str, Level]:
    """Return the worst level of each check."""
    order = list(Level)
    found: dict[str, Level] = {}
    for finding in report.findings:
        found[finding.check] = max(found.get(finding.check, Level.OK), finding.level, key=order.index)
    return found


def healthy(planted: Planted) -> None:
    planted.workflow(1)
    planted.task(2)
    planted.action(3, 2)
    planted.queue(3)


@everywhere
def test_a_sound_database(planted: Planted) -> None:
    healthy(planted)
    report = planted.examine()
    assert set(levels(report).values()) == {Level.OK}
    assert report.is_healthy
    assert "no row that nothing will wake" in report.to_text()


def lost_action(planted: Planted) -> None:
    planted.workflow(1)
    planted.task(2)
    planted.action(3, 2)


def lost_timer(planted: Planted) -> None:
    planted.workflow(1)
    planted.task(2, state="DELAYED")


def lost_start(planted: Planted) -> None:
    planted.workflow(1)


def lonely_join(planted: Planted) -> None:
    planted.workflow(1)
    planted.task(2, state="WAITING")


def old_inbox(planted: Planted) -> None:
    healthy(planted)
    planted.entry()


def old_lease(planted: Planted) -> None:
    planted.workflow(1)
    planted.task(2)
    planted.action(3, 2)
    planted.queue(3, executor_id="e", lease_until=planted.long_ago)


def old_queue(planted: Planted) -> None:
    planted.workflow(1)
    planted.task(2)
    planted.action(3, 2)
    planted.queue(3, available_at=planted.long_ago)


def old_timer(planted: Planted) -> None:
    planted.workflow(1)
    planted.task(2, state="DELAYED")
    planted.timer(4, 2, due_at=planted.long_ago)


def orphaned_timer(planted: Planted) -> None:
    planted.timer(4, 2, root=7)


def orphaned_attempt(planted: Planted) -> None:
    planted.queue(8, root=7)


def silent_engine(planted: Planted) -> None:
    planted.beat("engine", planted.long_ago)


def silent_second_executor(planted: Planted) -> None:
    planted.beat("executor", planted.long_ago, number=2)


STUCK_ROWS = {
    lost_action: ["action"],
    lost_timer: ["task"],
    lost_start: ["workflow"],
    lonely_join: ["task", "workflow"],
}
OTHERS = {
    old_inbox: ("inbox", Level.PROBLEM),
    old_lease: ("leases", Level.PROBLEM),
    old_timer: ("timers", Level.PROBLEM),
    old_queue: ("queue", Level.WARNING),
    orphaned_timer: ("leftovers", Level.WARNING),
    orphaned_attempt: ("leftovers", Level.WARNING),
    silent_engine: ("services", Level.PROBLEM),
    silent_second_executor: ("services", Level.WARNING),
}


@pytest.mark.parametrize("damage", STUCK_ROWS)
def test_what_nothing_will_wake_is_listed_and_the_engine_is_asked_once(
    planted: Planted, damage: Callable[[Planted], None]
) -> None:
    damage(planted)
    report = planted.examine()
    assert levels(report)["stuck"] is Level.PROBLEM
    assert not report.is_healthy
    assert sorted(str(row.noun) for row in report.stuck) == STUCK_ROWS[damage]
    assert all(row.id in report.to_text() for row in report.stuck)
    assert planted.rows(tables.inbox) == []

    assert "1 execution;" in planted.examine(must_fix=True).to_text()
    planted.examine(must_fix=True)
    (entry,) = planted.rows(tables.inbox)
    assert (entry["kind"], entry["root_execution_id"]) == (inbox.MEND, ident(1))


@pytest.mark.parametrize("damage", OTHERS)
def test_what_is_late_left_over_or_silent_is_named(
    planted: Planted, damage: Callable[[Planted], None]
) -> None:
    damage(planted)
    check, level = OTHERS[damage]
    report = planted.examine()
    assert {name: found for name, found in levels(report).items() if found is not Level.OK} == {check: level}
    assert report.is_healthy == (level is Level.WARNING)
    (finding,) = (each for each in report.findings if each.check == check and each.level is level)
    assert finding.advice


@everywhere
def test_what_belongs_to_nothing_is_removed(planted: Planted) -> None:
    orphaned_timer(planted)
    orphaned_attempt(planted)
    silent_second_executor(planted)
    healthy(planted)

    report = planted.examine(must_fix=True)

    assert "removed 2" in report.to_text()
    assert set(levels(report).values()) == {Level.OK}
    assert [row["action_execution_id"] for row in planted.rows(tables.action_queue)] == [ident(3)]
    assert planted.rows(tables.timers) == planted.rows(tables.inbox) == []


def test_a_timer_of_what_is_finished_is_mended_by_the_engine(planted: Planted) -> None:
    planted.workflow(1, state="SUCCESS")
    planted.task(2, state="SUCCESS")
    planted.timer(4, 2)
    assert levels(planted.examine(must_fix=True))["leftovers"] is Level.WARNING
    assert [row["kind"] for row in planted.rows(tables.inbox)] == [inbox.MEND]


def test_an_old_schema_ends_the_examination(database: Database) -> None:
    report = Doctor(database, "0001", None).examine()
    assert [(each.check, each.level) for each in report.findings] == [("schema", Level.PROBLEM)]
    assert "db upgrade" in report.to_text()


def test_a_newer_schema_is_a_warning(planted: Planted) -> None:
    report = Doctor(planted.database, "9999", None).examine()
    assert (levels(report)["schema"], report.is_healthy) == (Level.WARNING, True)


def test_a_bus_without_engine_is_a_problem(planted: Planted) -> None:
    def knock() -> None:
        raise UnavailableError("No engine answers.")

    report = Doctor(planted.database, db.head(), knock).examine()
    assert levels(report)["bus"] is Level.PROBLEM


def test_the_wait_of_an_execution_is_followed_to_its_end(planted: Planted) -> None:
    planted.workflow(1)
    planted.task(2, type="WORKFLOW")
    planted.workflow(5, root_execution_id=ident(1), task_execution_id=ident(2), workflow_name="inner")
    planted.task(6, workflow=5)
    planted.action(7, 6, is_sync=False)

    text = planted.examine(ident(1)).to_text()

    for part in ("'wf'", "'t2'", "'inner'", "'t6'", "'std.noop'", f"/v2/action_executions/{ident(7)}"):
        assert part in text
    assert "5 min" in text or "6 min" in text


@everywhere
def test_a_failure_is_followed_to_its_first_cause(planted: Planted) -> None:
    planted.workflow(1, state="ERROR", state_info="Failure caused by error in tasks: t2")
    planted.task(2, type="WORKFLOW", state="ERROR")
    planted.workflow(5, root_execution_id=ident(1), task_execution_id=ident(2), state="ERROR")
    planted.task(6, workflow=5, state="ERROR")
    planted.action(7, 6, state="ERROR", output=json.dumps({"result": "disk\n  on fire"}))
    planted.task(8, workflow=5, state="ERROR", error_handled=True)

    lines = planted.examine(ident(1)).execution

    assert lines[-1].strip() == "First cause: disk on fire"
    assert ident(7) in lines[-2]
    assert ident(8) not in "".join(lines)


def test_a_task_a_success_and_an_unknown_id(planted: Planted) -> None:
    planted.workflow(1, state="SUCCESS")
    planted.task(2, state="SUCCESS")
    assert "is SUCCESS" in planted.examine(ident(2)).to_text()
    with pytest.raises(NotFoundError, match=ident(404)):
        planted.examine(ident(404))


def test_json_says_the_same(planted: Planted) -> None:
    lost_action(planted)
    document = json.loads(planted.examine(ident(1)).to_json())
    assert document["healthy"] is False
    assert {check["check"]: check["level"] for check in document["checks"]}["stuck"] == "problem"
    assert [row["id"] for row in document["stuck"]] == [ident(3)]
    assert "NOTHING WILL WAKE IT" in document["execution"][-1]
