"""The command line as an operator meets it: one sentence and an exit code, never a traceback."""

from __future__ import annotations

import logging
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mistral_lite.cli import db
from mistral_lite.cli.main import main

BUS = "[DEFAULT]\ntransport_url = rabbit://127.0.0.1:1/\n"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Take back what the commands do to logging in this process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("arguments", "text", "code", "sentence"),
    [
        (["api"], "", 2, "[database] connection is not set"),
        (["engine"], "[database]\nconnection = sqlite:///x", 2, "[DEFAULT] transport_url is not set"),
        (["executor"], "", 2, "[DEFAULT] transport_url is not set"),
        (["serve", "--port", "80x"], "", 2, "[api] port is not valid"),
        (["serve", "--host", "nowhere.invalid"], "", 2, "Cannot listen on nowhere.invalid"),
        (["serve", "--state-dir", "service.conf/below"], "", 2, "cannot be made: Not a directory"),
        (["db", "upgrade", "9999"], "", 2, "The schema cannot be moved there"),
        (["db", "upgrade"], "[database]\nconnection = sqlite:////nowhere/x", 1, "/nowhere/x is not usable"),
        (
            ["engine"],
            f"{BUS}[database]\nconnection = postgresql://u:hidden@127.0.0.1:1/d",
            1,
            "postgresql+psycopg://u:***@127.0.0.1:1/d is not usable",
        ),
        (
            ["engine"],
            f"{BUS}[database]\nconnection = sqlite:///new",
            1,
            "run 'mistral-lite db upgrade' first",
        ),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    text: str,
    code: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "service.conf").write_text(text)
    assert main([*arguments, "--config-file", "service.conf"]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("mistral-lite: ")
    assert sentence in lines[0]
    assert "hidden" not in lines[0]


def test_a_taken_port_is_named_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port), "--state-dir", str(tmp_path / "s")]) == 1
    assert capsys.readouterr().err == (
        f"mistral-lite: Port {port} of 127.0.0.1 is taken: "
        "stop what listens there or choose another with --port.\n"
    )
    assert not (tmp_path / "s/mistral.sqlite").exists()


def test_the_schema_goes_up_and_down_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--state-dir", str(tmp_path / "state")]
    head = db.head()
    assert head is not None
    for step, said in [
        (["current"], f"none; this release needs {head}."),
        (["upgrade"], f"{head}."),
        (["upgrade"], f"{head}."),
        (["current"], f"{head}; this release needs {head}."),
        (["downgrade", "base"], "none."),
        (["upgrade"], f"{head}."),
    ]:
        assert main(["db", *step, *place]) == 0
        assert capsys.readouterr().out.endswith(f"revision {said}\n")


def test_only_the_owner_looks_into_the_state_directory(tmp_path: Path) -> None:
    assert main(["db", "upgrade", "--state-dir", str(tmp_path / "a/state")]) == 0
    assert stat.S_IMODE((tmp_path / "a/state").stat().st_mode) == 0o700


def test_a_newer_schema_is_accepted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/d"
    db.upgrade(url)
    with db._connection(url, lock=True) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'of-the-next-release'")
    db.require_current(url)
