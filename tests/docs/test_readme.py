"""The five commands of the README, run as they stand but for the two ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

from free_ports import free_port
from serving import eventually, listens

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = re.compile(r"^ +\$ (.*)$", re.MULTILINE)


def has_finished(port: int) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/executions", timeout=120) as answer:
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
            assert shell.wait(120) == 0, log.read_text()
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
    said = log.read_text()
    assert json.loads(said[said.rindex("{") :]) == {"sum": 42}
    assert f"delivered 42 to http://127.0.0.1:{port}/v2/action-executions/" in said
