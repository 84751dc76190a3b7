"""What the runner reports for everything an action may do."""

from __future__ import annotations

import datetime
import threading

import pytest
from mistral_lib import utils
from mistral_lib.actions import Action, Result

from mistral_lite.actions.registry import ActionRegistry, ActionSettings
from mistral_lite.executor.runner import ActionRunner
from mistral_lite.rpc.protocol import ActionReport, ActionRequest, Outcome


class Scripted(Action):
    """Does what the test says in ``run``."""

    def __init__(self, do, sync=True):
        self.do = do
        self.sync = sync

    def run(self, context):
        return self.do(context) if callable(self.do) else self.do

    def is_sync(self):
        return self.sync


class Named(Scripted):
    def __repr__(self):
        return "My action"


class Unprintable(Scripted):
    def __str__(self):
        raise RuntimeError("no text")


class Refusing(Action):
    def __init__(self, value=None):
        raise ValueError("value must be positive")


class Exiting(Action):
    def __init__(self):
        raise SystemExit


class ClientObject:
    def to_dict(self):
        return {"id": "i", "at": datetime.date(2026, 1, 2)}


class Messages:
    """What a client returns that fetches as it is gone through; each message knows its queue, that its connection."""

    def __init__(self, *bodies):
        self._bodies = list(bodies)

    def __iter__(self):
        return self

    def __next__(self):
        if not self._bodies:
            raise StopIteration
        connection = Holder(token="secret")
        return Holder(body=self._bodies.pop(0), queue=Holder(_name="q", client=connection))


class Holder:
    def __init__(self, **attributes):
        vars(self).update(attributes)


def message(body):
    return {"body": body, "queue": {"_name": "q", "client": None}}


class BadTextError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def raising(error):
    def do(context):
        raise error

    return do


def run(action, timeout_s=None, **execution):
    class Source:
        def instantiate(self, name, arguments):
            return action() if isinstance(action, type) else action

    request = ActionRequest(
        action_execution_id="a1", attempt=2, name="my.act", input={}, timeout_s=timeout_s, execution=execution
    )
    report = ActionRunner(Source()).run(request)
    assert report == ActionReport.from_json(report.to_json())
    assert (report.action_execution_id, report.attempt) == ("a1", 2)
    return report.outcome, report.result


def raised(message, label="my.act"):
    return f"The action raised an exception [action={label}, action_ex_id=a1, msg='{message}']"


LOOP: list = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("action", "outcome", "result"),
    [
        (Scripted(None), Outcome.SUCCESS, None),
        (Scripted(True), Outcome.SUCCESS, True),
        (Scripted({"a": (1, {2})}), Outcome.SUCCESS, {"a": [1, [2]]}),
        (Scripted({1: b"x"}), Outcome.SUCCESS, {"1": "x"}),
        (Scripted(datetime.date(2026, 1, 2)), Outcome.SUCCESS, "2026-01-02"),
        (Scripted([ClientObject()]), Outcome.SUCCESS, [{"id": "i", "at": "2026-01-02"}]),
        (Scripted(lambda context: Messages(1, 2)), Outcome.SUCCESS, [message(1), message(2)]),
        # Written in another way, as not every writer knows such numbers; messages can be fetched once.
        (
            Scripted(lambda context: {"a": Messages(3), "b": 2**70}),
            Outcome.SUCCESS,
            {"a": [message(3)], "b": 2**70},
        ),
        (Scripted(lambda context: (each for each in "ab")), Outcome.SUCCESS, ["a", "b"]),
        (
            Scripted(Holder(at=datetime.date(2026, 1, 2), why=KeyError("k"), inner=[ClientObject()])),
            Outcome.SUCCESS,
            {"at": "2026-01-02", "why": "'k'", "inner": [{"id": "i", "at": "2026-01-02"}]},
        ),
        (Scripted({"a": ClientObject}), Outcome.SUCCESS, {"a": str(ClientObject)}),
        (Scripted(Result(data=[1])), Outcome.SUCCESS, [1]),
        (Scripted(Result(error={"code": 7})), Outcome.ERROR, {"code": 7}),
        (Scripted(Result(error="")), Outcome.ERROR, ""),
        (Scripted(Result(error=0)), Outcome.ERROR, 0),
        (Scripted(Result(cancel=True)), Outcome.CANCELLED, None),
        (Scripted(Result(error="why", cancel=True)), Outcome.CANCELLED, "why"),
        (Scripted("ignored", sync=False), Outcome.SENT, None),
        (Scripted(Result(cancel=True), sync=False), Outcome.SENT, None),
        (Scripted(Result(data=object()), sync=False), Outcome.SENT, None),
        (Scripted(Result(error="no"), sync=False), Outcome.ERROR, "no"),
        (Scripted(raising(RuntimeError("gone")), sync=False), Outcome.ERROR, raised("gone")),
        (Scripted(raising(RuntimeError("gone"))), Outcome.ERROR, raised("gone")),
        (Scripted(raising(RuntimeError())), Outcome.ERROR, raised("RuntimeError")),
        (Scripted(raising(KeyError("k"))), Outcome.ERROR, raised("'k'")),
        (Scripted(raising(SystemExit(3))), Outcome.ERROR, raised("SystemExit: 3")),
        (Scripted(raising(SystemExit())), Outcome.ERROR, raised("SystemExit")),
        (Scripted(raising(BadTextError())), Outcome.ERROR, raised("BadTextError")),
        (Named(raising(RuntimeError("gone"))), Outcome.ERROR, raised("gone", "My action")),
        (Unprintable(raising(RuntimeError("gone"))), Outcome.ERROR, raised("gone")),
        (
            Refusing,
            Outcome.ERROR,
            "Failed to instantiate an action [action_desc=my.act]: ValueError: value must be positive",
        ),
        (
            Exiting,
            Outcome.ERROR,
            "Failed to instantiate an action [action_desc=my.act]: SystemExit",
        ),
    ],
)
def test_outcomes(action, outcome, result):
    assert run(action) == (outcome, result)


@pytest.mark.parametrize("value", [LOOP, b"\xff", {(1, 2): 3, "x": 2**70}])
def test_a_result_that_is_no_data_is_an_error_that_says_why(value):
    outcome, result = run(Scripted(value))
    assert outcome is Outcome.ERROR
    assert result.startswith(
        "The result of the action cannot be written as JSON [action=my.act, action_ex_id=a1]: "
    )


def test_an_action_that_hangs_is_reported_at_once():
    gate = threading.Event()
    try:
        assert run(Scripted(lambda context: gate.wait(20)), timeout_s=0.02) == (
            Outcome.ERROR,
            raised("Timeout after 0.02 seconds"),
        )
    finally:
        gate.set()


@pytest.mark.parametrize("timeout_s", [20, 1e12])
def test_an_action_that_ends_in_time(timeout_s):
    assert run(Scripted("x"), timeout_s=timeout_s) == (Outcome.SUCCESS, "x")


def test_the_action_sees_its_execution():
    action = Scripted(lambda context: [context.execution.workflow_name, context.security.project_id])
    assert run(action, workflow_name="wf", project_id="p")[1] == ["wf", "p"]


# The name and the place are those of Mistral: its packs for OpenStack look nowhere else.
IN_THREAD = "MISTRAL_APP_CTX_THREAD_LOCAL"


@pytest.mark.parametrize("timeout_s", [None, 20])
def test_the_thread_knows_whom_it_works_for_while_the_action_runs(timeout_s):
    def whom(context):
        assert utils.get_thread_local(IN_THREAD) is context.security
        return context.security.project_id

    assert run(Scripted(whom), timeout_s, project_id="p") == (Outcome.SUCCESS, "p")
    assert run(Scripted(whom), timeout_s, project_id="q") == (Outcome.SUCCESS, "q")
    assert not utils.has_thread_local(IN_THREAD)


def test_the_thread_forgets_whom_it_worked_for_when_the_action_fails():
    for error in (RuntimeError("gone"), SystemExit()):
        assert run(Scripted(raising(error)), project_id="p")[0] is Outcome.ERROR
        assert not utils.has_thread_local(IN_THREAD)


def test_threads_know_only_whom_they_work_for_themselves():
    both = threading.Barrier(2)
    seen = []

    def whom(context):
        both.wait(120)
        return utils.get_thread_local(IN_THREAD).project_id

    def one(project_id):
        seen.append((project_id, run(Scripted(whom), project_id=project_id)[1]))

    threads = [threading.Thread(target=one, args=(project_id,)) for project_id in "pq"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(seen) == [("p", "p"), ("q", "q")]


# With the real registry: the texts that workflows of the reference see.
@pytest.mark.parametrize(
    ("name", "arguments", "outcome", "result"),
    [
        ("echo", {"output": 3}, Outcome.SUCCESS, 3),
        ("std.async_noop", {}, Outcome.SENT, None),
        ("std.async_fail", {}, Outcome.ERROR, raised("Fail action expected exception.", "Fail action")),
        ("std.fail", {}, Outcome.ERROR, raised("Fail action expected exception.", "Fail action")),
        ("std.fail", {"error_data": {"a": 1}}, Outcome.ERROR, {"a": 1}),
        ("no.such", {}, Outcome.ERROR, "Failed to find action [action_name=no.such]"),
        (
            "std.http",
            {"url": "http://x", "body": "a", "json": {"secret": 1}},
            Outcome.ERROR,
            (
                "Failed to instantiate an action [action_desc=std.http]: "
                "Only one of the parameters 'json' and 'body' can be passed"
            ),
        ),
        (
            "std.test_dict",
            {"size": "3"},
            Outcome.ERROR,
            raised("'str' object cannot be interpreted as an integer", "std.test_dict"),
        ),
    ],
)
def test_standard_actions(name, arguments, outcome, result):
    runner = ActionRunner(ActionRegistry.load(ActionSettings(load_plugins=False)))
    report = runner.run(ActionRequest(action_execution_id="a1", attempt=1, name=name, input=arguments))
    assert (report.outcome, report.result) == (outcome, result)
