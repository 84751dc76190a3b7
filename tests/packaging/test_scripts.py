"""The two commands on a machine where something is missing: one sentence that says what to do."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tools.quick_install import install

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(ROOT / script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.mark.parametrize("script", ["tools/serve.sh", "tools/test.sh"])
@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        (None, "Python is missing: install Python 3.11"),
        ("version_info", "is too old: Python 3.11 or newer is needed"),
        ("ensurepip", "install python3-venv"),
    ],
)
def test_an_unsuitable_python_is_one_sentence(
    tmp_path: Path, script: str, failing: str | None, sentence: str
) -> None:
    python = tmp_path / "python3"
    if failing is not None:
        python.write_text(f'#!/bin/sh\ncase "$*" in *{failing}*) exit 1;; esac\n')
        python.chmod(0o755)
    done = run(script, PYTHON=str(python))
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_with_ci_nothing_may_be_left_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        closed = held.getsockname()[1]
    done = run("tools/test.sh", CI="true", MISTRAL_LITE_TEST_RABBITMQ=f"rabbit://127.0.0.1:{closed}/")
    assert done.returncode == 1
    assert "RABBITMQ" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("failing", "last"), [("nothing", "-m uv pip install"), (" uv", "-m pip install")])
def test_packages_are_installed_with_pip_where_uv_cannot_be_had(
    tmp_path: Path, failing: str, last: str
) -> None:
    python, log = tmp_path / "python3", tmp_path / "log"
    python.write_text(f'#!/bin/sh\necho "$*" >>{log}\ncase " $*" in *"{failing}"*) exit 1;; esac\n')
    python.chmod(0o755)
    install(python, "one", "--constraint", "two")
    said = log.read_text().splitlines()[-1]
    assert said.startswith(last)
    assert said.endswith("one --constraint two")


def test_packages_that_cannot_be_installed_at_all_are_an_error(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho no such package\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(RuntimeError, match="no such package"):
        install(python, "one")
