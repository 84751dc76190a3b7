"""``waiting_for``: on single executions always, in lists only if asked for, null once finished."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import ident

SINGLES = {
    f"/v2/executions/{ident(1)}": "task",
    f"/v2/tasks/{ident(2)}": "action",
    f"/v2/action_executions/{ident(3)}": "callback",
    f"/v2/tasks/{ident(2)}/action_executions/{ident(3)}": "callback",
}
LISTS = {
    "/v2/executions": "executions",
    "/v2/tasks": "tasks",
    "/v2/action_executions": "action_executions",
    f"/v2/executions/{ident(1)}/tasks": "tasks",
    f"/v2/tasks/{ident(2)}/action_executions": "action_executions",
}


def put_tree(api: Any, state: str = "RUNNING") -> None:
    api.put_workflow(1, state=state)
    api.put_task(2, 1, state=state)
    api.put_action(3, 2, state=state, root_execution_id=ident(1))


def test_a_single_execution_says_what_it_waits_for(api: Any) -> None:
    put_tree(api)
    found = {path: api.get(path).json["waiting_for"] for path in SINGLES}
    assert {path: wait["kind"] for path, wait in found.items()} == SINGLES
    assert [wait["id"] for wait in found.values()] == [ident(2), ident(3), ident(3), ident(3)]
    assert found[f"/v2/tasks/{ident(2)}"] == {
        "kind": "action",
        "since": "2026-11-21 22:37:13",
        "until": None,
        "id": ident(3),
    }


def test_what_is_finished_waits_for_nothing(api: Any) -> None:
    put_tree(api, "SUCCESS")
    assert [api.get(path).json["waiting_for"] for path in SINGLES] == [None] * len(SINGLES)


def test_lists_say_it_only_if_asked(api: Any) -> None:
    put_tree(api)
    for path, collection in LISTS.items():
        assert "waiting_for" not in api.get(path).json[collection][0]
        (item,) = api.get(f"{path}?fields=id,waiting_for").json[collection]
        assert set(item) == {"id", "waiting_for"}
        assert item["waiting_for"]["kind"] in SINGLES.values()


def test_the_nested_executions_of_a_task_say_it_if_asked(api: Any) -> None:
    put_tree(api)
    api.put_workflow(4, task_execution_id=ident(2), state="PAUSED", root_execution_id=ident(1))
    (nested,) = api.get(f"/v2/tasks/{ident(2)}/workflow_executions?fields=waiting_for").json["executions"]
    assert nested["waiting_for"]["kind"] == "operator"


def test_a_list_costs_as_many_queries_for_many_rows_as_for_one(api: Any, count_statements: Any) -> None:
    def cost() -> int:
        with count_statements(api.database) as statements:
            api.get("/v2/tasks?fields=waiting_for")
        return len(statements)

    put_tree(api)
    one = cost()
    for number in range(10, 40):
        api.put_task(number, 1)
    assert cost() == one
