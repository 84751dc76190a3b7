"""How processes end, go on, and stand beside each other."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest
from deployments import Deployment, Process, eventually
from neighbours import WebService

LOAD = """
version: '2.0'
NAME:
  tasks:
    t1: {action: std.echo output=1, safe-rerun: true, on-success: [t2, t3]}
    t2: {action: std.echo output=2, safe-rerun: true, on-success: t4}
    t3: {action: std.echo output=3, safe-rerun: true, on-success: t4}
    t4: {action: std.echo output=4, safe-rerun: true, join: all}
"""
ECHO = "version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.echo output=1}\n"
HTTP = "version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.http, input: {url: 'URL'}}\n"
PARTS = ("api", "engine", "executor")


@pytest.mark.parametrize("part", PARTS)
def test_sigterm_when_idle(apart: Deployment, part: str) -> None:
    assert apart.stop(part) == [0]


def test_sigterm_of_everything_under_load(deployment: Deployment) -> None:
    workflow = deployment.create_workflow(LOAD)
    started = [deployment.start_execution(workflow) for _ in range(20)]

    codes = deployment.stop(*deployment.roles)
    assert codes == [0] * len(deployment.roles)

    deployment.start()
    for execution_id in started:
        assert deployment.finished(execution_id)["state"] == "SUCCESS"
        assert len(deployment.actions(execution_id)) == 4


@pytest.mark.parametrize("part", PARTS)
def test_sigterm_of_one_part_under_load(apart: Deployment, part: str) -> None:
    workflow = apart.create_workflow(LOAD)
    started: list[str] = [apart.start_execution(workflow) for _ in range(10)]
    assert apart.stop(part) == [0]
    apart.start()
    for execution_id in started:
        assert apart.finished(execution_id)["state"] == "SUCCESS"
        assert len(apart.actions(execution_id)) == 4


def test_sigterm_waits_for_a_running_action(
    deployment: Deployment, make_web_service: Callable[..., WebService]
) -> None:
    service = make_web_service(is_slow=True)
    execution_id = deployment.run(HTTP.replace("URL", service.url))
    eventually(lambda: service.requests, what="the action runs")
    role = deployment.role_of("executor")
    process = deployment.processes[role]
    process.signal(signal.SIGTERM)
    eventually(lambda: "event=service.stopping" in process.said(), what="the executor drains")
    service.release()
    assert process.wait() == 0
    deployment.start()
    assert deployment.finished(execution_id)["state"] == "SUCCESS"
    assert len(service.requests) == 1


def test_a_drain_is_bounded(
    make_deployment: Callable[..., Deployment], make_web_service: Callable[..., WebService]
) -> None:
    deployment = make_deployment(
        "three-processes",
        "[executor]\nmax_concurrent_actions = 1\ndrain_timeout = 1\n[engine]\naction_lease_time = 2\n",
    )
    deployment.start()
    service = make_web_service(is_slow=True)
    running = deployment.run(HTTP.replace("URL", service.url))
    eventually(lambda: service.requests, what="the action runs")
    waiting = deployment.run(ECHO)

    # It never ends by itself; after a second the executor leaves it to its lease.
    assert deployment.stop("executor") == [0]
    deployment.start("executor")

    assert deployment.finished(waiting)["state"] == "SUCCESS"
    ended = deployment.finished(running)
    assert ended["state"] == "ERROR"
    assert "safe-rerun" in ended["state_info"]
    assert len(service.requests) == 1
    deployment.kill(*deployment.roles)


def test_sighup_reads_log_levels_again(deployment: Deployment) -> None:
    text = deployment.config_file.read_text()
    try:
        deployment.config_file.write_text(text + "\n[DEFAULT]\ndebug = true\n")
        for role in deployment.roles:
            process = deployment.processes[role]
            process.signal(signal.SIGHUP)
            eventually(lambda found=process: "Log levels read again" in found.said(), what=f"{role} reads")
    finally:
        deployment.config_file.write_text(text)
    for role in deployment.roles:
        deployment.processes[role].signal(signal.SIGHUP)
    execution_id = deployment.run(LOAD)
    assert deployment.finished(execution_id)["state"] == "SUCCESS"
    assert all(deployment.is_running(role) for role in deployment.roles)


def test_started_twice(deployment: Deployment) -> None:
    role = deployment.role_of("api")
    second = Process(deployment._arguments(role), deployment.folder / "second.log", {})
    assert second.wait() == 1
    (sentence,) = second.said().splitlines()
    assert sentence.startswith(f"mistral-lite: Port {deployment.port} of 127.0.0.1 is taken")
    execution_id = deployment.run(LOAD)
    assert deployment.finished(execution_id)["state"] == "SUCCESS"


def test_the_tables_are_made_twice(apart: Deployment) -> None:
    for _ in range(2):
        upgrade = Process(
            ["db", "upgrade", "--config-file", str(apart.config_file)], apart.folder / "upgrade.log", {}
        )
        assert upgrade.wait() == 0, upgrade.said()
    assert apart.finished(apart.run(LOAD))["state"] == "SUCCESS"


def test_two_engines_and_two_executors(apart: Deployment) -> None:
    apart.start("engine-2", "executor-2")
    workflow = apart.create_workflow(LOAD)
    started: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: started.extend(apart.start_execution(workflow) for _ in range(10)), daemon=True
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 40
    for execution_id in started:
        assert apart.finished(execution_id)["state"] == "SUCCESS"
        # By name, and so that a task that ran twice shows.
        assert set(apart.tasks(execution_id)) == {"t1", "t2", "t3", "t4"}
        assert [action["state"] for action in apart.actions(execution_id)] == ["SUCCESS"] * 4
    # An executor that was killed would be given the next action for as long as its last call waits.
    assert apart.stop("executor-2", "engine-2") == [0, 0]
