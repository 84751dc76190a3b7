"""Environments of what is compared with: each has its own, made once from PyPI and kept in a cache folder.

Nothing of them is installed into the environment that the service runs in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from tools.bench.client import BenchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """``requirements`` as pip takes them."""

    name: str
    requirements: tuple[str, ...]


# libpq comes along: what is compared need not find one on the machine.
REFERENCE = Environment(name="mistral-23.0.0", requirements=("mistral==23.0.0", "psycopg2-binary"))
DBOS = Environment(name="dbos-3.4.0", requirements=("dbos==3.4.0", "psycopg[binary]"))
PROFILER = Environment(name="py-spy-0.4.1", requirements=("py-spy==0.4.1",))


def cache_folder() -> Path:
    """Return the folder in which environments are kept, by the custom of the XDG base directories."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "mistral-lite-bench"


def scripts_of(environment: Environment, folder: Path) -> Path:
    """Return the folder of the programs of an environment in ``folder``; it is made if it is not there.

    Raises ``BenchError`` with the end of what pip said if that fails.
    """
    place = folder / environment.name
    complete = place / "complete"
    if not complete.exists():
        # What an interrupted run left behind.
        shutil.rmtree(place, ignore_errors=True)
        print(f"Installing {' '.join(environment.requirements)} into {place}", file=sys.stderr)
        venv.create(place, with_pip=True)
        command = [str(place / "bin" / "pip"), "install", "--quiet", *environment.requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{environment.name} cannot be installed: {done.stderr[-1000:]}")
        complete.touch()
    return place / "bin"
