"""Access rules: each route has one, the operator's policy file replaces them, and 403 is the answer."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from oslo_policy import generator

from mistral_lite.api import access
from mistral_lite.api.access import AccessRules
from mistral_lite.api.app import build_app, make_nouns
from mistral_lite.api.context import RequestContext
from mistral_lite.api.policies import list_rules
from mistral_lite.api.routing import endpoints_of
from mistral_lite.config import load
from mistral_lite.errors import ForbiddenError, InputError

ROOT = Path(__file__).resolve().parents[2]

DENIED = "Operation forbidden (insufficient permissions)"
MEMBER = RequestContext(project_id="p", user_id="u", roles=frozenset({"member"}), is_authenticated=True)
ADMIN = RequestContext(
    project_id="p", user_id="u", roles=frozenset({"admin"}), is_admin=True, is_authenticated=True
)

CRUD = ("create", "delete", "get", "list", "update")
# Resource -> (verbs for everybody, verbs for administrators). Source: REST reference, "Policy (RBAC)".
EXPECTED = {
    "actions": (CRUD, ("publicize",)),
    "action_executions": (CRUD, ()),
    "code_sources": ((), (*CRUD, "publicize")),
    "cron_triggers": (("create", "delete", "get", "list"), ("publicize", "list:all_projects")),
    "dynamic_actions": ((), (*CRUD, "publicize")),
    "environments": (CRUD, ("publicize",)),
    "event_triggers": (CRUD, ("publicize", "list:all_projects")),
    "executions": (CRUD, ("list:all_projects",)),
    "maintenance": ((), ("get", "update")),
    "members": (CRUD, ()),
    "services": (("list",), ()),
    "tasks": (("get", "list", "update"), ()),
    "workbooks": (CRUD, ("publicize",)),
    "workflows": (CRUD, ("publicize", "list:all_projects")),
}

UNGUARDED = {
    "GET /",
    "GET /v2",
    "GET /info",
    "GET /healthcheck",
    "POST /v2/workflows/validate",
    "POST /v2/workbooks/validate",
    "POST /v2/actions/validate",
    # Whoever knows its secret.
    "POST /v2/queue_doorbells/*",
}


def guarded_routes(api: Any) -> dict[str, str | None]:
    """Return the rule of each route, like ``GET /v2/workflows/*``."""
    return {
        f"{endpoint.route.method} /{'/'.join(endpoint.path)}": endpoint.route.rule
        for endpoint in endpoints_of(make_nouns(api.services))
    }


def test_names_and_defaults_are_those_of_the_reference() -> None:
    expected = {"admin_only": "is_admin:True", "admin_or_owner": "is_admin:True or project_id:%(project_id)s"}
    for noun, (everybody, admins) in EXPECTED.items():
        expected |= {f"{noun}:{verb}": "rule:admin_or_owner" for verb in everybody}
        expected |= {f"{noun}:{verb}": "rule:admin_only" for verb in admins}
    assert {rule.name: rule.check_str for rule in list_rules()} == expected


def test_every_route_asks_a_rule_that_exists(api: Any) -> None:
    routes = guarded_routes(api)
    assert {route for route, rule in routes.items() if rule is None} == UNGUARDED
    assert set(routes.values()) - {None} <= {rule.name for rule in list_rules()}


def test_rules_tell_which_requests_ask_them(api: Any) -> None:
    asked: dict[str, set[str]] = {}
    for route, rule in guarded_routes(api).items():
        if rule is not None and "/action-executions" not in route:
            asked.setdefault(rule, set()).add(route)
    documented = {
        rule.name: {f"{each['method']} {re.sub('{[^}]*}', '*', each['path'])}" for each in rule.operations}
        for rule in list_rules()
        if hasattr(rule, "operations")
    }
    assert {name: told for name, told in documented.items() if name in asked} == asked
    # The others are asked by handlers, of requests that have a rule of their own besides.
    for name in documented.keys() - asked.keys():
        assert documented[name] <= guarded_routes(api).keys()


def test_the_sample_is_current(tmp_path: Path) -> None:
    sample = tmp_path / "policy.yaml.sample"
    generator.generate_sample(["--namespace", "mistral_lite", "--output-file", str(sample)])
    assert sample.read_text() == (ROOT / "etc/policy.yaml.sample").read_text(), (
        "run: oslopolicy-sample-generator --namespace mistral_lite --output-file etc/policy.yaml.sample"
    )


class Operator:
    """Writes the policy file of a service and serves with it."""

    def __init__(self, folder: Path, api: Any) -> None:
        self.file = folder / "policy.yaml"
        self._config = folder / "service.conf"
        self._config.write_text("[DEFAULT]\n")
        self._api = api
        self._stamp = 1_000_000_000

    def write(self, text: str) -> None:
        """Change the file, later than the last time."""
        self.file.write_text(text)
        self._stamp += 10
        os.utime(self.file, (self._stamp, self._stamp))

    def rules(self, config: str = "[DEFAULT]\n") -> AccessRules:
        """Return the rules as a process that starts now has them."""
        self._config.write_text(config)
        return AccessRules(load([str(self._config)]).conf)

    def serve(self, text: str) -> Any:
        """Serve with a policy file."""
        self.write(text)
        services = self._api.services
        self._api.app = build_app(type(services)(**{**_fields(services), "access": self.rules()}))
        return self._api


def _fields(services: Any) -> dict[str, Any]:
    return {name: getattr(services, name) for name in services.__slots__}


@pytest.fixture
def operator(tmp_path: Path, api: Any) -> Operator:
    return Operator(tmp_path, api)


def test_the_policy_file_beside_the_configuration_replaces_defaults(operator: Operator) -> None:
    operator.write('"workflows:get": "role:reader"\n"workflows:publicize": "rule:admin_or_owner"\n')
    rules = operator.rules()
    rules.require("workflows:publicize", MEMBER)
    with pytest.raises(ForbiddenError, match=re.escape(DENIED)):
        rules.require("workflows:get", MEMBER)
    with pytest.raises(ForbiddenError):
        rules.require("executions:list:all_projects", MEMBER)


def test_a_change_of_the_policy_file_counts_without_a_restart(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_KEPT_S", 0.0)
    operator.write('"tasks:get": "!"\n')
    rules = operator.rules()
    with pytest.raises(ForbiddenError):
        rules.require("tasks:get", ADMIN)
    operator.write('"tasks:get": "@"\n')
    rules.require("tasks:get", MEMBER)
    # One that cannot be read leaves the rules as they are.
    operator.write('"tasks:get": [\n')
    rules.require("tasks:get", MEMBER)
    operator.write('"tasks:get": "!"\n')
    with pytest.raises(ForbiddenError):
        rules.require("tasks:get", MEMBER)


@pytest.mark.parametrize("text", ['"tasks:get": [\n', "- a list\n", '"tasks:get": 5\n'])
def test_a_policy_file_that_cannot_be_read_is_refused_at_start(operator: Operator, text: str) -> None:
    operator.write(text)
    with pytest.raises(InputError, match="policy_file cannot be used"):
        operator.rules()


def test_a_policy_file_that_is_named_must_be_there(operator: Operator) -> None:
    with pytest.raises(InputError, match=r"policy_file is not there: other\.yaml"):
        operator.rules("[oslo_policy]\npolicy_file = other.yaml\n")
    operator.file.with_name("other.yaml").write_text("{}\n")
    operator.rules("[oslo_policy]\npolicy_file = other.yaml\n")


def test_a_decision_is_kept_for_the_same_caller_only(operator: Operator) -> None:
    operator.write('"tasks:get": "user_id:u1 or project_id:p1 or role:r1 or is_admin:True"\n')
    rules = operator.rules()
    nobody = {"project_id": "p0", "user_id": "u0", "roles": frozenset({"r0"})}
    for changed in (
        {"user_id": "u1"},
        {"project_id": "p1"},
        {"roles": frozenset({"r0", "r1"})},
        {"is_admin": True},
    ):
        with pytest.raises(ForbiddenError):
            rules.require("tasks:get", RequestContext(**nobody))
        rules.require("tasks:get", RequestContext(**{**nobody, **changed}))


def test_the_rule_is_asked_before_anything_else_is_looked_at(operator: Operator) -> None:
    api = operator.serve('"environments:create": "!"\n"workflows:create": "!"\n')
    answer = api.call("POST", "/v2/environments", "no JSON", {"Content-Type": "application/json"})
    assert (answer.status, answer.fault) == (403, DENIED)
    answer = api.call("POST", "/v2/workflows?scope=nonsense", "no YAML: [")
    assert (answer.status, answer.json) == (403, {"faultstring": DENIED})


def test_rules_hold_without_authentication_by_the_role_header(operator: Operator) -> None:
    api = operator.serve('"workflows:list": "role:reader"\n')
    assert api.get("/v2/workflows").status == 403
    assert api.get("/v2/workflows", **{"X-Roles": "member, reader"}).status == 200


WORKFLOW = "version: '2.0'\nw:\n  tasks:\n    t:\n      action: std.noop\n"
ACTION = "version: '2.0'\na:\n  base: std.noop\n"
WORKBOOK = "version: '2.0'\nname: b\n"
CRON = {"name": "c", "workflow_name": "w", "pattern": "* * * * *", "scope": "public"}
EVENT = {"name": "e", "exchange": "x", "topic": "t", "event": "v", "scope": "public"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v2/workflows?scope=public", WORKFLOW.replace("w:", "x:", 1)),
        ("PUT", "/v2/workflows?scope=public", WORKFLOW),
        ("PUT", "/v2/workflows/w?scope=public", WORKFLOW),
        ("POST", "/v2/workbooks?scope=public", WORKBOOK),
        ("POST", "/v2/actions?scope=public", ACTION.replace("a:", "x:", 1)),
        ("PUT", "/v2/actions?scope=public", ACTION),
        ("PUT", "/v2/actions/a?scope=public", ACTION),
        ("POST", "/v2/environments", {"name": "e", "scope": "public"}),
        ("POST", "/v2/cron_triggers", CRON),
        ("POST", "/v2/event_triggers", EVENT),
    ],
)
def test_only_administrators_publish(api: Any, method: str, path: str, body: Any) -> None:
    created = api.call("POST", "/v2/workflows", WORKFLOW, caller=ADMIN).json["workflows"][0]
    api.call("POST", "/v2/actions", ACTION, caller=ADMIN)
    if path == "/v2/event_triggers":
        body = {**body, "workflow_id": created["id"]}

    answer = api.call(method, path, body, caller=MEMBER)
    assert (answer.status, answer.fault) == (403, DENIED)
    assert api.call(method, path, body, caller=ADMIN).status in (200, 201)


LISTS = [
    "/v2/workflows?all_projects=1",
    "/v2/cron_triggers?all_projects=1",
    "/v2/event_triggers?all_projects=1",
    "/v2/executions?all_projects=1",
    "/v2/executions?project_id=00000000-0000-7000-8000-000000000007",
]


@pytest.mark.parametrize("path", LISTS)
def test_only_administrators_list_all_projects(api: Any, path: str) -> None:
    answer = api.call("GET", path, caller=MEMBER)
    assert (answer.status, answer.fault) == (403, DENIED)
    assert api.call("GET", path, caller=ADMIN).status == 200


def test_who_may_list_all_projects_sees_them(operator: Operator) -> None:
    api = operator.serve('"executions:list:all_projects": "role:auditor"\n')
    api.put_workflow(1, project_id="p")
    api.put_workflow(2, project_id="q")
    auditor = RequestContext(project_id="p", roles=frozenset({"auditor"}), is_authenticated=True)

    own = api.call("GET", "/v2/executions", caller=auditor).json["executions"]
    everything = api.call("GET", "/v2/executions?all_projects=1", caller=auditor).json["executions"]

    assert [each["project_id"] for each in own] == ["p"]
    assert [each["project_id"] for each in everything] == ["p", "q"]
