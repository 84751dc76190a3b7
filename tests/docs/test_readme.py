"""The five commands of the README, run as they stand but for the two ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = re.compile(r"^ +\$ (.*)$", re.MULTILINE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def eventually(check: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.1)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    folder = str(Path(sys.executable).parent)
    return {**inherited, "PATH": f"{folder}:{inherited.get('PATH', '')}"}


@pytest.fixture
def port(tmp_path: Path, environment: dict[str, str]) -> Iterator[int]:
    """A running ``mistral-lite serve``."""
    chosen = free_port()
    arguments = ["serve", "--port", str(chosen), "--state-dir", str(tmp_path / "state")]
    with (tmp_path / "serve.log").open("wb") as log:
        serve = subprocess.Popen(
            [sys.executable, "-P", "-m", "mistral_lite.cli.main", *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: serve.poll() is not None or listens(chosen), "serve listens")
        assert serve.poll() is None, (tmp_path / "serve.log").read_text()
        yield chosen
    finally:
        serve.terminate()
        serve.wait(30)


def has_finished(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/executions", timeout=10) as answer:
        return [one["state"] for one in json.load(answer)["executions"]] == ["SUCCESS"]


def test_five_commands_to_a_finished_workflow(tmp_path: Path, port: int, environment: dict[str, str]) -> None:
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    service_port = free_port()
    workflow = tmp_path / "docs" / "examples" / "sum.yaml"
    workflow.write_text(workflow.read_text().replace("9000", str(service_port)))
    commands = [
        command.replace("8989", str(port)).replace("sum_service.py", f"sum_service.py {service_port}")
        for command in COMMAND.findall((ROOT / "README.rst").read_text(encoding="utf-8"))
    ]
    assert len(commands) == 5

    log = tmp_path / "shell.log"
    with log.open("wb") as sink:
        shell = subprocess.Popen(
            ["bash"],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=sink,
            text=True,
            start_new_session=True,
        )
    # One shell for all of them, fed in the pace of a reader.
    assert shell.stdin is not None
    with shell.stdin as terminal:
        try:
            print("set -e", *commands[:2], sep="\n", file=terminal, flush=True)
            eventually(lambda: listens(service_port), "the web service listens")
            print(*commands[2:4], sep="\n", file=terminal, flush=True)
            eventually(lambda: has_finished(port), "the workflow has finished")
            print(commands[4], "exit", sep="\n", file=terminal, flush=True)
            assert shell.wait(60) == 0, log.read_text()
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
    said = log.read_text()
    assert json.loads(said[said.rindex("{") :]) == {"sum": 42}
    assert f"delivered 42 to http://127.0.0.1:{port}/v2/action-executions/" in said
