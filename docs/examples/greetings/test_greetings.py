"""The pack by itself: actions are plain objects, so testing them needs no service."""

from greetings import Ask, Hello, shout
from mistral_lib.actions.context import ActionContext, ExecutionContext, SecurityContext


def context(**facts):
    return ActionContext(security_ctx=SecurityContext(), execution_ctx=ExecutionContext(**facts))


def test_hello():
    assert Hello("world").run(context()) == "hello world"
    assert Hello("").run(context()).is_error()


def test_ask(capsys):
    action = Ask("Why?")
    assert not action.is_sync()
    action.run(context(callback_url="http://answers"))
    assert capsys.readouterr().out == "Why? Answer to http://answers\n"


def test_shout():
    assert shout({}, "hello") == "HELLO!"
