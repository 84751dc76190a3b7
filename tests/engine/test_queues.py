"""What the actions on embedded queues return, who gets which message, and what becomes of waits that ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.engine.queues import QueueKeeper

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)

WAIT = """
version: '2.0'
wait:
  input: [queue, limit: 1, match: null]
  output:
    got: <% task(wait).result.body %>
  tasks:
    wait:
      timeout: 14400
      action: zaqar.queue_wait
      input:
        queue_name: <% $.queue %>
        limit: <% $.limit %>
        match: <% $.match %>

wait_for:
  input: [ticket]
  output:
    got: <% task(wait).result.body %>
  tasks:
    wait:
      action: zaqar.queue_wait
      input:
        queue_name: q
        match: $.body.ticket = <% $.ticket %>
"""


@dataclass
class Queues:
    """Embedded queues behind the service, worked on only when a test says so."""

    service: Any
    keeper: QueueKeeper

    def work(self, *root_ids: str) -> None:
        """Do what is ordered, and let the engine take the outcome of these trees."""
        self.service.settle(*root_ids)
        self.keeper.work()
        self.service.settle(*root_ids)

    def run(self, name: str, **given: Any) -> Any:
        """Run an action on its own and return its result."""
        action_id = self.service.api.run_action(f"zaqar.{name}", given)
        self.work(action_id)
        action = self.service.action(action_id)
        assert action["state"] in {"SUCCESS", "ERROR"}, action
        return action["output"]["result"]

    def post(self, *bodies: Any, **more: Any) -> None:
        """Post messages to the queue q."""
        self.run("queue_post", queue_name="q", messages=[{"body": body, **more} for body in bodies])

    def bodies(self, name: str = "queue_messages", **given: Any) -> list[Any]:
        """Return the bodies of what an action returns for the queue q."""
        return [message["body"] for message in self.run(name, queue_name="q", **given)]

    def wait(self, **given: Any) -> str:
        """Start an execution that waits for messages of the queue q."""
        execution_id: str = self.service.start("wait", {"queue": "q", **given})
        self.work(execution_id)
        return execution_id

    def got(self, execution_id: str) -> Any:
        """Return what an execution has waited for."""
        workflow = self.service.workflow(execution_id)
        assert workflow["state"] == "SUCCESS", workflow
        return workflow["output"]["got"]

    def age(self, table: sa.Table, column: str) -> None:
        """Let a time that is stored lie in the past."""
        with self.service.database.write() as connection:
            connection.execute(
                sa.update(table)
                .where(table.c[column].is_not(None))
                .values({column: datetime.now(UTC) - timedelta(minutes=1)})
            )


@pytest.fixture
def queues(service: Any, evaluator: Any) -> Queues:
    service.api.upload(WAIT)
    return Queues(service, QueueKeeper(service.database, evaluator))


@everywhere
def test_messages_are_posted_read_and_popped_in_order(queues: Queues) -> None:
    posted = queues.run(
        "queue_post", queue_name="q", messages=[{"body": {"n": 1}}, {"body": "two", "ttl": 60}]
    )
    paths = posted["resources"]
    assert [path.rpartition("/")[0] for path in paths] == ["/v2/queues/q/messages"] * 2

    read = queues.run("queue_messages", queue_name="q")
    assert [message["href"] for message in read] == paths
    assert [(message["body"], message["ttl"]) for message in read] == [({"n": 1}, 3600), ("two", 60)]
    assert queues.bodies(marker=read[0]["id"]) == ["two"]

    assert queues.bodies("queue_pop") == [{"n": 1}]
    assert queues.bodies("queue_pop", count=5) == ["two"]
    assert queues.bodies("queue_pop") == []
    assert queues.service.is_at_rest()


def test_a_claimed_message_is_nobody_elses_until_the_claim_runs_out(queues: Queues) -> None:
    queues.post("a", "b")
    claimed = queues.run("claim_messages", queue_name="q", limit=1, ttl=60)
    (message,) = claimed
    claim_id = message["href"].partition("?claim_id=")[2]
    assert (message["body"], message["claim_count"]) == ("a", 1)
    assert queues.bodies("claim_messages", id=claim_id) == ["a"]
    assert queues.bodies() == ["b"]
    assert queues.bodies(include_claimed=True) == ["a", "b"]
    stats = queues.run("queue_stats", queue_name="q")["messages"]
    assert (stats["free"], stats["claimed"], stats["total"]) == (1, 1, 2)

    assert queues.bodies("queue_pop", count=2) == ["b"]
    execution_id = queues.wait()
    assert queues.service.state(execution_id) == "RUNNING"

    queues.age(tables.queue_messages, "claimed_until")
    queues.work(execution_id)
    assert queues.got(execution_id) == ["a"]
    assert queues.bodies("claim_messages", id=claim_id) == []


def test_queues_are_listed_and_deleted_and_messages_too(queues: Queues) -> None:
    queues.run("queue_create", queue_name="empty", metadata={"m": 1})
    queues.post("a", "b")
    listed = queues.run("queue_list")
    assert [(queue["name"], queue["metadata"]) for queue in listed] == [("empty", {"m": 1}), ("q", {})]
    first, _ = queues.run("queue_messages", queue_name="q")
    assert queues.run("delete_messages", queue_name="q", messages=[first["id"], "gone"]) is None
    assert queues.bodies() == ["b"]
    assert queues.run("queue_delete", queue_name="q") is None
    assert [queue["name"] for queue in queues.run("queue_list")] == ["empty"]
    assert queues.bodies() == []


def test_a_message_is_gone_after_its_time(queues: Queues) -> None:
    queues.post("old")
    queues.age(tables.queue_messages, "expires_at")
    queues.post("new")
    assert queues.bodies("queue_pop", count=2) == ["new"]


def test_queues_belong_to_projects(queues: Queues) -> None:
    queues.post("mine")
    other = queues.service.api.run_action("zaqar.queue_pop", {"queue_name": "q"}, project_id="another")
    queues.work(other)
    assert queues.service.action(other)["output"]["result"] == []
    assert queues.bodies() == ["mine"]


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("queue_pop", {"queue_name": "no good"}, "'queue_name' must be"),
        ("queue_pop", {"queue_name": "q", "count": 0}, "'count' must be a whole number from 1 to 1000"),
        ("queue_post", {"queue_name": "q", "messages": []}, "'messages' is empty"),
        ("queue_post", {"queue_name": "q", "messages": "text"}, "must be a mapping with 'body'"),
        ("queue_messages", {"queue_name": "q", "limits": 1}, "Unknown parameters: limits"),
        ("queue_messages", {}, "queue_name"),
        ("queue_wait", {"queue_name": "q", "match": "$.["}, "queue_wait"),
    ],
)
def test_a_wrong_parameter_is_named(queues: Queues, name: str, given: dict[str, Any], text: str) -> None:
    assert text in queues.run(name, **given)


@everywhere
def test_first_come_first_served(queues: Queues) -> None:
    executions = [queues.wait() for _ in range(3)]
    assert {queues.service.state(execution_id) for execution_id in executions} == {"RUNNING"}
    queues.post(0, 1)
    queues.work(*executions)
    assert [queues.got(execution_id) for execution_id in executions[:2]] == [[0], [1]]
    assert queues.service.state(executions[2]) == "RUNNING"
    queues.post(2)
    queues.work(*executions)
    assert queues.got(executions[2]) == [2]
    assert queues.bodies() == []
    assert queues.service.is_at_rest()


def test_a_wait_takes_what_is_there_up_to_its_limit(queues: Queues) -> None:
    queues.post(1, 2, 3)
    assert queues.got(queues.wait(limit=2)) == [1, 2]
    assert queues.bodies() == [3]


def test_a_wait_may_be_for_certain_messages(queues: Queues) -> None:
    wanting = queues.service.start("wait_for", {"ticket": 7})
    queues.work(wanting)
    anything = queues.wait()
    queues.post({"ticket": 1}, {"ticket": 7})
    queues.work(wanting, anything)
    assert queues.got(wanting) == [{"ticket": 7}]
    assert queues.got(anything) == [{"ticket": 1}]


def test_a_condition_that_cannot_be_evaluated_fails_its_own_wait_only(queues: Queues) -> None:
    broken, sound = queues.wait(match="$.body.no.such.thing > 'x' + 1"), queues.wait()
    queues.post(1)
    queues.work(broken, sound)
    assert queues.service.state(broken) == "ERROR"
    assert "'match' of zaqar.queue_wait" in queues.service.workflow(broken)["state_info"]
    assert queues.got(sound) == [1]


@pytest.mark.parametrize(
    "end",
    [
        lambda service, execution_id: service.tell(execution_id, "stop", state="CANCELLED", message="enough"),
        lambda service, execution_id: service.tell(execution_id, "delete"),
        lambda service, execution_id: service.call_back(service.action_of(execution_id), "by a human"),
        lambda service, execution_id: service.fire_timers(),
    ],
    ids=["cancelled", "deleted", "answered by somebody else", "timed out"],
)
def test_a_message_goes_past_a_wait_that_ended_otherwise(
    queues: Queues, end: Callable[[Any, str], None]
) -> None:
    first = queues.wait()
    service = queues.service
    service.action_of = lambda root_id: next(
        row["id"] for row in service.actions() if row["root_execution_id"] == root_id
    )
    end(service, first)
    second = queues.wait()
    queues.post("for the second")
    queues.work(first, second)
    assert queues.got(second) == ["for the second"]
    assert service.rows(tables.queue_waiters) == []


def test_a_wait_that_timed_out_may_be_rerun(queues: Queues) -> None:
    execution_id = queues.wait()
    queues.service.fire_timers()
    assert queues.service.state(execution_id) == "ERROR"
    task_id = queues.service.task_id(execution_id, "wait")
    queues.service.tell(execution_id, "rerun", task_id, reset=True, env={})
    queues.work(execution_id)
    queues.post("late")
    queues.work(execution_id)
    assert queues.got(execution_id) == ["late"]


def test_a_paused_workflow_keeps_its_place_and_its_message(queues: Queues) -> None:
    execution_id = queues.wait()
    queues.service.tell(execution_id, "pause")
    queues.post("early")
    queues.work(execution_id)
    assert queues.service.state(execution_id) == "PAUSED"
    queues.service.tell(execution_id, "resume", env={})
    assert queues.got(execution_id) == ["early"]


def test_what_cannot_be_read_fails_its_own_action_only(
    queues: Queues, caplog: pytest.LogCaptureFixture
) -> None:
    queues.post("to be damaged")
    with queues.service.database.write() as connection:
        connection.execute(sa.update(tables.queue_messages).values(body="{"))
    api = queues.service.api
    pop = api.run_action("zaqar.queue_pop", {"queue_name": "q"})
    wait = api.run_action("zaqar.queue_wait", {"queue_name": "q"})
    other = api.run_action("zaqar.queue_pop", {"queue_name": "another"})
    queues.work(pop, wait, other)
    states = [queues.service.action(action_id)["state"] for action_id in (pop, wait, other)]
    assert states == ["ERROR", "RUNNING", "SUCCESS"]
    assert "internal error" in queues.service.action(pop)["output"]["result"]
    assert "Work on queues failed" in caplog.text


def test_another_action_cannot_be_sent_to_the_worker_of_queues(queues: Queues) -> None:
    action_id = queues.service.api.run_action("std.echo", {"output": 1}, target="mistral_lite.queues")
    queues.work(action_id)
    assert "choose another target" in queues.service.action(action_id)["output"]["result"]
