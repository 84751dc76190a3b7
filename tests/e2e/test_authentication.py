"""The ways to authenticate besides Keystone, as an operator meets them."""

from __future__ import annotations

import uuid
from pathlib import Path

import bcrypt
import pytest
from conftest import MakeDeployment
from deployments import AllInOne, eventually

ECHO = "version: '2.0'\nNAME:\n  tasks: {t: {action: std.echo output=1}}\n"
WARNING = "ANYBODY WHO REACHES THIS API MAY DO EVERYTHING"


def test_the_client_names_user_and_password_in_the_address(
    make_deployment: MakeDeployment, tmp_path: Path
) -> None:
    password = uuid.uuid4().hex
    digest = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "users").write_text(f"alice:{digest}\n")
    service = make_deployment(
        AllInOne.kind,
        "[DEFAULT]\nauth_type = basic\n[pecan]\nauth_enable = true\n"
        f"[oslo_middleware]\nhttp_basic_auth_user_file = {tmp_path}/users\n",
    )
    service.start()
    text = service.folder / "echo.yaml"
    text.write_text(ECHO.replace("NAME", "echo"))
    address = service.url.replace("://", f"://alice:{password}@")
    mine = {"OS_MISTRAL_URL": f"{address}/v2"}

    service.mistral_process("workflow-create", str(text), environment=mine)
    started = service.mistral_process("execution-create", "echo", "-c", "ID", "-f", "value", environment=mine)
    execution = ("execution-get", started.strip(), "-c", "State", "-f", "value")
    eventually(
        lambda: service.mistral_process(*execution, environment=mine).strip() == "SUCCESS",
        what="the execution has ended",
    )
    assert service.call("GET", "/v2/workflows").status == 401
    said = "".join(log.read_text() for log in service.folder.glob("*.log"))
    assert "service.started" in said
    assert password not in said
    assert WARNING not in said


@pytest.mark.parametrize(("host", "is_warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_a_service_that_asks_nobody_warns_if_it_can_be_reached_from_elsewhere(
    make_deployment: MakeDeployment, host: str, is_warned: bool
) -> None:
    service = make_deployment(AllInOne.kind, f"[api]\nhost = {host}\n")
    service.start()
    assert service.call("GET", "/v2/workflows").status == 200
    assert (WARNING in service.processes["serve"].said()) is is_warned
    service.kill("serve")
