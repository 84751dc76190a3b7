"""A service of its own for the cases, started once and used by all of them at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

# What records the reference and what compares with it here are one program; it is not part of the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from free_ports import free_port

START_DEADLINE_S = 120.0


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("differential")
    config = folder / "service.conf"
    config.write_text("[action_std_http]\ndenied_cidrs =\n", encoding="utf-8")
    port = free_port()
    command = [str(Path(sys.executable).parent / "mistral-lite"), "serve", "--port", str(port)]
    command += ["--state-dir", str(folder / "state"), "--config-file", str(config)]
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        try:
            url = f"http://127.0.0.1:{port}/v2"
            _wait_until_ready(url, process, folder / "service.log")
            yield url
        finally:
            process.terminate()
            process.wait(timeout=120)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/workflows?limit=1", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    pytest.fail(f"the service did not start:\n{log.read_text(encoding='utf-8')[-4000:]}")
