"""Keystone in a virtual environment of its own, and an empty installation to copy: made once, kept in a cache.

The environment is apart because Keystone and this service need not agree on the versions of libraries. The folder is
``MISTRAL_LITE_TEST_KEYSTONE``, by default one in the user's cache; deleting it makes everything anew. Needs nothing but
Python: ``python3 -m identity.install`` (in ``tools/``) makes it beforehand.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
ADMIN_PASSWORD = "admin-password"
REGION = "RegionOne"

_PACKAGES = ("keystone", "cheroot")


def configuration(folder: Path, *, url: str, token_lifetime_s: int = 3600) -> str:
    """Return the configuration of a Keystone whose data is in ``folder`` and whose base address is ``url``."""
    return (
        f"[DEFAULT]\npublic_endpoint = {url}\n"
        f"[database]\nconnection = sqlite:///{folder}/keystone.sqlite\n"
        f"[token]\nprovider = fernet\nexpiration = {token_lifetime_s}\ncaching = false\n"
        f"[fernet_tokens]\nkey_repository = {folder}/fernet-keys\n"
        f"[fernet_receipts]\nkey_repository = {folder}/fernet-keys\n"
        f"[credential]\nkey_repository = {folder}/credential-keys\n"
        # Hashing passwords takes most of the time of a login otherwise.
        "[identity]\npassword_hash_rounds = 4\n"
        # A process that remembers what it looked up needs a tenth of the time for a login or a check of a token.
        "[cache]\nenabled = true\nbackend = dogpile.cache.memory\n"
        # Else it may go on to accept a token that was revoked.
        "[revoke]\ncaching = false\n"
    )


class Installation:
    """An environment with Keystone in it, and a bootstrapped data folder to copy."""

    def __init__(self, root: Path) -> None:
        self.bin = root / "venv" / "bin"
        self.template = root / "template"
        self._root = root

    def make(self) -> None:
        """Install what is not there yet."""
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / "lock").open("w") as lock:
            # Several workers of one test run may want it at once.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self._root / "complete").exists():
                self._make_venv()
                self._make_template()
                (self._root / "complete").touch()

    def _make_venv(self) -> None:
        venv = self.bin.parent
        shutil.rmtree(venv, ignore_errors=True)
        # Not the interpreter of a virtual environment: its libraries would be found as well.
        base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
        python = base if base.exists() else Path(sys.executable)
        _run(python, "-m", "venv", venv)
        _run(self.bin / "pip", "install", "--quiet", "--constraint", CONSTRAINTS, *_PACKAGES)

    def _make_template(self) -> None:
        shutil.rmtree(self.template, ignore_errors=True)
        self.template.mkdir()
        config = self.template / "keystone.conf"
        config.write_text(configuration(self.template, url="http://127.0.0.1"))
        owner = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
        self._manage(config, "db_sync")
        self._manage(config, "fernet_setup", *owner)
        self._manage(config, "credential_setup", *owner)
        # Keystone fills the address in, so that a copy may listen on any port.
        address = "$(public_endpoint)s/v3"
        urls = (f"--bootstrap-{kind}-url={address}" for kind in ("public", "internal", "admin"))
        region = ("--bootstrap-region-id", REGION)
        self._manage(config, "bootstrap", "--bootstrap-password", ADMIN_PASSWORD, *region, *urls)

    def _manage(self, config: Path, *arguments: str) -> None:
        _run(self.bin / "keystone-manage", "--config-file", config, *arguments)


def default_root() -> Path:
    """Return the folder of the installation that fits the pinned versions and this Python."""
    given = os.environ.get("MISTRAL_LITE_TEST_KEYSTONE")
    if given:
        return Path(given)
    pins = hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()[:12]
    return (
        Path.home()
        / ".cache"
        / "mistral-lite"
        / f"keystone-{pins}-py{sys.version_info[0]}.{sys.version_info[1]}"
    )


def installed() -> Installation:
    """Return the installation, made if need be."""
    installation = Installation(default_root())
    installation.make()
    return installation


def _run(*command: object) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(str(part) for part in command[:4])
        raise RuntimeError(f"{words} … failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    installed()
