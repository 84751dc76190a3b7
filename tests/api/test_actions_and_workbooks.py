"""``/v2/actions`` and ``/v2/workbooks``."""

from __future__ import annotations

from typing import Any

import pytest
import webob

from mistral_lite.api.context import CONTEXT_KEY, RequestContext

ACTIONS = """---
version: '2.0'
greeting:
  description: hello
  tags: [x]
  input: [a, b: 2, c: {d: [1]}]
  base: std.echo
  base-input: {output: <% $.a %>}
farewell:
  base: std.noop
"""
ONE_ACTION = "version: '2.0'\ngreeting:\n  base: std.noop\n"
WORKBOOK = """---
version: '2.0'
name: wb
tags: [x]
actions:
  aa:
    base: std.noop
workflows:
  w1:
    # comment
    tasks:
      t1:
        action: aa
"""


def test_adhoc_actions(api: Any) -> None:
    created = api.call("POST", "/v2/actions", ACTIONS)
    assert created.status == 201
    first, second = created.json["actions"]
    assert first == {
        "id": first["id"],
        "name": "greeting",
        "is_system": False,
        "input": 'a, b=2, c={"d": [1]}',
        "description": "hello",
        "tags": ["x"],
        "definition": ACTIONS,
        "scope": "private",
        "project_id": "<default-project>",
        "created_at": "2026-11-21 22:37:10",
        "namespace": "",
    }
    assert second["input"] is None
    assert api.get("/v2/actions/farewell").json["input"] == ""
    assert api.get("/v2/actions/greeting/").json == {**first, "updated_at": None}
    assert api.get(f"/v2/actions/{first['id']}").json["name"] == "greeting"
    assert api.get("/v2/actions/greeting/n").json["name"] == "greeting"
    assert api.call("POST", "/v2/actions", ACTIONS).status == 409


def test_installed_actions(api: Any) -> None:
    shown = api.get("/v2/actions/std.echo/").json
    assert isinstance(shown.pop("description"), str)
    assert shown == {
        "id": "std.echo",
        "name": "std.echo",
        "is_system": False,
        "input": "output, delay=0",
        "tags": None,
        "definition": "",
        "scope": None,
        "project_id": None,
        "created_at": "",
        "updated_at": "",
        "namespace": "",
    }
    assert api.get("/v2/actions/nope").fault == "Action not found [name=nope, namespace=]"
    assert api.call("DELETE", "/v2/actions/std.echo").status == 404


def test_updates_always_answer_a_list(api: Any) -> None:
    created = api.call("POST", "/v2/actions", ACTIONS).json["actions"]
    same = api.call("PUT", "/v2/actions", ACTIONS).json["actions"]
    assert [item["updated_at"] for item in same] == [None, None]
    changed = api.call("PUT", f"/v2/actions/{created[0]['id']}", ONE_ACTION)
    assert changed.status == 200
    (item,) = changed.json["actions"]
    assert (item["created_at"], item["updated_at"]) == (created[0]["created_at"], "2026-11-21 22:37:10")
    assert api.call("PUT", "/v2/actions/greeting", ACTIONS).status == 400
    assert api.call("PUT", "/v2/actions/nope", ONE_ACTION).status == 404


@pytest.mark.parametrize("path", ["greeting", "greeting/", "greeting/?namespace="])
def test_delete(api: Any, path: str) -> None:
    api.call("POST", "/v2/actions", ONE_ACTION)
    gone = api.call("DELETE", f"/v2/actions/{path}")
    assert (gone.status, gone.text) == (204, "")
    assert api.get("/v2/actions/greeting").status == 404


def test_namespaces(api: Any) -> None:
    api.call("POST", "/v2/actions?namespace=n", ONE_ACTION)
    assert api.get("/v2/actions/greeting").status == 404
    assert api.get("/v2/actions/greeting/n").json["namespace"] == "n"
    assert [item["name"] for item in api.get("/v2/actions?namespace=n").json["actions"]] == ["greeting"]
    assert "greeting" not in [item["name"] for item in api.get("/v2/actions").json["actions"]]
    assert api.call("DELETE", "/v2/actions/greeting/n").status == 204


@pytest.mark.parametrize(
    ("query", "included", "excluded"),
    [
        ("name=greeting", {"greeting"}, {"farewell", "std.echo"}),
        ("name=neq:greeting", {"farewell", "std.echo"}, {"greeting"}),
        ("name=in:greeting,std.echo", {"greeting", "std.echo"}, {"farewell"}),
        ("name=nin:greeting,std.echo", {"farewell"}, {"greeting", "std.echo"}),
        ("name=gt:freeting", {"greeting", "std.echo"}, {"farewell"}),
        ("name=has:well", {"farewell"}, {"greeting", "std.echo"}),
        ("name=in:greeting,farewell&name=greeting", {"greeting"}, {"farewell"}),
        ("scope=private", {"greeting", "farewell"}, {"std.echo"}),
        ("tags=x", {"greeting"}, {"farewell", "std.echo"}),
        ("created_at=gte:2026-11-21 22:37:10", {"greeting", "std.echo"}, set()),
        ("created_at=lt:2026-11-21 22:37:10", {"std.echo"}, {"greeting"}),
        ("is_system=false", {"greeting", "std.echo"}, set()),
        ("is_system=true", set(), {"greeting", "std.echo"}),
    ],
)
def test_list_filters(api: Any, query: str, included: set[str], excluded: set[str]) -> None:
    api.call("POST", "/v2/actions", ACTIONS)
    answer = api.get(f"/v2/actions?{query}".replace(" ", "%20"))
    names = {item["name"] for item in answer.json["actions"]}
    assert included <= names
    assert not excluded & names
    assert "next" not in answer.json


@pytest.mark.parametrize(
    "query", ["is_system<False", "is_system!=False", "created_at>2026", "namespace=neq:n"]
)
def test_malformed_filters_are_refused(api: Any, query: str) -> None:
    assert api.get(f"/v2/actions?{query}").status == 400


@pytest.mark.parametrize("order", ["name", "created_at", "tags"])
def test_paging_visits_every_action_once(api: Any, order: str) -> None:
    api.call("POST", "/v2/actions", ACTIONS)
    everything = [item["name"] for item in api.get(f"/v2/actions?sort_keys={order}").json["actions"]]
    assert len(everything) > 5
    visited: list[str] = []
    link: str | None = f"/v2/actions?limit=2&sort_keys={order}"
    while link is not None:
        page = api.get(link).json
        visited += [item["name"] for item in page["actions"]]
        link = "/v2/" + page["next"].rsplit("/", 1)[1] if "next" in page else None
    assert visited == everything


@pytest.mark.parametrize("text", ["x: 1", WORKBOOK, "version: '2.0'\n'a b': {base: std.noop}\n", "["])
def test_invalid_actions(api: Any, text: str) -> None:
    assert api.call("POST", "/v2/actions", text).status == 400
    assert api.call("PUT", "/v2/actions", text).status == 400
    assert api.call("POST", "/v2/actions/validate", text).json["valid"] is False


def test_a_workbook_makes_its_members(api: Any) -> None:
    created = api.call("POST", "/v2/workbooks", WORKBOOK)
    assert created.status == 201
    assert created.json == {
        "id": created.json["id"],
        "name": "wb",
        "namespace": "",
        "definition": WORKBOOK,
        "tags": ["x"],
        "scope": "private",
        "project_id": "<default-project>",
        "created_at": "2026-11-21 22:37:10",
    }
    assert api.get("/v2/workbooks/wb").json == {**created.json, "updated_at": None}
    assert api.get("/v2/workbooks").json["workbooks"] == [{**created.json, "updated_at": None}]
    workflow = api.get("/v2/workflows/wb.w1").json
    assert workflow["definition"] == "w1:\n  # comment\n  tasks:\n    t1:\n      action: aa\n"
    assert workflow["checksum"] is None
    assert api.get("/v2/actions/wb.aa").json["definition"] == "aa:\n  base: std.noop\n"
    assert api.call("POST", "/v2/workbooks", WORKBOOK).status == 409


def test_members_are_overwritten_but_never_removed(api: Any) -> None:
    api.call("POST", "/v2/workbooks", WORKBOOK)
    before = api.get("/v2/workflows/wb.w1").json
    text = WORKBOOK.replace("  aa:", "  bb:").replace("# comment", "description: new")
    assert api.call("PUT", "/v2/workbooks", text).json["updated_at"] == "2026-11-21 22:37:10"
    after = api.get("/v2/workflows/wb.w1").json
    assert (after["id"], "new" in after["definition"]) == (before["id"], True)
    assert {api.get(f"/v2/actions/wb.{name}").status for name in ("aa", "bb")} == {200}
    assert api.call("DELETE", "/v2/workbooks/wb").status == 204
    assert api.get("/v2/workbooks/wb").fault == "Workbook not found [name=wb, namespace=]"
    assert api.get("/v2/workflows/wb.w1").status == 200


@pytest.mark.parametrize(
    ("method", "text", "status"),
    [
        ("POST", "x: 1", 400),
        ("POST", ACTIONS, 400),
        ("POST", WORKBOOK.replace("name: wb", "name: w b"), 400),
        ("PUT", WORKBOOK, 404),
        ("POST", WORKBOOK.replace("'2.0'", "2.0"), 201),
    ],
)
def test_workbook_uploads(api: Any, method: str, text: str, status: int) -> None:
    assert api.call(method, "/v2/workbooks", text).status == status
    if status == 400:
        assert api.call("POST", "/v2/workbooks/validate", text).json["valid"] is False


def test_definitions_of_others(api: Any) -> None:
    api.call(
        "POST",
        "/v2/workflows?scope=public",
        "version: '2.0'\nw: {tasks: {t: {action: std.noop}}}\n",
        headers={"X-Roles": "admin"},
    )
    api.call("POST", "/v2/actions", ONE_ACTION)
    other = {CONTEXT_KEY: RequestContext(project_id="other")}

    def status(method: str, path: str, text: str = "") -> int:
        request = webob.Request.blank(path, method=method, body=text.encode(), environ=dict(other))
        code: int = request.get_response(api.app).status_int
        return code

    assert status("GET", "/v2/workflows/w") == 200
    assert status("DELETE", "/v2/workflows/w") == 403
    assert status("PUT", "/v2/workflows", "version: '2.0'\nw: {tasks: {t: {action: std.fail}}}\n") == 403
    assert status("GET", "/v2/actions/greeting") == 404
    assert status("POST", "/v2/actions", ONE_ACTION) == 201
