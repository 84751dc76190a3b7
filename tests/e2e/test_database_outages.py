"""A PostgreSQL of the test's own that is stopped, restarted, cut off and filled: what got a 2xx is done."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import psycopg
import pytest
from conftest import SHORT_LEASES, required
from deployments import Template, ThreeProcesses, eventually
from neighbours import PostgreSQL

from mistral_lite.cli import db
from mistral_lite.cli.doctor import Doctor
from mistral_lite.db.transaction import Database

CHAIN = """
version: '2.0'
NAME:
  tasks:
    t1: {action: std.echo output=1, safe-rerun: true, on-success: t2}
    t2: {action: std.echo output=2, safe-rerun: true, on-success: t3}
    t3: {action: std.echo output=3, safe-rerun: true}
"""
WAITING = "version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.async_noop}\n"
RESULT = {"state": "SUCCESS", "output": 3}
MOST_CONNECTIONS = 40


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    """A server of our own."""
    server = PostgreSQL(f"max_connections = {MOST_CONNECTIONS}")
    yield server
    server.remove()


@pytest.fixture(scope="module")
def _deployment(server: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeProcesses]:
    rabbitmq = required("RABBITMQ")
    template = Template(server.url)
    folder = tmp_path_factory.mktemp("outages")
    deployment = ThreeProcesses(folder, SHORT_LEASES, template=template, rabbitmq=rabbitmq)
    deployment.is_patient = True
    yield deployment
    deployment.remove()


@pytest.fixture
def deployment(_deployment: ThreeProcesses) -> Iterator[ThreeProcesses]:
    """Three processes over that server, whole and running."""
    _deployment.restore()
    yield _deployment
    # Shown only if the test failed.
    sys.stdout.write(_deployment.said())


def test_the_database_is_stopped_and_restarted_even_while_it_recovers(
    deployment: ThreeProcesses, server: PostgreSQL
) -> None:
    workflow = deployment.create_workflow(CHAIN)
    waiting = deployment.run(WAITING)
    action_id = deployment.waiting_action(waiting)
    started = [deployment.start_execution(workflow) for _ in range(5)]

    server.stop()
    try:
        for method, path, body in (
            ("GET", "/v2/executions", None),
            ("GET", f"/v2/executions/{waiting}", None),
            ("POST", "/v2/executions", {"workflow_name": workflow}),
            ("PUT", f"/v2/action_executions/{action_id}", RESULT),
            ("DELETE", f"/v2/executions/{started[0]}", None),
            ("GET", "/healthcheck", None),
        ):
            answer = deployment.call(method, path, body)
            assert answer.is_refusal, (method, path, answer)
        server.start(is_awaited=False)
        server.stop()
    finally:
        server.start()

    assert deployment.ask("PUT", f"/v2/action_executions/{action_id}", RESULT).status == 200
    started.append(deployment.start_execution(workflow))
    for execution_id in (waiting, *started):
        assert deployment.finished(execution_id)["state"] == "SUCCESS"
    assert all(deployment.is_running(role) for role in deployment.roles)
    for execution_id in started:
        assert len(deployment.tasks(execution_id)) == 3


def test_connections_are_ended_by_the_server_while_executions_run(
    deployment: ThreeProcesses, server: PostgreSQL
) -> None:
    workflow = deployment.create_workflow(CHAIN)
    started = []
    for number in range(10):
        started.append(deployment.start_execution(workflow))
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid %% 2 = %s",
                (deployment.name, number % 2),
            )
    for execution_id in started:
        assert deployment.finished(execution_id)["state"] == "SUCCESS"
        assert len(deployment.tasks(execution_id)) == 3


def test_the_server_has_no_connection_left(deployment: ThreeProcesses, server: PostgreSQL) -> None:
    workflow = deployment.create_workflow(CHAIN)
    deployment.finished(deployment.start_execution(workflow))
    taken: list[psycopg.Connection] = []
    # One connection of ours stays free to end those of the service.
    with psycopg.connect(server.url, autocommit=True) as own:
        try:
            own.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (deployment.name,),
            )
            while True:
                try:
                    taken.append(psycopg.connect(server.url))
                except psycopg.OperationalError:
                    own.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                        (deployment.name,),
                    )
                    answer = deployment.call("POST", "/v2/executions", {"workflow_name": workflow})
                    if answer.is_refusal:
                        break
        finally:
            for connection in taken:
                connection.close()
    assert deployment.finished(deployment.start_execution(workflow))["state"] == "SUCCESS"


def test_the_doctor_explains_what_waits_and_says_when_nothing_is_wrong(deployment: ThreeProcesses) -> None:
    execution_id = deployment.run(WAITING)
    action_id = deployment.waiting_action(execution_id)

    # Every process says within seconds that it is there. In this process the doctor looks much faster.
    database = Database(deployment.database_url)
    doctor = Doctor(database, db.head(), None)
    eventually(lambda: doctor.examine().is_healthy, what="all are heard of")
    database.dispose()

    def is_healthy() -> bool:
        code, text = run_doctor(deployment, execution_id)
        return code == 0 and f"/v2/action_executions/{action_id}" in text

    eventually(is_healthy, what="the doctor finds nothing wrong")
    deployment.stop("engine")
    try:
        code, text = run_doctor(deployment, "--format", "json")
    finally:
        deployment.start("engine")
    document = json.loads(text)
    problems = {each["check"] for each in document["checks"] if each["level"] == "problem"}
    assert (code, document["healthy"]) == (1, False)
    assert {"bus", "services"} <= problems


def run_doctor(deployment: ThreeProcesses, *arguments: str) -> tuple[int, str]:
    """Run the doctor on a deployment's own configuration; return its exit code and what it said."""
    done = deployment.run_command("doctor", *arguments)
    return done.returncode, done.stdout
