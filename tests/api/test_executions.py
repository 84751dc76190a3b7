"""``/v2/executions``: starting, changing, deleting, trees."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables

WORKFLOW = """---
version: '2.0'
wf:
  tags: [t]
  input: [p1, p2: 2]
  vars: {v: <% $.p1 %>}
  tasks: {t1: {action: std.noop}}
"""
CLIENT_ID = "00000000-0000-4000-8000-000000000abc"


def ident(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


@pytest.fixture
def wf_id(api: Any) -> str:
    identifier: str = api.call("POST", "/v2/workflows", WORKFLOW).json["workflows"][0]["id"]
    return identifier


def test_start(api: Any, wf_id: str) -> None:
    body = {"workflow_name": "wf", "input": '{"p1": "x"}', "params": {"env": {"a": 1}}, "description": "dd"}
    answer = api.call("POST", "/v2/executions", body)
    assert answer.status == 201
    identifier = answer.json["id"]
    assert answer.json == {
        "id": identifier,
        "workflow_id": wf_id,
        "workflow_name": "wf",
        "workflow_namespace": "",
        "description": "dd",
        "tags": ["t"],
        "params": '{"env": {"a": 1}, "namespace": ""}',
        "task_execution_id": None,
        "root_execution_id": None,
        "state": "RUNNING",
        "state_info": None,
        "input": '{"p1": "x", "p2": 2}',
        "output": "{}",
        "created_at": "2026-11-21 22:37:10",
        "updated_at": "2026-11-21 22:37:10",
        "project_id": "<default-project>",
    }
    assert api.engine.commands() == [("start", identifier, {})]
    (row,) = api.rows(tables.workflow_executions)
    assert (row["root_execution_id"], row["version"], row["context"]) == (identifier, 0, '{"v":"x"}')


@pytest.mark.parametrize(
    "body",
    [
        {"workflow_name": "WF_ID"},
        {"workflow_id": "WF_ID"},
        {"workflow_id": "wf"},
        {"workflow_id": "WF_ID", "workflow_name": "nonsense"},
        {"workflow_name": "wf", "state": "ERROR", "output": {"x": 1}, "created_at": "long ago"},
        {"workflow_name": "wf", "input": {"p1": 1}, "params": None},
    ],
)
def test_a_workflow_is_named_by_name_or_id(api: Any, wf_id: str, body: dict[str, Any]) -> None:
    sent = {"input": {"p1": 1}, **{k: wf_id if v == "WF_ID" else v for k, v in body.items()}}
    answer = api.call("POST", "/v2/executions", sent)
    assert (answer.status, answer.json["state"]) == (201, "RUNNING"), answer.text


@pytest.mark.parametrize(
    ("body", "status", "fragment"),
    [
        ({}, 400, "workflow_id"),
        ({"workflow_name": "nope"}, 404, "nope"),
        ({"workflow_id": None, "workflow_name": "wf"}, 404, "not found"),
        ({"workflow_name": "wf", "workflow_namespace": "n"}, 404, "namespace=n"),
        ({"workflow_name": "wf"}, 400, "p1"),
        ({"workflow_name": "wf", "input": {"p1": 1, "p9": 1}}, 400, "p9"),
        ({"workflow_name": "wf", "input": {"p1": 1}, "params": {"env": "nope"}}, 400, "nope"),
        ({"workflow_name": "wf", "input": {"p1": 1}, "params": {"env": 3}}, 400, "env"),
        ({"workflow_name": "wf", "input": {"p1": 1}, "params": {"env": {"a": "<% $.b.c() %>"}}}, 400, "c()"),
        ({"workflow_name": "wf", "input": {"p1": "x" * 2048}}, 400, "limit"),
        ({"source_execution_id": ident(77)}, 404, ident(77)),
    ],
)
def test_what_cannot_start_leaves_nothing_behind(
    api: Any, wf_id: str, body: dict[str, Any], status: int, fragment: str
) -> None:
    api.configure(field_size_limit_kb=1)
    answer = api.call("POST", "/v2/executions", body)
    assert answer.status == status, answer.text
    assert fragment in answer.fault
    assert api.rows(tables.workflow_executions) == []
    assert api.engine.taken == []


def test_a_stored_environment_is_taken_by_name(api: Any, wf_id: str) -> None:
    api.call("POST", "/v2/environments", {"name": "e", "variables": {"a": 1}})
    answer = api.call(
        "POST", "/v2/executions", {"workflow_id": wf_id, "input": {"p1": 1}, "params": {"env": "e"}}
    )
    assert json.loads(answer.json["params"]) == {"env": {"a": 1}, "namespace": ""}


def test_the_id_makes_a_start_idempotent(api: Any, wf_id: str) -> None:
    body = {"id": CLIENT_ID, "workflow_id": wf_id, "input": {"p1": 1}}
    first = api.call("POST", "/v2/executions", body)
    second = api.call("POST", "/v2/executions", {**body, "input": {"p1": 2}})
    assert (first.status, second.status) == (201, 201)
    assert second.json == first.json
    assert len(api.engine.taken) == 1


def test_without_an_engine_a_start_is_durable(api: Any, wf_id: str) -> None:
    api.engine.is_away = True
    assert api.call("POST", "/v2/executions", {"workflow_id": wf_id, "input": {"p1": 1}}).status == 201
    assert [row["kind"] for row in api.rows(tables.inbox)] == ["start"]


def test_an_execution_can_be_based_on_another(api: Any, wf_id: str) -> None:
    first = api.call(
        "POST",
        "/v2/executions",
        {"workflow_id": wf_id, "input": {"p1": {"a": 1, "b": 1}}, "params": {"env": {"x": 1}}},
    ).json
    body = {"source_execution_id": first["id"], "input": {"p1": {"b": 2}}, "workflow_name": "other"}
    second = api.call("POST", "/v2/executions", body).json
    assert json.loads(second["input"]) == {"p1": {"a": 1, "b": 2}, "p2": 2}
    assert json.loads(second["params"])["env"] == {"x": 1}
    assert second["workflow_name"] == "wf"
    assert second["description"] == f"Based on the execution '{first['id']}'"


def test_get_shows_output_and_globals(api: Any) -> None:
    identifier = api.put_workflow(
        1, state="SUCCESS", output='{"r":1}', context='{"g":1,"v":2}', published_global='["g"]'
    )
    shown = api.get(f"/v2/executions/{identifier}").json
    assert (shown["output"], shown["published_global"]) == ('{"r": 1}', '{"g": 1}')
    assert list(shown)[-2:] == ["published_global", "waiting_for"]
    assert api.get(f"/v2/executions/{identifier}?fields=id,state").json == {
        "id": identifier,
        "state": "SUCCESS",
    }
    assert api.get(f"/v2/executions/{identifier}?fields=zz").status == 400
    assert api.get("/v2/executions/nope").fault == "WorkflowExecution not found [id=nope]"


def test_numbers_of_any_size_survive(api: Any) -> None:
    identifier = api.put_workflow(1, output='{"n":123456789012345678901234567890}')
    assert api.get(f"/v2/executions/{identifier}").json["output"] == '{"n": 123456789012345678901234567890}'


# What a request does to an execution: the command it becomes, None for none, or the status of its refusal.
STEPS = {
    "IDLE": {"PAUSED": 400, "RUNNING": "resume", "SUCCESS": 400, "ERROR": "stop", "CANCELLED": "stop"},
    "RUNNING": {"PAUSED": "pause", "RUNNING": None, "SUCCESS": "stop", "ERROR": "stop", "CANCELLED": "stop"},
    "PAUSED": {"PAUSED": None, "RUNNING": "resume", "SUCCESS": 400, "ERROR": "stop", "CANCELLED": "stop"},
    "SUCCESS": {"PAUSED": 400, "RUNNING": None, "SUCCESS": None, "ERROR": None, "CANCELLED": None},
    "ERROR": {"PAUSED": 400, "RUNNING": None, "SUCCESS": 400, "ERROR": None, "CANCELLED": None},
    "CANCELLED": {"PAUSED": 400, "RUNNING": None, "SUCCESS": 400, "ERROR": None, "CANCELLED": None},
}


@pytest.mark.parametrize(
    ("state", "wanted", "outcome"),
    [(state, wanted, outcome) for state, row in STEPS.items() for wanted, outcome in row.items()],
)
def test_state_changes(api: Any, state: str, wanted: str, outcome: str | int | None) -> None:
    identifier = api.put_workflow(1, state=state)

    def change(connection: sa.Connection, entry: Mapping[str, Any]) -> None:
        table = tables.workflow_executions
        connection.execute(sa.update(table).where(table.c.id == entry["subject_id"]).values(state=wanted))

    api.engine.effects = dict.fromkeys(("pause", "resume", "stop"), change)
    answer = api.call("PUT", f"/v2/executions/{identifier}", {"state": wanted, "state_info": "why"})
    payloads = {"pause": {}, "resume": {"env": {}}, "stop": {"state": wanted, "message": "why"}}
    if isinstance(outcome, int):
        assert (answer.status, state in answer.fault, wanted in answer.fault) == (outcome, True, True)
        assert api.engine.commands() == []
        return
    expected = [] if outcome is None else [(outcome, identifier, payloads[outcome])]
    assert api.engine.commands() == expected
    assert (answer.status, answer.json["state"]) == (200, wanted if outcome else state)
    assert "output" in answer.json
    assert "published_global" not in answer.json


@pytest.mark.parametrize(
    ("state", "body", "status"),
    [
        ("RUNNING", {}, 400),
        ("RUNNING", {"state": "", "description": ""}, 400),
        ("RUNNING", {"state": "STOPPED"}, 400),
        ("RUNNING", {"state": "SKIPPED"}, 400),
        ("RUNNING", {"state": "IDLE"}, 400),
        ("RUNNING", {"state": "RUNNING", "description": "d"}, 400),
        ("RUNNING", {"state": "PAUSED", "params": {"env": {"k": 1}}}, 400),
        ("RUNNING", {"params": {"env": {"k": 1}}}, 403),
        ("SUCCESS", {"params": {"env": {"k": 1}}}, 403),
        ("PAUSED", {"params": {"env": "e"}}, 400),
        (None, {"state": "STOPPED"}, 404),
    ],
)
def test_refused_changes(api: Any, state: str | None, body: dict[str, Any], status: int) -> None:
    if state is not None:
        api.put_workflow(1, state=state)
    assert api.call("PUT", f"/v2/executions/{ident(1)}", body).status == status
    assert api.engine.taken == []


@pytest.mark.parametrize("state", ["IDLE", "PAUSED", "ERROR"])
def test_env_can_be_updated_while_nothing_runs(api: Any, state: str) -> None:
    identifier = api.put_workflow(1, state=state)
    answer = api.call("PUT", f"/v2/executions/{identifier}", {"params": '{"env": {"k": 1}}'})
    assert answer.status == 200
    assert api.engine.commands() == [("update_env", identifier, {"env": {"k": 1}})]
    assert "params" in answer.json
    assert not {"input", "output"} & set(answer.json)


def test_description_is_changed_alone(api: Any) -> None:
    identifier = api.put_workflow(1, version=7)
    answer = api.call("PUT", f"/v2/executions/{identifier}", {"description": "new"})
    assert (answer.status, answer.json["description"]) == (200, "new")
    assert not {"params", "input", "output"} & set(answer.json)
    assert api.engine.taken == []
    assert api.rows(tables.workflow_executions)[0]["version"] == 7


@pytest.mark.parametrize(
    ("state", "query", "status"),
    [
        ("RUNNING", "", 403),
        ("RUNNING", "?force=", 403),
        ("RUNNING", "?force=false", 403),
        ("RUNNING", "?force=maybe", 400),
        ("RUNNING", "?force=True", 204),
        ("PAUSED", "", 403),
        ("SUCCESS", "", 204),
        ("ERROR", "", 204),
        ("CANCELLED", "", 204),
        (None, "?force=true", 404),
    ],
)
def test_delete(api: Any, state: str | None, query: str, status: int) -> None:
    if state is not None:
        api.put_workflow(1, state=state)
    assert api.call("DELETE", f"/v2/executions/{ident(1)}{query}").status == status
    assert [kind for kind, _, _ in api.engine.commands()] == (["delete"] if status == 204 else [])


@pytest.mark.parametrize("verb", ["PUT", "DELETE"])
def test_commands_are_durable_without_an_engine(api: Any, verb: str) -> None:
    identifier = api.put_workflow(1, state="RUNNING")
    api.engine.is_away = True
    path = f"/v2/executions/{identifier}" + ("?force=1" if verb == "DELETE" else "")
    answer = api.call(verb, path, {"state": "CANCELLED"} if verb == "PUT" else None)
    assert answer.status in (200, 204)
    assert [row["kind"] for row in api.rows(tables.inbox)] == ["stop" if verb == "PUT" else "delete"]


@pytest.fixture
def tree(api: Any) -> None:
    """1 ─ task 11 (ERROR) ─ 2 ─ task 21 ─ 4, and 1 ─ task 12 ─ 3."""
    api.put_workflow(1, state="RUNNING", output='{"o":1}')
    api.put_task(11, 1, type="WORKFLOW", state="ERROR", runtime='{"retry_task_policy":{"retry_no":2}}')
    api.put_task(12, 1, type="WORKFLOW", state="SUCCESS")
    api.put_workflow(2, root_execution_id=ident(1), task_execution_id=ident(11), state="ERROR")
    api.put_workflow(3, root_execution_id=ident(1), task_execution_id=ident(12), state="SUCCESS")
    api.put_task(21, 2, type="WORKFLOW", state="RUNNING")
    api.put_workflow(4, root_execution_id=ident(1), task_execution_id=ident(21), state="SUCCESS")
    api.put_task(41, 4, state="SKIPPED")
    api.put_action(411, 41, state="SUCCESS", accepted=True)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"executions/{ident(1)}/executions", [1, 2, 4, 3]),
        (f"executions/{ident(1)}/executions?max_depth=0", [1]),
        (f"executions/{ident(1)}/executions?max_depth=1", [1, 2, 3]),
        (f"executions/{ident(1)}/executions?errors_only=true", [1, 2]),
        (f"executions/{ident(2)}/executions?errors_only=", [2, 4]),
        (f"tasks/{ident(11)}/executions", [2, 4]),
        (f"tasks/{ident(11)}/executions?max_depth=0", [2]),
        (f"tasks/{ident(12)}/executions?errors_only=1", []),
        (f"tasks/{ident(11)}/workflow_executions", [2]),
        (f"executions?root_execution_id={ident(1)}", [2, 3, 4]),
        (f"executions?root_execution_id=neq:{ident(1)}", []),
        (f"executions?root_execution_id=in:{ident(1)},{ident(2)}", [2, 3, 4]),
        ("executions?nulls=root_execution_id", [1]),
        (f"executions?task_execution_id={ident(21)}", [4]),
        ("executions?state=in:ERROR,RUNNING", [1, 2]),
        ("executions?state=neq:SUCCESS", [1, 2]),
        ('executions?output={"o":1}', [1]),
        ('executions?output={"o":2}', []),
        ("executions?workflow_name=wf&state=ERROR", [2]),
    ],
)
@pytest.mark.usefixtures("tree")
def test_trees(api: Any, path: str, found: list[int]) -> None:
    answer = api.get(f"/v2/{path}")
    assert answer.status == 200, answer.text
    assert [item["id"] for item in answer.json["executions"]] == [ident(number) for number in found]
    assert not any("output" in item for item in answer.json["executions"])


@pytest.mark.usefixtures("tree")
def test_output_is_in_lists_on_demand(api: Any) -> None:
    item = api.get("/v2/executions?include_output=1&limit=1").json["executions"][0]
    assert item["output"] == '{"o": 1}'
    assert "published_global" not in item
    item = api.get(f"/v2/executions/{ident(1)}/executions?include_output=true").json["executions"][0]
    assert item["output"] == '{"o": 1}'
    nested = api.get(f"/v2/tasks/{ident(11)}/workflow_executions").json["executions"][0]
    assert not {"params", "input", "output"} & set(nested)


@pytest.mark.parametrize("path", ["tasks", "executions", "report"])
def test_parts_of_an_execution_need_an_id_that_exists(api: Any, path: str) -> None:
    assert api.get(f"/v2/executions/nope/{path}").status == 400
    assert api.get(f"/v2/executions/{ident(99)}/{path}").status == 404


@pytest.mark.parametrize(
    "query", ["nulls=zz", "nulls=id", "workflow_id=zz", "input=[1]", "input=x", "force=1"]
)
def test_filters_that_mean_nothing_are_refused(api: Any, query: str) -> None:
    assert api.get(f"/v2/executions?{query}").status == 400


@pytest.mark.parametrize("query", ["all_projects=true", f"project_id={ident(5)}"])
def test_other_projects_are_for_administrators(api: Any, query: str) -> None:
    api.put_workflow(1, project_id=ident(5))
    assert api.get(f"/v2/executions?{query}").status == 403
    shown = api.get(f"/v2/executions?{query}", **{"X-Roles": "member, admin"})
    assert [item["id"] for item in shown.json["executions"]] == [ident(1)]
    assert api.get(f"/v2/executions/{ident(1)}").status == 404


@pytest.mark.usefixtures("tree")
def test_report(api: Any) -> None:
    answer = api.get(f"/v2/executions/{ident(1)}/report").json
    assert answer["statistics"] == {
        "total_tasks_count": 3,
        "running_tasks_count": 1,
        "success_tasks_count": 1,
        "error_tasks_count": 1,
        "idle_tasks_count": 0,
        "paused_tasks_count": 0,
        "estimated_time": -1,
    }
    first, second = answer["root_workflow_execution"]["task_executions"]
    assert (first["retry_count"], "retry_count" in second) == (2, False)
    (nested,) = first["workflow_executions"]
    deep = nested["task_executions"][0]["workflow_executions"][0]["task_executions"][0]
    assert deep["action_executions"][0] == {
        "id": ident(411),
        "name": "std.async_noop",
        "created_at": "2026-11-21 22:44:01",
        "updated_at": None,
        "state": "SUCCESS",
        "state_info": None,
        "accepted": True,
        "last_heartbeat": "2026-11-21 22:44:01",
    }
    assert deep["workflow_executions"] == []


@pytest.mark.usefixtures("tree")
def test_report_can_be_cut(api: Any) -> None:
    path = f"/v2/executions/{ident(1)}/report"
    assert set(api.get(f"{path}?statistics_only=true").json) == {"statistics"}
    shallow = api.get(f"{path}?max_depth=0").json
    assert shallow["statistics"]["total_tasks_count"] == 2
    first = shallow["root_workflow_execution"]["task_executions"][0]
    assert "task_executions" not in first["workflow_executions"][0]
    failed = api.get(f"{path}?errors_only=1").json
    assert failed["statistics"]["total_tasks_count"] == 1
    assert [task["id"] for task in failed["root_workflow_execution"]["task_executions"]] == [ident(11)]


def test_report_estimates_from_earlier_runs(api: Any) -> None:
    api.put_workflow(1, state="SUCCESS", updated_at=api.clock.value + timedelta(seconds=101))
    api.put_workflow(2)
    api.clock.value += timedelta(seconds=12)
    statistics = api.get(f"/v2/executions/{ident(2)}/report").json["statistics"]
    assert statistics["estimated_time"] == 90
    assert api.get(f"/v2/executions/{ident(1)}/report").json["statistics"]["estimated_time"] == 0
