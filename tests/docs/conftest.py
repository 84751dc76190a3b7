"""A service that runs as the pages say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests are imported without a package; what they share stands beside them, or with the tools.
sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
sys.path.insert(0, str(Path(__file__).parent))

from free_ports import free_port
from serving import eventually, listens


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
        serve.wait(120)
