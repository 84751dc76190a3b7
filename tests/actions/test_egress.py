"""Which addresses the egress policy denies, whatever form they come in."""

from __future__ import annotations

import pytest

from mistral_lite.actions.egress import EgressPolicy, HttpSettings
from mistral_lite.errors import ActionError, InputError


@pytest.mark.parametrize(
    ("address", "denied"),
    [
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("169.254.169.254", True),
        ("0.0.0.0", True),
        ("0.1.2.3", True),
        ("::1", True),
        ("::", True),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:169.254.169.254", True),
        ("::127.0.0.1", True),
        ("2002:7f00:1::", True),
        ("64:ff9b::7f00:1", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("64:ff9b:1::a9fe:a9fe", True),
        ("::ffff:0:7f00:1", True),
        ("2001:db8::5efe:7f00:1", True),
        ("2001:db8::200:5efe:7f00:1", True),
        ("2001:0:cb00:7107:8000:63ed:80ff:fffe", True),
        ("2001:0:7f00:1::1", True),
        ("2001:0:cb00:7107:8000:63ed:34ff:8ef8", False),
        ("64:ff9b::cb00:7107", False),
        ("10.0.0.1", False),
        ("203.0.113.7", False),
        ("::ffff:203.0.113.7", False),
        ("2001:db8::1", False),
    ],
)
def test_denied_by_default(address, denied):
    assert EgressPolicy(HttpSettings()).is_denied(address) is denied


def test_nothing_is_denied_by_an_empty_list():
    assert not EgressPolicy(HttpSettings(denied_cidrs=())).is_denied("127.0.0.1")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://good.example/", None),
        ("https://GOOD.example:8443/x", None),
        ("http://user:pw@good.example/", None),
        ("http://bad.example/", "Host 'bad.example' is not in [action_std_http] allowed_hosts."),
        ("http://good.example@bad.example/", "Host 'bad.example' is not in"),
        ("file:///etc/passwd", "URL scheme 'file' is not allowed"),
        ("http:///x", "URL does not contain a host."),
    ],
)
def test_allowed_hosts(url, message):
    policy = EgressPolicy(HttpSettings(allowed_hosts=("Good.example",)))
    if message is None:
        policy.check_url(url)
        return
    with pytest.raises(ActionError) as caught:
        policy.check_url(url)
    assert message in str(caught.value)


def test_an_allowed_host_may_still_resolve_to_a_denied_address():
    policy = EgressPolicy(HttpSettings(allowed_hosts=("localhost",)))
    with pytest.raises(ActionError, match="URL host 'localhost' resolves to a blocked address"):
        policy.resolve("localhost", 80)


def test_a_network_that_is_none_is_refused_at_start():
    with pytest.raises(InputError, match="denied_cidrs: 'nonsense' is not a network"):
        EgressPolicy(HttpSettings(denied_cidrs=("nonsense",)))
