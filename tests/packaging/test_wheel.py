"""What is installed from a wheel, in another folder, works without the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("alembic", "etc", "mistral_lite")
FILES = ("LICENSE", "MANIFEST.in", "README.rst", "pyproject.toml", "setup.cfg", "setup.py")


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy, so that the tree stays clean."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        run("cp", "-r", str(ROOT / name), str(tree), cwd=ROOT)
    for name in FILES:
        run("cp", str(ROOT / name), str(tree), cwd=ROOT)
    target = tmp_path_factory.mktemp("wheel")
    # Without isolation: setuptools is among the libraries of the tests, and no network is needed.
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", str(target), str(tree)),
        cwd=tree,
    )
    return next(target.glob("mistral_lite-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel before this environment's own copy; its libraries are those of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def command(installed: Path, *arguments: str, cwd: Path) -> str:
    return run(
        *(sys.executable, "-P", "-m", "mistral_lite.cli.main"), *arguments, cwd=cwd, PYTHONPATH=str(installed)
    )


def test_the_wheel_holds_the_schema_and_the_samples(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"mistral_lite/_alembic/{name}" for name in ("env.py", "script.py.mako")}
    wanted |= {f"mistral_lite/_alembic/versions/{path.name}" for path in ROOT.glob("alembic/versions/*.py")}
    wanted |= {f"mistral_lite/_etc/{name}" for name in ("mistral-lite.conf.sample", "config-generator.conf")}
    wanted |= {f"mistral_lite/_etc/systemd/{path.name}" for path in ROOT.glob("etc/systemd/*.service")}
    wanted |= {"mistral_lite/py.typed"}
    wanted |= {str(path.relative_to(ROOT)) for path in ROOT.glob("mistral_lite/**/*.py")}
    assert wanted <= names
    assert not {name for name in names if name.split("/")[0] in {"alembic", "etc", "tests", "tools"}}


def test_the_schema_is_made_from_the_installed_package(installed: Path, tmp_path: Path) -> None:
    where = run(
        *(sys.executable, "-P", "-c", "import mistral_lite; print(mistral_lite.__file__)"),
        cwd=tmp_path,
        PYTHONPATH=str(installed),
    )
    assert where.startswith(str(installed))
    said = command(installed, "db", "upgrade", "--state-dir", "s", cwd=tmp_path)
    assert said.startswith("The schema is at revision 0")
    assert (tmp_path / "s/mistral.sqlite").exists()


@pytest.mark.parametrize("role", ["serve", "api", "engine", "executor", "db"])
def test_every_command_has_its_help(installed: Path, tmp_path: Path, role: str) -> None:
    assert f"mistral-lite {role}" in command(installed, role, "--help", cwd=tmp_path)
