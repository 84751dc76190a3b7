"""The short form of ``tools/chaos``: the real thing on servers of its own, a few workflows and a few deaths."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def is_installed(program: str, place: str) -> bool:
    return bool(shutil.which(program) or list(Path("/").glob(f"{place}/{program}")))


@pytest.mark.timeout(900)
def test_nothing_is_lost_stuck_or_doubled_while_processes_and_servers_die():
    missing = [
        program
        for program, place in (
            ("initdb", "usr/lib/postgresql/*/bin"),
            ("rabbitmq-server", "usr/lib/rabbitmq/bin"),
        )
        if not is_installed(program, place)
    ]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"not installed: {', '.join(missing)}")

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tools.chaos",
            "--seed",
            "1",
            "--workflows",
            "40",
            "--kills",
            "8",
            "--pause",
            "1.5",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=880,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    table = dict(line.strip().rsplit(maxsplit=1) for line in done.stdout.splitlines() if line[:1].isupper())
    assert table == {
        "STUCK": "0",
        "ENDED WRONGLY": "0",
        "ACTIONS LOST": "0",
        "ACTIONS DOUBLED": "0",
        "RESULTS LOST": "0",
    }
