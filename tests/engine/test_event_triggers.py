"""From an event on the bus to a started workflow."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from mistral_lite.db import definitions, event_triggers, tables
from mistral_lite.db.maintenance import Status
from mistral_lite.engine.event_definitions import parse_definitions
from mistral_lite.engine.event_triggers import EventListener, EventTriggers
from mistral_lite.errors import UnavailableError
from mistral_lite.ids import new_id
from mistral_lite.jsontext import load
from mistral_lite.rpc.bus_events import BusEvent
from mistral_lite.sealing import Sealer
from mistral_lite.security import SecurityContext
from mistral_lite.starts import StartRules

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)

TEXT = """
version: '2.0'
wf:
  input: [x: 1]
  tasks:
    t: {action: std.noop}
needy:
  input: [must]
  tasks:
    t: {action: std.noop}
"""

DEFINITIONS = """
- {event_types: compute.*, properties: {id: <% $.payload.id %>}}
- {event_types: broken.*, properties: {id: <% $.payload.id.deep.er %>}}
"""


def event(event_type: str = "compute.create", **values: Any) -> BusEvent:
    """Return an event."""
    given: dict[str, Any] = {
        "exchange": "nova",
        "topic": "notifications",
        "publisher": "compute",
        "context": {"project_id": "p"},
        "payload": {"id": "i1"},
        "message_id": "m1",
        "timestamp": "2026-11-22 01:02:03.400000",
    }
    return BusEvent(event_type=event_type, **{**given, **values})


@pytest.fixture
def put(idle: Any) -> Callable[..., str]:
    """Store a trigger for a workflow."""
    idle.api.upload(TEXT)

    def put(workflow: str = "wf", **values: Any) -> str:
        with idle.database.write() as connection:
            found = definitions.find_workflow(connection, workflow, "", "p")
            assert found is not None
            row = {
                "id": new_id(datetime.now(UTC)),
                "name": "n",
                "workflow_id": found.id,
                "exchange": "nova",
                "topic": "notifications",
                "event": "compute.create",
                "project_id": "p",
                "created_at": datetime.now(UTC),
                **values,
            }
            event_triggers.insert_trigger(connection, row)
        return str(row["id"])

    return put


@pytest.fixture
def rung() -> list[str]:
    return []


@pytest.fixture
def triggers(idle: Any, evaluator: Any, rung: list[str]) -> EventTriggers:
    """What takes events, with a publisher for all executions."""
    rules = StartRules(
        evaluator=evaluator,
        find_spec=definitions.load_spec,
        field_size_limit_kb=-1,
        notify=({"type": "noop"},),
    )
    return EventTriggers(idle.database, rules, parse_definitions(DEFINITIONS), rung.extend)


def executions(service: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = service.rows(tables.workflow_executions)
    return rows


@everywhere
def test_an_event_starts_the_workflow_of_a_trigger(
    idle: Any, put: Callable[..., str], triggers: EventTriggers, rung: list[str]
) -> None:
    trigger_id = put(workflow_input='{"x": 2}', workflow_params='{"env": {"k": 1}, "event_params": "old"}')

    triggers.take(event())

    (row,) = executions(idle)
    assert rung == [row["id"]]
    assert (row["workflow_name"], row["state"], row["project_id"]) == ("wf", "RUNNING", "p")
    assert load(row["input"]) == {"x": 2}
    assert load(row["params"]) == {
        "env": {"k": 1},
        "event_params": {"id": "i1"},
        "namespace": "",
        "notify": [{"type": "noop"}],
    }
    assert json.loads(row["description"]) == {
        "description": f"Workflow execution created by event trigger '({trigger_id})'.",
        "triggered_by": {"type": "event_trigger", "id": trigger_id, "name": "n"},
    }
    (entry,) = idle.rows(tables.inbox)
    assert (entry["root_execution_id"], entry["kind"]) == (row["id"], "start")


def test_the_engine_runs_what_was_started(
    idle: Any, put: Callable[..., str], triggers: EventTriggers
) -> None:
    put()
    triggers.take(event())
    idle.add_engine()
    idle.sweep()
    idle.work()
    assert [row["state"] for row in executions(idle)] == ["SUCCESS"]


@everywhere
def test_a_message_that_comes_twice_starts_once(
    idle: Any, put: Callable[..., str], triggers: EventTriggers
) -> None:
    put()
    triggers.take(event())
    triggers.take(event())
    (row,) = executions(idle)
    assert UUID(row["id"]).version == 7
    triggers.take(event(message_id="m2"))
    triggers.take(event(message_id="m3", timestamp="yesterday"))
    triggers.take(event(message_id="m3", timestamp="yesterday"))
    assert len(executions(idle)) == 3


def test_events_without_an_id_each_start(idle: Any, put: Callable[..., str], triggers: EventTriggers) -> None:
    put()
    triggers.take(event(message_id=None))
    triggers.take(event(message_id=None))
    assert len(executions(idle)) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"event_type": "compute.create.end"},
        {"event_type": "Compute.create"},
        {"exchange": "cinder"},
        {"topic": "other"},
        {"context": {"project_id": "q"}},
        {"context": {}},
    ],
)
def test_other_events_start_nothing(
    idle: Any, put: Callable[..., str], triggers: EventTriggers, other: dict[str, Any]
) -> None:
    put()
    triggers.take(event(**other))
    assert executions(idle) == []


def test_one_that_cannot_be_started_does_not_keep_others_from_it(
    idle: Any, put: Callable[..., str], triggers: EventTriggers, caplog: Any
) -> None:
    broken = put("needy")
    gone = put(workflow_id=new_id(datetime.now(UTC)))
    put()
    with caplog.at_level(logging.ERROR):
        triggers.take(event())
    assert [row["workflow_name"] for row in executions(idle)] == ["wf"]
    assert len(caplog.records) == 2
    assert f"event_trigger_id={broken}" in caplog.text
    assert f"event_trigger_id={gone}" in caplog.text


def test_properties_that_cannot_be_told_start_nothing_and_are_logged(
    idle: Any, put: Callable[..., str], triggers: EventTriggers, caplog: Any
) -> None:
    trigger_id = put(event="broken.create")
    with caplog.at_level(logging.ERROR):
        triggers.take(event("broken.create", payload={"id": "hidden"}))
    assert executions(idle) == []
    assert f"event_trigger_id={trigger_id}" in caplog.text
    assert "hidden" not in caplog.text


def test_without_the_database_the_event_is_to_come_again(unreachable: Any, evaluator: Any) -> None:
    kind, make = unreachable
    rules = StartRules(evaluator=evaluator, find_spec=definitions.load_spec, field_size_limit_kb=-1)
    database = make("postgresql")
    with pytest.raises(kind):
        EventTriggers(database, rules, (), lambda _: None).take(event())
    database.dispose()


def test_events_wait_on_the_bus_for_the_end_of_maintenance(
    idle: Any, put: Callable[..., str], triggers: EventTriggers
) -> None:
    put()
    idle.set_maintenance(Status.PAUSED)
    with pytest.raises(UnavailableError):
        triggers.take(event())
    # What starts nothing need not wait.
    triggers.take(event("volume.create"))
    assert executions(idle) == []

    idle.set_maintenance(Status.RUNNING)
    triggers.take(event())
    assert len(executions(idle)) == 1


class FakeBus:
    """The other side of the protocol: remembers what is listened to."""

    def __init__(self) -> None:
        self.topics: set[tuple[str, str]] = set()
        self.is_away = False

    def listen(self, exchange: str, topic: str, take: Callable[[BusEvent], None]) -> Any:
        if self.is_away:
            raise UnavailableError("away")
        bus, key = self, (exchange, topic)
        self.topics.add(key)

        class Listening:
            def stop(self) -> None:
                bus.topics.remove(key)

        return Listening()


def test_only_topics_with_triggers_are_listened_to(idle: Any, put: Callable[..., str]) -> None:
    bus = FakeBus()
    listener = EventListener(idle.database, bus, lambda _: None)
    listener.work()
    assert bus.topics == set()
    put()
    put(event="another")
    gone = put(exchange="cinder")
    listener.work()
    listener.work()
    assert bus.topics == {("nova", "notifications"), ("cinder", "notifications")}
    idle._execute(sa.delete(tables.event_triggers).where(tables.event_triggers.c.id == gone))
    listener.work()
    assert bus.topics == {("nova", "notifications")}
    listener.stop()
    assert bus.topics == set()


def test_a_bus_that_is_away_is_tried_again(idle: Any, put: Callable[..., str]) -> None:
    bus = FakeBus()
    bus.is_away = True
    put()
    listener = EventListener(idle.database, bus, lambda _: None)
    listener.work()
    assert bus.topics == set()
    bus.is_away = False
    listener.work()
    assert bus.topics == {("nova", "notifications")}


def test_an_execution_works_for_the_creator_of_its_trigger(
    idle: Any, put: Callable[..., str], triggers: EventTriggers
) -> None:
    security = SecurityContext(project_id="p", user_name="User").with_trust("the-trust")
    put(security=json.dumps(security.to_json(Sealer(()))), trust_id="the-trust")
    triggers.take(event())
    (execution,) = executions(idle)
    seen = json.loads(execution["runtime"])["openstack"]
    assert (seen["user_name"], seen["trust_id"]) == ("User", "***")
    (stored,) = idle.rows(tables.security_contexts)
    assert (stored["root_execution_id"], stored["trust_id"]) == (execution["id"], "the-trust")
