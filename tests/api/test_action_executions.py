"""``/v2/action_executions``: stand-alone runs, and results from third parties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables

ADHOC = """---
version: '2.0'
greet:
  input: [who, how: Hello]
  base: std.echo
  base-input: {output: "<% $.how %>, <% $.who %>"}
loop:
  base: loop
away:
  base: std.async_noop
broken:
  base: nowhere
"""


def ident(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


def finish(state: str, output: str | None) -> Any:
    """Return what an engine does that runs the action at once."""

    def effect(connection: sa.Connection, entry: Mapping[str, Any]) -> None:
        order = entry["payload"]
        values = {
            "id": entry["subject_id"],
            "root_execution_id": entry["root_execution_id"],
            "workflow_namespace": order["namespace"],
            "name": order["name"],
            "state": state,
            "input": '{"output":"Hello"}',
            "output": output,
            "is_sync": True,
            "is_ephemeral": order["is_ephemeral"],
            "description": order["description"],
            "project_id": order["project_id"],
            "created_at": entry["created_at"],
        }
        connection.execute(sa.insert(tables.action_executions).values(**values))

    return effect


@pytest.mark.parametrize("state", ["SUCCESS", "ERROR"])
def test_an_unsaved_run_shows_its_result_and_nothing_else(api: Any, state: str) -> None:
    api.engine.effects = {"run_action": finish(state, '{"result":"Hello"}')}
    answer = api.call("POST", "/v2/action_executions", {"name": "std.echo", "input": '{"output": "Hello"}'})
    assert (answer.status, answer.json) == (
        201,
        {
            "id": None,
            "workflow_name": None,
            "workflow_namespace": "",
            "task_execution_id": None,
            "state": state,
            "state_info": None,
            "tags": None,
            "name": "std.echo",
            "description": None,
            "project_id": None,
            "accepted": None,
            "input": '{"output": "Hello"}',
            "output": '{"result": "Hello"}',
            "created_at": None,
            "updated_at": None,
        },
    )
    identifier = api.engine.taken[0]["subject_id"]
    assert api.engine.taken[0]["root_execution_id"] == identifier
    assert api.engine.taken[0]["payload"]["is_ephemeral"] is True
    assert api.get("/v2/action_executions").json == {"action_executions": []}
    assert api.get(f"/v2/action_executions/{identifier}").status == 404


# Which of the four forms a run takes: (is kept, is waited for) by what the caller asks.
@pytest.mark.parametrize(
    ("name", "params", "is_ephemeral", "is_awaited"),
    [
        ("std.echo", {}, True, True),
        ("std.echo", {"run_sync": True}, True, True),
        ("std.echo", {"save_result": True}, False, False),
        ("std.echo", {"save_result": "true", "run_sync": "true"}, False, True),
        ("std.async_noop", {}, False, False),
        ("std.async_noop", {"save_result": True}, False, False),
        ("async_noop", {}, False, False),
        ("away", {}, False, False),
        ("greet", {}, True, True),
    ],
)
def test_forms_of_runs(
    api: Any, name: str, params: dict[str, Any], is_ephemeral: bool, is_awaited: bool
) -> None:
    api.call("POST", "/v2/actions", ADHOC)
    api.engine.effects = {"run_action": finish("SUCCESS", '{"result":1}')}
    given = {"std.echo": {"output": "Hello"}, "greet": {"who": "you"}}.get(name, {})
    body = {
        "name": name,
        "input": given,
        "description": "d",
        "params": {**params, "timeout": 3, "target": "x"},
    }
    answer = api.call("POST", "/v2/action_executions", body)
    assert answer.status == 201, answer.text
    (entry,) = api.engine.taken
    complete = {"who": "you", "how": "Hello"} if name == "greet" else given
    assert entry["payload"] == {
        "name": name,
        "input": complete,
        "namespace": "",
        "description": "d",
        "timeout": 3,
        "target": "x",
        "project_id": "<default-project>",
        "is_ephemeral": is_ephemeral,
    }
    expected = ("SUCCESS", '{"result": 1}') if is_awaited else ("RUNNING", None)
    assert (answer.json["state"], answer.json["output"]) == expected
    assert answer.json["id"] == (None if is_ephemeral else entry["subject_id"])


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        ({}, "name"),
        ({"name": "nope"}, "Failed to find action [action_name=nope]"),
        ({"name": "std.echo", "input": {"zz": 1}}, "missing=['output'], unexpected=['zz']"),
        ({"name": "greet"}, "missing=['who']"),
        ({"name": "loop"}, "based on itself"),
        ({"name": "broken"}, "nowhere"),
        ({"name": "std.async_noop", "params": {"run_sync": True}}, "asynchronous"),
        ({"name": "away", "params": {"run_sync": True}}, "asynchronous"),
        ({"name": "std.noop", "params": {"timeout": "soon"}}, "timeout"),
        ({"name": "std.noop", "params": {"timeout": 0}}, "timeout"),
        ({"name": "std.noop", "params": {"timeout": 10**400}}, "timeout"),
        ({"name": "std.noop", "params": {"target": 1}}, "target"),
        ({"name": "std.noop", "params": {"target": "a\0b"}}, "target"),
        ({"name": "std.noop", "params": {"target": "x" * 256}}, "target"),
        ({"name": "std.noop", "params": {"save_result": "maybe"}}, "save_result"),
        ({"name": "std.echo", "input": {"output": "x" * 2048}}, "limit"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_stored(
    api: Any, body: dict[str, Any], fragment: str
) -> None:
    api.configure(field_size_limit_kb=1)
    api.call("POST", "/v2/actions", ADHOC)
    answer = api.call("POST", "/v2/action_executions", body)
    assert (answer.status, fragment in answer.fault) == (400, True), answer.text
    assert api.engine.taken == []
    assert api.rows(tables.inbox) == []


def test_a_run_that_does_not_end_in_time_is_a_503(api: Any) -> None:
    api.engine.is_away = True
    answer = api.call("POST", "/v2/action_executions", {"name": "std.noop"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


# The body of a callback and the result it stands for.
@pytest.mark.parametrize(
    ("body", "state", "output"),
    [
        ({"state": "SUCCESS", "output": 3}, "SUCCESS", 3),
        ({"state": "SUCCESS", "output": {"a": 1}}, "SUCCESS", {"a": 1}),
        ({"state": "SUCCESS", "output": '{"a": 1}'}, "SUCCESS", {"a": 1}),
        ({"state": "SUCCESS", "output": "3"}, "SUCCESS", 3),
        ({"state": "SUCCESS", "output": "hello"}, "SUCCESS", "hello"),
        ({"state": "SUCCESS", "output": '"3"'}, "SUCCESS", "3"),
        ({"state": "SUCCESS", "output": ""}, "SUCCESS", ""),
        ({"state": "SUCCESS", "output": [1, None]}, "SUCCESS", [1, None]),
        ({"state": "SUCCESS", "output": False}, "SUCCESS", False),
        ({"state": "SUCCESS", "output": 0}, "SUCCESS", 0),
        # Given as null it is null, as in the reference; left out it is an empty object.
        ({"state": "SUCCESS", "output": None}, "SUCCESS", None),
        ({"state": "SUCCESS"}, "SUCCESS", {}),
        ({"state": "ERROR", "output": "bad"}, "ERROR", "bad"),
        ({"state": "ERROR", "output": {}}, "ERROR", "Unknown error"),
        ({"state": "ERROR"}, "ERROR", "Unknown error"),
        ({"state": "CANCELLED", "output": 1}, "CANCELLED", None),
        ({"state": "SUCCESS", "output": 3, "id": "x", "name": "y", "accepted": True}, "SUCCESS", 3),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "action_executions"),
        ("POST", "action_executions"),
        ("PUT", "action-executions"),
        ("POST", "action-executions"),
    ],
)
def test_callbacks(api: Any, method: str, path: str, body: dict[str, Any], state: str, output: Any) -> None:
    identifier = api.put_action(1)
    answer = api.call(method, f"/v2/{path}/{identifier}", body)
    assert (answer.status, answer.json["id"]) == (200, identifier), answer.text
    ((kind, subject, payload),) = api.engine.commands()
    assert (kind, subject) == ("result", identifier)
    assert (payload["state"], payload["output"], type(payload["output"])) == (state, output, type(output))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ("", 400),
        ("3", 400),
        ({}, 400),
        ({"output": 3}, 400),
        ({"state": None}, 400),
        ({"state": 3}, 400),
        ({"state": "XX"}, 400),
        ({"state": "success"}, 400),
        ({"state": "SUCCESS", "zz": 1}, 400),
        ({"state": "SUCCESS", "project_id": "p"}, 400),
        ({"state": "SUCCESS", "output": "x" * 2048}, 400),
        ({"state": "SUCCESS", "output": "x" * 8192}, 413),
    ],
)
def test_a_bad_callback_leaves_the_action_open(api: Any, body: Any, status: int) -> None:
    api.configure(field_size_limit_kb=1, max_body_bytes=4096)
    identifier = api.put_action(1)
    headers = {"Content-Type": "application/json"}
    assert api.call("PUT", f"/v2/action_executions/{identifier}", body, headers=headers).status == status
    assert api.rows(tables.inbox) == []
    assert api.engine.taken == []
    # The body is looked at first: what is malformed is 400 for unknown actions too.
    assert api.call("PUT", f"/v2/action_executions/{ident(9)}", body, headers=headers).status == status


SUCCESS_3 = {"state": "SUCCESS", "output": 3}


@pytest.mark.parametrize(
    ("body", "again", "status"),
    [
        (SUCCESS_3, SUCCESS_3, 200),
        (SUCCESS_3, {"state": "SUCCESS", "output": "3"}, 200),
        (SUCCESS_3, {"state": "SUCCESS", "output": 4}, 409),
        (SUCCESS_3, {"state": "ERROR", "output": 3}, 409),
        (SUCCESS_3, {"state": "CANCELLED"}, 409),
    ],
)
@pytest.mark.parametrize("is_away", [True, False])
def test_a_second_callback(api: Any, is_away: bool, body: Any, again: Any, status: int) -> None:
    identifier = api.put_action(1)
    api.engine.is_away = is_away

    def apply(connection: sa.Connection, entry: Mapping[str, Any]) -> None:
        table = tables.action_executions
        payload = entry["payload"]
        connection.execute(
            sa.update(table)
            .where(table.c.id == identifier)
            .values(state=payload["state"], output='{"result":3}', callback_digest=payload["digest"])
        )

    api.engine.effects = {"result": apply}
    assert api.call("POST", f"/v2/action-executions/{identifier}", body).status == 200
    answer = api.call("POST", f"/v2/action-executions/{identifier}", again)
    assert answer.status == status
    if status == 409:
        assert "SUCCESS" in answer.fault
    assert len(api.rows(tables.inbox)) == (1 if is_away else 0)
    assert len(api.engine.taken) == (0 if is_away else 1)


@pytest.mark.parametrize("state", ["SUCCESS", "ERROR", "CANCELLED"])
@pytest.mark.parametrize("wanted", ["SUCCESS", "PAUSED"])
def test_an_action_that_ended_otherwise_does_not_change(api: Any, state: str, wanted: str) -> None:
    identifier = api.put_action(1, state=state, output='{"result":"timeout"}')
    answer = api.call("PUT", f"/v2/action_executions/{identifier}", {"state": wanted, "output": 3})
    assert (answer.status, state in answer.fault) == (409, True)
    assert api.engine.taken == []


@pytest.mark.parametrize(("state", "is_paused"), [("RUNNING", False), ("PAUSED", True)])
def test_a_callback_is_taken_for_running_and_paused_actions(api: Any, state: str, is_paused: bool) -> None:
    api.put_workflow(1, state="PAUSED" if is_paused else "RUNNING")
    api.put_task(2, 1)
    identifier = api.put_action(3, 2, state=state, root_execution_id=ident(1))
    assert api.call("PUT", f"/v2/action_executions/{identifier}", SUCCESS_3).status == 200
    assert api.engine.taken[0]["root_execution_id"] == ident(1)


def test_a_callback_for_nobody_is_a_404(api: Any) -> None:
    assert api.call("POST", f"/v2/action-executions/{ident(9)}", SUCCESS_3).status == 404
    assert (
        api.call("PUT", "/v2/action_executions/nope", SUCCESS_3).fault
        == "ActionExecution not found [id=nope]"
    )


@pytest.mark.parametrize(
    ("is_sync", "state", "wanted", "status", "command"),
    [
        (False, "RUNNING", "PAUSED", 200, "pause_action"),
        (False, "PAUSED", "RUNNING", 200, "resume_action"),
        (False, "RUNNING", "RUNNING", 200, None),
        (True, "RUNNING", "PAUSED", 400, None),
        (False, "SUCCESS", "RUNNING", 409, None),
    ],
)
def test_pause_and_resume(
    api: Any, is_sync: bool, state: str, wanted: str, status: int, command: str | None
) -> None:
    identifier = api.put_action(1, is_sync=is_sync, state=state)
    assert api.call("PUT", f"/v2/action_executions/{identifier}", {"state": wanted}).status == status
    assert [kind for kind, _, _ in api.engine.commands()] == ([command] if command else [])


def test_lists_show_output_on_demand(api: Any) -> None:
    api.put_action(1, state="SUCCESS", output='{"result":1}', accepted=True)
    api.put_action(2, is_ephemeral=True)
    (item,) = api.get("/v2/action_executions").json["action_executions"]
    assert "output" not in item
    for yes in ("True", "true", "1"):
        listed = api.get(f"/v2/action_executions?include_output={yes}").json["action_executions"]
        assert listed == [{**item, "output": '{"result": 1}'}]
    single = {**item, "output": '{"result": 1}', "waiting_for": None}
    assert api.get(f"/v2/action-executions/{ident(1)}").json == single


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("accepted=true", [1]),
        ("accepted=false", [2]),
        (f"task_execution_id={ident(7)}", [2]),
        ("name=std.async_noop", [1, 2]),
        ("state=SUCCESS", [1]),
        ('input={"a":1}', [1]),
        ("state_info=has:x", []),
        ("sort_keys=state_info,id&sort_dirs=asc,desc", [2, 1]),
    ],
)
def test_filters(api: Any, query: str, found: list[int]) -> None:
    api.put_action(1, state="SUCCESS", accepted=True, input='{"a":1}')
    api.put_action(2, 7)
    answer = api.get(f"/v2/action_executions?{query}")
    assert [item["id"] for item in answer.json["action_executions"]] == [ident(number) for number in found]


@pytest.mark.parametrize(
    ("is_allowed", "values", "status"),
    [
        (False, None, 403),
        (True, None, 404),
        (True, {"state": "RUNNING"}, 403),
        (True, {"state": "SUCCESS", "task_execution_id": ident(7)}, 403),
        (True, {"state": "SUCCESS"}, 204),
    ],
)
def test_delete(api: Any, is_allowed: bool, values: dict[str, Any] | None, status: int) -> None:
    api.configure(allow_action_execution_deletion=is_allowed)
    if values is not None:
        api.put_action(1, **values)
    assert api.call("DELETE", f"/v2/action_executions/{ident(1)}").status == status
    assert [kind for kind, _, _ in api.engine.commands()] == (["delete"] if status == 204 else [])
