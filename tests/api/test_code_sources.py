"""``/v2/code_sources`` and ``/v2/dynamic_actions``, and how dynamic actions show in ``/v2/actions``."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables

ADMIN = {"X-Roles": "admin"}
SOURCE = """from mistral_lib.actions import Action

class Hello(Action):
    '''Greets.'''

    def __init__(self, name, greeting="hello"):
        self.text = f"{greeting} {name}"

    def run(self, context):
        return self.text

class Other(Hello):
    pass
"""


@pytest.fixture
def api(api: Any) -> Any:
    api.configure(has_dynamic_actions=True)
    return api


@pytest.fixture
def source(api: Any) -> dict[str, Any]:
    """A code source as its creation answered."""
    return call(api, "POST", "/v2/code_sources?name=src", SOURCE, 201)


def call(api: Any, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = api.call(method, path, body, ADMIN)
    assert answer.status == status, answer.text
    return answer.json if answer.text else None


def make_action(api: Any, **values: Any) -> Any:
    body = {"name": "hi", "class_name": "Hello", "code_source_name": "src", **values}
    return call(api, "POST", "/v2/dynamic_actions", body, 201)


def test_life_of_a_code_source(api: Any, source: dict[str, Any]) -> None:
    identifier = source["id"]
    assert source == {
        "id": identifier,
        "name": "src",
        "namespace": "",
        "content": SOURCE,
        "version": 1,
        "project_id": "<default-project>",
        "scope": "private",
        "created_at": "2026-11-21 22:37:10",
        "updated_at": None,
    }
    assert call(api, "GET", "/v2/code_sources/src") == source
    assert call(api, "GET", f"/v2/code_sources/{identifier}") == source
    assert call(api, "GET", "/v2/code_sources") == {"code_sources": [source]}
    changed = call(api, "PUT", "/v2/code_sources?identifier=src&scope=public", "class New: pass")
    assert (changed["content"], changed["version"], changed["scope"]) == ("class New: pass", 2, "public")
    assert changed["updated_at"] == "2026-11-21 22:37:10"
    again = call(api, "PUT", f"/v2/code_sources/{identifier}", "class New: pass")
    assert (again["version"], again["scope"]) == (3, "private")
    call(api, "DELETE", "/v2/code_sources/src", status=204)
    assert "src" in api.get("/v2/code_sources/src", **ADMIN).fault


def test_namespaces_are_apart(api: Any, source: dict[str, Any]) -> None:
    other = call(api, "POST", "/v2/code_sources?name=src&namespace=n", "x = 1", 201)
    assert call(api, "GET", "/v2/code_sources/src/n") == other
    assert call(api, "GET", "/v2/code_sources/src?namespace=n") == other
    assert call(api, "GET", "/v2/code_sources/src") == source
    assert call(api, "GET", "/v2/code_sources?namespace=n") == {"code_sources": [other]}
    assert call(api, "GET", "/v2/code_sources?namespace=") == {"code_sources": [source]}
    changed = call(api, "PUT", "/v2/code_sources?identifier=src&namespace=n", "x = 2")
    assert (changed["id"], changed["namespace"]) == (other["id"], "n")
    make_action(api, namespace="n", class_name="x")
    assert call(api, "GET", "/v2/dynamic_actions/hi?namespace=n")["code_source_id"] == other["id"]
    call(api, "GET", "/v2/dynamic_actions/hi", status=404)


def test_life_of_a_dynamic_action(api: Any, source: dict[str, Any]) -> None:
    made = make_action(api)
    assert made == {
        "id": made["id"],
        "name": "hi",
        "namespace": "",
        "code_source_id": source["id"],
        "code_source_name": "src",
        "class_name": "Hello",
        "project_id": "<default-project>",
        "scope": "private",
        "created_at": "2026-11-21 22:37:10",
        "updated_at": None,
    }
    assert call(api, "GET", "/v2/dynamic_actions/hi") == made
    assert call(api, "GET", f"/v2/dynamic_actions/{made['id']}") == made
    assert call(api, "GET", "/v2/dynamic_actions") == {"dynamic_actions": [made]}
    assert call(api, "GET", "/v2/dynamic_actions?fields=name") == {
        "dynamic_actions": [{"id": made["id"], "name": "hi"}]
    }
    assert call(api, "GET", "/v2/dynamic_actions?code_source_name=zz") == {"dynamic_actions": []}
    changed = call(api, "PUT", "/v2/dynamic_actions", {"name": "hi", "class_name": "Other"})
    assert (changed["class_name"], changed["updated_at"]) == ("Other", "2026-11-21 22:37:10")
    second = call(api, "POST", "/v2/code_sources?name=second", "class Other: pass", 201)
    moved = call(api, "PUT", "/v2/dynamic_actions", {"id": made["id"], "code_source_id": second["id"]})
    assert (moved["class_name"], moved["code_source_name"]) == ("Other", "second")
    call(api, "DELETE", "/v2/dynamic_actions/hi", status=204)
    call(api, "GET", "/v2/dynamic_actions/hi", status=404)


def test_a_code_source_takes_its_actions_along(api: Any, source: dict[str, Any]) -> None:
    make_action(api)
    call(api, "DELETE", f"/v2/code_sources/{source['id']}", status=204)
    assert call(api, "GET", "/v2/dynamic_actions") == {"dynamic_actions": []}
    call(api, "GET", "/v2/actions/hi", status=404)
    assert api.rows(tables.dynamic_actions) == []


def test_dynamic_actions_among_the_others(api: Any, source: dict[str, Any]) -> None:
    make_action(api, name="std.echo")
    make_action(api)
    shown = call(api, "GET", "/v2/actions/hi/")
    assert shown == {
        "id": "hi",
        "name": "hi",
        "is_system": False,
        "input": 'name, greeting="hello"',
        "description": "Greets.",
        "tags": None,
        "definition": "",
        "scope": "private",
        "project_id": "<default-project>",
        "created_at": "",
        "updated_at": "",
        "namespace": "",
    }
    assert call(api, "GET", "/v2/actions?name=hi") == {"actions": [shown]}
    assert call(api, "GET", "/v2/actions/std.echo/")["description"] == "Greets."
    # The class is gone from the text: the list still answers.
    call(api, "PUT", "/v2/code_sources?identifier=src", "x = 1")
    assert call(api, "GET", "/v2/actions?name=hi")["actions"][0]["input"] == "**kwargs"


def test_a_run_is_checked_against_the_class(api: Any, source: dict[str, Any]) -> None:
    make_action(api)
    refused = api.call("POST", "/v2/action_executions", {"name": "hi", "input": {"nam": "x"}})
    assert (refused.status, "missing=['name']" in refused.fault) == (400, True)
    body = {"name": "hi", "input": {"name": "x"}, "params": {"save_result": True}}
    assert api.call("POST", "/v2/action_executions", body).status == 201


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "fragment"),
    [
        ("POST", "code_sources", SOURCE, 400, "name="),
        ("POST", "code_sources?name=src", SOURCE, 409, "src"),
        ("POST", "code_sources?name=x&scope=zz", SOURCE, 400, "private, public"),
        ("POST", "code_sources?name=x", "a =\n", 400, "line 1"),
        ("POST", f"code_sources?name={'x' * 256}", SOURCE, 400, "255"),
        ("PUT", "code_sources", SOURCE, 400, "identifier="),
        ("PUT", "code_sources?identifier=zz", SOURCE, 404, "zz"),
        ("PUT", "code_sources/zz", SOURCE, 404, "zz"),
        ("PUT", "code_sources?identifier=src", "def f(:", 400, "line 1"),
        ("GET", "code_sources/zz", None, 404, "zz"),
        ("GET", "code_sources?tags=a", None, 400, "tags"),
        ("DELETE", "code_sources/zz", None, 404, "zz"),
        ("POST", "dynamic_actions", {"class_name": "Hello", "code_source_name": "src"}, 400, "name"),
        ("POST", "dynamic_actions", {"name": "x", "code_source_name": "src"}, 400, "class_name"),
        ("POST", "dynamic_actions", {"name": "x", "class_name": "Hello"}, 400, "code_source_name"),
        (
            "POST",
            "dynamic_actions",
            {"name": "x y", "class_name": "A", "code_source_name": "src"},
            400,
            "blank",
        ),
        ("POST", "dynamic_actions", {"name": "x", "class_name": "A", "code_source_name": "zz"}, 404, "zz"),
        (
            "POST",
            "dynamic_actions",
            {"name": "x", "class_name": "A", "code_source_name": "src"},
            400,
            "Hello",
        ),
        (
            "POST",
            "dynamic_actions",
            {"name": "hi", "class_name": "Hello", "code_source_name": "src"},
            409,
            "hi",
        ),
        (
            "POST",
            "dynamic_actions",
            {"name": "x", "tags": []},
            400,
            "Unknown attribute for argument dyn_action",
        ),
        ("PUT", "dynamic_actions", {"class_name": "Hello"}, 400, "id or name"),
        ("PUT", "dynamic_actions", {"name": "zz"}, 404, "zz"),
        ("PUT", "dynamic_actions", {"name": "hi", "class_name": "Zz"}, 400, "Zz"),
        ("PUT", "dynamic_actions", {"name": "hi", "code_source_id": "zz"}, 404, "zz"),
        ("DELETE", "dynamic_actions/zz", None, 404, "zz"),
    ],
)
def test_refused(
    api: Any, source: Any, method: str, path: str, body: Any, status: int, fragment: str
) -> None:
    make_action(api)
    answer = api.call(method, f"/v2/{path}", body, ADMIN)
    assert (answer.status, fragment in answer.fault) == (status, True), answer.text


PATHS = [
    ("GET", "code_sources", None),
    ("POST", "code_sources?name=x", "x = 1"),
    ("PUT", "code_sources?identifier=src", "x = 1"),
    ("PUT", "code_sources/src", "x = 1"),
    ("GET", "code_sources/src", None),
    ("GET", "code_sources/src/", None),
    ("DELETE", "code_sources/src", None),
    ("GET", "dynamic_actions", None),
    ("POST", "dynamic_actions", {"name": "x", "class_name": "Hello", "code_source_name": "src"}),
    ("PUT", "dynamic_actions", {"name": "hi", "class_name": "Other"}),
    ("GET", "dynamic_actions/hi", None),
    ("DELETE", "dynamic_actions/hi", None),
]


@pytest.mark.parametrize(("method", "path", "body"), PATHS)
def test_only_administrators_may(api: Any, source: Any, method: str, path: str, body: Any) -> None:
    make_action(api)
    assert api.call(method, f"/v2/{path}", body).status == 403


@pytest.mark.parametrize(("method", "path", "body"), PATHS)
def test_nobody_may_where_it_is_switched_off(
    api: Any, source: Any, method: str, path: str, body: Any
) -> None:
    make_action(api)
    api.configure()
    answer = api.call(method, f"/v2/{path}", body, ADMIN)
    assert (answer.status, "[dynamic_actions]" in answer.fault) == (403, True)


def test_switched_off_dynamic_actions_are_no_actions(api: Any, source: dict[str, Any]) -> None:
    make_action(api)
    api.configure()
    call(api, "GET", "/v2/actions/hi", status=404)
    assert call(api, "GET", "/v2/actions?name=hi") == {"actions": []}
    assert api.call("POST", "/v2/action_executions", {"name": "hi"}).fault == (
        "Failed to find action [action_name=hi]"
    )


def test_a_source_over_the_limit_is_refused(api: Any) -> None:
    api.configure(has_dynamic_actions=True, field_size_limit_kb=1)
    answer = api.call("POST", "/v2/code_sources?name=big", f"x = '{'y' * 1100}'", ADMIN)
    assert (answer.status, answer.fault) == (400, "The code source 'big' is larger than 1 KB.")


def test_code_of_another_project_is_not_meant(api: Any, source: dict[str, Any]) -> None:
    with api.database.write() as connection:
        connection.execute(sa.update(tables.code_sources).values(project_id="other"))
    # An administrator sees it all the same.
    assert call(api, "GET", "/v2/code_sources/src")["project_id"] == "other"
    for reference in ({"code_source_name": "src"}, {"code_source_id": source["id"]}):
        body = {"name": "hi", "class_name": "Hello", **reference}
        call(api, "POST", "/v2/dynamic_actions", body, status=404)
