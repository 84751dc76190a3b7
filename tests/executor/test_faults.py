"""Crash points kill the process where they are armed, and only there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = "from mistral_lite.faults import reach\nfor n in range(3): print(n, flush=True); reach('here')"


@pytest.mark.parametrize(
    ("armed", "code", "output"),
    [
        (None, 0, "0\n1\n2\n"),
        ("there", 0, "0\n1\n2\n"),
        ("here:4", 0, "0\n1\n2\n"),
        ("here", -signal.SIGKILL, "0\n"),
        ("here:1", -signal.SIGKILL, "0\n"),
        ("here:3", -signal.SIGKILL, "0\n1\n2\n"),
        ("here:3:kill", -signal.SIGKILL, "0\n1\n2\n"),
        ("here:2:fail", 1, "0\n1\n"),
        ("here:2:explode", 1, ""),
    ],
)
def test_crash_points(armed, code, output):
    environment = {name: value for name, value in os.environ.items() if name != "MISTRAL_LITE_CRASH_AT"}
    if armed is not None:
        environment["MISTRAL_LITE_CRASH_AT"] = armed
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, output)
