"""``/maintenance``: who switches it, what it shows, and what it refuses meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mistral_lite.api import gate
from mistral_lite.api.app import make_nouns
from mistral_lite.api.routing import endpoints_of
from mistral_lite.db import maintenance
from mistral_lite.db.maintenance import Status

ADMIN = {"X-Roles": "admin"}


def switch(api: Any, status: str) -> Any:
    return api.call("PUT", "/maintenance", {"status": status}, ADMIN)


def shown(api: Any) -> str:
    answer = api.get("/maintenance", **ADMIN)
    assert answer.status == 200
    status: str = answer.json["status"]
    return status


def set_status(api: Any, status: Status) -> None:
    def work(connection: Any) -> None:
        maintenance.lock_status(api.database, connection, datetime.now(UTC))
        maintenance.set_status(connection, status, datetime.now(UTC))

    api.database.run(work)
    # As in another process, which looks for itself.
    api.services.gate.close()


def test_the_status_is_kept_for_all_processes(api: Any) -> None:
    assert shown(api) == "RUNNING"
    for _ in range(2):
        answer = switch(api, "PAUSED")
        assert (answer.status, answer.json) == (200, {"status": "PAUSING"})
    api.configure()
    assert shown(api) == "PAUSING"
    set_status(api, Status.PAUSED)
    assert (shown(api), switch(api, "PAUSED").json) == ("PAUSED", {"status": "PAUSED"})
    for _ in range(2):
        assert (switch(api, "RUNNING").json, shown(api)) == ({"status": "RUNNING"}, "RUNNING")
    with api.database.read() as connection:
        assert maintenance.find_status(connection) is Status.RESUMING
    assert switch(api, "PAUSED").json == {"status": "PAUSING"}


@pytest.mark.parametrize("body", [{"status": "PAUSING"}, {"status": "asleep"}, {"status": None}, {}])
def test_other_states_are_refused(api: Any, body: Any) -> None:
    answer = api.call("PUT", "/maintenance", body, ADMIN)
    assert (answer.status, answer.fault) == (
        400,
        "The status of maintenance must be set to PAUSED or RUNNING.",
    )


def test_only_administrators_see_and_switch_it(api: Any) -> None:
    assert api.get("/maintenance").status == 403
    assert api.call("PUT", "/maintenance", {"status": "PAUSED"}).status == 403
    assert shown(api) == "RUNNING"


@pytest.mark.parametrize("status", [Status.PAUSING, Status.PAUSED])
def test_every_change_waits_and_nothing_else_does(api: Any, status: Status) -> None:
    set_status(api, status)
    free = {"PUT maintenance", "PUT v2/executions/*", "POST v2/queue_doorbells/*"}
    results = {
        f"{method} v2/{noun}/*"
        for method in ("PUT", "POST")
        for noun in ("action_executions", "action-executions")
    }
    for endpoint in endpoints_of(make_nouns(api.services)):
        method, path = endpoint.route.method, "/".join(endpoint.path)
        if f"{method} {path}" in free:
            continue
        body = {} if method in ("PUT", "POST") else None
        answer = api.call(method, "/" + path.replace("*", "x"), body, ADMIN)
        is_free = method == "GET" or (status is Status.PAUSING and f"{method} {path}" in results)
        assert (answer.status != 423) == is_free, f"{method} {path}: {answer.text}"


def test_a_refusal_says_why(api: Any) -> None:
    set_status(api, Status.PAUSED)
    answer = api.call("POST", "/v2/executions", {"workflow_name": "w"})
    said = "Current Mistral state is PAUSED. Method is not allowed"
    assert (answer.status, answer.headers["Server-Error-Message"]) == (423, said)
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert said in answer.text


@pytest.mark.parametrize("status", [Status.PAUSING, Status.PAUSED])
def test_executions_may_be_cancelled_meanwhile(api: Any, status: Status) -> None:
    execution = api.put_workflow(1)
    set_status(api, status)
    path = f"/v2/executions/{execution}"
    assert api.call("PUT", path, {"state": "RUNNING"}).status == 423
    assert api.call("PUT", path, {"description": "'state': 'CANCELLED'"}).status == 423
    assert api.call("PUT", path, {"state": "CANCELLED"}).status == 200
    assert [kind for kind, _, _ in api.engine.commands()] == ["stop"]


def test_late_results_are_taken_until_all_is_quiet(api: Any) -> None:
    action = api.put_action(1)
    set_status(api, Status.PAUSING)
    body = {"state": "SUCCESS", "output": {"x": 1}}
    assert api.call("PUT", f"/v2/action_executions/{action}", body).status == 200
    set_status(api, Status.PAUSED)
    assert api.call("PUT", f"/v2/action_executions/{action}", body).status == 423


def test_busy_processes_do_not_ask_each_time_and_maintenance_counts_at_once(
    api: Any, count_statements: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> int:
        with count_statements(api.database) as statements:
            api.call("DELETE", "/v2/environments/x")
        return sum("FROM maintenance" in statement for statement in statements)

    monkeypatch.setattr(gate, "_KEPT_S", 3600.0)
    assert [asked(), asked(), asked()] == [1, 0, 0]
    switch(api, "PAUSED")
    assert api.call("DELETE", "/v2/environments/x").status == 423
    assert [asked(), asked()] == [1, 1]
    monkeypatch.setattr(gate, "_KEPT_S", 0.0)
    switch(api, "RUNNING")
    assert [asked(), asked()] == [1, 1]
