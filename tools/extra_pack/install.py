"""``mistral-extra`` and the service of this tree in a virtual environment of their own, kept in a cache.

``MISTRAL_LITE_TEST_EXTRA_PACK`` names another folder than the one in the user's cache.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cached_venv import cached_root, make_once, make_venv
from quick_install import install

CONSTRAINTS = Path(__file__).with_name("constraints.txt")

_TREE = Path(__file__).parents[2]
_SOURCES = ("alembic", "etc", "mistral_lite")
_FILES = ("LICENSE", "MANIFEST.in", "README.rst", "pyproject.toml", "setup.cfg", "setup.py")
_PACKAGES = ("mistral-extra", "python-keystoneclient", "python-mistralclient", "python-zaqarclient")


def installed() -> Path:
    """Return the Python of the environment with the service as it is now; the rest is installed once."""
    root = cached_root("extra_pack", CONSTRAINTS)
    python = root / "venv" / "bin" / "python"
    make_once(root, lambda: make_venv(root / "venv", CONSTRAINTS, _PACKAGES))
    with tempfile.TemporaryDirectory() as folder:
        # From a copy, so that the tree stays clean.
        copy = Path(folder) / "tree"
        copy.mkdir()
        for name in _SOURCES:
            shutil.copytree(_TREE / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in _FILES:
            shutil.copy(_TREE / name, copy)
        install(python, "--constraint", CONSTRAINTS, "--force-reinstall", "--no-deps", copy)
        # What it needs, where the pins do not have it yet.
        install(python, "--constraint", CONSTRAINTS, copy)
    return python
