"""The process dies at what it does beside its turns: notifications, cron triggers, removal of what is old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from deployments import AllInOne, Deployment, eventually
from neighbours import WebService

from mistral_lite.db.tables import cron_triggers, notifications, workflow_executions
from mistral_lite.db.transaction import Database

ECHO = "version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.echo output=1, safe-rerun: true}\n"
OPTIONS = """
[engine]
action_lease_time = 2
[execution_expiration_policy]
evaluation_interval = 1
older_than = 60
"""
LONG_AGO = timedelta(days=1)


@pytest.fixture
def deployment(_shared: Callable[..., Deployment]) -> Deployment:
    """One that removes executions after an hour. What dies is the same code everywhere; this one starts fastest."""
    deployment = _shared(AllInOne.kind, OPTIONS)
    deployment.restore()
    return deployment


def execute(deployment: Deployment, statement: sa.Executable) -> None:
    """Change the database behind the back of the service, which must not be running then."""
    database = Database(deployment.database_url)
    with database.write() as connection:
        connection.execute(statement)
    database.dispose()


def crash(deployment: Deployment, point: str) -> None:
    """Start the process of the engine so that it dies at ``point``, and wait for that."""
    role = deployment.role_of("engine")
    deployment.start_armed(role, point)
    deployment.await_crash(role)


def test_everything_is_done_in_spite_of_a_death_at_each_point(
    deployment: Deployment, make_web_service: Callable[..., WebService]
) -> None:
    # One after the other in one deployment, as a start takes longer than all that is done in between.
    service = make_web_service()
    workflow = deployment.create_workflow(ECHO)
    old, new = deployment.start_execution(workflow), deployment.start_execution(workflow)
    for execution_id in (old, new):
        assert deployment.finished(execution_id)["state"] == "SUCCESS"
    fired = deployment.create_workflow(ECHO)
    notify = [{"type": "webhook", "url": service.url, "event_types": ["WORKFLOW_SUCCEEDED"]}]
    trigger = {"name": fired, "workflow_name": fired, "pattern": "0 0 1 1 *", "remaining_executions": 1}
    answer = deployment.call("POST", "/v2/cron_triggers", {**trigger, "workflow_params": {"notify": notify}})
    assert answer.status == 201, answer
    deployment.stop(deployment.role_of("engine"))
    now = datetime.now(UTC)

    crash(deployment, "housekeeping.before_commit")
    is_old = workflow_executions.c.id == old
    execute(deployment, sa.update(workflow_executions).where(is_old).values(updated_at=now - LONG_AGO))
    crash(deployment, "expiration.before_commit")
    execute(deployment, sa.update(cron_triggers).values(next_execution_time=now))
    crash(deployment, "cron.before_commit")
    crash(deployment, "cron.after_commit")
    crash(deployment, "notifier.before_settle")
    assert len(service.requests) == 1
    # The lease of whoever told it, five minutes, is over.
    execute(deployment, sa.update(notifications).values(available_at=now - LONG_AGO))
    deployment.start()

    # The publisher hears of it again: at least once is what is promised.
    eventually(lambda: len(service.requests) == 2, what="the publisher is told again")
    assert deployment.call("GET", f"/v2/cron_triggers/{fired}").status == 404
    (execution,) = deployment.get(f"/v2/executions?workflow_name={fired}")["executions"]
    assert deployment.finished(execution["id"])["state"] == "SUCCESS"
    eventually(
        lambda: deployment.call("GET", f"/v2/executions/{old}").status == 404, what="the old one is removed"
    )
    assert deployment.call("GET", f"/v2/tasks?workflow_execution_id={old}").body == {"tasks": []}
    assert set(deployment.tasks(new)) == {"t"}
