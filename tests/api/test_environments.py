"""``/v2/environments``."""

from __future__ import annotations

from typing import Any

import pytest


def test_life_of_an_environment(api: Any) -> None:
    created = api.call("POST", "/v2/environments", {"name": "e", "variables": '{"a":1}'})
    assert created.status == 201
    identifier = created.json.pop("id")
    shown = {
        "name": "e",
        "variables": '{"a": 1}',
        "scope": "private",
        "project_id": "<default-project>",
        "created_at": "2026-11-21 22:37:10",
    }
    assert created.json == {"id": identifier, **shown}
    full = {"id": identifier, **shown, "description": None, "updated_at": None}
    assert api.get("/v2/environments/e").json == full
    assert api.get("/v2/environments").json == {"environments": [full]}
    assert api.call("PUT", "/v2/environments", {"name": "e"}).json == full
    changed = api.call("PUT", "/v2/environments", {"name": "e", "description": "d", "variables": {"b": [1]}})
    assert (changed.status, changed.json["variables"]) == (200, '{"b": [1]}')
    assert changed.json["updated_at"] == "2026-11-21 22:37:10"
    assert api.call("DELETE", "/v2/environments/e").status == 204
    gone = api.get("/v2/environments/e")
    assert (gone.status, gone.fault) == (404, "Environment not found [name=e]")


@pytest.mark.parametrize("name", ["post", "get", "delete", "_route", "services", "a.json", "a b", "ü"])
def test_any_name_can_be_read(api: Any, name: str) -> None:
    assert api.call("POST", "/v2/environments", {"name": name}).status == 201
    assert api.get(f"/v2/environments/{name}".replace(" ", "%20").replace("ü", "%C3%BC")).json["name"] == name


@pytest.mark.parametrize(
    ("method", "body", "status", "fragment"),
    [
        ("POST", {"name": "e", "zz": 1}, 400, "Unknown attribute for argument env: zz"),
        ("POST", {"name": "x", "id": "1"}, 400, "id"),
        ("POST", {"name": "x", "scope": "zz"}, 400, "private, public"),
        ("POST", {"name": 3}, 400, "Wrong type"),
        ("POST", {"name": "x", "variables": [1]}, 400, "variables"),
        ("POST", {"variables": {}}, 400, "Name"),
        ("POST", {"name": "x" * 256}, 400, "255"),
        ("POST", {"name": "e"}, 409, "e"),
        ("POST", {"name": "x", "scope": "public"}, 403, "insufficient permissions"),
        ("PUT", {"description": "x"}, 400, "Name"),
        ("PUT", {"name": "nope"}, 404, "nope"),
        ("PUT", {"name": "e", "scope": "public"}, 403, "insufficient permissions"),
    ],
)
def test_refused(api: Any, method: str, body: dict[str, Any], status: int, fragment: str) -> None:
    api.call("POST", "/v2/environments", {"name": "e"})
    answer = api.call(method, "/v2/environments", body)
    assert (answer.status, fragment in answer.fault) == (status, True), answer.text
    assert len(api.get("/v2/environments").json["environments"]) == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [("name=a", ["a"]), ("variables={}", ["a"]), ('variables={"x":1}', ["b"]), ("description=eq:d", ["b"])],
)
def test_filters(api: Any, query: str, found: list[str]) -> None:
    api.call("POST", "/v2/environments", {"name": "a"})
    api.call("POST", "/v2/environments", {"name": "b", "variables": {"x": 1}, "description": "d"})
    answer = api.get(f"/v2/environments?{query}")
    assert [item["name"] for item in answer.json["environments"]] == found
