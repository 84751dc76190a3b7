"""Every kind of inbox row is applied, and what is wrong with one execution harms no other."""

from __future__ import annotations

import pytest

from mistral_lite.db import inbox, tables
from mistral_lite.engine import translate
from mistral_lite.errors import InternalError
from mistral_lite.rpc.protocol import ActionReport, Outcome
from mistral_lite.workflow import events
from mistral_lite.workflow.states import State

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
parent:
  tasks:
    call:
      workflow: child
child:
  tasks:
    c:
      action: std.echo output='c'
env:
  tasks:
    t:
      action: std.echo output=<% env().get(x) %>
      publish: {got: <% task().result %>}
remote:
  tasks:
    fire:
      action: std.async_noop
"""


@pytest.fixture
def service(service):
    service.api.upload(TEXT)
    return service


@everywhere
def test_pause_and_resume(service):
    execution = service.start("two")
    (first,) = service.claim()

    service.tell(execution, "pause")
    assert service.state(execution) == "PAUSED"
    assert service.report(first, "a", capacity=9).actions == ()
    assert service.tasks(execution) == {"a": "SUCCESS"}

    service.tell(execution, "resume", env=None)
    service.work()
    assert service.state(execution) == "SUCCESS"


STOPS = [("SUCCESS", None), ("ERROR", "because"), ("CANCELLED", "because")]


@pytest.mark.parametrize(("state", "message"), STOPS)
def test_stop(service, state, message):
    execution = service.start("two")

    service.tell(execution, "stop", state=state, message=message)

    assert service.state(execution) == state
    assert service.workflow(execution)["state_info"] == message


def test_rerun(service):
    execution = service.start("two")
    service.work({"b": ValueError("broken")})
    assert service.state(execution) == "ERROR"

    service.tell(execution, "rerun", service.task_id(execution, "b"), reset=True, env=None)
    service.work()

    assert service.state(execution) == "SUCCESS"
    assert service.tasks(execution) == {"a": "SUCCESS", "b": "SUCCESS"}
    assert len(service.actions()) == 3


def test_skip(service):
    execution = service.start("two")
    service.work({"a": ValueError("broken")})

    service.tell(execution, "skip", service.task_id(execution, "a"))
    service.work()

    assert service.state(execution) == "SUCCESS"
    assert service.tasks(execution) == {"a": "SKIPPED", "b": "SUCCESS"}


@pytest.mark.parametrize("kind", ["update_env", "resume"])
def test_environment(service, kind):
    execution = service.api.start("env", env={"x": "old"})
    service.tell(execution, "pause")
    service.exchange(executor_id="nobody")

    service.tell(execution, kind, env={"x": "new"})
    service.tell(execution, "resume", env=None)
    service.work()

    assert service.workflow(execution)["output"]["got"] in {"old", "new"}
    assert '"x":"new"' in service.workflow(execution)["params"]


def test_pause_and_resume_of_an_action(service):
    execution = service.start("remote")
    (fire,) = service.claim()
    service.report(fire, outcome=Outcome.SENT)

    service.tell(execution, "pause_action", fire.action_execution_id)
    assert service.action(fire.action_execution_id)["state"] == "PAUSED"
    assert service.state(execution) == "PAUSED"
    service.tell(execution, "resume_action", fire.action_execution_id)
    assert service.action(fire.action_execution_id)["state"] == "RUNNING"
    assert service.state(execution) == "RUNNING"
    service.call_back(fire.action_execution_id, 1)
    assert service.state(execution) == "SUCCESS"


@everywhere
def test_an_action_on_its_own(service):
    action_id = service.api.run_action("std.echo", {"output": 7})
    service.settle(action_id)

    (order,) = service.claim()
    assert (order.action_execution_id, order.input) == (action_id, {"output": 7})
    assert order.execution["workflow_execution_id"] is None
    service.report(order, 7)

    action = service.action(action_id)
    assert (action["state"], action["output"], action["accepted"]) == ("SUCCESS", {"result": 7}, True)
    assert service.is_at_rest()


def test_an_asynchronous_action_on_its_own_takes_a_callback(service):
    action_id = service.api.run_action("std.async_noop")
    service.settle(action_id)
    (order,) = service.claim()
    service.report(order, outcome=Outcome.SENT)

    service.call_back(action_id, [1], "ERROR")

    action = service.action(action_id)
    assert (action["state"], action["output"], action["accepted"]) == ("ERROR", {"result": [1]}, True)


@pytest.mark.parametrize(
    ("name", "action_input", "said"),
    [("no.such", {}, "no.such"), ("std.echo", {"wrong": 1}, "output"), ("std.echo", {}, "output")],
)
def test_an_action_that_cannot_be_called_is_an_error_at_once(service, name, action_input, said):
    action_id = service.api.run_action(name, action_input)
    service.settle(action_id)

    assert service.claim() == ()
    action = service.action(action_id)
    assert action["state"] == "ERROR"
    assert said in action["output"]["result"]


def test_a_request_for_an_action_that_is_there_is_ignored(service):
    action_id = service.api.run_action("std.echo", {"output": 1})
    service.settle(action_id)
    service.tell(action_id, inbox.RUN_ACTION, **run_action_payload("std.noop"))

    (order,) = service.claim()

    assert order.name == "std.echo"
    assert service.rows(tables.inbox) == []


@everywhere
def test_delete(service):
    gone, kept = service.start("parent"), service.start("parent")
    assert len(service.rows(tables.workflow_executions)) == 4

    service.tell(gone, "delete")

    rows = service.rows(tables.workflow_executions)
    assert {row["root_execution_id"] for row in rows} == {kept}
    for table in (tables.task_executions, tables.action_executions, tables.action_queue):
        assert {row["root_execution_id"] for row in service.rows(table)} == {kept}
    service.work()
    assert service.state(kept) == "SUCCESS"


def test_a_report_about_what_was_deleted_is_settled(service):
    execution = service.start("two")
    (action,) = service.claim()
    service.tell(execution, "delete")

    assert service.report(action, "a").settled == (action.ref,)
    assert service.is_at_rest()


def test_what_comes_after_a_delete_in_the_same_batch_goes_with_it(service):
    execution = service.start("two")
    for kind in ("pause", "delete", "pause"):
        service.api.tell(execution, kind)

    service.settle(execution)

    assert service.rows(tables.workflow_executions) == service.rows(tables.inbox) == []


def test_deleting_a_nested_execution_leaves_the_tree_usable(service):
    execution = service.start("parent")
    nested = next(row["id"] for row in service.rows(tables.workflow_executions) if row["id"] != execution)

    service.tell(execution, "delete", nested)
    service.tell(execution, "stop", state="ERROR", message=None)

    assert [row["id"] for row in service.rows(tables.workflow_executions)] == [execution]
    assert service.state(execution) == "ERROR"


def test_commands_about_what_is_gone_do_not_stay(service):
    execution = service.start("two")
    service.tell(execution, "delete")
    service.api.tell(execution, "pause")

    service.engines[0]._next_housekeeping = 0.0
    service.sweep()
    service.exchange(executor_id="nobody")

    assert service.rows(tables.inbox) == []


def test_commands_of_one_execution_are_applied_in_order(service):
    execution = service.api.start("two")
    for kind, payload in (
        ("pause", {}),
        ("resume", {"env": None}),
        ("pause", {}),
        ("stop", {"state": "CANCELLED", "message": "enough"}),
        ("resume", {"env": None}),
    ):
        service.api.tell(execution, kind, **payload)

    service.settle(execution)

    assert service.state(execution) == "CANCELLED"
    assert service.rows(tables.inbox) == []


def run_action_payload(name):
    return {
        "name": name,
        "input": {},
        "namespace": "",
        "project_id": "p",
        "description": None,
        "target": None,
        "timeout": None,
        "is_ephemeral": False,
    }


ENTRIES = [
    ("start", {}, events.WorkflowStarted(workflow_execution_id="s")),
    ("pause", {}, events.PauseRequested(workflow_execution_id="s")),
    ("resume", {"env": None}, events.ResumeRequested(workflow_execution_id="s", environment={})),
    (
        "update_env",
        {"env": {"a": 1}},
        events.EnvironmentUpdated(workflow_execution_id="s", environment={"a": 1}),
    ),
    (
        "stop",
        {"state": "ERROR", "message": "m"},
        events.StopRequested(workflow_execution_id="s", state=State.ERROR, message="m"),
    ),
    (
        "rerun",
        {"reset": False, "env": {}},
        events.RerunRequested(task_execution_id="s", reset=False, environment={}),
    ),
    ("skip", {}, events.SkipRequested(task_execution_id="s")),
    ("pause_action", {}, events.ActionPauseRequested(action_execution_id="s")),
    ("resume_action", {}, events.ActionResumeRequested(action_execution_id="s")),
    (
        "result",
        {"state": "SUCCESS", "output": [1], "digest": "d"},
        events.ResultDelivered(action_execution_id="s", state=State.SUCCESS, result=[1], digest="d"),
    ),
    (
        "run_action",
        run_action_payload("n"),
        events.ActionRequested(
            action_execution_id="s", name="n", input={}, namespace="", project_id="p", description=""
        ),
    ),
]


@pytest.mark.parametrize(("kind", "payload", "event"), ENTRIES, ids=[entry[0] for entry in ENTRIES])
def test_inbox_rows_and_events(kind, payload, event):
    entry = inbox.Entry(seq=1, root_execution_id="r", kind=kind, subject_id="s", payload=payload)

    assert translate.event_from_entry(entry) == event


def test_an_inbox_row_of_an_unknown_kind_is_a_bug():
    entry = inbox.Entry(seq=1, root_execution_id="r", kind="dance", subject_id="s", payload={})

    with pytest.raises(InternalError, match="dance"):
        translate.event_from_entry(entry)


def test_an_inbox_row_that_cannot_be_read_fails_its_execution_only(service):
    broken, sound = service.api.start("two"), service.api.start("two")
    service.api.tell(broken, "dance")
    service.api.tell(broken, "stop", state="NONSENSE", message=None)

    service.settle(broken, sound)
    service.work()

    assert service.state(sound) == "SUCCESS"
    assert service.state(broken) == "ERROR"
    assert service.is_at_rest()


class Treacherous:
    """An evaluator with a bug: it does not survive the text 'bug'."""

    def __init__(self, evaluator):
        self._evaluator = evaluator

    def evaluate(self, value, context, view):
        if "bug" in str(value):
            raise TypeError("unsupported operand")
        return self._evaluator.evaluate(value, context, view)

    def __getattr__(self, name):
        return getattr(self._evaluator, name)


@everywhere
def test_a_failing_decision_fails_its_own_execution_only(idle, evaluator, caplog):
    idle.add_engine(evaluator=Treacherous(evaluator))
    idle.api.upload("""
version: '2.0'
w:
  input: [n]
  tasks:
    first:
      action: std.echo output=<% $.n %>
      on-success: second
    second:
      action: std.echo output='bug'
sound:
  tasks:
    first:
      action: std.echo output='fine'
      on-success: second
    second:
      action: std.noop
""")
    broken, sound = idle.start("w", {"n": 1}), idle.start("sound")

    orders = idle.claim()
    assert len(orders) == 2
    reply = idle.exchange(reports=tuple(said(order) for order in orders), capacity=9)

    assert {ref.action_execution_id for ref in reply.settled} == {o.action_execution_id for o in orders}
    assert [order.name for order in reply.actions] == ["std.noop"]
    assert idle.state(broken) == "ERROR"
    assert "internal error" in idle.workflow(broken)["state_info"]
    assert "unsupported operand" not in idle.workflow(broken)["state_info"]
    idle.report(reply.actions[0])
    assert idle.state(sound) == "SUCCESS"
    assert any("decision" in record.getMessage().lower() or record.exc_info for record in caplog.records)


def said(order, outcome=Outcome.SUCCESS):
    return ActionReport(
        action_execution_id=order.action_execution_id,
        attempt=order.attempt,
        outcome=outcome,
        result=1,
    )


def test_an_execution_of_which_not_even_the_failure_can_be_decided_harms_no_other(idle, evaluator):
    idle.add_engine(evaluator=Treacherous(evaluator))
    idle.api.upload(TEXT)
    idle.api.upload("""
version: '2.0'
w:
  output-on-error: {x: bug}
  tasks:
    t:
      action: std.fail
""")
    broken, sound = idle.start("w"), idle.start("two")

    order, other = idle.claim()
    reply = idle.exchange(reports=(said(order, Outcome.ERROR),))

    assert reply.settled == (order.ref,)
    idle.report(other, "a")
    idle.work()
    assert idle.state(sound) == "SUCCESS"
    assert idle.rows(tables.inbox) == []
    assert idle.workflow(broken)["output"].keys() <= {"result"}


def test_a_failing_decision_about_an_action_on_its_own_does_not_stop_the_engine(idle, registry):
    def find(name):
        if name == "bug":
            raise TypeError("unsupported operand")
        return registry.find(name)

    idle.add_engine(find_action=find)
    idle.api.upload(TEXT)
    broken, sound = idle.api.run_action("bug"), idle.api.start("two")

    idle.settle(broken, sound)
    idle.work()

    assert idle.state(sound) == "SUCCESS"
    assert idle.rows(tables.inbox) == []
