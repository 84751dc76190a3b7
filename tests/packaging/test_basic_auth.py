"""HTTP basic authentication as a configuration file describes it, through the application that is served."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import bcrypt
import pytest
import webob

from mistral_lite import config, parts
from mistral_lite.api.app import WsgiApp, build_app
from mistral_lite.api.waiting import Waiting
from mistral_lite.api.wiring import make_authenticator, make_services
from mistral_lite.db.transaction import Database
from mistral_lite.errors import InputError

# The cheapest that bcrypt has.
ROUNDS = 4


class Silence:
    """A doorbell for an API without an engine."""

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """Do nothing; no engine listens."""


def write_users(path: Path, **passwords: str) -> None:
    hashes = {
        name: bcrypt.hashpw(password.encode(), bcrypt.gensalt(ROUNDS)).decode()
        for name, password in passwords.items()
    }
    path.write_text("".join(f"{name}:{digest}\n" for name, digest in hashes.items()))
    # A change within the resolution of the clock counts as well: no test waits for the next tick.
    os.utime(path, ns=(path.stat().st_mtime_ns + 1_000_000 * len(passwords), path.stat().st_mtime_ns))


def load(folder: Path, text: str = "") -> config.Settings:
    path = folder / "service.conf"
    path.write_text(
        f"[DEFAULT]\nauth_type = basic\n[oslo_middleware]\nhttp_basic_auth_user_file = {folder}/users\n{text}"
    )
    return config.load([str(path)])


@pytest.fixture
def app(tmp_path: Path, open_database: Callable[[str], Database]) -> WsgiApp:
    write_users(tmp_path / "users", alice="secret of alice", bob="b", root="r", carol="päss:wörd")
    settings = load(tmp_path, "[basic_auth]\nprojects = alice:team,carol:team\nadmins = root\n")
    return build_app(
        make_services(settings, open_database("sqlite"), parts.make_registry(settings), Silence(), Waiting())
    )


Ask = Callable[..., webob.Response]


@pytest.fixture
def ask(app: WsgiApp) -> Ask:
    def ask(
        user: str | None,
        password: str = "",
        method: str = "GET",
        path: str = "/v2/workflows",
        body: bytes = b"",
    ) -> webob.Response:
        request = webob.Request.blank(path, method=method, body=body)
        if user is not None:
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            request.headers["Authorization"] = f"Basic {pair}"
        return request.get_response(app)

    return ask


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        ("alice", "secret of alice", 200),
        ("carol", "päss:wörd", 200),
        ("alice", "secret of bob", 401),
        ("alice", "", 401),
        ("alice", "x" * 100, 401),
        ("alice", "secret\0", 401),
        ("nobody", "b", 401),
        ("", "", 401),
        (None, "", 401),
    ],
)
def test_who_knows_the_password_gets_in(ask: Ask, user: str | None, password: str, status: int) -> None:
    # Twice: what was right once is remembered.
    for _ in range(2):
        answer = ask(user, password)
        assert answer.status_int == status
    if status == 401:
        assert answer.content_type == "text/plain"
        assert answer.headers["Server-Error-Message"] == answer.text
        assert answer.headers["WWW-Authenticate"].startswith('Basic realm="mistral-lite"')


@pytest.mark.parametrize("header", ["Bearer abc", "Basic", "Basic %%%", "Basic YWJj", "Basic /w=="])
def test_a_header_that_is_no_basic_authentication_is_refused(app: WsgiApp, header: str) -> None:
    request = webob.Request.blank("/v2/workflows", headers={"Authorization": header})
    assert request.get_response(app).status_int == 401


def test_projects_and_administrators_are_those_of_the_options(ask: Ask) -> None:
    text = b"version: '2.0'\nw: {tasks: {t: {action: std.noop}}}\n"
    made = ask("alice", "secret of alice", "POST", body=text)
    assert made.json["workflows"][0]["project_id"] == "team"
    path = f"/v2/workflows/{made.json['workflows'][0]['id']}"
    assert ask("carol", "päss:wörd", path=path).status_int == 200
    assert ask("bob", "b", path=path).status_int == 404
    assert ask("root", "r", path=path).status_int == 200
    assert ask("bob", "b", "POST", body=text).json["workflows"][0]["project_id"] == "bob"
    assert ask("bob", "b", "POST", "/v2/workflows?scope=public", text).status_int == 403


def test_public_paths_and_unknown_ones_ask_for_nothing(ask: Ask) -> None:
    statuses = {
        path: ask(None, path=path).status_int for path in ("/", "/v2/", "/healthcheck", "/v2/nowhere")
    }
    assert statuses == {"/": 200, "/v2/": 200, "/healthcheck": 200, "/v2/nowhere": 404}


def test_a_changed_file_counts_at_once(ask: Ask, tmp_path: Path) -> None:
    assert ask("bob", "b").status_int == 200
    write_users(tmp_path / "users", bob="new")
    assert (ask("bob", "b").status_int, ask("bob", "new").status_int) == (401, 200)
    assert ask("alice", "secret of alice").status_int == 401


def test_a_file_that_is_gone_is_an_outage(ask: Ask, tmp_path: Path) -> None:
    assert ask("bob", "b").status_int == 200
    (tmp_path / "users").unlink()
    answer = ask("bob", "b")
    assert (answer.status_int, "Retry-After" in answer.headers) == (503, True)


@pytest.mark.parametrize("content", [None, "alice:plain\n", "alice:$apr1$abc$def\n"])
def test_a_file_of_users_that_cannot_be_used_is_refused_at_start(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "users").write_text(content)
    with pytest.raises(InputError, match="http_basic_auth_user_file cannot be used"):
        make_authenticator(load(tmp_path))
