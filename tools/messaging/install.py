"""Zaqar in a virtual environment of its own, made once and kept in a cache.

``MISTRAL_LITE_TEST_ZAQAR`` names another folder than the one in the user's cache. ``python3 -m messaging.install`` (in
``tools/``) makes it beforehand.
"""

from __future__ import annotations

from pathlib import Path

from cached_venv import cached_root, make_once, make_venv

CONSTRAINTS = Path(__file__).with_name("constraints.txt")

_PACKAGES = ("zaqar", "redis", "cheroot")


def installed() -> Path:
    """Return the Python of the environment, which is made if need be."""
    root = cached_root("zaqar", CONSTRAINTS)
    make_once(root, lambda: make_venv(root / "venv", CONSTRAINTS, _PACKAGES))
    return root / "venv" / "bin" / "python"


if __name__ == "__main__":
    installed()
