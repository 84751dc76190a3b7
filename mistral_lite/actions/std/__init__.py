"""The standard actions and their names.

The table is code and not entry points, so that they work from a source tree and no other distribution
that ships ``std.*`` can replace them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mistral_lite.actions.context import StandardAction
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
from mistral_lite.actions.std.http import HttpAction, MistralHttpAction
from mistral_lite.actions.std.javascript import JavaScriptAction
from mistral_lite.actions.std.ssh import ProxiedSshAction, SshAction, WaitSshAction

STANDARD_ACTIONS: Mapping[str, type[StandardAction]] = MappingProxyType(
    {
        "std.async_fail": AsyncFailAction,
        "std.async_noop": AsyncNoopAction,
        "std.echo": EchoAction,
        "std.email": EmailAction,
        "std.fail": FailAction,
        "std.http": HttpAction,
        "std.javascript": JavaScriptAction,
        "std.js": JavaScriptAction,
        "std.mistral_http": MistralHttpAction,
        "std.noop": NoopAction,
        "std.sleep": SleepAction,
        "std.ssh": SshAction,
        "std.ssh_proxied": ProxiedSshAction,
        "std.test_dict": SampleDictAction,
        "std.wait_ssh": WaitSshAction,
    }
)
