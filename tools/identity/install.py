"""Keystone in a virtual environment of its own, and an empty installation to copy: made once, kept in a cache.

``MISTRAL_LITE_TEST_KEYSTONE`` names another folder than the one in the user's cache. ``python3 -m identity.install`` (in
``tools/``) makes it beforehand.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cached_venv import cached_root, make_once, make_venv, run

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
        make_once(self._root, self._make_all)

    def _make_all(self) -> None:
        make_venv(self.bin.parent, CONSTRAINTS, _PACKAGES)
        self._make_template()

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
        run(self.bin / "keystone-manage", "--config-file", config, *arguments)


def default_root() -> Path:
    """Return the folder of the installation."""
    return cached_root("keystone", CONSTRAINTS)


def installed() -> Installation:
    """Return the installation, made if need be."""
    installation = Installation(default_root())
    installation.make()
    return installation


if __name__ == "__main__":
    installed()
