"""Two projects cannot see, guess or touch each other's objects, by any verb of any route.

The test walks the routes that the application declares, fills in what is another project's, and looks at the
answers and at the rows of the other project. A route that it has no plan for fails it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from mistral_lite.api.access import AccessRules
from mistral_lite.api.app import build_app, make_nouns
from mistral_lite.api.context import RequestContext
from mistral_lite.api.routing import Endpoint, endpoints_of
from mistral_lite.config import load
from mistral_lite.db import tables
from tests.api.conftest import ident

A = "aaaaaaaa-0000-4000-8000-00000000000a"
B = "bbbbbbbb-0000-4000-8000-00000000000b"


def someone(project: str, *roles: str) -> RequestContext:
    return RequestContext(
        project_id=project,
        user_id=f"user of {project}",
        roles=frozenset(roles),
        is_admin="admin" in roles,
        is_authenticated=True,
    )


OWNER, OWNING_ADMIN, INTRUDER, ADMIN = someone(A), someone(A, "admin"), someone(B), someone(B, "admin")

# In every text of the owner; never in an answer to anybody else.
SECRET = "a-well-kept-secret"


def workflows(*names: str) -> str:
    return "version: '2.0'\n" + "".join(
        f"{name}:\n  description: {SECRET}\n  tasks:\n    t:\n      action: std.noop\n" for name in names
    )


def actions(name: str) -> str:
    return f"version: '2.0'\n{name}:\n  description: {SECRET}\n  base: std.noop\n"


def workbook(name: str) -> str:
    return f"version: '2.0'\nname: {name}\ndescription: {SECRET}\nactions:\n  part:\n    base: std.noop\n"


CODE = f"""
from mistral_lib.actions import Action

class Told(Action):
    '''{SECRET}'''
    def run(self, context):
        return 1
"""

PLAIN = {"workflows": workflows, "workbooks": workbook, "actions": actions}


@dataclass(frozen=True, kw_only=True)
class Owned:
    """What the owner has, by the path of its noun: the ways to name it."""

    names: Mapping[str, Sequence[str]]

    def of(self, noun: str) -> str:
        """Return the id."""
        return self.names[noun][-1]

    @property
    def identifiers(self) -> set[str]:
        """Return the ids."""
        return {names[-1] for names in self.names.values()}


def build(api: Any, tmp_path: Path) -> Any:
    """Open all that is for administrators only to everybody, so that tenancy alone protects it."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "".join(
            f'"{noun}:{verb}": "@"\n'
            for noun in ("code_sources", "dynamic_actions")
            for verb in ("create", "delete", "get", "list", "update")
        )
    )
    config = tmp_path / "service.conf"
    config.write_text("")
    api.configure(has_dynamic_actions=True, allow_action_execution_deletion=True)
    api.services = replace(api.services, access=AccessRules(load([str(config)]).conf))
    api.app = build_app(api.services)
    return api


@pytest.fixture
def api(api: Any, tmp_path: Path) -> Any:
    return build(api, tmp_path)


def made(api: Any, path: str, body: Any, caller: RequestContext = OWNER) -> Any:
    answer = api.call("POST", path, body, caller=caller)
    assert answer.status == 201, answer.text
    return answer.json


def furnish(api: Any, scope: str = "private", caller: RequestContext = OWNER) -> Owned:
    """Give the owner one of everything."""
    query = f"?scope={scope}"
    (workflow,) = made(api, f"/v2/workflows{query}", workflows("own_workflow"), caller)["workflows"]
    book = made(api, f"/v2/workbooks{query}", workbook("own_book"), caller)
    (action,) = made(api, f"/v2/actions{query}", actions("own_action"), caller)["actions"]
    source = made(api, f"/v2/code_sources{query}&name=own_source", CODE, caller)
    dynamic = {"name": "own_dynamic", "class_name": "Told", "code_source_id": source["id"], "scope": scope}
    environment = {"name": "own_environment", "variables": {"x": SECRET}, "scope": scope}
    cron = {
        "name": "own_cron",
        "workflow_id": workflow["id"],
        "pattern": "* * * * *",
        "workflow_params": {"env": {"x": SECRET}},
        "scope": scope,
    }
    event = {
        "name": "own_event",
        "workflow_id": workflow["id"],
        "exchange": SECRET,
        "topic": "t",
        "event": "e",
        "scope": scope,
    }
    names = {
        "v2/workflows": ["own_workflow", workflow["id"]],
        "v2/workbooks": ["own_book", book["id"]],
        "v2/actions": ["own_action", action["id"]],
        "v2/code_sources": ["own_source", source["id"]],
        "v2/dynamic_actions": ["own_dynamic", made(api, "/v2/dynamic_actions", dynamic, caller)["id"]],
        "v2/environments": ["own_environment", made(api, "/v2/environments", environment, caller)["id"]],
        "v2/cron_triggers": ["own_cron", made(api, "/v2/cron_triggers", cron, caller)["id"]],
        "v2/event_triggers": [made(api, "/v2/event_triggers", event, caller)["id"]],
        **put_executions(api, workflow["id"]),
    }
    if scope == "private":
        made(api, f"/v2/workflows/{workflow['id']}/members", {"member_id": "friend"}, caller)
    return Owned(names=names)


def put_executions(api: Any, workflow_id: str) -> dict[str, list[str]]:
    """Insert a failed execution with a task that called another workflow, and a finished stand-alone action."""
    told = {"project_id": A, "state": "ERROR", "state_info": SECRET}
    mine = {**told, "workflow_id": workflow_id, "workflow_name": "own_workflow"}
    output = json.dumps({"result": SECRET})
    root = api.put_workflow(1, **mine, input=json.dumps({"x": SECRET}), output=output)
    task = api.put_task(2, 1, **told, published=json.dumps({"x": SECRET}))
    api.put_workflow(3, **mine, root_execution_id=root, task_execution_id=task)
    api.put_action(4, 2, **told, output=output, root_execution_id=root, workflow_execution_id=root)
    api.put_action(5, **told, output=output, input=json.dumps({"x": SECRET}))
    return {
        "v2/executions": [root],
        "v2/tasks": [task],
        "v2/action_executions": [ident(4), ident(5)],
        "v2/action-executions": [ident(4), ident(5)],
    }


def rows_of_owner(api: Any) -> dict[str, list[Any]]:
    """Return what there is of the owner, and orders to engines about anything of it."""
    found = {}
    for name, table in tables.metadata.tables.items():
        rows = api.rows(table)
        if "project_id" in table.c:
            rows = [row for row in rows if row["project_id"] == A]
        elif name not in ("inbox", "maintenance", "action_queue", "timers"):
            continue
        found[name] = sorted(rows, key=str)
    return found


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One request of the intruder and the statuses that keep the owner's things apart."""

    method: str
    path: str
    body: Any = None
    statuses: tuple[int, ...] = (404,)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body!r:.80}"


# Bodies of changes of a single object, by the path of its noun; all of them would be carried out for the owner.
CHANGES: Mapping[str, Any] = {
    "v2/workflows": workflows("own_workflow").replace("noop", "echo output=1"),
    "v2/actions": actions("own_action").replace("noop", "fail"),
    "v2/code_sources": CODE.replace("return 1", "return 2"),
    "v2/event_triggers": {"name": "mine now"},
    "v2/executions": {"description": "mine now"},
    "v2/tasks": {"state": "RUNNING", "reset": True},
    "v2/action_executions": {"state": "SUCCESS", "output": {"x": 1}},
    "v2/action-executions": {"state": "SUCCESS", "output": {"x": 1}},
}
# Below something of another project, where what is not seen is an empty list.
EMPTY_BELOW = {
    "v2/tasks/*/action_executions",
    "v2/tasks/*/workflow_executions",
    "v2/workflows/*/members",
}


def plan(endpoint: Endpoint, owned: Owned) -> Iterator[Attempt]:
    """Return the attempts on a route. Raises ``KeyError`` for a route that nobody thought of."""
    method, path, noun = endpoint.route.method, "/".join(endpoint.path), "/".join(endpoint.prefix)
    key = f"{method} {path}"
    if endpoint.route.rule is None or noun == "maintenance":
        body = "{}" if method != "GET" else None
        # Whoever has to name a secret finds nothing without.
        statuses = (404,) if "*" in endpoint.path else _ANY
        yield Attempt(method=method, path=f"/{path}/".replace("//", "/"), body=body, statuses=statuses)
    elif "members" in endpoint.path:
        yield from plan_members(method, path, owned)
    elif key == "POST v2/workflows/*":
        # What stands in the path is a namespace, in which everybody makes what is their own.
        yield Attempt(method=method, path="/v2/workflows/n", body=workflows("own_workflow"), statuses=_MINE)
    elif "*" in endpoint.path:
        yield from plan_items(method, path, endpoint, owned)
    elif method == "GET":
        yield from plan_list(path, endpoint, owned)
    else:
        for body, query, statuses in collections(owned)[key]:
            yield Attempt(method=method, path=f"/{path}{query}", body=body, statuses=statuses)


_ANY = (200, 400, 403)
_MINE = (201,)


def plan_items(method: str, path: str, endpoint: Endpoint, owned: Owned) -> Iterator[Attempt]:
    noun = "/".join(endpoint.prefix)
    statuses = (200,) if path in EMPTY_BELOW else (404,)
    body = CHANGES[noun] if method in ("PUT", "POST") else None
    for name in owned.names[noun]:
        filled = path.replace("*", name, 1)
        if path == "v2/tasks/*/action_executions/*":
            filled = filled.replace("*", ident(4))
        # Namespaces behind a name: the default one has no other way to be written than being empty.
        filled = filled.replace("/*", "")
        yield Attempt(method=method, path=f"/{filled}", body=body, statuses=statuses)
        if "force" in endpoint.route.query:
            yield Attempt(method=method, path=f"/{filled}?force=true", body=body, statuses=statuses)


def plan_members(method: str, path: str, owned: Owned) -> Iterator[Attempt]:
    body = {"POST": {"member_id": B}, "PUT": {"status": "accepted"}}.get(method)
    filled = path.replace("*", owned.of("v2/workflows"), 1)
    for member in ("friend", B):
        one = filled.replace("*", member)
        statuses = (200,) if path in EMPTY_BELOW and method == "GET" else (404,)
        yield Attempt(method=method, path=f"/{one}", body=body, statuses=statuses)


def plan_list(path: str, endpoint: Endpoint, owned: Owned) -> Iterator[Attempt]:
    yield Attempt(method="GET", path=f"/{path}", statuses=(200,))
    known = endpoint.route.query
    for name in owned.names[path]:
        yield Attempt(method="GET", path=f"/{path}?marker={name}", statuses=(400, 404))
    for filtered in ("name=has:own", f"definition=has:{SECRET}", f"state_info={SECRET}", "include_output=1"):
        if filtered.partition("=")[0] in known:
            yield Attempt(method="GET", path=f"/{path}?{filtered}", statuses=(200,))
    for wider in (f"project_id={A}", "all_projects=true"):
        if wider.partition("=")[0] in known:
            yield Attempt(method="GET", path=f"/{path}?{wider}", statuses=(200, 403))


def collections(owned: Owned) -> Mapping[str, Sequence[tuple[Any, str, tuple[int, ...]]]]:
    """Return (body, query, statuses) for routes without a name in the path.

    Who creates what the owner has under the same name gets its own; who names the owner's finds nothing.
    """
    nothing: tuple[int, ...] = (404,)
    workflow, source = owned.of("v2/workflows"), owned.of("v2/code_sources")
    cron = {"name": "own_cron", "pattern": "* * * * *"}
    event = {"exchange": SECRET, "topic": "t", "event": "e", "workflow_id": workflow}
    dynamic = {"name": "own_dynamic", "class_name": "Told"}
    run = {"name": "own_action", "params": {"save_result": True}}
    return {
        "PUT v2/workflows": [(CHANGES["v2/workflows"], "", nothing)],
        "PUT v2/workbooks": [(workbook("own_book"), "", nothing)],
        "PUT v2/actions": [(CHANGES["v2/actions"], "", nothing)],
        "PUT v2/code_sources": [
            (CHANGES["v2/code_sources"], f"?identifier={name}", nothing)
            for name in owned.names["v2/code_sources"]
        ],
        "PUT v2/dynamic_actions": [
            ({"id": owned.of("v2/dynamic_actions"), "class_name": "Told"}, "", nothing),
            (dynamic, "", nothing),
        ],
        "PUT v2/environments": [({"name": "own_environment", "variables": {}}, "", nothing)],
        "POST v2/executions": [
            ({"workflow_id": workflow}, "", nothing),
            ({"workflow_name": "own_workflow"}, "", nothing),
            ({"source_execution_id": owned.of("v2/executions")}, "", nothing),
            # Refused although it does not say whose it is: identifiers are unique in the whole service.
            ({"workflow_name": "mine", "id": owned.of("v2/executions")}, "", (409,)),
            ({"workflow_name": "mine", "params": {"env": "own_environment"}}, "", (400,)),
            ({"workflow_name": "mine", "task_execution_id": owned.of("v2/tasks")}, "", _MINE),
        ],
        "POST v2/action_executions": [
            (run, "", (400,)),
            ({**run, "name": "own_dynamic"}, "", (400,)),
            ({**run, "name": "own_book.part"}, "", (400,)),
        ],
        "POST v2/action-executions": [(run, "", (400,))],
        "POST v2/cron_triggers": [
            ({**cron, "workflow_id": workflow}, "", nothing),
            ({**cron, "workflow_name": "own_workflow"}, "", nothing),
            ({**cron, "workflow_name": "mine"}, "", _MINE),
        ],
        "POST v2/event_triggers": [(event, "", nothing)],
        "POST v2/dynamic_actions": [
            ({**dynamic, "code_source_id": source}, "", nothing),
            ({**dynamic, "code_source_name": "own_source"}, "", nothing),
        ],
        "POST v2/workflows": [(workflows("own_workflow"), "", _MINE)],
        "POST v2/workbooks": [(workbook("own_book"), "", _MINE)],
        "POST v2/actions": [(actions("own_action"), "", _MINE)],
        "POST v2/code_sources": [(CODE, "?name=own_source", _MINE)],
        "POST v2/environments": [({"name": "own_environment"}, "", _MINE)],
    }


def all_attempts(api: Any, owned: Owned) -> list[Attempt]:
    """Return the attempts on all routes.

    Those that give the intruder something of its own come last: it must not hide what is the owner's.
    """
    endpoints = endpoints_of(make_nouns(api.services))
    attempts = [attempt for endpoint in endpoints for attempt in plan(endpoint, owned)]
    return sorted(attempts, key=lambda each: each.statuses == _MINE)


def told(answer: Any, attempt: Attempt, owned: Owned) -> list[str]:
    """Return what an answer gives away: secrets, and ids that its request did not hold."""
    asked = f"{attempt.path} {attempt.body}"
    return [each for each in {SECRET, *owned.identifiers} if each in answer.text and each not in asked]


def test_another_project_finds_nothing_and_changes_nothing(api: Any) -> None:
    owned = furnish(api)
    made(api, "/v2/workflows", workflows("mine").replace(SECRET, "plain"), INTRUDER)
    before = rows_of_owner(api)
    attempts = all_attempts(api, owned)
    assert len(attempts) > 150
    for attempt in attempts:
        answer = api.call(attempt.method, attempt.path, attempt.body, caller=INTRUDER)
        assert answer.status in attempt.statuses, f"{attempt}: {answer.status} {answer.text}"
        assert told(answer, attempt, owned) == [], f"{attempt}: {answer.text}"
        if answer.status == 200 and attempt.method == "GET":
            assert "own_" not in answer.text, f"{attempt}: {answer.text}"
        assert rows_of_owner(api) == before, str(attempt)


def test_a_public_object_is_read_by_all_and_changed_by_its_owner_only(api: Any) -> None:
    owned = furnish(api, "public", OWNING_ADMIN)
    before = rows_of_owner(api)
    shared = [noun for noun in owned.names if "execution" not in noun and noun != "v2/tasks"]
    for endpoint in endpoints_of(make_nouns(api.services)):
        if "/".join(endpoint.prefix) not in shared or endpoint.route.method not in ("PUT", "DELETE"):
            continue
        for attempt in plan(endpoint, owned):
            answer = api.call(attempt.method, attempt.path, attempt.body, caller=INTRUDER)
            # Nothing is found by an id where only names count.
            assert answer.status in (403, 404), f"{attempt}: {answer.status} {answer.text}"
            assert rows_of_owner(api) == before, str(attempt)
    for noun in shared:
        path = f"/{noun}/{owned.names[noun][0]}"
        assert api.call("GET", path, caller=INTRUDER).status == 200
        refused = api.call("DELETE", path, caller=INTRUDER)
        assert (refused.status, "belongs to another project" in refused.fault) == (403, True), path


def test_an_administrator_sees_the_objects_of_all_projects(api: Any) -> None:
    owned = furnish(api)
    for noun, names in owned.names.items():
        if noun == "v2/action-executions":
            continue
        listed = api.call("GET", f"/{noun}", caller=ADMIN).json[noun.removeprefix("v2/")]
        assert names[-1] in {each["id"] for each in listed}, noun
        if noun not in ("v2/environments", "v2/workbooks"):
            assert api.call("GET", f"/{noun}/{names[-1]}", caller=ADMIN).status == 200, noun


def test_an_administrator_changes_a_workbook_where_it_is(api: Any) -> None:
    furnish(api)
    answer = api.call("PUT", "/v2/workbooks", workbook("own_book"), caller=ADMIN)
    assert answer.status == 200
    assert {row["project_id"] for row in api.rows(tables.action_definitions)} == {A}


def test_the_time_that_a_run_takes_is_learnt_from_runs_of_the_same_project_only(api: Any) -> None:
    api.put_workflow(1, project_id=B, state="RUNNING")
    for number, project in ((2, A), (3, A)):
        api.put_workflow(number, project_id=project, state="SUCCESS", updated_at=api.clock.value)
    path = f"/v2/executions/{ident(1)}/report?statistics_only=true"
    assert api.call("GET", path, caller=INTRUDER).json["statistics"]["estimated_time"] == -1


def test_a_trigger_that_an_administrator_changes_still_starts_what_its_project_may(api: Any) -> None:
    owned = furnish(api)
    (foreign,) = made(api, "/v2/workflows", workflows("of_the_admin"), ADMIN)["workflows"]
    path = f"/v2/event_triggers/{owned.of('v2/event_triggers')}"
    refused = api.call("PUT", path, {"workflow_id": foreign["id"]}, caller=ADMIN)
    assert (refused.status, "Workflow not found" in refused.fault) == (404, True)
    assert api.call("PUT", path, {"workflow_id": owned.of("v2/workflows")}, caller=ADMIN).status == 200


def test_without_authentication_there_is_one_project_whatever_headers_say(api: Any) -> None:
    made(api, "/v2/environments", {"name": "e"}, None)
    answer = api.call("GET", "/v2/environments/e", headers={"X-Project-Id": B})
    assert (answer.status, answer.json["project_id"]) == (200, "<default-project>")
    with api.database.read() as connection:
        projects = connection.execute(sa.select(tables.environments.c.project_id)).scalars().all()
    assert projects == ["<default-project>"]
