"""One Keystone process on a port of its own, and what tests ask of it: projects, users, tokens, services."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from free_ports import free_port

from identity.install import ADMIN_PASSWORD, REGION, Installation, configuration

_START_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user in a project, both of the domain ``Default``."""

    user_id: str
    user_name: str
    password: str
    project_id: str
    project_name: str


class Keystone:
    """A genuine Keystone. ``url`` is its address with ``/v3``; ``admin`` may do everything in it."""

    def __init__(self, installation: Installation, folder: Path, *, token_lifetime_s: int = 3600) -> None:
        """Make an instance in ``folder``, which must not exist. ``start`` starts it."""
        self._installation = installation
        self._folder = folder
        shutil.copytree(installation.template, folder)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/v3"
        self._token_lifetime_s = token_lifetime_s
        self._process: subprocess.Popen[bytes] | None = None
        self._roles: dict[str, str] = {}
        self._admin_token = ""

    # -- the process -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self._process = self._launch(self._port, self._token_lifetime_s)

    def stop(self) -> None:
        """End the process; the data stays, and ``start`` goes on at the same address."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def short_lived(self, token_lifetime_s: int) -> Iterator[str]:
        """Run a second process over the same data whose tokens end soon, and yield its address."""
        port = free_port()
        process = self._launch(port, token_lifetime_s)
        try:
            yield f"http://127.0.0.1:{port}/v3"
        finally:
            process.kill()
            process.wait()

    def _launch(self, port: int, token_lifetime_s: int) -> subprocess.Popen[bytes]:
        address = f"http://127.0.0.1:{port}"
        config = self._folder / f"keystone-{port}.conf"
        config.write_text(configuration(self._folder, url=address, token_lifetime_s=token_lifetime_s))
        with (self._folder / f"keystone-{port}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(self._installation.bin / "python"), str(Path(__file__).with_name("serve_wsgi.py"))],
                cwd=self._folder,
                env={
                    **os.environ,
                    "OS_KEYSTONE_CONFIG_FILES": str(config),
                    "KEYSTONE_PORT": str(port),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_S
        pause = threading.Event()
        while not _answers(f"{address}/v3"):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise RuntimeError(f"Keystone did not start:\n{self.said()}")
            pause.wait(0.1)
        return process

    def said(self) -> str:
        """Return what it logged."""
        return "\n".join(log.read_text(errors="replace") for log in self._folder.glob("*.log"))

    # -- what is in it -----------------------------------------------------------------------------

    @property
    def admin(self) -> Account:
        """The administrator that every Keystone begins with, in the project ``admin``."""
        # Its ids are not needed: names are enough for a login.
        return Account(
            user_id="", user_name="admin", password=ADMIN_PASSWORD, project_id="", project_name="admin"
        )

    def create_project(self, name: str) -> str:
        """Make a project and return its id."""
        return str(self._post("projects", "project", name=name, domain_id="default")["id"])

    def create_account(self, name: str, *roles: str, project: tuple[str, str] | None = None) -> Account:
        """Make a user with ``roles`` in a project, (id, name), or in a new one called after the user."""
        project_id, project_name = project or (self.create_project(name), name)
        password = uuid.uuid4().hex
        user = self._post("users", "user", name=name, domain_id="default", password=password)
        for role in roles:
            self.assign(user["id"], project_id, role)
        return Account(
            user_id=user["id"],
            user_name=name,
            password=password,
            project_id=project_id,
            project_name=project_name,
        )

    def assign(self, user_id: str, project_id: str, role: str) -> None:
        """Give a user a role in a project; the role is made if there is none of that name."""
        self._call("PUT", f"/projects/{project_id}/users/{user_id}/roles/{self._role_id(role)}")

    def unassign(self, user_id: str, project_id: str, role: str) -> None:
        """Take a role in a project from a user."""
        self._call("DELETE", f"/projects/{project_id}/users/{user_id}/roles/{self._role_id(role)}")

    def register(self, service_type: str, url: str) -> str:
        """Put a service into the catalogue, under all interfaces, and return its id."""
        service = self._post("services", "service", type=service_type, name=service_type)
        for interface in ("public", "internal", "admin"):
            self._post(
                "endpoints",
                "endpoint",
                interface=interface,
                service_id=service["id"],
                url=url,
                region_id=REGION,
            )
        return str(service["id"])

    def unregister(self, service_id: str) -> None:
        """Take a service out of the catalogue."""
        self._call("DELETE", f"/services/{service_id}")

    def trusts_of(self, account: Account) -> list[dict[str, Any]]:
        """Return the trusts that a user has given."""
        answer = self._call(
            "GET", f"/OS-TRUST/trusts?trustor_user_id={account.user_id}", token=self.token(account)
        )
        found: list[dict[str, Any]] = answer["trusts"]
        return found

    # -- tokens ------------------------------------------------------------------------------------

    def token(self, account: Account, *, url: str | None = None, is_scoped: bool = True) -> str:
        """Return a new token of ``account`` in its project, or in none."""
        domain = {"id": "default"}
        user = {"name": account.user_name, "password": account.password, "domain": domain}
        scope: Any = {"project": {"name": account.project_name, "domain": domain}}
        identity = {"methods": ["password"], "password": {"user": user}}
        body = {"auth": {"identity": identity, "scope": scope if is_scoped else "unscoped"}}
        answer = requests.post(f"{url or self.url}/auth/tokens", json=body, timeout=120)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def revoke(self, token: str) -> None:
        """Revoke a token."""
        self._call("DELETE", "/auth/tokens", headers={"X-Subject-Token": token})

    def service_options(self, service: Account) -> str:
        """Return the section of a configuration file with which ``service`` checks tokens here."""
        return (
            "[keystone_authtoken]\n"
            f"www_authenticate_uri = {self.url}\n"
            f"auth_url = {self.url}\n"
            "auth_type = password\n"
            f"username = {service.user_name}\n"
            f"password = {service.password}\n"
            f"project_name = {service.project_name}\n"
            "user_domain_id = default\nproject_domain_id = default\n"
        )

    def client_environment(self, account: Account) -> dict[str, str]:
        """Return the environment variables with which clients of OpenStack act for ``account``."""
        return {
            "OS_AUTH_URL": self.url,
            "OS_USERNAME": account.user_name,
            "OS_PASSWORD": account.password,
            "OS_PROJECT_NAME": account.project_name,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_REGION_NAME": REGION,
            "OS_IDENTITY_API_VERSION": "3",
        }

    # -- calls -------------------------------------------------------------------------------------

    def _role_id(self, name: str) -> str:
        if name not in self._roles:
            self._roles = {role["name"]: role["id"] for role in self._call("GET", "/roles")["roles"]}
        if name not in self._roles:
            self._roles[name] = str(self._post("roles", "role", name=name)["id"])
        return self._roles[name]

    def _post(self, collection: str, noun: str, **values: Any) -> dict[str, Any]:
        made: dict[str, Any] = self._call("POST", f"/{collection}", {noun: values})[noun]
        return made

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        self._admin_token = self._admin_token or self.token(self.admin)
        answer = requests.request(
            method,
            f"{self.url}{path}",
            json=body,
            headers={"X-Auth-Token": token or self._admin_token, **(headers or {})},
            timeout=120,
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False
