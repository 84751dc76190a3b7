"""``python -m extra_pack`` (in ``tools/``): actions of ``mistral-extra`` against a genuine Keystone, by the real client.

The environment that it is run in must have the service, ``mistral-extra`` and ``python-mistralclient``::

    pip install . mistral-extra==17.0.0 python-mistralclient python-keystoneclient

Ends with an error if an action does not do what it should, or if the log of the service holds a secret.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import requests
from identity.install import installed
from identity.server import Account, Keystone

_START_S = 60.0
# Actions without parameters, and something that must be in what they return.
_ACTIONS = {
    "keystone.projects_list": "operator",
    "keystone.users_list": "operator",
    "keystone.roles_list": "member",
    "keystone.endpoints_list": "public",
    "mistral.workflows_list": "projects",
}
_WORKFLOW = """
version: '2.0'
projects:
  output: {names: <% $.names %>}
  tasks:
    create:
      action: keystone.projects_create
      input: {name: made-by-a-workflow, domain: default}
      on-success: list
    list:
      action: keystone.projects_list
      publish: {names: <% task().result.name %>}
"""
_SERVICE = (sys.executable, "-m", "mistral_lite.cli.main")
# How every token begins.
_TOKEN = "gAAAA"


def main() -> None:
    """Run once with the caller's token and once with a trust."""
    for by_trust in (False, True):
        print(f"-- {'by a trust' if by_trust else 'with a token'}")
        with tempfile.TemporaryDirectory() as folder:
            keystone = Keystone(installed(), Path(folder) / "keystone")
            keystone.start()
            try:
                _show(keystone, Path(folder), by_trust=by_trust)
            finally:
                keystone.stop()


def _show(keystone: Keystone, folder: Path, *, by_trust: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    keystone.register("workflowv2", f"http://127.0.0.1:{port}/v2")
    service = keystone.create_account("mistral", "admin", "service")
    operator, nobody = (
        keystone.create_account("operator", "admin"),
        keystone.create_account("nobody", "member"),
    )
    config, log = folder / "service.conf", folder / "service.log"
    config.write_text(
        "[DEFAULT]\ndebug = true\nauth_type = keystone\n[pecan]\nauth_enable = true\n"
        f"[security_context]\ntrust_executions = {by_trust}\n[api]\nport = {port}\n"
        + keystone.service_options(service)
    )
    command = (*_SERVICE, "serve", "--config-file", str(config), "--state-dir", str(folder / "state"))
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _await_service(process, f"http://127.0.0.1:{port}/healthcheck", log)
        _run_workflow(keystone, operator, folder)
        for name, expected in _ACTIONS.items():
            found = _client(keystone, operator, "run-action", name, "{}")["result"]
            _check(isinstance(found, list) and expected in json.dumps(found), name, found)
            print(f"{name}: {len(found)} objects")
        refused = _client(keystone, nobody, "run-action", "keystone.users_list", "{}")["result"]
        _check("HTTP 403" in refused, "keystone.users_list by a member", refused)
        print("keystone.users_list by a member: refused by Keystone")
    finally:
        process.terminate()
        process.wait()
    said = log.read_text(errors="replace")
    _check(not any(secret in said for secret in (_TOKEN, service.password)), "the log", "it holds a secret")


def _run_workflow(keystone: Keystone, account: Account, folder: Path) -> None:
    path = folder / "projects.yaml"
    path.write_text(_WORKFLOW)
    _client(keystone, account, "workflow-create", str(path), "-f", "json")
    execution = _client(keystone, account, "execution-create", "projects", "-f", "json")["ID"]
    deadline = time.monotonic() + _START_S
    found = {"State": "RUNNING"}
    while found["State"] == "RUNNING" and time.monotonic() < deadline:
        found = _client(keystone, account, "execution-get", execution, "-f", "json")
    output = _client(keystone, account, "execution-get-output", execution)
    _check("made-by-a-workflow" in output.get("names", ()), "the workflow", found)
    print(f"a workflow: {found['State']}, {output}")


def _client(keystone: Keystone, account: Account, *arguments: str) -> Any:
    """Run one command of the real client and return the JSON that it prints."""
    done = subprocess.run(
        (sys.executable, "-m", "mistralclient.shell", *arguments),
        env={**os.environ, **keystone.client_environment(account)},
        capture_output=True,
        text=True,
        check=False,
    )
    _check(done.returncode == 0, " ".join(arguments), done.stderr)
    return json.loads(done.stdout)


def _await_service(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    pause = threading.Event()
    while not _answers(url):
        _check(process.poll() is None and time.monotonic() < deadline, "the service", log.read_text())
        pause.wait(0.1)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def _check(is_right: bool, what: str, seen: object) -> None:
    if not is_right:
        raise SystemExit(f"{what}: {seen}")


if __name__ == "__main__":
    main()
