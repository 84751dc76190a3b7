"""``/v2/tasks``: what is shown of tasks, reruns and skips."""

from __future__ import annotations

from typing import Any

import pytest


def ident(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


WITH_ITEMS = '{"with_items":{"count":2,"capacity":null}}'


def test_one_task(api: Any) -> None:
    api.put_workflow(1)
    api.put_task(
        2,
        1,
        name="t1",
        state="SUCCESS",
        published='{"v":"x"}',
        triggered_by=f'[["{ident(9)}","on-success"]]',
        processed=True,
        tags='["a"]',
        started_at=api.clock.value,
    )
    api.put_action(3, 2, state="SUCCESS", accepted=True, output='{"result":"x"}')
    shown = api.get(f"/v2/tasks/{ident(2)}").json
    assert shown == {
        "id": ident(2),
        "name": "t1",
        "type": "ACTION",
        "workflow_name": "wf",
        "workflow_namespace": "",
        "workflow_id": ident(900),
        "workflow_execution_id": ident(1),
        "tags": ["a"],
        "state": "SUCCESS",
        "state_info": None,
        "project_id": "<default-project>",
        "runtime_context": f'{{"triggered_by": [{{"task_id": "{ident(9)}", "event": "on-success"}}]}}',
        "result": '"x"',
        "published": '{"v": "x"}',
        "processed": True,
        "created_at": "2026-11-21 22:37:12",
        "updated_at": None,
        "started_at": "2026-11-21 22:37:10",
        "finished_at": None,
        "waiting_for": None,
    }
    assert sum("type" in key for key in shown) == 1
    listed = api.get("/v2/tasks").json["tasks"][0]
    assert set(shown) - set(listed) == {"result", "waiting_for"}
    assert api.get(f"/v2/executions/{ident(1)}/tasks").json == {"tasks": [listed]}
    assert api.get(f"/v2/tasks/{ident(2)}?fields=state,result").json == {
        "id": ident(2),
        "state": "SUCCESS",
        "result": '"x"',
    }


def test_global_variables_of_a_task_are_shown_if_there_are_any(api: Any) -> None:
    api.put_workflow(1)
    api.put_task(2, 1, published_global='{"g":1}')
    assert api.get(f"/v2/tasks/{ident(2)}").json["published_global"] == '{"g": 1}'


@pytest.mark.parametrize(
    ("runtime", "actions", "result"),
    [
        ("{}", [], "[]"),
        ("{}", [{"state": "RUNNING"}], "[]"),
        ("{}", [{"state": "ERROR", "accepted": False, "output": '{"result":"old"}'}], "[]"),
        ("{}", [{"state": "SUCCESS", "accepted": True, "output": '{"result":null}'}], "null"),
        (
            "{}",
            [
                {"state": "ERROR", "accepted": False, "output": '{"result":"old"}'},
                {"state": "SUCCESS", "accepted": True, "output": '{"result":{"a":[1]}}'},
            ],
            '{"a": [1]}',
        ),
        (WITH_ITEMS, [{"state": "SUCCESS", "accepted": True, "output": '{"result":1}'}], "[1]"),
        (
            WITH_ITEMS,
            [
                {"state": "SUCCESS", "accepted": True, "output": '{"result":"b"}', "position": 1},
                {"state": "SUCCESS", "accepted": True, "output": '{"result":"a"}', "position": 0},
            ],
            '["a", "b"]',
        ),
    ],
)
def test_result_is_made_of_accepted_actions(
    api: Any, runtime: str, actions: list[dict[str, Any]], result: str
) -> None:
    api.put_workflow(1)
    api.put_task(2, 1, runtime=runtime)
    for number, values in enumerate(actions, start=10):
        api.put_action(number, 2, **values)
    assert api.get(f"/v2/tasks/{ident(2)}").json["result"] == result


@pytest.mark.parametrize(
    ("state", "accepted", "result"),
    [("SUCCESS", "true", '{"o": 1}'), ("RUNNING", "true", "[]"), ("SUCCESS", "false", "[]")],
)
def test_result_of_a_nested_workflow_is_its_output(api: Any, state: str, accepted: str, result: str) -> None:
    api.put_workflow(1)
    api.put_task(2, 1, type="WORKFLOW")
    api.put_workflow(
        3,
        root_execution_id=ident(1),
        task_execution_id=ident(2),
        state=state,
        output='{"o":1}',
        runtime=f'{{"accepted":{accepted},"position":0}}',
    )
    assert api.get(f"/v2/tasks/{ident(2)}").json["result"] == result


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=t2", [2]),
        ("state=RUNNING", [2, 3]),
        ("workflow_name=wf", [2, 3]),
        (f"workflow_execution_id={ident(1)}", [2]),
        (f"workflow_id={ident(900)}", [2, 3]),
        ("processed=true", [3]),
        ("processed=false", [2]),
        ("tags=x", [3]),
        ('published={"a":1}', [3]),
        ("sort_keys=name&sort_dirs=desc", [3, 2]),
        ("sort_keys=finished_at", [2, 3]),
        ("sort_keys=workflow_name,created_at&sort_dirs=asc,desc", [3, 2]),
    ],
)
def test_lists(api: Any, query: str, found: list[int]) -> None:
    api.put_workflow(1)
    api.put_task(2, 1)
    api.put_workflow(5)
    api.put_task(3, 5, processed=True, tags='["x"]', published='{"a":1}', finished_at=api.clock.value)
    answer = api.get(f"/v2/tasks?{query}")
    assert answer.status == 200, answer.text
    assert [task["id"] for task in answer.json["tasks"]] == [ident(number) for number in found]


@pytest.mark.parametrize(
    ("state", "runtime", "body", "command"),
    [
        ("ERROR", "{}", {"state": "RUNNING", "reset": True}, ("rerun", {"reset": True, "env": {}})),
        ("CANCELLED", "{}", {"state": "RUNNING", "reset": True}, ("rerun", {"reset": True, "env": {}})),
        ("ERROR", WITH_ITEMS, {"state": "RUNNING", "reset": False}, ("rerun", {"reset": False, "env": {}})),
        ("ERROR", WITH_ITEMS, {"state": "RUNNING", "reset": None}, ("rerun", {"reset": False, "env": {}})),
        ("ERROR", "{}", {"state": "SKIPPED"}, ("skip", {"env": {}})),
        (
            "ERROR",
            "{}",
            {
                "id": "whatever",
                "name": "t2",
                "workflow_name": "wf",
                "state": "RUNNING",
                "reset": True,
                "env": '{"k": 1}',
            },
            ("rerun", {"reset": True, "env": {"k": 1}}),
        ),
    ],
)
def test_rerun_and_skip(
    api: Any, state: str, runtime: str, body: dict[str, Any], command: tuple[str, dict[str, Any]]
) -> None:
    api.put_workflow(1, state="ERROR")
    api.put_task(2, 1, state=state, runtime=runtime)
    answer = api.call("PUT", f"/v2/tasks/{ident(2)}", body)
    assert (answer.status, answer.json["id"]) == (200, ident(2)), answer.text
    assert "result" in answer.json
    assert api.engine.commands() == [(command[0], ident(2), command[1])]
    assert api.engine.taken[0]["root_execution_id"] == ident(1)


@pytest.mark.parametrize(
    ("execution", "task", "body", "status", "fragment"),
    [
        ("ERROR", "ERROR", {"name": "zz", "state": "RUNNING"}, 400, "Task name"),
        ("ERROR", "ERROR", {"workflow_name": "zz", "state": "RUNNING"}, 400, "Workflow name"),
        ("ERROR", "ERROR", {}, 400, "RUNNING"),
        ("ERROR", "ERROR", {"state": "PAUSED"}, 400, "RUNNING"),
        ("ERROR", "SUCCESS", {"state": "RUNNING", "reset": True}, 400, "SUCCESS"),
        ("ERROR", "RUNNING", {"state": "SKIPPED"}, 400, "RUNNING"),
        ("ERROR", "CANCELLED", {"state": "SKIPPED"}, 400, "CANCELLED"),
        ("ERROR", "ERROR", {"state": "RUNNING"}, 400, "reset"),
        ("ERROR", "ERROR", {"state": "RUNNING", "reset": False}, 400, "with-items"),
        ("RUNNING", "ERROR", {"state": "RUNNING", "reset": True, "env": {"k": 1}}, 403, "env"),
        ("SUCCESS", "ERROR", {"state": "RUNNING", "reset": True}, 400, "SUCCESS"),
    ],
)
def test_refused_updates(
    api: Any, execution: str, task: str, body: dict[str, Any], status: int, fragment: str
) -> None:
    api.put_workflow(1, state=execution)
    api.put_task(2, 1, state=task)
    answer = api.call("PUT", f"/v2/tasks/{ident(2)}", body)
    assert (answer.status, fragment in answer.fault) == (status, True), answer.text
    assert api.engine.taken == []


def test_a_paused_execution_is_left_alone(api: Any) -> None:
    api.put_workflow(1, state="PAUSED")
    api.put_task(2, 1, state="ERROR")
    assert api.call("PUT", f"/v2/tasks/{ident(2)}", {"state": "RUNNING", "reset": True}).status == 200
    assert api.engine.taken == []


def test_unknown_tasks(api: Any) -> None:
    assert api.get("/v2/tasks/nope").fault == "Task execution not found [id=nope]"
    assert api.call("PUT", "/v2/tasks/nope", {"state": "PAUSED"}).status == 404
    assert api.get(f"/v2/tasks/{ident(5)}/action_executions").json == {"action_executions": []}
    assert api.get(f"/v2/tasks/{ident(5)}/workflow_executions").json == {"executions": []}
    assert api.get(f"/v2/tasks/{ident(5)}/executions").status == 404
    for part in ("action_executions", "workflow_executions", "executions"):
        assert api.get(f"/v2/tasks/nope/{part}").status == 400


def test_actions_of_a_task(api: Any) -> None:
    api.put_workflow(1)
    api.put_task(2, 1)
    api.put_task(4, 1)
    api.put_action(3, 2, output='{"result":1}')
    listed = api.get(f"/v2/tasks/{ident(2)}/action_executions").json["action_executions"]
    assert [item["id"] for item in listed] == [ident(3)]
    assert "output" not in listed[0]
    full = api.get(f"/v2/tasks/{ident(2)}/action_executions?include_output=1").json["action_executions"][0]
    assert full["output"] == '{"result": 1}'
    single = api.get(f"/v2/tasks/{ident(2)}/action_executions/{ident(3)}").json
    assert single.pop("waiting_for")["kind"] == "callback"
    assert single == full
    assert api.get(f"/v2/tasks/{ident(4)}/action_executions/{ident(3)}").status == 404
    assert api.get(f"/v2/tasks/{ident(4)}/action_executions").json == {"action_executions": []}
