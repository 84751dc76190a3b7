"""``/v2/workflows``: uploads, lists, lookups."""

from __future__ import annotations

from typing import Any

import pytest

ONE = """---
version: '2.0'
one:
  tags: [a, b]
  input: [p1, p2: 2, p3: {x: 1}]
  output: {r: <% $.p1 %>}
  tasks:
    t1:  # kept
      action: std.noop
"""
TWO = "version: '2.0'\nfirst:\n  tasks: {t: {action: std.noop}}\nsecond:\n  tasks: {t: {action: std.noop}}\n"
PUBLIC = {"X-Roles": "admin"}


def test_a_workflow_is_created_and_read_as_it_was_written(api: Any) -> None:
    created = api.call("POST", "/v2/workflows", ONE)
    assert created.status == 201
    assert created.headers["Content-Type"] == "application/json;charset=utf-8"
    (item,) = created.json["workflows"]
    interface = {"input": ["p1", {"p2": 2}, {"p3": {"x": 1}}], "output": ["r"]}
    identifier = item.pop("id")
    assert item == {
        "name": "one",
        "namespace": "",
        "input": 'p1, p2="2", p3="{\'x\': 1}"',
        "interface": interface,
        "definition": ONE,
        "checksum": item["checksum"],
        "tags": ["a", "b"],
        "scope": "private",
        "project_id": "<default-project>",
        "created_at": "2026-11-21 22:37:10",
    }
    read = api.get("/v2/workflows/one")
    assert read.headers["Content-Type"] == "application/json"
    assert read.json == {
        **item,
        "id": identifier,
        "interface": '{"input": ["p1", {"p2": 2}, {"p3": {"x": 1}}], "output": ["r"]}',
        "updated_at": None,
    }
    assert list(read.json)[:6] == ["id", "name", "namespace", "input", "interface", "definition"]
    assert api.get(f"/v2/workflows/{identifier}").json == read.json
    assert api.get("/v2/workflows/one/").json == read.json


def test_several_workflows_are_stored_each_with_its_part_all_or_none(api: Any) -> None:
    created = api.call("POST", "/v2/workflows", TWO).json["workflows"]
    assert [item["name"] for item in created] == ["first", "second"]
    assert "second" not in created[0]["definition"]
    assert "version" in created[0]["definition"]
    again = api.call("POST", "/v2/workflows", TWO.replace("first", "third"))
    assert again.status == 409
    assert set(again.json) == {"faultstring"}
    assert api.get("/v2/workflows/third").status == 404


@pytest.mark.parametrize(
    ("path", "text", "fragment"),
    [
        ("", "version: [", "could not be parsed"),
        ("", "", "Invalid DSL"),
        ("", "x: 1", "version"),
        ("", "version: '2.0'\nw:\n  tasks: {t: {action: std.noop, on-success: [zz]}}\n", "zz"),
        ("", "version: '2.0'\nw:\n  tasks: {t: {action: 'std.echo output=<% ( %>'}}\n", "w"),
        ("", ONE.replace("one:", "'a b':"), "a b"),
        ("", ONE.replace("one:", "6e4bc7e4-5a3b-4a0e-9c3a-0a8c1c1d2e3f:"), "UUID"),
        ("?scope=zz", ONE, "private, public"),
        ("", "a: &a [x]\nb: *a\n", "version"),
        ("?namespace=" + "n" * 256, ONE, "longer than 255"),
    ],
)
def test_a_bad_upload_is_a_400_that_names_the_place(api: Any, path: str, text: str, fragment: str) -> None:
    answer = api.call("POST", f"/v2/workflows{path}", text)
    assert (answer.status, set(answer.json)) == (400, {"faultstring"})
    assert fragment in answer.fault
    assert api.get("/v2/workflows").json == {"workflows": []}


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json", "application/x-www-form-urlencoded"])
def test_uploads_are_read_raw_whatever_their_type(api: Any, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert api.call("POST", "/v2/workflows", ONE, headers=headers).status == 201


@pytest.mark.parametrize("accept", ["application/json", "text/plain", "*/*"])
def test_uploads_accept_what_clients_say_they_accept(api: Any, accept: str) -> None:
    assert api.call("POST", "/v2/workflows", ONE, headers={"Accept": accept}).status == 201


def test_bytes_that_are_no_text_are_refused(api: Any) -> None:
    assert api.call("POST", "/v2/workflows", b"\xff\xfe\xff").status == 400


def test_publishing_needs_an_administrator(api: Any) -> None:
    assert api.call("POST", "/v2/workflows?scope=public", ONE).status == 403
    assert api.call("POST", "/v2/workflows?scope=public", ONE, headers=PUBLIC).status == 201


def test_update_answers_a_list_or_one_bare_object(api: Any) -> None:
    created = api.call("POST", "/v2/workflows", ONE).json["workflows"][0]
    same = api.call("PUT", "/v2/workflows", ONE)
    assert (same.status, same.json["workflows"][0]["updated_at"]) == (200, None)
    changed = api.call("PUT", f"/v2/workflows/{created['id']}", ONE.replace("one:", "renamed:"))
    assert changed.status == 200
    assert changed.json["name"] == "renamed"
    assert changed.json["updated_at"] == "2026-11-21 22:37:10"
    assert api.get("/v2/workflows/one").status == 404


def test_update_by_id_keeps_the_namespace(api: Any) -> None:
    created = api.call("POST", "/v2/workflows?namespace=n", ONE).json["workflows"][0]
    assert api.get("/v2/workflows/one").status == 404
    assert api.get("/v2/workflows/one?namespace=n").json["id"] == created["id"]
    changed = api.call("PUT", f"/v2/workflows/{created['id']}", ONE.replace("a, b", "c"))
    assert (changed.json["namespace"], changed.json["tags"]) == ("n", ["c"])


@pytest.mark.parametrize(
    ("path", "text", "status"),
    [
        ("/one", TWO, 400),
        ("/nope", ONE, 404),
        ("", TWO, 404),
        ("/second", ONE.replace("one:", "first:"), 409),
    ],
)
def test_an_update_that_fits_nothing_is_refused(api: Any, path: str, text: str, status: int) -> None:
    api.call("POST", "/v2/workflows", TWO if status == 409 else ONE)
    assert api.call("PUT", f"/v2/workflows{path}", text).status == status


def test_what_is_not_found_is_named(api: Any) -> None:
    answer = api.get("/v2/workflows/nope?namespace=abc")
    assert answer.status == 404
    assert answer.json == {
        "faultcode": "Client",
        "faultstring": "Workflow not found [workflow_identifier=nope, namespace=abc]",
        "debuginfo": None,
    }


def test_of_a_repeated_text_the_last_counts(api: Any) -> None:
    api.call("POST", "/v2/workflows", ONE)
    assert api.get("/v2/workflows/one?namespace=zz&namespace=").status == 200
    assert api.get("/v2/workflows/one?namespace=&namespace=zz").status == 404


def test_delete(api: Any) -> None:
    api.call("POST", "/v2/workflows", ONE)
    gone = api.call("DELETE", "/v2/workflows/one", headers={"Content-Type": "application/json"})
    assert (gone.status, gone.text, gone.headers.get("Content-Type")) == (204, "", None)
    assert api.call("DELETE", "/v2/workflows/one").status == 404


@pytest.mark.parametrize(("text", "is_valid"), [(ONE, True), ("x: 1", False), ("version: [", False)])
def test_validate_always_answers_200(api: Any, text: str, is_valid: bool) -> None:
    answer = api.call("POST", "/v2/workflows/validate", text)
    assert (answer.status, answer.json["valid"]) == (200, is_valid)
    assert ("error" in answer.json) is not is_valid
    assert api.get("/v2/workflows/validate").status == 405


def test_validate_warns_of_what_loads_and_is_hardly_meant(api: Any) -> None:
    twice = "version: '2.0'\nw:\n  tasks:\n    t:\n      action: std.noop\n      action: std.echo output=1\n"
    answer = api.call("POST", "/v2/workflows/validate", twice)
    assert answer.json["valid"] is True
    (warning,) = answer.json["warnings"]
    assert "'action' is written again" in warning


def test_validation_can_be_skipped_where_the_operator_allows_it(api: Any) -> None:
    dangling = "version: '2.0'\nw:\n  tasks: {t: {action: std.noop, on-success: [zz]}}\n"
    assert api.call("POST", "/v2/workflows?skip_validation", dangling).status == 400
    api.configure(validation_mode="enabled")
    assert api.call("POST", "/v2/workflows", dangling).status == 400
    assert api.call("POST", "/v2/workflows?skip_validation", dangling).status == 201


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=first", ["first"]),
        ("name=eq:first", ["first"]),
        ("name=neq:first", ["second", "one"]),
        ("name=in:first,one", ["first", "one"]),
        ("name=nin:first,one", ["second"]),
        ("name=has:o", ["second", "one"]),
        ("name=has:%25", []),
        ("name=gt:one", ["second"]),
        ("name=gte:one", ["second", "one"]),
        ("name=foo:b", []),
        ("name=in:first,second&name=first", ["first"]),
        ("tags=a", ["one"]),
        ("tags=a,b", ["one"]),
        ("tags=ab", []),
        ("namespace=", ["first", "second", "one"]),
        ("namespace=zz", []),
        ("created_at=2026-11-21 22:37:10", ["first", "second", "one"]),
        ("created_at=eq:2026-11-21T22:37:10", ["first", "second", "one"]),
        ("created_at=2026-11-21T22:37:10.9", ["first", "second", "one"]),
        ("created_at=2026-11-21T23:37:10%2B01:00", ["first", "second", "one"]),
        ("created_at=gt:2026-11-21 22:37:10", []),
        ("created_at=lte:2026-11-21 22:37:10", ["first", "second", "one"]),
        ("created_at=neq:2026-11-21 22:37:10", []),
        ("created_at=in:2026-11-21 22:37:10,2026-11-21 22:37:11", ["first", "second", "one"]),
        ("scope=public", []),
    ],
)
def test_filters(api: Any, query: str, found: list[str]) -> None:
    api.call("POST", "/v2/workflows", TWO)
    api.call("POST", "/v2/workflows", ONE)
    answer = api.get(f"/v2/workflows?{query}".replace(" ", "%20"))
    assert answer.status == 200, answer.text
    assert sorted(item["name"] for item in answer.json["workflows"]) == sorted(found)


def test_fields_restrict_what_is_shown(api: Any) -> None:
    api.call("POST", "/v2/workflows", ONE)
    assert set(api.get("/v2/workflows?fields=name").json["workflows"][0]) == {"id", "name"}
    assert set(api.get("/v2/workflows?fields=input").json["workflows"][0]) == {"id", "input", "interface"}
    assert set(api.get("/v2/workflows/one?fields=name").json) == {"id", "name"}
    refused = api.get("/v2/workflows?fields=zzz")
    assert (refused.status, "checksum" in refused.fault) == (400, True)


def test_the_namespace_may_be_part_of_the_path(api: Any) -> None:
    made = api.call("POST", "/v2/workflows/n1?namespace=n2", ONE)
    assert (made.status, made.json["workflows"][0]["namespace"]) == (201, "n1")
    assert api.get("/v2/workflows/one?namespace=n1").status == 200
    assert api.get("/v2/workflows/one").status == 404
