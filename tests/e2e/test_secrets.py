"""Secrets that users and operators hand over turn up in no log, no error and no text about a failure.

What a user put into an input, an environment or a definition is shown again where these are shown; that is what they
are for. Each canary is a word of its own, so that a find tells where it came from.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from conftest import MakeDeployment, MakeWebService
from deployments import FINISHED, AllInOne, Deployment, eventually

CANARY = re.compile(r"canary-[a-z0-9-]+")
DEBUG = """
[DEFAULT]
debug = true
[api]
validation_mode = mandatory
"""

WORKFLOW: dict[str, Any] = {
    "version": "2.0",
    "NAME": {
        "input": ["data", "url", "closed"],
        "vars": {"var": "canary-vars"},
        "output": {"all": "<% $.data %>", "broken": "<% $.data.nothing %>"},
        "tasks": {
            "headers": {
                "action": "std.http",
                "input": {
                    "url": "<% $.url %>",
                    "headers": {"Authorization": "canary-newline\n", "X-Auth-Token": "<% $.data.token %>"},
                },
            },
            "refused": {
                "action": "std.http",
                "input": {
                    "url": "<% $.closed + '/?token=canary-query' %>",
                    "auth": "user:canary-auth",
                    "headers": {"X-Auth-Token": "canary-header"},
                    "body": {"password": "canary-body"},
                    "cookies": {"session": "canary-cookie"},
                },
            },
            "userinfo": {
                "action": "std.http",
                "input": {"url": "<% $.closed.replace('http://', 'http://user:canary-userinfo@') %>"},
            },
            "proxied": {
                "action": "std.http",
                "input": {
                    "url": "http://203.0.113.7/",
                    "timeout": 1,
                    "proxies": {"http": "<% $.closed.replace('http://', 'http://user:canary-proxy@') %>"},
                },
            },
            "mail": {
                "action": "std.email",
                "input": {
                    "from_addr": "a@example.org",
                    "to_addrs": ["b@example.org"],
                    "smtp_server": "<% $.closed.replace('http://', '') %>",
                    "smtp_password": "canary-smtp",
                    "body": "canary-mail-body",
                },
            },
            "key": {
                "action": "std.ssh",
                "input": {
                    "cmd": "true",
                    "host": "127.0.0.1",
                    "username": "nobody",
                    "password": "canary-ssh",
                    "private_key": "-----BEGIN RSA PRIVATE KEY-----\ncanary-key\n-----END RSA PRIVATE KEY-----",
                },
            },
            "unknown": {"action": "std.noop", "input": {"canary-free": "canary-parameter"}},
            "number": {"action": "std.noop", "publish": {"n": "<% int($.data.token) %>"}},
            "method": {"action": "std.noop", "publish": {"n": "<% $.data.frobnicate() %>"}},
            "operator": {"action": "std.noop", "publish": {"n": "<% $.data.token + 1 %>"}},
            "key-error": {"action": "std.noop", "publish": {"n": "<% $.data[$.data.token] %>"}},
            "parsed": {"action": "std.noop", "publish": {"n": "<% json_parse($.data.token) %>"}},
            "yaml": {"action": "std.noop", "publish": {"n": "<% yaml_parse('[' + $.data.token) %>"}},
            "jinja": {"action": "std.noop", "publish": {"n": "{{ _.data.token | int + _.data.token }}"}},
            "attribute": {"action": "std.noop", "publish": {"n": "{{ _.data[_.data.token] }}"}},
            "attr": {"action": "std.noop", "publish": {"n": "{{ (_.data | attr(_.data.token)).x }}"}},
            "formatted": {"action": "std.noop", "publish": {"n": "{{ _.data.token % 1 }}"}},
            "span": {"action": "std.noop", "publish": {"n": "<% timespan($.data.token) %>"}},
            "elsewhere": {"action": "std.noop", "publish": {"n": "<% let(t => $.data.token) -> int($t) %>"}},
            "date": {"action": "std.noop", "publish": {"n": "<% datetime($.data.token) %>"}},
            "pattern": {"action": "std.noop", "publish": {"n": "<% regex('(' + $.data.token).matches(a) %>"}},
            "environment": {"action": "std.noop", "publish": {"n": "<% int(env().secret) %>"}},
            "counted": {"action": "std.noop", "retry": {"count": "<% $.data.token %>", "delay": 1}},
            "waiting": {"action": "std.noop", "wait-before": "<% $.data.token %>"},
            "named": {"action": "<% $.data.dotted %>"},
            "nested": {"workflow": "<% $.data.dotted %>"},
        },
    },
}


def found_in(text: str) -> set[str]:
    return set(CANARY.findall(text))


@pytest.fixture(scope="module")
def talkative(_make: MakeDeployment) -> Deployment:
    made = _make(AllInOne.kind, DEBUG)
    made.start()
    return made


def test_no_secret_is_logged_or_told_in_an_error(
    talkative: Deployment, make_web_service: MakeWebService
) -> None:
    site = make_web_service()
    hook = {
        "type": "webhook",
        "url": f"{site.url}/?key=canary-hook",
        "headers": {"Authorization": "canary-hook-header"},
    }
    closed = make_web_service()
    closed_url = closed.url
    closed.close()
    data = {"token": "canary-token", "dotted": "canary-name"}
    answer = talkative.call(
        "POST",
        "/v2/workflows",
        raw=json.dumps(WORKFLOW).replace("NAME", "secrets").encode(),
        headers={"X-Auth-Token": "canary-request-token", "Authorization": "Basic canary-basic"},
    )
    assert answer.status == 201, answer
    answer = talkative.call(
        "POST",
        "/v2/executions",
        {
            "workflow_name": "secrets",
            "input": {"data": data, "url": site.url, "closed": closed_url},
            "params": {"env": {"secret": "canary-env"}, "notify": [hook]},
        },
        headers={"X-Auth-Token": "canary-request-token", "Cookie": "a=canary-request-cookie"},
    )
    assert answer.status == 201, answer
    execution = talkative.finished(answer.body["id"])
    assert execution["state"] == "ERROR"
    eventually(
        lambda: all(task["state"] in FINISHED for task in talkative.tasks(execution["id"]).values()),
        what="all tasks end",
    )
    tasks = talkative.tasks(execution["id"])
    assert {name: task["state"] for name, task in tasks.items()} == dict.fromkeys(
        WORKFLOW["NAME"]["tasks"], "ERROR"
    )
    # A name is quoted when nothing bears it: there is no other way to say which.
    allowed = {"canary-name", "canary-free"}
    for task in tasks.values():
        assert not found_in(task["state_info"] or "") - allowed, task["name"]
        for action in talkative.get(f"/v2/tasks/{task['id']}/action_executions")["action_executions"]:
            full = talkative.get(f"/v2/action_executions/{action['id']}")
            assert not found_in(f"{full['state_info']} {full['output']}") - allowed, task["name"]
    assert not found_in(execution["state_info"]) - allowed
    eventually(lambda: site.requests, what="the hook hears something")
    talkative.call("POST", "/v2/workflows", raw=b"version: '2.0'\nw: canary-definition")
    talkative.call("GET", "/v2/executions?id=canary-filter&token=canary-argument")
    assert not found_in(talkative.processes["serve"].said()) - allowed


@pytest.mark.parametrize(
    "body",
    [
        {"workflow_name": "secrets", "input": {"data": {}, "unknown": "canary-input"}},
        {"workflow_name": "secrets", "input": "canary-input"},
        {"workflow_name": "secrets", "params": "canary-input"},
        {"workflow_name": "secrets", "params": {"env": {"a": "<% canary-input"}, "evaluate_env": True}},
        {"workflow_name": "nothing", "input": {"password": "canary-input"}},
        {"workflow_name": "secrets", "params": {"notify": "canary-input"}},
    ],
)
def test_a_refusal_does_not_repeat_values(talkative: Deployment, body: dict[str, Any]) -> None:
    answer = talkative.call("POST", "/v2/executions", body)
    assert answer.status in (400, 404), answer
    assert not found_in(json.dumps(answer.body))


@pytest.mark.parametrize(
    "connection",
    [
        "postgresql+psycopg://user:canary-password@127.0.0.1:1/mistral",
        "mysql+pymysql://user:canary-password@127.0.0.1:1/mistral",
        "oracle://user:canary-password@127.0.0.1:1/mistral",
        "user:canary-password@127.0.0.1",
    ],
)
def test_the_url_of_the_database_is_not_repeated(tmp_path: Any, connection: str) -> None:
    config = tmp_path / "service.conf"
    config.write_text(
        "[DEFAULT]\ndebug = true\ntransport_url = rabbit://user:canary-bus@127.0.0.1:1/\n"
        f"[database]\nconnection = {connection}\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mistral_lite.cli.main", "db", "upgrade", "--config-file", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode != 0
    assert done.stdout
    assert not found_in(done.stdout)
