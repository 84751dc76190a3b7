"""The service with a genuine Keystone: who is let in, what actions may do, and that tokens stay secret."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from conftest import MakeDeployment
from deployments import AllInOne, Answer, Deployment, ThreeProcesses, eventually
from identity.server import Account, Keystone

# The first test of a machine installs Keystone.
pytestmark = pytest.mark.timeout(900)

# Tells what an action was given, and in which projects its token may work in the words of Keystone.
WHO_AM_I = """
import json
import urllib.request

from mistral_lib import actions


class WhoAmI(actions.Action):
    def __init__(self, ask=True):
        self.ask = ask

    def run(self, context):
        security = context.security
        seen = {"trust": bool(security.trust_id), "target": bool(security.is_target), "uri": security.auth_uri}
        seen |= {"region": security.region_name, "project": security.project_id}
        if not self.ask:
            return seen
        headers = {"X-Auth-Token": security.auth_token}
        request = urllib.request.Request(security.auth_uri + "/auth/projects", headers=headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            (project,) = json.load(answer)["projects"]
        token = security.service_catalog
        return {
            **seen,
            "user": security.user_name,
            "works_in": project["id"],
            "by_trust": "OS-TRUST:trust" in token,
            "catalog": sorted({service["type"] for service in token["catalog"]}),
        }
"""

ASK = """
version: '2.0'
NAME:
  output: {who: <% $.who %>, seen: <% $.seen %>}
  tasks:
    ask:
      action: ACTION
      publish: {who: <% task().result %>, seen: <% $.openstack %>}
"""

# Waits for a callback, then asks.
LATER = """
version: '2.0'
NAME:
  output: {who: <% $.who %>}
  tasks:
    wait: {action: std.async_noop, on-success: ask}
    ask:
      action: ACTION
      publish: {who: <% task().result %>}
"""

NESTED = """
version: '2.0'
OUTER:
  output: {seen: <% $.seen %>}
  tasks:
    t: {workflow: INNER, publish: {seen: <% task().result.seen %>}}
INNER:
  vars: {name_in_vars: <% $.openstack.user_name %>}
  output: {seen: [<% $.openstack.project_id %>, <% $.openstack.auth_token %>, <% $.name_in_vars %>]}
  tasks:
    t: {action: std.noop}
"""


@dataclass
class Cloud:
    """The service and the Keystone that it believes, with accounts to act for."""

    service: Deployment
    keystone: Keystone
    operator: Account
    alice: Account
    bob: Account
    action: str
    _tokens: dict[str, str] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)

    def token(self, account: Account) -> str:
        """Return a token that is kept for the account."""
        if account.user_name not in self._tokens:
            self._tokens[account.user_name] = self.new_token(account)
        return self._tokens[account.user_name]

    def new_token(self, account: Account) -> str:
        token = self.keystone.token(account)
        self.secrets.add(token)
        return token

    def call(self, account: Account, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        headers = {"X-Auth-Token": self.token(account), **more.pop("headers", {})}
        return self.service.call(method, path, body, headers=headers, **more)

    def create_workflow(self, account: Account, text: str) -> str:
        name = f"w{uuid.uuid4().hex[:12]}"
        text = text.replace("NAME", name).replace("ACTION", self.action)
        answer = self.call(account, "POST", "/v2/workflows", raw=text.encode())
        assert answer.status == 201, answer
        return name

    def start(self, account: Account, text: str, **more: Any) -> str:
        body = {"workflow_name": self.create_workflow(account, text)}
        answer = self.call(account, "POST", "/v2/executions", body, **more)
        assert answer.status == 201, answer
        return str(answer.body["id"])

    def get(self, account: Account, path: str) -> Any:
        answer = self.call(account, "GET", path)
        assert answer.status == 200, answer
        return answer.body

    def output(self, account: Account, execution_id: str) -> Any:
        """Wait for the end of an execution, which must be SUCCESS, and return its output."""

        def look() -> Any:
            found = self.get(account, f"/v2/executions/{execution_id}")
            return found if found["state"] in ("SUCCESS", "ERROR") else None

        found = eventually(look, what=f"{execution_id} has ended")
        assert found["state"] == "SUCCESS", found["state_info"]
        return json.loads(found["output"])

    def waiting_action(self, account: Account, execution_id: str) -> str:
        def look() -> Any:
            tasks = self.get(account, f"/v2/executions/{execution_id}/tasks")["tasks"]
            paths = [f"/v2/tasks/{task['id']}/action_executions" for task in tasks]
            found = [each for path in paths for each in self.get(account, path)["action_executions"]]
            return next((each["id"] for each in found if each["state"] == "RUNNING"), None)

        return str(eventually(look, what=f"an action of {execution_id} runs"))

    def trust_count(self, account: Account) -> int:
        return len(self.keystone.trusts_of(account))


def enter(keystone: Keystone, deployment: Deployment) -> Cloud:
    operator, alice, bob = (
        keystone.create_account(f"{name}-{uuid.uuid4().hex[:6]}", role)
        for name, role in (("operator", "admin"), ("alice", "member"), ("bob", "member"))
    )
    cloud = Cloud(deployment, keystone, operator, alice, bob, action=f"who_{uuid.uuid4().hex[:8]}")
    source = f"source_{uuid.uuid4().hex[:8]}"
    path = f"/v2/code_sources?name={source}&scope=public"
    answer = cloud.call(operator, "POST", path, raw=WHO_AM_I.encode())
    assert answer.status == 201, answer
    body = {"name": cloud.action, "class_name": "WhoAmI", "code_source_name": source, "scope": "public"}
    answer = cloud.call(operator, "POST", "/v2/dynamic_actions", body)
    assert answer.status == 201, answer
    return cloud


OPTIONS = "[pecan]\nauth_enable = true\n[dynamic_actions]\nenabled = true\n"


@pytest.fixture(scope="module")
def cloud(keystone: Keystone, make_deployment: MakeDeployment) -> Iterator[Cloud]:
    service = keystone.create_account(f"mistral-{uuid.uuid4().hex[:6]}", "service")
    deployment = make_deployment(ThreeProcesses.kind, f"{OPTIONS}{keystone.service_options(service)}")
    keystone.register("workflowv2", f"{deployment.url}/v2")
    deployment.start()
    cloud = enter(keystone, deployment)
    cloud.secrets |= {service.password, cloud.alice.password}
    yield cloud
    print(deployment.said())  # noqa: T201 - shown only if a test failed


# -- who is let in ---------------------------------------------------------------------------------------


def assert_refused(answer: Answer, words: str, keystone: Keystone) -> None:
    assert answer.status == 401
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert words in answer.body
    assert answer.headers["Server-Error-Message"] == answer.body
    assert answer.body in answer.headers["WWW-Authenticate"]
    assert f'Keystone uri="{keystone.url}"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/", "/v2/", "/healthcheck", "/v2/openapi.json"])
def test_public_paths_ask_nobody(cloud: Cloud, path: str) -> None:
    assert cloud.service.call("GET", path).status == 200
    assert cloud.service.call("GET", path, headers={"X-Auth-Token": "wrong"}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v2/nowhere", 404), ("GET", "/v2/workflows/a/b/c", 404), ("PATCH", "/v2/workflows", 405)],
)
def test_what_does_not_exist_is_said_before_asking(cloud: Cloud, method: str, path: str, status: int) -> None:
    assert cloud.service.call(method, path).status == status


def test_without_a_token_nobody_gets_in(cloud: Cloud) -> None:
    for method, path in (("GET", "/v2/workflows"), ("POST", "/v2/executions"), ("DELETE", "/v2/actions/x")):
        forged = {
            "X-Project-Id": cloud.alice.project_id,
            "X-Roles": "admin",
            "X-Identity-Status": "Confirmed",
        }
        for headers in ({}, forged):
            answer = cloud.service.call(method, path, headers=headers)
            assert_refused(answer, "Authentication required", cloud.keystone)


def test_wrong_ended_and_revoked_tokens_do_not_get_in(cloud: Cloud) -> None:
    revoked = cloud.new_token(cloud.alice)
    cloud.keystone.revoke(revoked)
    with cloud.keystone.short_lived(1) as url:
        ended = cloud.keystone.token(cloud.alice, url=url)

    def is_refused() -> bool:
        return cloud.service.call("GET", "/v2/workflows", headers={"X-Auth-Token": ended}).status == 401

    eventually(is_refused, what="the token has ended")
    for token in ("wrong", revoked, ended):
        answer = cloud.service.call("GET", "/v2/workflows", headers={"X-Auth-Token": token})
        assert_refused(answer, "not valid", cloud.keystone)


def test_a_token_that_is_for_no_project_is_refused(cloud: Cloud) -> None:
    nowhere = cloud.keystone.token(cloud.alice, is_scoped=False)
    answer = cloud.service.call("GET", "/v2/workflows", headers={"X-Auth-Token": nowhere})
    assert (answer.status, "not for a project" in answer.body["faultstring"]) == (403, True)


def test_projects_are_apart_and_the_administrator_sees_all(cloud: Cloud) -> None:
    name = cloud.create_workflow(cloud.alice, ASK)
    found = cloud.get(cloud.alice, f"/v2/workflows/{name}")
    assert found["project_id"] == cloud.alice.project_id
    assert cloud.call(cloud.bob, "GET", f"/v2/workflows/{found['id']}").status == 404
    forged = {"X-Project-Id": cloud.alice.project_id, "X-Roles": "admin"}
    assert cloud.call(cloud.bob, "GET", f"/v2/workflows/{found['id']}", headers=forged).status == 404
    assert cloud.call(cloud.operator, "GET", f"/v2/workflows/{found['id']}").status == 200
    assert cloud.call(cloud.bob, "POST", "/v2/workflows?scope=public", raw=b"x").status == 403


def test_the_client_finds_the_service_in_the_catalogue(cloud: Cloud) -> None:
    environment = cloud.keystone.client_environment(cloud.alice)
    path = cloud.service.folder / "echo.yaml"
    name = f"echo_{uuid.uuid4().hex[:8]}"
    path.write_text(f"version: '2.0'\n{name}:\n  tasks: {{t: {{action: std.echo output=1}}}}\n")

    def mistral(*arguments: str) -> Any:
        return json.loads(cloud.service.mistral_process(*arguments, "-f", "json", environment=environment))

    (created,) = mistral("workflow-create", str(path))
    assert (created["Name"], created["Project ID"]) == (name, cloud.alice.project_id)
    started = mistral("execution-create", name)
    assert started["ID"] in [row["ID"] for row in mistral("execution-list")]


def test_without_keystone_requests_are_to_be_repeated(cloud: Cloud) -> None:
    unseen = cloud.new_token(cloud.bob)
    cloud.keystone.stop()
    try:
        answer = cloud.service.call("GET", "/v2/workflows", headers={"X-Auth-Token": unseen})
        assert (answer.status, "Keystone does not answer" in answer.body["faultstring"]) == (503, True)
        assert int(answer.headers["Retry-After"]) > 0
        assert cloud.service.call("GET", "/v2/").status == 200
    finally:
        cloud.keystone.start()

    def let_in() -> bool:
        answer = cloud.service.call("GET", "/v2/workflows", headers={"X-Auth-Token": unseen})
        assert answer.status == 200 or answer.is_refusal, answer
        return answer.status == 200

    eventually(let_in, what="the token is known now that Keystone is back")


# -- what actions may do ---------------------------------------------------------------------------------


def test_an_action_acts_for_the_caller(cloud: Cloud) -> None:
    execution_id = cloud.start(cloud.alice, ASK, headers={"X-Region-Name": "Lab"})
    output = cloud.output(cloud.alice, execution_id)
    assert output["who"] == {
        "user": cloud.alice.user_name,
        "project": cloud.alice.project_id,
        "works_in": cloud.alice.project_id,
        "region": "Lab",
        "uri": cloud.keystone.url,
        "catalog": ["identity", "workflowv2"],
        "trust": False,
        "by_trust": False,
        "target": False,
    }
    seen = output["seen"]
    assert (seen["auth_token"], seen["service_catalog"], seen["trust_id"]) == ("***", "***", None)
    assert (seen["user_name"], seen["project_name"]) == (cloud.alice.user_name, cloud.alice.project_name)
    assert (seen["roles"], seen["is_admin"]) == (seen["roles"], False)
    assert "member" in seen["roles"]


def test_nested_workflows_and_vars_see_whom_they_work_for(cloud: Cloud) -> None:
    names = [f"w{uuid.uuid4().hex[:12]}" for _ in range(2)]
    text = NESTED.replace("OUTER", names[0]).replace("INNER", names[1])
    assert cloud.call(cloud.alice, "POST", "/v2/workflows", raw=text.encode()).status == 201
    started = cloud.call(cloud.alice, "POST", "/v2/executions", {"workflow_name": names[0]})
    seen = cloud.output(cloud.alice, started.body["id"])["seen"]
    assert seen == [cloud.alice.project_id, "***", cloud.alice.user_name]


def test_an_action_on_its_own_acts_for_the_caller(cloud: Cloud) -> None:
    answer = cloud.call(cloud.bob, "POST", "/v2/action_executions", {"name": cloud.action})
    assert answer.status == 201, answer
    assert json.loads(answer.body["output"])["result"]["user"] == cloud.bob.user_name


def test_a_result_is_delivered_with_a_token_of_the_project(cloud: Cloud) -> None:
    execution_id = cloud.start(cloud.alice, LATER)
    path = f"/v2/action-executions/{cloud.waiting_action(cloud.alice, execution_id)}"
    result = {"state": "SUCCESS", "output": {}}
    assert_refused(cloud.service.call("POST", path, result), "Authentication required", cloud.keystone)
    assert cloud.call(cloud.bob, "POST", path, result).status == 404
    assert cloud.call(cloud.operator, "POST", path, result).status == 200
    # What follows is done for who started it, not for who delivered.
    assert cloud.output(cloud.alice, execution_id)["who"]["user"] == cloud.alice.user_name


def test_running_a_task_again_takes_the_token_of_who_asks_for_it(cloud: Cloud) -> None:
    first = cloud.new_token(cloud.alice)
    execution_id = cloud.start(cloud.alice, LATER, headers={"X-Auth-Token": first})
    action_id = cloud.waiting_action(cloud.alice, execution_id)
    cloud.keystone.revoke(first)
    cloud.call(cloud.alice, "PUT", f"/v2/action_executions/{action_id}", {"state": "SUCCESS", "output": {}})

    def failed_task() -> Any:
        tasks = cloud.get(cloud.alice, f"/v2/executions/{execution_id}/tasks")["tasks"]
        return next((task["id"] for task in tasks if task["state"] == "ERROR"), None)

    task_id = eventually(failed_task, what="the revoked token was of no use")
    answer = cloud.call(cloud.alice, "PUT", f"/v2/tasks/{task_id}", {"state": "RUNNING", "reset": True})
    assert answer.status == 200, answer
    assert cloud.output(cloud.alice, execution_id)["who"]["user"] == cloud.alice.user_name


def test_actions_may_work_in_another_cloud_but_rows_stay_in_the_callers_project(cloud: Cloud) -> None:
    catalog = base64.b64encode(json.dumps({"catalog": [{"type": "elsewhere"}]}).encode()).decode()
    headers = {
        "X-Target-Auth-Uri": cloud.keystone.url,
        "X-Target-Auth-Token": cloud.token(cloud.bob),
        "X-Target-Project-Id": cloud.bob.project_id,
        "X-Target-Region-Name": "Far",
        "X-Target-Service-Catalog": catalog,
    }
    execution_id = cloud.start(cloud.alice, ASK, headers=headers)
    assert cloud.call(cloud.bob, "GET", f"/v2/executions/{execution_id}").status == 404
    who = cloud.output(cloud.alice, execution_id)["who"]
    assert (who["target"], who["works_in"], who["region"]) == (True, cloud.bob.project_id, "Far")
    assert (who["project"], who["catalog"]) == (cloud.bob.project_id, ["elsewhere"])


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Target-Auth-Uri": "http://there"},
        {"X-Target-Auth-Uri": "http://there", "X-Target-Auth-Token": "t", "X-Target-Insecure": "maybe"},
        {"X-Target-Auth-Uri": "http://there", "X-Target-Auth-Token": "t", "X-Target-Service-Catalog": "!"},
        {"X-Target-Auth-Uri": "http://there", "X-Target-Auth-Token": "t", "X-Target-Service-Catalog": "MQ=="},
    ],
)
def test_malformed_headers_of_another_cloud_are_refused(cloud: Cloud, headers: dict[str, str]) -> None:
    answer = cloud.call(cloud.alice, "GET", "/v2/workflows", headers=headers)
    assert (answer.status, "X-Target-" in answer.body["faultstring"]) == (400, True)


# -- triggers --------------------------------------------------------------------------------------------


def create_cron_trigger(cloud: Cloud, account: Account, workflow: str, **more: Any) -> Answer:
    body = {"name": f"t{uuid.uuid4().hex[:8]}", "workflow_name": workflow, "pattern": "0 0 1 1 *", **more}
    return cloud.call(account, "POST", "/v2/cron_triggers", body)


def test_a_cron_trigger_works_for_its_creator_by_a_trust(cloud: Cloud) -> None:
    carol = cloud.keystone.create_account(f"carol-{uuid.uuid4().hex[:6]}", "member")
    workflow = cloud.create_workflow(carol, ASK)
    first = cloud.new_token(carol)
    body = {"name": "t", "workflow_name": workflow, "pattern": "* * * * * *", "remaining_executions": 1}
    answer = cloud.call(carol, "POST", "/v2/cron_triggers", body, headers={"X-Auth-Token": first})
    assert answer.status == 201, answer
    assert not {"trust_id", "security"} & answer.body.keys()
    (trust,) = cloud.keystone.trusts_of(carol)
    cloud.secrets.add(first)
    cloud.keystone.revoke(first)

    def started() -> Any:
        return cloud.get(carol, f"/v2/executions?workflow_name={workflow}")["executions"]

    (execution,) = eventually(started, what="the trigger has fired")
    output = cloud.output(carol, execution["id"])
    who = output["who"]
    assert (who["user"], who["works_in"]) == (carol.user_name, carol.project_id)
    assert (who["trust"], who["by_trust"]) == (True, True)
    assert "workflowv2" in who["catalog"]
    assert (output["seen"]["trust_id"], output["seen"]["is_trust_scoped"]) == ("***", True)
    assert trust["id"] not in json.dumps(cloud.get(carol, f"/v2/executions/{execution['id']}"))
    eventually(lambda: cloud.trust_count(carol) == 0, what="the trust went with trigger and execution")


def test_a_trust_goes_with_its_trigger(cloud: Cloud) -> None:
    dave = cloud.keystone.create_account(f"dave-{uuid.uuid4().hex[:6]}", "member")
    workflow = cloud.create_workflow(dave, ASK)
    created = create_cron_trigger(cloud, dave, workflow)
    definition = cloud.get(dave, f"/v2/workflows/{workflow}")
    event = {"exchange": "e", "topic": "t", "event": "x", "workflow_id": definition["id"]}
    listening = cloud.call(dave, "POST", "/v2/event_triggers", event)
    assert (created.status, listening.status, cloud.trust_count(dave)) == (201, 201, 2)
    assert not {"trust_id", "security"} & listening.body.keys()

    # Requests that fail leave nothing behind.
    again = create_cron_trigger(cloud, dave, workflow, name=created.body["name"])
    missing = create_cron_trigger(cloud, dave, "no-such-workflow")
    twice = cloud.call(dave, "POST", "/v2/event_triggers", event)
    assert (again.status, missing.status, twice.status, cloud.trust_count(dave)) == (409, 404, 409, 2)

    assert cloud.call(dave, "DELETE", f"/v2/cron_triggers/{created.body['id']}").status == 204
    assert cloud.call(dave, "DELETE", f"/v2/event_triggers/{listening.body['id']}").status == 204
    eventually(lambda: cloud.trust_count(dave) == 0, what="the trusts went with their triggers")


def test_a_token_that_gives_no_trust_makes_no_trigger(cloud: Cloud) -> None:
    erin = cloud.keystone.create_account(f"erin-{uuid.uuid4().hex[:6]}", "member")
    workflow = cloud.create_workflow(erin, ASK)
    # Known to the service already, which does not ask Keystone again; the trust is another matter.
    cloud.keystone.unassign(erin.user_id, erin.project_id, "member")
    answer = create_cron_trigger(cloud, erin, workflow)
    assert answer.status in {401, 403}, answer


# -- secrets ---------------------------------------------------------------------------------------------


def test_tokens_and_passwords_are_nowhere_to_be_read(cloud: Cloud) -> None:
    execution_id = cloud.start(cloud.alice, ASK)
    cloud.output(cloud.alice, execution_id)
    waiting = cloud.start(cloud.alice, LATER)
    cloud.waiting_action(cloud.alice, waiting)
    stored = "\n".join(rows_of(cloud.service))
    assert cloud.alice.project_id in stored, "the rows can be read at all"
    assert "sealed" in stored, "something sealed is stored at the moment"
    logged = "".join(log.read_text(errors="replace") for log in cloud.service.folder.glob("*.log"))
    assert "service.started" in logged
    returned = json.dumps(
        [cloud.get(cloud.alice, f"/v2/executions/{each}") for each in (execution_id, waiting)]
    )
    for secret in cloud.secrets:
        for place, text in (("database", stored), ("logs", logged), ("answers", returned)):
            assert secret not in text, f"a token or password is in the {place}"


def rows_of(deployment: Deployment) -> Iterator[str]:
    """Return all rows of all tables as text."""
    assert isinstance(deployment, ThreeProcesses)
    with psycopg.connect(deployment.database_url) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        for (table,) in tables:
            for row in connection.execute(f'SELECT t::text FROM "{table}" t'):
                yield row[0]


# -- work that outlives its token, in one process ----------------------------------------------------------


def test_with_trusts_for_executions_work_goes_on_after_the_token_has_ended(
    keystone: Keystone, make_deployment: MakeDeployment
) -> None:
    service = keystone.create_account(f"mistral-{uuid.uuid4().hex[:6]}", "service")
    trusting = "[security_context]\ntrust_executions = true\n"
    deployment = make_deployment(AllInOne.kind, f"{OPTIONS}{trusting}{keystone.service_options(service)}")
    deployment.start()
    cloud = enter(keystone, deployment)
    first = cloud.new_token(cloud.alice)
    execution_id = cloud.start(cloud.alice, LATER, headers={"X-Auth-Token": first})
    action_id = cloud.waiting_action(cloud.alice, execution_id)
    assert cloud.trust_count(cloud.alice) == 1
    keystone.revoke(first)

    result = {"state": "SUCCESS", "output": {}}
    assert cloud.call(cloud.alice, "PUT", f"/v2/action_executions/{action_id}", result).status == 200
    who = cloud.output(cloud.alice, execution_id)["who"]
    assert (who["works_in"], who["by_trust"]) == (cloud.alice.project_id, True)
    eventually(lambda: cloud.trust_count(cloud.alice) == 0, what="the trust went with the execution")
    deployment.kill("serve")
