"""The standard actions that need no network, or an optional package."""

from __future__ import annotations

import json
import socketserver
import sys
import threading
import types

import pytest
from mistral_lib.actions import Result

from mistral_lite.actions.context import build_context
from mistral_lite.actions.std.basic import (
    AsyncFailAction,
    AsyncNoopAction,
    EchoAction,
    FailAction,
    NoopAction,
    SampleDictAction,
    SleepAction,
)
from mistral_lite.actions.std.email import EmailAction
from mistral_lite.actions.std.javascript import JavaScriptAction
from mistral_lite.actions.std.ssh import ProxiedSshAction, SshAction, key_path
from mistral_lite.errors import ActionError

NOWHERE = build_context({})


@pytest.mark.parametrize(
    ("action", "result"),
    [
        (NoopAction(), None),
        (AsyncNoopAction(), None),
        (EchoAction({"a": [1]}), {"a": [1]}),
        (EchoAction("x", delay="bad"), "x"),
        (EchoAction("x", delay=-3), "x"),
        (EchoAction("x", delay=float("inf")), "x"),
        (EchoAction("x", delay="0.001"), "x"),
        (SleepAction(0), None),
        (SleepAction("bad"), None),
        (SleepAction(-1), None),
        (SleepAction("0.9"), None),
        (FailAction({"code": 7}), Result(error={"code": 7})),
        (SampleDictAction(2, "k", 7), {"k0": 7, "k1": 7}),
        (SampleDictAction(), {}),
    ],
)
def test_results(action, result):
    assert action.run(NOWHERE) == result


@pytest.mark.parametrize("error_data", [None, 0, "", {}])
def test_fail_raises_without_error_data(error_data):
    with pytest.raises(ActionError, match=r"^Fail action expected exception\.$"):
        FailAction(error_data).run(NOWHERE)


@pytest.mark.parametrize(
    ("action", "is_sync"),
    [(NoopAction(), True), (AsyncNoopAction(), False), (FailAction(), True), (AsyncFailAction(), False)],
)
def test_who_waits_for_a_third_party(action, is_sync):
    assert action.is_sync() is is_sync


class SmtpHandler(socketserver.StreamRequestHandler):
    """The least of SMTP that takes one message."""

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        in_data = False
        for line in self.rfile:
            if in_data:
                if line == b".\r\n":
                    in_data = False
                    self.wfile.write(b"250 taken\r\n")
                else:
                    self.server.message.append(line.decode())
                continue
            self.server.commands.append(line.decode().strip())
            verb = line[:4].upper()
            in_data = verb == b"DATA"
            self.wfile.write({b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 fine\r\n"))
            if verb == b"QUIT":
                return


@pytest.fixture
def smtp():
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), SmtpHandler)
    server.daemon_threads = True
    server.commands, server.message = [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_email_reaches_everybody_and_hides_the_blind_copies(smtp):
    action = EmailAction(
        "me@x.example",
        ["you@x.example"],
        f"127.0.0.1:{smtp.server_address[1]}",
        reply_to=["desk@x.example"],
        cc_addrs=["cc@x.example"],
        bcc_addrs=["blind@x.example"],
        body="plain text",
        html_body="<b>bold</b>",
    )
    assert action.run(NOWHERE) is None
    recipients = [command.split("<")[1].split(">")[0] for command in smtp.commands if command[:4] == "rcpt"]
    assert recipients == ["you@x.example", "cc@x.example", "blind@x.example"]
    text = "".join(smtp.message)
    assert "blind@" not in text
    for part in (
        "Subject: <No subject>",
        "Reply-To: desk@x.example",
        "Cc: cc@x.example",
        "multipart/alternative",
        "plain text",
        "<b>bold</b>",
    ):
        assert part in text


@pytest.mark.parametrize("server", ["127.0.0.1:1", "127.0.0.1:port"])
def test_email_that_cannot_be_sent(server):
    with pytest.raises(ActionError, match=r"^Failed to send an email message: "):
        EmailAction("a", ["b"], server).run(NOWHERE)


@pytest.mark.parametrize(
    ("module", "action", "message"),
    [
        ("paramiko", SshAction("ls", "h", "u"), "need the Python package paramiko"),
        ("paramiko", ProxiedSshAction("ls", "h", "u", "k", "g"), "need the Python package paramiko"),
        (
            "py_mini_racer",
            JavaScriptAction("return 1"),
            "JavaScriptAction failed: the Python package py_mini_racer",
        ),
    ],
)
def test_a_missing_package_is_named(monkeypatch, module, action, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ActionError, match=message):
        action.run(NOWHERE)


@pytest.mark.parametrize(("text", "result"), [('{"n":2}', {"n": 2}), ("null", None), (None, None)])
def test_javascript_gets_its_context_as_json_and_returns_data(monkeypatch, text, result):
    """The engine is a stand-in: its package is optional and not among the test requirements."""
    sources = []
    engine = types.ModuleType("py_mini_racer")
    engine.MiniRacer = lambda: types.SimpleNamespace(eval=lambda source: sources.append(source) or text)
    monkeypatch.setitem(sys.modules, "py_mini_racer", engine)
    assert JavaScriptAction("return $.n // note", {"n": 1}).run(NOWHERE) == result
    assert sources == ['JSON.stringify((function($) { return $.n // note\n})({"n":1}))']


def test_javascript_that_fails(monkeypatch):
    engine = types.ModuleType("py_mini_racer")
    engine.MiniRacer = lambda: types.SimpleNamespace(eval=lambda source: json.loads("no json"))
    monkeypatch.setitem(sys.modules, "py_mini_racer", engine)
    with pytest.raises(ActionError, match=r"^JavaScriptAction failed: Expecting value"):
        JavaScriptAction("nonsense(").run(NOWHERE)


@pytest.mark.parametrize(
    ("name", "path"), [(None, None), ("", None), ("id_x", "/home/me/.ssh/id_x"), ("/keys/a", "/keys/a")]
)
def test_key_path(monkeypatch, name, path):
    monkeypatch.setenv("HOME", "/home/me")
    assert key_path(name) == path


@pytest.mark.parametrize("name", ["../id", "a/../../b", "/keys/../x"])
def test_a_key_file_stays_in_its_folder(name):
    with pytest.raises(ActionError, match="must not contain"):
        key_path(name)


def test_the_context_carries_what_the_order_says():
    context = build_context({"workflow_name": "wf", "project_id": "p", "callback_url": "u", "other": 1})
    assert vars(context.execution)["workflow_name"] == "wf"
    assert context.execution.callback_url == "u"
    assert context.execution.task_execution_id is None
    assert context.security.project_id == "p"
    assert context.security.auth_token is None
