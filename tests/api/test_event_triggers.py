"""``/v2/event_triggers``."""

from __future__ import annotations

from typing import Any

import pytest

from mistral_lite.db import tables
from mistral_lite.jsontext import load

TEXT = """
version: '2.0'
wf:
  input: [x: 1]
  tasks: {t: {action: std.noop}}
needy:
  input: [must]
  tasks: {t: {action: std.noop}}
"""
ADMIN = {"X-Roles": "admin"}
UNKNOWN = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture
def ids(api: Any) -> dict[str, str]:
    """The workflows that triggers may start, by name."""
    answer = api.call("POST", "/v2/workflows", TEXT)
    assert answer.status == 201
    return {item["name"]: item["id"] for item in answer.json["workflows"]}


@pytest.fixture
def body(ids: dict[str, str]) -> dict[str, Any]:
    return {"exchange": "nova", "topic": "notifications", "event": "vm.create", "workflow_id": ids["wf"]}


def test_life_of_a_trigger(api: Any, body: dict[str, Any], ids: dict[str, str]) -> None:
    created = api.call(
        "POST",
        "/v2/event_triggers",
        {**body, "name": "n", "workflow_input": '{"x":2}', "workflow_params": {"env": {"k": 1}}},
    )
    assert created.status == 201
    identifier = created.json["id"]
    shown = {
        "id": identifier,
        "created_at": "2026-11-21 22:37:10",
        "updated_at": None,
        "project_id": "<default-project>",
        "name": "n",
        "workflow_id": ids["wf"],
        "workflow_input": '{"x": 2}',
        "workflow_params": '{"env": {"k": 1}}',
        "exchange": "nova",
        "topic": "notifications",
        "event": "vm.create",
        "scope": "private",
    }
    assert created.json == shown
    assert list(created.json) == list(shown), "in the order of Mistral"
    path = f"/v2/event_triggers/{identifier}"
    assert api.get(path).json == shown
    assert api.get(f"{path}?fields=name").json == {"id": identifier, "name": "n"}
    assert api.get("/v2/event_triggers").json == {"event_triggers": [shown]}
    assert api.call("PUT", path, {"name": "n", "exchange": None}).json == shown
    changed = api.call("PUT", path, {"name": "m", "workflow_input": {}})
    assert changed.json == {
        **shown,
        "name": "m",
        "workflow_input": "{}",
        "updated_at": "2026-11-21 22:37:10",
    }
    gone = api.call("DELETE", path)
    assert (gone.status, gone.text) == (204, "")
    assert api.get(path).status == api.call("DELETE", path).status == 404


def test_defaults(api: Any, body: dict[str, Any]) -> None:
    created = api.call("POST", "/v2/event_triggers", {**body, "name": None, "workflow_input": None}).json
    assert (created["name"], created["workflow_input"], created["workflow_params"]) == ("", "{}", "{}")


@pytest.mark.parametrize(
    ("values", "status", "fragment"),
    [
        ({"event": ""}, 400, "add event"),
        ({"exchange": None, "topic": ""}, 400, "add exchange, topic"),
        ({"workflow_id": ""}, 400, "add workflow_id"),
        ({"workflow_id": "nonexist"}, 400, "uuid"),
        ({"workflow_id": UNKNOWN}, 404, UNKNOWN),
        ({"workflow_input": {"y": 1}}, 400, "unexpected=['y']"),
        ({"workflow_input": "[]x"}, 400, "workflow_input"),
        ({"workflow_params": [1]}, 400, "workflow_params"),
        ({"event": "e" * 81}, 400, "80"),
        ({"name": "e" * 256}, 400, "255"),
        ({"scope": "other"}, 400, "private, public"),
        ({"scope": "public"}, 403, "insufficient permissions"),
        ({"id": UNKNOWN}, 400, "read only"),
        ({"created_at": "2026-01-01 00:00:00"}, 400, "read only"),
        ({"updated_at": None}, 400, "read only"),
        ({"project_id": "p"}, 400, "read only"),
        ({"zz": 1}, 400, "Unknown attribute for argument event_trigger: zz"),
    ],
)
def test_refused_on_creation(
    api: Any, body: dict[str, Any], values: dict[str, Any], status: int, fragment: str
) -> None:
    answer = api.call("POST", "/v2/event_triggers", {**body, **values})
    assert (answer.status, fragment in answer.fault) == (status, True), answer.text
    assert api.rows(tables.event_triggers) == []


def test_an_input_that_is_wanted_must_be_given(api: Any, body: dict[str, Any], ids: dict[str, str]) -> None:
    needy = {**body, "workflow_id": ids["needy"]}
    assert "missing=['must']" in api.call("POST", "/v2/event_triggers", needy).fault
    assert api.call("POST", "/v2/event_triggers", {**needy, "workflow_input": {"must": 1}}).status == 201


def test_the_same_again_is_a_conflict(api: Any, body: dict[str, Any], ids: dict[str, str]) -> None:
    assert api.call("POST", "/v2/event_triggers", body).status == 201
    assert api.call("POST", "/v2/event_triggers", {**body, "name": "other"}).status == 409
    for values in ({"event": "e2"}, {"topic": "t2"}, {"exchange": "x2"}):
        assert api.call("POST", "/v2/event_triggers", {**body, **values}).status == 201
    needy = {**body, "workflow_id": ids["needy"], "workflow_input": {"must": 1}}
    second = api.call("POST", "/v2/event_triggers", needy)
    assert second.status == 201
    path = f"/v2/event_triggers/{second.json['id']}"
    moved = api.call("PUT", path, {"workflow_id": ids["wf"], "workflow_input": {}})
    assert moved.status == 409
    assert api.get(path).json["workflow_id"] == ids["needy"], "nothing is changed halfway"


@pytest.mark.parametrize(
    ("values", "status", "fragment"),
    [
        ({"exchange": "x"}, 400, "exchange"),
        ({"topic": ""}, 400, "topic"),
        ({"event": "vm.create"}, 400, "event"),
        ({"workflow_id": "zz"}, 400, "uuid"),
        ({"workflow_id": UNKNOWN}, 404, UNKNOWN),
        ({"workflow_input": {"y": 1}}, 400, "unexpected=['y']"),
        ({"scope": "public"}, 403, "insufficient permissions"),
    ],
)
def test_refused_on_change(
    api: Any, body: dict[str, Any], values: dict[str, Any], status: int, fragment: str
) -> None:
    created = api.call("POST", "/v2/event_triggers", body).json
    answer = api.call("PUT", f"/v2/event_triggers/{created['id']}", values)
    assert (answer.status, fragment in answer.fault) == (status, True), answer.text
    assert api.get(f"/v2/event_triggers/{created['id']}").json == created


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(("identifier", "status"), [("zz", 400), (UNKNOWN, 404)])
def test_no_such_trigger(api: Any, method: str, identifier: str, status: int) -> None:
    body = {"name": "n"} if method == "PUT" else None
    assert api.call(method, f"/v2/event_triggers/{identifier}", body).status == status


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("event=a", ["a"]),
        ("topic=neq:t-b", ["a"]),
        ("exchange=x-b", ["b"]),
        ("name=in:n-a,n-b", ["a", "b"]),
        ("scope=public", []),
        ("workflow_id={wf}", ["a", "b"]),
        ("created_at=gt:2026-11-22", []),
        ("sort_keys=event&sort_dirs=desc", ["b", "a"]),
        ("limit=1", ["a"]),
    ],
)
def test_lists(api: Any, body: dict[str, Any], ids: dict[str, str], query: str, found: list[str]) -> None:
    for name in "ab":
        values = {"event": name, "topic": f"t-{name}", "exchange": f"x-{name}", "name": f"n-{name}"}
        assert api.call("POST", "/v2/event_triggers", {**body, **values}).status == 201
    answer = api.get(f"/v2/event_triggers?{query.format(**ids)}")
    assert answer.status == 200, answer.text
    listed = [item["event"] for item in answer.json["event_triggers"]]
    assert (listed if "sort" in query else sorted(listed)) == found or query == "limit=1"
    assert len(listed) == len(found)


def test_all_projects_are_for_administrators(api: Any) -> None:
    assert api.get("/v2/event_triggers?all_projects=true").status == 403
    assert api.get("/v2/event_triggers?all_projects=true", **ADMIN).status == 200


def test_triggers_of_other_projects(api: Any, body: dict[str, Any]) -> None:
    public = api.call("POST", "/v2/event_triggers", {**body, "scope": "public"}, ADMIN).json
    private = api.call("POST", "/v2/event_triggers", {**body, "event": "other"}).json
    with api.database.write() as connection:
        connection.execute(tables.event_triggers.update().values(project_id="q"))
    assert api.get(f"/v2/event_triggers/{private['id']}").status == 404
    path = f"/v2/event_triggers/{public['id']}"
    assert api.get(path).status == 200
    assert api.call("PUT", path, {"name": "n"}).status == 403
    assert api.call("DELETE", path).status == 403
    assert len(api.rows(tables.event_triggers)) == 2


def test_a_workflow_with_event_triggers_is_not_deleted(
    api: Any, body: dict[str, Any], ids: dict[str, str]
) -> None:
    created = api.call("POST", "/v2/event_triggers", body).json
    refused = api.call("DELETE", f"/v2/workflows/{ids['wf']}")
    assert refused.status == 400
    assert "event triggers" in refused.fault
    assert created["id"] in refused.fault
    assert api.call("DELETE", f"/v2/event_triggers/{created['id']}").status == 204
    assert api.call("DELETE", f"/v2/workflows/{ids['wf']}").status == 204


def test_a_workflow_that_others_have_triggers_on_stays_public(api: Any, body: dict[str, Any]) -> None:
    assert api.call("PUT", "/v2/workflows?scope=public", TEXT, ADMIN).status == 200
    api.call("POST", "/v2/event_triggers", body)
    assert api.call("PUT", "/v2/workflows?scope=private", TEXT).status == 200
    assert api.call("PUT", "/v2/workflows?scope=public", TEXT, ADMIN).status == 200
    with api.database.write() as connection:
        connection.execute(tables.event_triggers.update().values(project_id="q"))
    refused = api.call("PUT", "/v2/workflows?scope=private", TEXT)
    assert refused.status == 403
    assert "event triggers" in refused.fault


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, [{"type": "noop"}]),
        ([], [{"type": "noop"}]),
        ("text", [{"type": "noop"}]),
        ([{"type": "webhook", "url": "u"}], [{"type": "webhook", "url": "u"}, {"type": "noop"}]),
        ([{"type": "noop"}], [{"type": "noop"}]),
    ],
)
def test_publishers_of_the_service_hear_of_every_execution(
    api: Any, ids: dict[str, str], given: Any, stored: list[Any]
) -> None:
    api.configure(notify=({"type": "noop"},))
    params = {} if given is None else {"notify": given}
    answer = api.call("POST", "/v2/executions", {"workflow_id": ids["wf"], "params": params})
    assert answer.status == 201
    (row,) = api.rows(tables.workflow_executions)
    assert load(row["params"])["notify"] == stored
