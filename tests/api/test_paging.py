"""Pages of lists: every row once, in order, whatever the ties and nulls."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

COUNT = 11


def ident(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


@pytest.fixture
def ties(api: Any) -> None:
    """Executions that share times, states and, partly, nulls."""
    for number in range(COUNT):
        api.put_workflow(
            number,
            created_at=api.clock.value + timedelta(seconds=number % 3),
            state=("ERROR", "SUCCESS")[number % 2],
            state_info=None if number % 4 else f"info {number % 8}",
            workflow_name=f"wf {number % 2}&x=/1",
            root_execution_id=ident(number if number % 5 else 999),
        )


def pages(api: Any, path: str) -> list[list[str]]:
    """Follow the links from ``path`` and return the ids of each page."""
    found: list[list[str]] = []
    while True:
        answer = api.get(path)
        assert answer.status == 200, answer.text
        found.append([item["id"] for item in answer.json["executions"]])
        if "next" not in answer.json:
            return found
        path = "/v2/" + answer.json["next"].rsplit("/", 1)[1]
        assert len(found) < 50


KEYS = ("created_at", "state", "state_info", "updated_at", "root_execution_id", "workflow_name", "id")


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(KEYS, 2)))
@pytest.mark.parametrize("directions", ["asc", "desc", "asc,desc", "desc,asc"])
@pytest.mark.usefixtures("ties")
def test_pages_join_to_the_whole_list(api: Any, first: str, second: str, directions: str) -> None:
    query = f"/v2/executions?sort_keys={first},{second}&sort_dirs={directions}"
    (whole,) = pages(api, query)
    assert len(set(whole)) == COUNT
    assert list(itertools.chain(*pages(api, f"{query}&limit=3"))) == whole


@pytest.mark.usefixtures("ties")
def test_pages_keep_filters_and_fields(api: Any) -> None:
    query = "state=in:SUCCESS,ERROR&workflow_name=has:%26x%3D/&created_at=gte:2026-11-21%2022:37:10"
    query += "&include_output=true&nulls=updated_at"
    answer = api.get(f"/v2/executions?{query}&limit=2&fields=state").json
    assert [set(item) for item in answer["executions"]] == [{"id", "state"}] * 2
    parsed = parse_qs(urlsplit(answer["next"]).query)
    assert parsed == {
        "sort_keys": ["created_at,id"],
        "sort_dirs": ["asc,asc"],
        "state": ["in:SUCCESS,ERROR"],
        "workflow_name": ["has:&x=/"],
        "created_at": ["gte:2026-11-21 22:37:10"],
        "nulls": ["updated_at"],
        "include_output": ["True"],
        "limit": ["2"],
        "marker": [answer["executions"][-1]["id"]],
        "fields": ["id,state"],
    }
    assert answer["next"].startswith(
        "http://localhost/v2/executions?sort_keys=created_at,id&sort_dirs=asc,asc&"
    )
    assert sum(len(page) for page in pages(api, f"/v2/executions?{query}&limit=2")) == COUNT


@pytest.mark.parametrize(
    ("limit", "has_next"), [("limit=10", True), ("limit=11", True), ("limit=12", False), ("", False)]
)
@pytest.mark.usefixtures("ties")
def test_next_is_there_if_the_page_is_full(api: Any, limit: str, has_next: bool) -> None:
    assert ("next" in api.get(f"/v2/executions?{limit}").json) is has_next


@pytest.mark.usefixtures("ties")
def test_pages_are_bounded_by_the_operator(api: Any) -> None:
    api.configure(max_limit=4)
    for query in ("", "?limit=5"):
        answer = api.get(f"/v2/executions{query}").json
        assert len(answer["executions"]) == 4
        assert "limit=4" in answer["next"]


def test_nested_lists_link_to_the_flat_collection(api: Any) -> None:
    api.put_workflow(1)
    for number in (2, 3, 4):
        api.put_task(number, 1)
    link = api.get(f"/v2/executions/{ident(1)}/tasks?limit=2").json["next"]
    assert f"/v2/tasks?sort_keys=created_at,id&sort_dirs=asc,asc&workflow_execution_id=eq:{ident(1)}&" in link
    assert [item["id"] for item in api.get(link).json["tasks"]] == [ident(4)]


@pytest.mark.parametrize("query", ["processed=false", "tags=a", 'published={"a":1}'])
def test_links_of_typed_filters_can_be_followed(api: Any, query: str) -> None:
    api.put_workflow(1)
    for number in (2, 3, 4):
        api.put_task(number, 1, tags='["a"]', published='{"a":1}')
    link = api.get(f"/v2/tasks?{query}&limit=2").json["next"]
    assert [item["id"] for item in api.get(link).json["tasks"]] == [ident(4)]


@pytest.mark.parametrize("noun", ["workbooks", "environments", "workflows"])
def test_markers_work_for_definitions(api: Any, noun: str) -> None:
    body = "tasks: {t: {action: std.noop}}"
    for name in ("a", "b", "c"):
        match noun:
            case "environments":
                answer = api.call("POST", "/v2/environments", {"name": name})
            case "workbooks":
                answer = api.call(
                    "POST", "/v2/workbooks", f"version: '2.0'\nname: {name}\nworkflows: {{w: {{{body}}}}}\n"
                )
            case _:
                answer = api.call("POST", "/v2/workflows", f"version: '2.0'\n{name}: {{{body}}}\n")
        assert answer.status == 201, answer.text
    link = f"/v2/{noun}?sort_keys=name&sort_dirs=desc&limit=2"
    first = api.get(link).json
    second = api.get(first["next"]).json
    assert [item["name"] for item in (*first[noun], *second[noun])] == ["c", "b", "a"]
    assert "sort_keys=name,id&sort_dirs=desc,asc" in first["next"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ('{"a": 1, "b": {"c": [1, 2], "d": "ü"}}', [1, 2, 5]),
        ('{"b":{"d":"\\u00fc","c":[1,2]},"a":1}', [1, 2, 5]),
        ('{"b": {"c": [2, 1], "d": "ü"}, "a": 1}', [3]),
        ('{"a": 1}', []),
        ("{}", [4]),
    ],
)
def test_json_is_compared_by_value(api: Any, wanted: str, found: list[int]) -> None:
    texts = [
        '{"a":1,"b":{"c":[1,2],"d":"ü"}}',
        '{"b":{"d":"ü","c":[1,2]},"a":1}',
        '{"a":1,"b":{"c":[2,1],"d":"ü"}}',
        "{}",
        '{"a":1,"b":{"d":"ü","c":[1,2]}}',
        '{"A":1,"b":{"c":[1,2],"d":"ü"}}',
    ]
    for number, text in enumerate(texts, 1):
        api.put_workflow(number, input=text)
    for limit in (1, 2, 10):
        # Rows that only look alike lie between the right ones: pages are full all the same.
        got = pages(api, f"/v2/executions?limit={limit}&input={quote(wanted)}")
        assert list(itertools.chain(*got)) == [ident(number) for number in found]
        assert all(len(page) == limit for page in got[:-1])


@pytest.mark.parametrize("noun", ["executions", "tasks", "action_executions"])
def test_every_declared_field_can_be_asked_for(api: Any, noun: str) -> None:
    api.put_workflow(1)
    api.put_task(2, 1)
    api.put_action(3, 2)
    refused = api.get(f"/v2/{noun}?fields=zz")
    assert refused.status == 400
    known = refused.fault.rpartition("[")[2].rstrip("].").split(", ")
    for name in known:
        (item,) = api.get(f"/v2/{noun}?fields={name}").json[noun]
        assert item.keys() <= {"id", name}, name
        # Single answers have the result besides, and leave out globals that there are none of.
        if name not in ("result", "published_global"):
            assert api.get(f"/v2/{noun}/{item['id']}?fields={name}").json == item, name


@pytest.mark.parametrize("key", ["context", "security", "spec_hash", "own_root_id", "zz"])
def test_lists_are_sorted_by_what_they_show_only(api: Any, key: str) -> None:
    refused = api.get(f"/v2/executions?sort_keys=created_at,{key}")
    assert (refused.status, f"'{key}'" in refused.fault, "created_at" in refused.fault) == (400, True, True)
