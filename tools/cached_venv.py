"""Virtual environments with foreign servers in them, made once and kept in the user's cache.

They are apart because such a server and this service need not agree on the versions of libraries. Deleting the folder
makes everything anew. Needs nothing but Python.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from quick_install import install

_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def cached_root(name: str, constraints: Path) -> Path:
    """Return the folder of the installation that fits the pinned versions and this Python.

    ``MISTRAL_LITE_TEST_<NAME>`` names another one.
    """
    given = os.environ.get(f"MISTRAL_LITE_TEST_{name.upper()}")
    if given:
        return Path(given)
    pins = hashlib.sha256(constraints.read_bytes()).hexdigest()[:12]
    return Path.home() / ".cache" / "mistral-lite" / f"{name}-{pins}-py{_PYTHON}"


def make_once(root: Path, make: Callable[[], None]) -> None:
    """Call ``make`` unless it has succeeded for this folder before."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        # Several workers of one test run may want it at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "complete").exists():
            make()
            (root / "complete").touch()


def make_venv(venv: Path, constraints: Path, packages: Sequence[str]) -> None:
    """Make an environment with ``packages``."""
    shutil.rmtree(venv, ignore_errors=True)
    # Not the interpreter of a virtual environment: its libraries would be found as well.
    base = Path(sys.base_prefix) / "bin" / f"python{_PYTHON}"
    run(base if base.exists() else Path(sys.executable), "-m", "venv", venv)
    install(venv / "bin" / "python", "--constraint", constraints, *packages)


def run(*command: object) -> None:
    """Run a command to its end. Raises ``RuntimeError`` with what it said if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(str(part) for part in command[:4])
        raise RuntimeError(f"{words} … failed:\n{done.stdout}{done.stderr}")
