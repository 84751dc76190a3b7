"""SIGHUP takes log levels over from the files, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from mistral_lite import log_setup
from mistral_lite.config import load


@pytest.fixture
def levels() -> Iterator[None]:
    """Put the levels of the test session back."""
    names = [None, "alembic", "some.part", *(name for name in logging.root.manager.loggerDict)]
    before = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize(
    ("text", "done", "root", "part"),
    [
        ("debug = true\ndefault_log_levels = some.part=ERROR", True, logging.DEBUG, logging.ERROR),
        ("debug = false\ndefault_log_levels = some.part=DEBUG", True, logging.INFO, logging.DEBUG),
        ("debug = perhaps", False, logging.WARNING, logging.CRITICAL),
        ("no file of this kind", False, logging.WARNING, logging.CRITICAL),
    ],
)
@pytest.mark.usefixtures("levels")
def test_levels_are_read_again(tmp_path: Path, text: str, done: bool, root: int, part: int) -> None:
    path = tmp_path / "service.conf"
    path.write_text("[DEFAULT]\n")
    settings = load([str(path)])
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("some.part").setLevel(logging.CRITICAL)
    path.write_text(f"[DEFAULT]\n{text}\n")
    assert log_setup.reread_levels(settings) is done
    assert (logging.getLogger().level, logging.getLogger("some.part").level) == (root, part)
