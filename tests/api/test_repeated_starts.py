"""One execution for one id, however often and however much at once it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.db.transaction import Database

CALLERS = 8
WORKFLOW = "version: '2.0'\nwf:\n  input: [n]\n  tasks: {t: {action: std.noop}}\n"


@pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"])
def test_callers_at_once_get_the_same_execution(
    backend: str,
    open_database: Callable[[str], Database],
    new_api: Callable[[Database], Any],
    pool: ThreadPoolExecutor,
) -> None:
    api = new_api(open_database(backend))
    assert api.call("POST", "/v2/workflows", WORKFLOW).status == 201
    # Nobody takes what is in the inbox, so that it can be counted.
    api.engine.is_away = True
    barrier = threading.Barrier(CALLERS)

    def start(number: int) -> Any:
        barrier.wait(120)
        return api.call(
            "POST", "/v2/executions", {"id": "my-key", "workflow_name": "wf", "input": {"n": number}}
        )

    answers = list(pool.map(start, range(CALLERS)))

    assert {answer.status for answer in answers} == {201}, [answer.text for answer in answers]
    assert len({answer.json["input"] for answer in answers}) == 1
    (row,) = api.rows(tables.workflow_executions)
    assert row["id"] == "my-key"
    with api.database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.inbox)).scalar_one() == 1


def test_an_id_of_another_project_is_taken_but_not_shown(api: Any) -> None:
    api.call("POST", "/v2/workflows", WORKFLOW)
    api.put_workflow(1, project_id="other", input='{"secret":1}')
    identifier = api.rows(tables.workflow_executions)[0]["id"]

    answer = api.call("POST", "/v2/executions", {"id": identifier, "workflow_name": "wf", "input": {"n": 1}})

    assert (answer.status, "secret" in answer.text) == (409, False)
