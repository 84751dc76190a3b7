"""``std.http`` and ``std.mistral_http`` against a real server: what is sent, what comes back, what is refused."""

from __future__ import annotations

import socket

import pytest
from mistral_lib.actions import Result

from mistral_lite.actions.context import build_context
from mistral_lite.actions.egress import HttpSettings
from mistral_lite.actions.std.http import HttpAction, MistralHttpAction
from mistral_lite.actions.transport import HttpTransport
from mistral_lite.errors import ActionError
from mistral_lite.jsontext import dump, load

OPEN = HttpSettings(denied_cidrs=(), max_response_bytes=4096, default_timeout_s=20.0)
NOWHERE = build_context({})


def run(url, settings=OPEN, **parameters):
    action_class = HttpAction.bound_to(HttpTransport(settings))
    return action_class(url, **parameters).run(NOWHERE)


def test_the_result_is_plain_data_with_all_the_fields(site):
    result = run(site.url("/echo"), params={"a": 1, "b": [1, 2]})
    assert load(dump(result)) == result
    assert set(result) == {
        "content",
        "status",
        "headers",
        "url",
        "history",
        "encoding",
        "reason",
        "cookies",
        "elapsed",
    }
    assert result["status"] == 200
    assert result["reason"] == "OK"
    assert result["content"]["path"] == "/echo?a=1&b=1&b=2"
    assert result["url"] == site.url("/echo?a=1&b=1&b=2")
    assert result["history"] == []
    assert result["encoding"] is None
    assert isinstance(result["elapsed"], float)


@pytest.mark.parametrize(
    ("parameters", "body", "headers"),
    [
        ({"body": {"é": 1}}, '{"\\u00e9": 1}', {}),
        ({"body": [1, 2]}, "[1, 2]", {}),
        ({"body": "é"}, "é", {}),
        ({"json": {"a": 1}}, '{"a": 1}', {"Content-Type": "application/json"}),
        ({"json": {}, "body": "x"}, "x", {}),
        ({"headers": {"X-A": 5, "X-B": 1.5, "X-C": None}}, "", {"X-A": "5", "X-B": "1.5", "X-C": None}),
        ({"auth": "user:secret"}, "", {"Authorization": "Basic dXNlcjpzZWNyZXQ="}),
        ({"auth": ["user", "secret"]}, "", {"Authorization": "Basic dXNlcjpzZWNyZXQ="}),
        ({"cookies": {"c": "d"}}, "", {"Cookie": "c=d"}),
        ({}, "", {"Authorization": None, "Content-Type": None, "Cookie": None}),
    ],
)
def test_what_is_sent(site, parameters, body, headers):
    run(site.url("/echo"), method="POST", **parameters)
    (seen,) = site.requests
    assert seen["method"] == "POST"
    assert seen["body"].replace('": 1', '":1') == body.replace('": 1', '":1')
    assert {name: seen["headers"].get(name) for name in headers} == headers


def test_credentials_of_the_service_account_stay_at_home(site, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login root password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    run(site.url("/echo"))
    assert "Authorization" not in site.requests[0]["headers"]


@pytest.mark.parametrize(
    ("status", "is_error"),
    [
        (200, False),
        (201, False),
        (204, False),
        (304, False),
        (306, False),
        (307, True),
        (404, True),
        (500, True),
    ],
)
def test_a_status_from_200_to_306_is_a_success(site, status, is_error):
    result = run(site.url(f"/status/{status}"))
    assert isinstance(result, Result) is is_error
    shown = result.error if is_error else result
    assert shown["status"] == status


@pytest.mark.parametrize(("path", "content"), [("/text", "é"), ("/binary", "��"), ("/large/3", "xxx")])
def test_a_body_that_is_no_json_is_text(site, path, content):
    assert run(site.url(path))["content"] == content


def test_cookies_are_shown_and_not_carried_to_the_next_action(site):
    action_class = HttpAction.bound_to(HttpTransport(OPEN))
    assert action_class(site.url("/text")).run(NOWHERE)["cookies"] == {"a": "b"}
    action_class(site.url("/echo")).run(NOWHERE)
    assert "Cookie" not in site.requests[1]["headers"]


def test_a_thread_keeps_its_connection(site):
    action_class = HttpAction.bound_to(HttpTransport(OPEN))
    for _ in range(3):
        action_class(site.url("/echo")).run(NOWHERE)
    assert len(site.peers) == 1


def test_redirects_are_followed_only_on_demand(site):
    headers = {"X-To": site.url("/echo")}
    stayed = run(site.url("/redirect"), headers=headers)
    assert (stayed["status"], stayed["headers"]["Location"]) == (302, site.url("/echo"))
    followed = run(site.url("/redirect"), headers=headers, allow_redirects=True)
    assert (followed["status"], followed["url"]) == (200, site.url("/echo"))
    assert followed["history"] == [{"status": 302, "url": site.url("/redirect")}]
    assert followed["content"]["headers"]["Cookie"] == "seen=1"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("http://127.0.0.2:{port}/echo", "resolves to a blocked address (127.0.0.2)"),
        ("http://[::ffff:127.0.0.2]:{port}/echo", "resolves to a blocked address"),
        ("http://elsewhere.invalid/", "is not in [action_std_http] allowed_hosts"),
        ("ftp://127.0.0.1/", "Failed to send HTTP request"),
    ],
)
def test_a_redirect_passes_the_same_gate(site, target, message):
    settings = HttpSettings(
        denied_cidrs=("127.0.0.2/32",), allowed_hosts=("127.0.0.1", "127.0.0.2", "::ffff:127.0.0.2")
    )
    headers = {"X-To": target.format(port=site.port)}
    with pytest.raises(ActionError) as caught:
        run(site.url("/redirect"), settings, headers=headers, allow_redirects=True)
    assert message in str(caught.value)
    assert [seen["path"] for seen in site.requests] == ["/redirect"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "0", "2130706433", "0x7f.1"])
def test_this_machine_is_refused_by_default_in_every_spelling(site, host):
    with pytest.raises(ActionError, match="blocked address"):
        run(site.url("/echo", host=host), HttpSettings())
    assert site.requests == []


def test_a_class_used_without_a_registry_is_strict(site):
    with pytest.raises(ActionError, match="blocked address"):
        HttpAction(site.url("/echo")).run(NOWHERE)


def test_the_address_that_was_judged_is_the_one_connected_to(site, monkeypatch):
    """A name that resolves to something else the second time must not lead anywhere else."""
    answers = [("203.0.113.7", site.port), ("127.0.0.1", site.port)]
    real = socket.getaddrinfo
    asked = []

    def rebinding(host, port, *args, **kwargs):
        if host != "rebind.test":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", answers[min(len(asked), 2) - 1])]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(ActionError, match="Failed to send HTTP request"):
        run(f"http://rebind.test:{site.port}/echo", HttpSettings(), timeout=0.2)
    assert asked == ["rebind.test"]
    assert site.requests == []


def test_the_address_of_a_proxy_is_judged(site):
    with pytest.raises(ActionError, match="blocked address"):
        run("http://203.0.113.7/", HttpSettings(), proxies={"http": site.url("")})
    with pytest.raises(ActionError, match="blocked address"):
        run("http://127.0.0.1/", HttpSettings(), proxies={"http": "http://203.0.113.7:1"})
    with pytest.raises(ActionError, match="http and https proxies only"):
        run(site.url("/"), proxies={"http": "socks5://203.0.113.7:1"})
    assert run("http://203.0.113.7/echo", proxies={"http": site.url("")})["content"]["path"] == (
        "http://203.0.113.7/echo"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/large/4097", r"HTTP response is too large \(Content-Length=4097, limit=4096 bytes\)\."),
        ("/stream/64", r"HTTP response is too large \(more than "),
    ],
)
def test_a_large_body_is_cut_off(site, path, message):
    with pytest.raises(ActionError, match=message):
        run(site.url(path))


def test_the_largest_body_passes(site):
    assert len(run(site.url("/large/4096"))["content"]) == 4096
    unlimited = HttpSettings(denied_cidrs=(), max_response_bytes=0)
    assert len(run(site.url("/stream/64"), unlimited)["content"]) == 65536


@pytest.mark.parametrize("timeout", [0.05, [5, 0.05]])
def test_a_server_that_does_not_answer_is_given_up(site, timeout):
    with pytest.raises(ActionError, match=r"Failed to send HTTP request: .*timed out"):
        run(site.url("/hang"), timeout=timeout)


def test_the_configured_timeout_counts_without_one(site):
    settings = HttpSettings(denied_cidrs=(), default_timeout_s=0.05)
    with pytest.raises(ActionError, match="timed out"):
        run(site.url("/hang"), settings)


def test_a_default_timeout_of_zero_is_none(site):
    assert run(site.url("/echo"), HttpSettings(denied_cidrs=(), default_timeout_s=0))["status"] == 200


@pytest.mark.parametrize(
    ("url", "parameters", "message"),
    [
        ("ftp://x/", {}, "URL scheme 'ftp' is not allowed (only http and https are)."),
        ("nohost", {}, "URL scheme '' is not allowed (only http and https are)."),
        ("http://", {}, "URL does not contain a host."),
        ("http://[::1", {}, "The parameter 'url' is not a valid URL."),
        (7, {}, "The parameter 'url' must be a text."),
        ("http://a", {"auth": "a:b:c"}, "The parameter 'auth' must be"),
        ("http://127.0.0.1/", {"timeout": "x"}, "Failed to send HTTP request: "),
        ("http://127.0.0.1/", {"body": 7}, "Failed to send HTTP request: "),
        ("http://127.0.0.1/", {"headers": {"X": [1]}}, "Failed to send HTTP request: "),
        ("http://unknown.invalid/", {}, "Failed to send HTTP request: "),
    ],
)
def test_a_mistake_gets_a_clear_text(url, parameters, message):
    with pytest.raises(ActionError) as caught:
        run(url, **parameters)
    assert message in str(caught.value)


def test_a_failure_does_not_show_the_query():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/?token=secret"
        with pytest.raises(ActionError, match="Failed to establish a new connection") as caught:
            run(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["secret\n", " secret", "se\r\ncret: x", ["secret"]])
def test_a_failure_does_not_show_a_header(site, value):
    with pytest.raises(ActionError, match="a header has a name or a value that cannot be sent") as caught:
        run(site.url("/echo"), headers={"Authorization": value})
    assert "cret" not in str(caught.value)


def test_body_and_json_exclude_each_other():
    with pytest.raises(ActionError, match="Only one of the parameters 'json' and 'body' can be passed"):
        HttpAction("http://x", body="a", json={"a": 1})


def test_mistral_http_tells_the_third_party_where_to_answer(site):
    action = MistralHttpAction.bound_to(HttpTransport(OPEN))(site.url("/echo"), headers={"X-Mine": 1})
    action.run(
        build_context(
            {
                "workflow_name": "wf",
                "workflow_execution_id": "w-1",
                "task_execution_id": "t-1",
                "action_execution_id": "a-1",
                "callback_url": "http://mistral.example:8989",
                "project_id": "p",
            }
        )
    )
    assert not action.is_sync()
    sent = {name: value for name, value in site.requests[0]["headers"].items() if name[:2] in ("Mi", "X-")}
    assert sent == {
        "X-Mine": "1",
        "Mistral-Workflow-Name": "wf",
        "Mistral-Workflow-Execution-Id": "w-1",
        "Mistral-Task-Id": "t-1",
        "Mistral-Action-Execution-Id": "a-1",
        "Mistral-Callback-URL": "http://mistral.example:8989",
    }


def test_mistral_http_outside_a_workflow_leaves_the_unknown_out(site):
    action = MistralHttpAction.bound_to(HttpTransport(OPEN))(site.url("/echo"))
    action.run(build_context({"action_execution_id": "a-1", "callback_url": "u"}))
    names = {name for name in site.requests[0]["headers"] if name.startswith("Mistral-")}
    assert names == {"Mistral-Action-Execution-Id", "Mistral-Callback-URL"}
