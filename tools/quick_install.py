"""Installs Python packages: ``python quick_install.py ARGUMENT...``, as ``pip install`` takes them, into this Python.

It uses uv, which takes a tenth of the time of pip, and pip itself where uv cannot be had or does not succeed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


def install(python: Path, *arguments: object) -> None:
    """Install into the environment of ``python``. Raises ``RuntimeError`` with what pip said if that fails."""
    given = [str(argument) for argument in arguments]
    quick = (*_PIP, "uv"), ("-m", "uv", "pip", "install", "--quiet", "--python", str(python), *given)
    if all(_run(python, command).returncode == 0 for command in quick):
        return
    done = _run(python, (*_PIP, *given))
    if done.returncode:
        raise RuntimeError(f"pip install {' '.join(given)} failed:\n{done.stdout}{done.stderr}")


def _run(python: Path, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(python), *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    try:
        install(Path(sys.executable), *sys.argv[1:])
    except RuntimeError as error:
        sys.exit(str(error))
