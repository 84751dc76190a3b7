"""The plugin itself: its virtual environment, its accounts and configuration, one run, and what came out.

Tempest is installed from PyPI at the versions below and is not changed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import requests
import yaml
from identity.install import REGION
from identity.server import Account, Keystone

PACKAGES = ("tempest==47.0.0", "mistral-tempest-tests==2.10.0")
_PREFIX = "mistral_tempest_tests.tests."
# {0} package.module.Class.test_name [0.1s] ... ok        or "setUpClass (package.module.Class)" for a whole class
_LINE = re.compile(
    r"^\{\d+\} (setUpClass \()?([\w.]+)\)?(?: \[[^\]]*\])* \.\.\. (ok|FAILED|SKIPPED)(?:: (.*))?$"
)
# The plugin expects workflows that come with the OpenStack actions of Mistral; it only looks at their names.
_EXPECTED_WORKFLOWS = ("std.create_instance", "std.delete_instance")
_OTHER_SERVICES = ("nova", "glance", "cinder", "neutron", "swift", "heat", "horizon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``result`` is ``ok``, ``FAILED`` or ``SKIPPED``; ``reason`` why it was skipped."""

    result: str
    reason: str = ""

    def as_json(self) -> dict[str, str]:
        """Return what is recorded."""
        return asdict(self)


Outcomes = dict[str, Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An account for one of the three kinds that every class of the plugin asks for."""

    account: Account
    is_admin: bool


def make_accounts(keystone: Keystone) -> list[Credentials]:
    """Make an administrator (the first) and two others, each in a project of its own."""
    kinds = (("tempest-admin", "admin"), ("tempest-primary", "member"), ("tempest-alt", "member"))
    return [
        Credentials(account=keystone.create_account(name, role), is_admin=role == "admin")
        for name, role in kinds
    ]


def upload_expected_workflows(url: str, token: str) -> None:
    """Upload, for everybody, the workflows that the plugin expects to find."""
    for name in _EXPECTED_WORKFLOWS:
        answer = requests.post(
            f"{url}/workflows?scope=public",
            data=f"version: '2.0'\n{name}:\n  tasks:\n    only: {{action: std.noop}}\n",
            headers={"X-Auth-Token": token, "Content-Type": "text/plain"},
            timeout=60,
        )
        answer.raise_for_status()


def install(folder: Path) -> Path:
    """Make the virtual environment once and return its ``bin``."""
    binaries = folder / "bin"
    stamp = folder / ".installed"
    wanted = " ".join(PACKAGES)
    if not stamp.exists() or stamp.read_text() != wanted:
        pip = [str(binaries / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([*pip, *PACKAGES], check=True, env=_apart())
        stamp.write_text(wanted)
    return binaries


def _apart() -> dict[str, str]:
    """Return an environment in which the tools of this tree are not found."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def configure(workspace: Path, binaries: Path, auth_url: str, accounts: list[Credentials]) -> Path:
    """Make a workspace of tempest for these accounts and return it."""
    registry = workspace.parent / "workspaces.yaml"
    init = [str(binaries / "tempest"), "init", "--workspace-path", str(registry), str(workspace)]
    subprocess.run(init, check=True, capture_output=True, env=_apart())
    (workspace / "accounts.yaml").write_text(yaml.safe_dump([_listed(each) for each in accounts]))
    services = "".join(f"{name} = false\n" for name in _OTHER_SERVICES)
    (workspace / "etc" / "tempest.conf").write_text(
        f"[DEFAULT]\nlog_dir = {workspace}\nlog_file = tempest.log\n"
        f"[oslo_concurrency]\nlock_path = {workspace}\n"
        f"[auth]\nuse_dynamic_credentials = false\ncreate_isolated_networks = false\n"
        f"test_accounts_file = {workspace}/accounts.yaml\n"
        f"[identity]\nuri_v3 = {auth_url}\nauth_version = v3\nregion = {REGION}\n"
        f"[identity-feature-enabled]\napi_v2 = false\n"
        f"[service_available]\nmistral = true\n{services}"
    )
    return workspace


def _listed(credentials: Credentials) -> dict[str, object]:
    account = credentials.account
    return {
        "username": account.user_name,
        "password": account.password,
        "project_name": account.project_name,
        "domain_name": "Default",
        "roles": ["admin" if credentials.is_admin else "member"],
        **({"types": ["admin"]} if credentials.is_admin else {}),
    }


def run(workspace: Path, binaries: Path, *, only: str | None) -> Outcomes:
    """Run the tests whose name matches ``only`` (default: all) one after another."""
    command = [str(binaries / "tempest"), "run", "--serial", "--regex", only or "mistral_tempest_tests"]
    output = workspace / "output.txt"
    with output.open("w", encoding="utf-8") as sink:
        subprocess.run(
            command, cwd=workspace, stdout=sink, stderr=subprocess.STDOUT, check=False, env=_apart()
        )
    return parse(output.read_text(encoding="utf-8"))


def parse(output: str) -> Outcomes:
    """Return the outcomes in tempest's output by the name of the test, without the plugin's package."""
    outcomes: Outcomes = {}
    for line in output.splitlines():
        found = _LINE.match(line)
        if found:
            name = ("setUpClass " if found[1] else "") + found[2].removeprefix(_PREFIX)
            outcomes[name] = Outcome(result=found[3], reason=found[4] or "")
    return outcomes
