"""How many statements the requests take that busy callers make."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import ident

WORKFLOW = "version: '2.0'\nwf:\n  tasks: {t: {action: std.noop}}\n"
RESULT = {"state": "SUCCESS", "output": '{"value": 3}'}

READS = {
    f"/v2/executions/{ident(1)}": 1,
    f"/v2/executions/{ident(1)}/tasks": 2,
    f"/v2/tasks/{ident(2)}/action_executions": 1,
    f"/v2/action_executions/{ident(3)}": 1,
    "/v2/executions?fields=id,waiting_for": 1,
}


@pytest.fixture
def cost(api: Any, count_statements: Any) -> Any:
    """Count what a request needs, up to the ring at the engine, but not what begins transactions.

    Whether there is maintenance is asked now and then, by whichever request comes.
    """

    def cost(method: str, path: str, body: Any = None) -> int:
        with count_statements(api.database) as statements:
            assert api.call(method, path, body).status < 300
        rung = [number for number, text in enumerate(statements) if text.startswith("INSERT INTO inbox")]
        own = statements[: rung[0] + 1] if rung else statements
        return len([text for text in own if not text.startswith("BEGIN") and "maintenance" not in text])

    return cost


@pytest.mark.parametrize("state", ["RUNNING", "SUCCESS"])
def test_looking_at_something_takes_one_statement(api: Any, cost: Any, state: str) -> None:
    api.put_workflow(1, state=state)
    api.put_task(2, 1, state=state)
    api.put_action(3, 2, state=state, root_execution_id=ident(1))
    assert {path: cost("GET", path) for path in READS} == READS


def test_a_start_reads_the_definition_and_writes_two_rows(api: Any, cost: Any) -> None:
    api.call("POST", "/v2/workflows", WORKFLOW)
    start = {"workflow_name": "wf"}
    # The parsed workflow is kept.
    cost("POST", "/v2/executions", start)
    assert cost("POST", "/v2/executions", start) == 3


def test_a_result_is_checked_and_written(api: Any, cost: Any) -> None:
    api.put_workflow(1)
    api.put_task(2, 1)
    api.put_action(3, 2, is_sync=False, root_execution_id=ident(1))
    assert cost("PUT", f"/v2/action_executions/{ident(3)}", RESULT) == 3


@pytest.mark.parametrize(("state", "statements"), [("SUCCESS", 3), ("RUNNING", 8)])
def test_a_task_is_shown_with_its_results_and_what_it_waits_for(
    api: Any, cost: Any, state: str, statements: int
) -> None:
    api.put_workflow(1, state=state)
    api.put_task(2, 1, state=state)
    api.put_action(3, 2, state=state, root_execution_id=ident(1))
    assert cost("GET", f"/v2/tasks/{ident(2)}") == statements
