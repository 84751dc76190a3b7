"""Maintenance pauses the service and resumes it, whatever dies in between and however many engines look."""

from __future__ import annotations

import pytest

from mistral_lite.db import maintenance, tables
from mistral_lite.db.maintenance import Status
from mistral_lite.engine.maintenance import Maintenance
from mistral_lite.rpc.protocol import Outcome

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)

TEXT = """
version: '2.0'
two:
  tasks:
    a:
      action: std.echo output='a'
      on-success: b
    b:
      action: std.echo output='b'
remote:
  tasks:
    fire:
      action: std.async_noop
"""


@pytest.fixture
def service(service):
    service.api.upload(TEXT)
    return service


@pytest.fixture
def switch(service):
    return Switch(service)


class Switch:
    """What the API and the periodic work of the engines do."""

    def __init__(self, service):
        self.service = service

    @property
    def status(self) -> Status:
        with self.service.database.read() as connection:
            return maintenance.find_status(connection)

    def look(self) -> list[str]:
        """Let an engine look once and carry out what it orders; return the trees that it told."""
        told: list[str] = []
        Maintenance(self.service.database, told.extend).work()
        self.service.settle(*told)
        return told


@everywhere
def test_what_runs_is_paused_and_then_resumed_and_nothing_else(service, switch):
    mine = service.start("two")
    theirs = service.start("two")
    service.tell(theirs, "pause")
    running = service.claim()

    service.set_maintenance(Status.PAUSING)
    assert switch.look() == [mine]
    assert service.state(mine) == "PAUSED"
    # The actions that run still do.
    switch.look()
    assert switch.status is Status.PAUSING
    for action in running:
        service.report(action, "a")
    assert switch.look() == []
    assert switch.status is Status.PAUSED

    service.set_maintenance(Status.RESUMING)
    assert switch.look() == [mine]
    assert (service.state(mine), service.state(theirs)) == ("RUNNING", "PAUSED")
    switch.look()
    assert switch.status is Status.RUNNING
    service.work()
    assert (service.state(mine), service.state(theirs)) == ("SUCCESS", "PAUSED")


def test_an_asynchronous_action_keeps_the_service_from_being_paused(service, switch):
    execution = service.start("remote")
    (sent,) = service.claim()
    service.report(sent, outcome=Outcome.SENT)

    service.set_maintenance(Status.PAUSING)
    switch.look()
    switch.look()
    assert switch.status is Status.PAUSING

    service.call_back(sent.action_execution_id, "done")
    switch.look()
    assert switch.status is Status.PAUSED
    service.set_maintenance(Status.RESUMING)
    switch.look()
    assert service.state(execution) == "SUCCESS"


def test_orders_outlive_the_engine_that_gave_them(service, switch):
    execution = service.start("two")
    service.set_maintenance(Status.PAUSING)
    # This engine dies before its order is carried out; another one looks after that.
    Maintenance(service.database, lambda _: None).work()
    assert [row["kind"] for row in service.rows(tables.inbox)] == [maintenance.BEGAN]
    assert switch.look() == []
    service.settle(execution)
    assert service.state(execution) == "PAUSED"


def test_resuming_waits_for_the_pauses_under_way(service, switch):
    execution = service.start("two")
    service.set_maintenance(Status.PAUSING)
    Maintenance(service.database, lambda _: None).work()

    service.set_maintenance(Status.RESUMING)
    assert switch.look() == []
    assert switch.status is Status.RESUMING
    service.settle(execution)
    assert service.state(execution) == "PAUSED"
    assert switch.look() == [execution]
    switch.look()
    assert (service.state(execution), switch.status) == ("RUNNING", Status.RUNNING)


def test_what_slips_in_is_paused_as_well(service, switch):
    service.set_maintenance(Status.PAUSING)
    switch.look()
    assert switch.status is Status.PAUSED

    late = service.start("two")
    assert switch.look() == [late]
    assert (service.state(late), switch.status) == ("PAUSED", Status.PAUSED)


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)
def test_one_engine_at_a_time_acts(service, switch):
    service.start("two")
    service.set_maintenance(Status.PAUSING)
    with service.database.write() as connection:
        assert maintenance.try_lock_status(connection) is Status.PAUSING
        assert switch.look() == []
    assert len(switch.look()) == 1


def test_many_trees_are_told_in_portions(service, switch, monkeypatch):
    monkeypatch.setattr("mistral_lite.engine.maintenance._MOST", 2)
    started = {service.start("two") for _ in range(5)}
    service.set_maintenance(Status.PAUSING)
    assert set(switch.look()) == started
    assert {service.state(each) for each in started} == {"PAUSED"}
