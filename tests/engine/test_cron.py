"""Cron triggers fire once for each time, never early, and a start that fails is repeated, but not for ever."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa

from mistral_lite.db import cron_triggers, definitions, tables
from mistral_lite.db.maintenance import Status
from mistral_lite.engine.cron import RETRY_DELAYS_S, CronTriggers
from mistral_lite.engine.housekeeping import keep_house
from mistral_lite.errors import UnavailableError
from mistral_lite.sealing import Sealer
from mistral_lite.security import SecurityContext
from mistral_lite.starts import StartRules

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)
servers = pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)

DUE = datetime(2026, 11, 21, 22, 40, tzinfo=UTC)
TRIGGER = "00000000-0000-7000-8000-000000000001"
MINUTE = timedelta(minutes=1)

TEXT = """
version: '2.0'
wf:
  input: [x: 1]
  vars: {seen: <% $.x %>}
  tasks:
    t:
      action: std.echo output=<% $.x %>
      publish: {got: <% task().result %>}
"""


@pytest.fixture
def put(idle):
    """Insert a trigger that is due at DUE."""
    idle.api.upload(TEXT)
    with idle.database.read() as connection:
        workflow_id = definitions.find_workflow(connection, "wf", "", "p").id

    def put(number=1, **values):
        row = {
            "id": TRIGGER[:-4] + f"{number:04d}",
            "name": f"c{number}",
            "workflow_id": workflow_id,
            "workflow_name": "wf",
            "workflow_input": '{"x": 5}',
            "workflow_params": "{}",
            "pattern": "* * * * *",
            "first_execution_time": None,
            "next_execution_time": DUE,
            "remaining_executions": None,
            "scope": "private",
            "project_id": "p",
            "created_at": DUE - MINUTE,
            "updated_at": None,
            **values,
        }
        with idle.database.write() as connection:
            cron_triggers.insert_trigger(connection, row)

    return put


@pytest.fixture
def rung():
    """The executions that an engine was told of."""
    return []


@pytest.fixture
def make(idle, evaluator, rung):
    """Make what fires triggers, as in one engine."""

    def make(find_spec=definitions.load_spec):
        rules = StartRules(evaluator=evaluator, find_spec=find_spec, field_size_limit_kb=1024)
        return CronTriggers(idle.database, rules, rung.extend)

    return make


@pytest.fixture
def slots(idle):
    """Return the slots, in order, as (due at, attempts, is started, retry at)."""

    def slots():
        rows = sorted(idle.rows(tables.cron_slots), key=lambda row: row["due_at"])
        return [
            (row["due_at"], row["attempts"], row["workflow_execution_id"] is not None, row["retry_at"])
            for row in rows
        ]

    return slots


@everywhere
def test_what_a_firing_leaves_behind(idle, put, make, rung, slots):
    put(workflow_params='{"env": {"k": "v"}}', remaining_executions=2)

    make().fire(DUE + timedelta(seconds=0.5))

    (execution,) = idle.rows(tables.workflow_executions)
    assert json.loads(execution["description"]) == {
        "description": f"Workflow execution created by cron trigger '({TRIGGER})'.",
        "triggered_by": {"type": "cron_trigger", "id": TRIGGER},
    }
    assert (json.loads(execution["input"]), json.loads(execution["context"])) == ({"x": 5}, {"seen": 5})
    assert json.loads(execution["params"]) == {"env": {"k": "v"}, "namespace": ""}
    assert (execution["project_id"], execution["state"]) == ("p", "RUNNING")
    assert [row["kind"] for row in idle.rows(tables.inbox)] == ["start"]
    assert rung == [execution["id"]]
    assert slots() == [(DUE, 0, True, None)]
    (trigger,) = idle.rows(tables.cron_triggers)
    assert (trigger["next_execution_time"], trigger["remaining_executions"]) == (DUE + MINUTE, 1)


def test_the_workflow_runs(service, put, make):
    put()
    make().fire(DUE)
    (execution,) = service.rows(tables.workflow_executions)

    service.settle(execution["id"])
    service.work()

    assert service.workflow(execution["id"])["state"] == "SUCCESS"


@pytest.mark.parametrize(
    ("pattern", "remaining", "now", "fired", "next_at"),
    [
        ("* * * * *", None, DUE - timedelta(microseconds=1), 0, DUE),
        ("* * * * *", None, DUE, 1, DUE + MINUTE),
        ("* * * * *", None, DUE + timedelta(seconds=59), 1, DUE + MINUTE),
        # All that was missed while no engine ran is one firing, and the next time lies ahead.
        ("* * * * *", None, DUE + 100 * MINUTE, 1, DUE + 101 * MINUTE),
        ("* * * * * */10", None, DUE + timedelta(seconds=3), 1, DUE + timedelta(seconds=10)),
        ("@daily", None, DUE, 1, datetime(2026, 11, 22, tzinfo=UTC)),
        ("0 0 30 2 0", 2, DUE, 1, datetime(2027, 2, 7, tzinfo=UTC)),
        # The count is used up, or the pattern is: the trigger is gone.
        ("* * * * *", 1, DUE, 1, None),
        ("* * * * * * 2026", 9, datetime(2027, 1, 1, tzinfo=UTC), 1, None),
    ],
)
def test_when_it_fires(idle, put, make, pattern, remaining, now, fired, next_at):
    put(pattern=pattern, remaining_executions=remaining)

    make().fire(now)
    make().fire(now)

    assert len(idle.rows(tables.workflow_executions)) == fired
    triggers = idle.rows(tables.cron_triggers)
    assert [row["next_execution_time"] for row in triggers] == ([next_at] if next_at else [])


@everywhere
def test_more_triggers_than_are_looked_up_at_a_time(idle, put, make):
    for number in range(1, 106):
        put(number)

    make().fire(DUE)

    assert len(idle.rows(tables.workflow_executions)) == 105


@servers
def test_engines_that_look_at_once_fire_each_time_once(idle, put, make, slots):
    for number in range(1, 13):
        put(number)
    engines = 4
    together = Barrier(engines)

    def look(_):
        firing = make()
        for minute in range(3):
            together.wait(120)
            firing.fire(DUE + minute * MINUTE)

    with ThreadPoolExecutor(engines) as pool:
        list(pool.map(look, range(engines)))

    assert len(idle.rows(tables.workflow_executions)) == len(idle.rows(tables.inbox)) == 36
    assert len(slots()) == 36


@everywhere
def test_a_time_that_was_fired_is_not_fired_again_even_if_the_trigger_says_so(idle, put, make):
    put()
    make().fire(DUE)
    with idle.database.write() as connection:
        connection.execute(sa.update(tables.cron_triggers).values(next_execution_time=DUE))

    make().fire(DUE)

    assert len(idle.rows(tables.workflow_executions)) == 1
    assert idle.rows(tables.cron_triggers)[0]["next_execution_time"] == DUE + MINUTE


@everywhere
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"workflow_id": "00000000-0000-7000-8000-00000000dead"}, "Workflow not found"),
        ({"project_id": "other"}, "Workflow not found"),
        ({"workflow_params": '{"env": "nope"}'}, "environment that does not exist"),
        ({"workflow_input": '{"y": 1}'}, "Invalid input"),
    ],
)
def test_a_start_that_is_refused_is_recorded_and_harms_no_other(idle, put, make, slots, values, reason):
    put(1, **values)
    put(2)

    make().fire(DUE)

    assert len(idle.rows(tables.workflow_executions)) == 1
    failed = next(row for row in idle.rows(tables.cron_slots) if row["cron_trigger_id"] == TRIGGER)
    assert reason in failed["reason"]
    assert (DUE, 1, False, DUE + timedelta(seconds=RETRY_DELAYS_S[0])) in slots()


def test_a_start_is_repeated_until_it_succeeds_and_then_the_used_up_trigger_goes(idle, put, make, slots):
    put(remaining_executions=1, workflow_params='{"env": "e"}')
    firing = make()
    firing.fire(DUE)
    assert [row["next_execution_time"] for row in idle.rows(tables.cron_triggers)] == [None]
    environment = {"id": TRIGGER, "name": "e", "variables": '{"k": 1}', "project_id": "p", "created_at": DUE}
    with idle.database.write() as connection:
        connection.execute(sa.insert(tables.environments).values(**environment))

    firing.fire(DUE + timedelta(seconds=RETRY_DELAYS_S[0] - 1))
    assert idle.rows(tables.workflow_executions) == []
    firing.fire(DUE + timedelta(seconds=RETRY_DELAYS_S[0]))

    assert len(idle.rows(tables.workflow_executions)) == 1
    assert slots() == [(DUE, 1, True, None)]
    assert idle.rows(tables.cron_triggers) == []


def test_a_start_that_fails_for_ever_is_given_up(idle, put, make, slots):
    put(remaining_executions=1, workflow_params='{"env": "nope"}')
    now = DUE
    firing = make()
    firing.fire(now)
    for delay_s in RETRY_DELAYS_S:
        now += timedelta(seconds=delay_s)
        firing.fire(now)

    assert slots() == [(DUE, len(RETRY_DELAYS_S) + 1, False, None)]
    assert idle.rows(tables.cron_triggers) == []
    assert idle.rows(tables.workflow_executions) == []


def test_the_next_time_stands_for_a_start_that_failed_before(idle, put, make, slots):
    put(workflow_params='{"env": "nope"}')
    firing = make()
    firing.fire(DUE)
    firing.fire(DUE + MINUTE)

    retry_at = DUE + MINUTE + timedelta(seconds=RETRY_DELAYS_S[0])
    assert slots() == [(DUE, 1, False, None), (DUE + MINUTE, 1, False, retry_at)]


def test_a_bug_is_recorded_without_its_text(idle, put, make, slots):
    put()

    def find_spec(connection, spec_hash):
        raise RuntimeError("the input was 4711")

    make(find_spec).fire(DUE)

    (slot,) = idle.rows(tables.cron_slots)
    assert "internal error" in slot["reason"]
    assert "4711" not in slot["reason"]
    assert slot["retry_at"] is not None


@everywhere
def test_nothing_is_fired_if_the_database_goes_away_halfway(idle, put, make):
    put()

    def find_spec(connection, spec_hash):
        raise sa.exc.OperationalError("SELECT", {}, Exception("gone"))

    with pytest.raises(UnavailableError):
        make(find_spec).fire(DUE)

    assert idle.rows(tables.cron_slots) == idle.rows(tables.workflow_executions) == []
    assert idle.rows(tables.cron_triggers)[0]["next_execution_time"] == DUE
    make().fire(DUE)
    assert len(idle.rows(tables.workflow_executions)) == 1


@everywhere
def test_old_slots_are_removed_unless_their_start_is_to_be_repeated(idle, put, make, slots):
    put(1)
    put(2, workflow_params='{"env": "nope"}')
    make().fire(DUE)
    assert len(slots()) == 2

    keep_house(idle.database, DUE + timedelta(days=6))
    assert len(slots()) == 2
    keep_house(idle.database, DUE + timedelta(days=8))
    assert [started for _, _, started, _ in slots()] == [False]


def test_the_time_is_that_of_the_database(idle, put, make):
    put(1, next_execution_time=datetime.now(UTC) - MINUTE)
    put(2, next_execution_time=datetime.now(UTC) + timedelta(hours=1))

    make().work()

    assert len(idle.rows(tables.workflow_executions)) == 1


@pytest.mark.parametrize("status", [Status.PAUSING, Status.PAUSED])
def test_nothing_fires_in_maintenance_and_once_after_it(idle, put, make, slots, status):
    put(next_execution_time=datetime.now(UTC) - 3 * MINUTE)
    idle.set_maintenance(status)
    make().work()
    assert slots() == []

    idle.set_maintenance(Status.RESUMING)
    make().work()
    assert len(slots()) == 1


def test_an_execution_works_for_the_creator_of_its_trigger(idle, put, make):
    security = SecurityContext(project_id="p", user_name="User").with_trust("the-trust")
    put(security=json.dumps(security.to_json(Sealer(()))), trust_id="the-trust")

    make().fire(DUE)

    (execution,) = idle.rows(tables.workflow_executions)
    seen = json.loads(execution["runtime"])["openstack"]
    assert (seen["user_name"], seen["trust_id"], seen["is_trust_scoped"]) == ("User", "***", True)
    (stored,) = idle.rows(tables.security_contexts)
    assert (stored["root_execution_id"], stored["trust_id"]) == (execution["id"], "the-trust")
    assert SecurityContext.from_stored(json.loads(stored["content"])) == security
