"""Every unfinished row knows what wakes it, at every step of workflows that take any turn they like."""

from __future__ import annotations

from random import Random

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables, waits
from mistral_lite.db.waits import Noun, WaitKind
from mistral_lite.rpc.protocol import ActionReport, Outcome

# Branches, joins, items, retries, delays, nested workflows, a pause and an asynchronous action in one.
ZOO = """
version: '2.0'
zoo:
  tasks:
    a:
      action: std.echo output=1
      on-success: j
      on-error: rescue
    b:
      with-items: i in [1, 2, 3]
      concurrency: 2
      action: std.echo output=<% $.i %>
      safe-rerun: true
      on-complete: j
    c:
      workflow: child
      on-success: j
      on-error: [j, rescue]
    d:
      action: std.async_noop
      retry: {count: 1, delay: 100}
      wait-after: 100
      timeout: 500
      on-success: j
    e:
      action: std.noop
      wait-before: 100
      on-complete: held
    held:
      action: std.noop
      pause-before: true
    j:
      join: 2
      action: std.noop
      timeout: 500
      on-complete: last
    rescue:
      action: std.noop
    f:
      action: std.echo output=2
      retry: {count: 2, delay: 100}
      on-success: last
    last:
      join: all
      action: std.noop
      retry: {count: 1, delay: 100}
child:
  tasks:
    c1:
      action: std.async_noop
      wait-before: 100
      on-success: c2
    c2:
      with-items: i in [1, 2]
      workflow: grandchild i=<% $.i %>
grandchild:
  input: [i]
  tasks:
    g: {action: std.noop}
"""


class Chance:
    """Does to one execution whatever may be done to it, drawn from a seed."""

    def __init__(self, service, execution_id: str, seed: int) -> None:
        self.random = Random(seed)
        self.service = service
        self.execution_id = execution_id

    def step(self) -> None:
        """Do one thing."""
        self.random.choice([*[self.work] * 6, self.fire, self.expire, self.call_back, self.command])()

    def work(self) -> None:
        """Take some actions and report about some of them."""
        actions = self.service.claim(capacity=self.random.randint(1, 3))
        reports = [
            ActionReport(
                action_execution_id=action.action_execution_id,
                attempt=action.attempt,
                outcome=self.outcome(action),
                result=1,
            )
            for action in actions
            if self.random.random() < 0.9
        ]
        if reports:
            self.service.exchange(reports=tuple(reports))

    def outcome(self, action) -> Outcome:
        if action.name == "std.async_noop" and self.random.random() < 0.7:
            return Outcome.SENT
        return self.random.choice([Outcome.SUCCESS] * 5 + [Outcome.ERROR] * 2 + [Outcome.RETURNED])

    def fire(self) -> None:
        self.service.fire_timers()

    def expire(self) -> None:
        self.service.expire_leases()

    def call_back(self) -> None:
        table = tables.action_executions
        unfinished = self.service.rows(table, table.c.state.in_(["RUNNING", "PAUSED"]))
        if unfinished:
            action = self.random.choice(unfinished)
            kinds = ["SUCCESS", "SUCCESS", "ERROR", "CANCELLED"]
            self.service.call_back(action["id"], 1, self.random.choice(kinds))

    def command(self) -> None:
        table = tables.workflow_executions
        workflow = self.random.choice(self.service.rows(table))
        kind = self.random.choice(["pause", "resume", "resume", "resume", "stop", "rerun"])
        if kind == "stop":
            state = self.random.choice(["SUCCESS", "ERROR", "CANCELLED"])
            self.service.tell(self.execution_id, kind, workflow["id"], state=state, message=None)
        elif kind == "rerun":
            self.rerun()
        else:
            self.service.tell(
                self.execution_id, kind, workflow["id"], **({} if kind == "pause" else {"env": {}})
            )

    def rerun(self) -> None:
        table = tables.task_executions
        failed = self.service.rows(table, table.c.state == "ERROR")
        if failed:
            task = self.random.choice(failed)
            self.service.tell(self.execution_id, "rerun", task["id"], reset=True, env={})


TABLES = {
    Noun.WORKFLOW: tables.workflow_executions,
    Noun.TASK: tables.task_executions,
    Noun.ACTION: tables.action_executions,
}
LEADS_TO = {
    WaitKind.ACTION: Noun.ACTION,
    WaitKind.WORKFLOW: Noun.WORKFLOW,
    WaitKind.TASK: Noun.TASK,
    WaitKind.JOIN: Noun.TASK,
}
FINISHED = {"SUCCESS", "ERROR", "CANCELLED", "SKIPPED"}


@pytest.mark.parametrize("seed", range(12))
def test_every_unfinished_row_has_something_that_wakes_it(service, seed):
    service.api.upload(ZOO)
    execution_id = service.start("zoo")
    chance = Chance(service, execution_id, seed)
    for _ in range(40):
        chance.step()
        with service.database.read(is_snapshot=True) as connection:
            assert waits.find_stuck(connection, [execution_id]) == []
            unfinished, found = set(), {}
            for noun, table in TABLES.items():
                states = {
                    row.id: row.state for row in connection.execute(sa.select(table.c.id, table.c.state))
                }
                own = waits.find(connection, noun, list(states))
                unfinished |= {(noun, each) for each, state in states.items() if state not in FINISHED}
                found |= {(noun, each): wait for each, wait in own.items()}
        # All unfinished rows and no others, each pointing at one that is unfinished as well.
        assert set(found) == unfinished
        for wait in found.values():
            if wait.kind in LEADS_TO:
                assert (LEADS_TO[wait.kind], wait.id) in found
