"""The disk of the database is full: new work is refused with a 503, nothing is lost, and it recovers alone."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from conftest import required
from deployments import AllInOne, Answer, Deployment, Template, ThreeProcesses, eventually
from neighbours import PostgreSQL

CHAIN = """
version: '2.0'
NAME:
  input: [big: '']
  tasks:
    t1: {action: std.echo output=1, safe-rerun: true, on-success: t2}
    t2: {action: std.echo output=2, safe-rerun: true}
"""
WAITING = "version: '2.0'\nNAME:\n  tasks:\n    t: {action: std.async_noop}\n"
BIG = "x" * 200_000


class SmallDisk:
    """A file system of its own in memory, that can be filled and emptied."""

    def __init__(self, size_mb: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ml_disk_"))
        # Everybody may enter: the server runs under an account of its own.
        mount = ("mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=777", "tmpfs", str(self.folder))
        done = subprocess.run(mount, check=False, capture_output=True, text=True)
        if done.returncode:
            self.folder.rmdir()
            reason = f"a file system of our own needs root: {done.stderr.strip()}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Leave no byte free while the block runs."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(65536))
            except OSError:
                pass
        try:
            yield
        finally:
            ballast.unlink()

    def remove(self) -> None:
        subprocess.run(("umount", "--lazy", str(self.folder)), check=False)
        self.folder.rmdir()


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    disk = SmallDisk(48)
    yield disk
    disk.remove()


class OnSmallDisk(AllInOne):
    """``serve`` with its state on a small disk."""

    def __init__(self, folder: Path, disk: SmallDisk) -> None:
        self._disk = disk
        super().__init__(folder)

    @property
    def state_dir(self) -> Path:
        return self._disk.folder / "state"


@pytest.fixture
def on_sqlite(disk: SmallDisk, tmp_path: Path) -> Iterator[Deployment]:
    deployment = OnSmallDisk(tmp_path, disk)
    yield deployment
    deployment.remove()


@pytest.fixture
def on_postgresql(disk: SmallDisk, tmp_path: Path) -> Iterator[Deployment]:
    rabbitmq = required("RABBITMQ")
    server = PostgreSQL()
    try:
        template = Template(server.url)
        deployment = ThreeProcesses(tmp_path, template=template, rabbitmq=rabbitmq)
        place = disk.folder / "tablespace"
        place.mkdir(mode=0o700)
        server.own(place)
        # The tables only: a server whose own log finds no room shuts itself down, until somebody starts it.
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
            connection.execute(f'ALTER DATABASE "{deployment.name}" SET TABLESPACE small')
        yield deployment
        deployment.remove()
    finally:
        server.remove()


@pytest.mark.parametrize("place", ["on_sqlite", "on_postgresql"])
def test_nothing_is_accepted_and_nothing_lost(
    request: pytest.FixtureRequest, disk: SmallDisk, place: str
) -> None:
    deployment: Deployment = request.getfixturevalue(place)
    deployment.start()
    workflow = deployment.create_workflow(CHAIN)
    waiting = deployment.run(WAITING)
    action_id = deployment.waiting_action(waiting)
    accepted = [deployment.start_execution(workflow) for _ in range(3)]

    with disk.filled():
        refused = fill_up(lambda: start(deployment, workflow), accepted)
        assert refused.is_refusal, refused
        assert deployment.execution(waiting)["state"] == "RUNNING"
        assert all(deployment.is_running(role) for role in deployment.roles)

    eventually(lambda: not start(deployment, workflow).is_refusal, what="work is accepted again")
    result = {"state": "SUCCESS", "output": 3}
    assert deployment.call("PUT", f"/v2/action_executions/{action_id}", result).status == 200
    for execution_id in (waiting, *accepted):
        assert deployment.finished(execution_id)["state"] == "SUCCESS"
    assert "no row that nothing will wake" in deployment.run_command("doctor").stdout


def start(deployment: Deployment, workflow: str) -> Answer:
    return deployment.call("POST", "/v2/executions", {"workflow_name": workflow, "input": {"big": BIG}})


def fill_up(ask: Callable[[], Answer], accepted: list[str]) -> Answer:
    """Ask until it is refused, as the last free pages are used up; return the refusal."""
    for _ in range(200):
        answer = ask()
        if answer.status != 201:
            return answer
        accepted.append(answer.body["id"])
    raise AssertionError("the disk does not get full")
