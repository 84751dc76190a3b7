"""The commands of the page on the API, run as they stand but for the port."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from serving import eventually

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = re.compile(r"^ +\$ (.*)$", re.MULTILINE)


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/{path}", timeout=120) as answer:
        return json.load(answer)


def test_from_an_upload_to_a_result_with_curl(tmp_path: Path, port: int, environment: dict[str, str]) -> None:
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    commands = [
        command.replace("8989", str(port))
        for command in COMMAND.findall((ROOT / "docs" / "api.rst").read_text(encoding="utf-8"))
    ]
    described, uploaded, *started, execution, tasks, report, found, delivered, last = commands

    said = run(tmp_path, environment, [described, uploaded, *started, "echo; echo $id"])
    execution_id = said.split()[-1]
    eventually(lambda: get(port, "action_executions?state=RUNNING")["action_executions"], "an action waits")
    said = run(tmp_path, environment, [f"id={execution_id}", execution, tasks, report, found, delivered])
    assert '"approve"' in said
    eventually(lambda: get(port, f"executions/{execution_id}")["state"] != "RUNNING", "the execution ends")
    said = run(tmp_path, environment, [f"id={execution_id}", last])
    answer = json.loads(said)
    assert (answer["state"], json.loads(answer["output"])) == ("SUCCESS", {"answer": 3})
    assert json.loads((tmp_path / "openapi.json").read_text())["openapi"].startswith("3.1")


def run(folder: Path, environment: dict[str, str], commands: list[str]) -> str:
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout
