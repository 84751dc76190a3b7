"""Names, aliases, signatures and parameter checks of installed actions; plug-ins that are broken."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest
from mistral_lib.actions import Action
from mistral_lib.actions.context import SecurityContext

from mistral_lite.actions import plugins
from mistral_lite.actions.context import build_context
from mistral_lite.actions.egress import HttpSettings
from mistral_lite.actions.queues import QUEUE_ACTIONS
from mistral_lite.actions.registry import ActionRegistry, ActionSettings, describe_class
from mistral_lite.actions.std.http import HttpAction
from mistral_lite.errors import ForbiddenError, InputError, NotFoundError
from mistral_lite.workflow.descriptors import ActionDescriptor, ActionParameter

HTTP_SIGNATURE = (
    'url, method="GET", params=null, body=null, json=null, headers=null, cookies=null, auth=null, '
    "timeout=null, allow_redirects=null, proxies=null, verify=null"
)


@pytest.fixture(scope="module")
def registry():
    return ActionRegistry.load(ActionSettings(load_plugins=False))


# As the actions of Mistral 23.0.0 show them through its API.
@pytest.mark.parametrize(
    ("name", "signature", "is_sync"),
    [
        ("std.async_noop", "", False),
        ("std.async_fail", "error_data=null", False),
        ("std.echo", "output, delay=0", True),
        (
            "std.email",
            (
                "from_addr, to_addrs, smtp_server, reply_to=null, cc_addrs=null, bcc_addrs=null, "
                "smtp_password=null, subject=null, body=null, html_body=null"
            ),
            True,
        ),
        ("std.fail", "error_data=null", True),
        ("std.http", HTTP_SIGNATURE, True),
        ("std.javascript", "script, context=null", True),
        ("std.js", "script, context=null", True),
        ("std.mistral_http", HTTP_SIGNATURE, False),
        ("std.noop", "", True),
        ("std.sleep", "seconds=1", True),
        ("std.wait_ssh", 'host, username, password=""', True),
        (
            "std.ssh",
            (
                'cmd, host, username, password="", private_key_filename=null, private_key=null, '
                "return_result_on_error=false"
            ),
            True,
        ),
        (
            "std.ssh_proxied",
            (
                "cmd, host, username, private_key_filename, gateway_host, gateway_username=null, "
                "password=null, proxy_command=null, private_key=null"
            ),
            True,
        ),
        ("std.test_dict", 'size=0, key_prefix="", val=""', True),
    ],
)
def test_standard_actions(registry, name, signature, is_sync):
    descriptor = registry.get(name)
    assert (descriptor.name, descriptor.signature, descriptor.is_sync) == (name, signature, is_sync)
    assert descriptor.description
    # The how-to writes the names without prefix.
    assert registry.find(name.removeprefix("std.")) == descriptor


def test_the_list_has_full_names_only(registry):
    names = [descriptor.name for descriptor in registry.list_all()]
    assert names == sorted(names)
    assert len([name for name in names if name.startswith("std.")]) == 15
    assert {name for name in names if not name.startswith("std.")} == set(QUEUE_ACTIONS)


@pytest.mark.parametrize(
    ("name", "signature", "is_sync"),
    # The first five as mistral-extra 17.0.0 has them.
    [
        ("zaqar.claim_messages", "queue_name, **kwargs", True),
        ("zaqar.delete_messages", "queue_name, messages", True),
        ("zaqar.queue_messages", "queue_name, **kwargs", True),
        ("zaqar.queue_pop", "queue_name, count=1", True),
        ("zaqar.queue_post", "queue_name, messages", True),
        ("zaqar.queue_create", "queue_name, metadata=null", True),
        ("zaqar.queue_delete", "queue_name", True),
        ("zaqar.queue_list", "marker=null, limit=10", True),
        ("zaqar.queue_stats", "queue_name", True),
        ("zaqar.queue_wait", "queue_name, match=null, limit=1", False),
    ],
)
def test_actions_on_queues(registry, name, signature, is_sync):
    descriptor = registry.get(name)
    assert (descriptor.signature, descriptor.is_sync) == (signature, is_sync)
    assert descriptor.worker is not None


def test_without_embedded_queues_their_names_are_free():
    registry = ActionRegistry.load(ActionSettings(load_plugins=False, embedded_queues=False))
    assert not [name for name in QUEUE_ACTIONS if registry.find(name) is not None]


def test_with_a_zaqar_executors_act_and_engines_wait(registry):
    def connect(security):
        raise ForbiddenError(f"nobody lets {security.user_name} in")

    # Whether there are embedded queues does not matter then.
    settings = ActionSettings(load_plugins=False, embedded_queues=False, connect_queues=connect)
    connected = ActionRegistry.load(settings)
    for name in QUEUE_ACTIONS:
        descriptor, embedded = connected.get(name), registry.get(name)
        assert (descriptor.worker is None) == (name != "zaqar.queue_wait")
        assert replace(descriptor, worker=None) == replace(embedded, worker=None)
    context = build_context({}, SecurityContext(user_name="alice"))
    with pytest.raises(ForbiddenError, match="nobody lets alice in"):
        connected.instantiate("zaqar.queue_pop", {"queue_name": "q"}).run(context)


def test_an_unknown_action(registry):
    assert registry.find("std.nope") is None
    with pytest.raises(NotFoundError, match=r"^Failed to find action \[action_name=std\.nope\]$"):
        registry.get("std.nope")
    with pytest.raises(NotFoundError):
        registry.instantiate("std.nope", {})


def test_http_actions_get_the_settings():
    settings = HttpSettings(denied_cidrs=(), default_timeout_s=3.0)
    action = ActionRegistry.load(ActionSettings(http=settings)).instantiate("http", {"url": "http://x"})
    assert action.transport.settings is settings
    assert isinstance(action, HttpAction)


@pytest.mark.parametrize(
    ("name", "given", "facts"),
    [
        ("std.echo", {}, "missing=['output']"),
        ("std.echo", {"output": "secret", "x": 2}, "unexpected=['x']"),
        ("std.echo", {"x": 2, "y": 1}, "missing=['output'], unexpected=['x', 'y']"),
        ("std.noop", {"a": 1}, "unexpected=['a']"),
    ],
)
def test_an_input_that_does_not_fit(registry, name, given, facts):
    descriptor = registry.get(name)
    with pytest.raises(InputError) as caught:
        descriptor.check(given)
    assert str(caught.value) == f"Invalid input [name={name}, class={descriptor.class_name}, {facts}]"


@pytest.mark.parametrize(
    ("name", "given"),
    [("std.echo", {"output": 1}), ("std.echo", {"output": 1, "delay": 2}), ("std.noop", {})],
)
def test_an_input_that_fits(registry, name, given):
    registry.get(name).check(given)


class Plain(Action):
    def run(self, context):
        return None


NO_JSON = object()


class Greedy(Plain):
    def __init__(self, a, *rest, b=NO_JSON, **others):
        pass


class Declared(Plain):
    __arguments__ = "x, y=1"

    def __init__(self, **anything):
        pass


class Moody(Plain):
    def __init__(self, wait):
        self.wait = wait

    def is_sync(self):
        return not self.wait


class Own(HttpAction):
    pass


@pytest.mark.parametrize(
    ("action_class", "signature", "accepts_any"),
    [
        (Plain, "", False),
        (Greedy, "a, b=null, **kwargs", True),
        (Declared, "x, y=1", False),
        (Moody, "wait", False),
    ],
)
def test_descriptors_of_classes(action_class, signature, accepts_any):
    descriptor = describe_class("my.action", action_class)
    assert (descriptor.signature, descriptor.accepts_any, descriptor.is_sync) == (
        signature,
        accepts_any,
        True,
    )
    assert descriptor.class_name.endswith(f".{action_class.__name__}")


def test_open_parameters_are_not_checked():
    describe_class("g", Greedy).check({"anything": 1})
    with pytest.raises(InputError, match=r"missing=\['x'\], unexpected=\['z'\]"):
        describe_class("d", Declared).check({"z": 1})


def test_a_descriptor_can_be_made_from_data():
    descriptor = ActionDescriptor(
        name="adhoc",
        class_name="x",
        parameters=(ActionParameter(name="a"), ActionParameter(name="b", required=False, default={"k": [1]})),
    )
    assert descriptor.signature == 'a, b={"k": [1]}'


def test_broken_plugins_are_left_out_and_logged(monkeypatch, caplog):
    module = type(sys)("plugin_for_test")
    module.Good, module.Own, module.nothing = Plain, Own, 7
    monkeypatch.setitem(sys.modules, "plugin_for_test", module)
    found = [
        EntryPoint(name=name, value=value, group="mistral.actions")
        for name, value in [
            ("my.good", "plugin_for_test:Good"),
            ("my.http", "plugin_for_test:Own"),
            ("my.missing", "plugin_for_test:Missing"),
            ("my.no_module", "no_such_module_for_test:X"),
            ("my.no_action", "plugin_for_test:nothing"),
            ("std.echo", "plugin_for_test:Good"),
            ("noop", "plugin_for_test:Good"),
        ]
    ]
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [item for item in found if item.group == group]
    )
    settings = HttpSettings(default_timeout_s=1.0)
    registry = ActionRegistry.load(ActionSettings(http=settings))
    names = {descriptor.name for descriptor in registry.list_all()}
    assert {"my.good", "my.http", "noop", "std.echo"} <= names
    assert not {"my.missing", "my.no_module", "my.no_action"} & names
    assert len(caplog.records) == 3
    # A standard name cannot be taken over; a short one can, and is then no alias.
    assert registry.get("std.echo").signature == "output, delay=0"
    assert isinstance(registry.instantiate("noop", {}), Plain)
    assert registry.instantiate("my.http", {"url": "http://x"}).transport.settings is settings
