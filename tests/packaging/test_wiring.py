"""What a configuration file says about the API is what the API does."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import webob

from mistral_lite import config, parts
from mistral_lite.api import wsgi
from mistral_lite.api.waiting import Waiting
from mistral_lite.api.wiring import make_app, make_services
from mistral_lite.cli import db

Ask = Callable[[str, webob.Request], webob.Response]


OPEN = "[pecan]\nauth_enable = false\n"


class Silence:
    """A doorbell for an API without an engine."""

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """Do nothing; no engine listens."""


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as the service makes it, to copy."""
    path = tmp_path_factory.mktemp("schema") / "d"
    db.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def ask(tmp_path: Path, schema: Path) -> Ask:
    """Send one request to the API that a configuration text describes."""

    def ask(text: str, request: webob.Request) -> webob.Response:
        path = tmp_path / "service.conf"
        path.write_text(f"{OPEN}[database]\nconnection = sqlite:///{tmp_path}/d\n{text}")
        settings = config.load([str(path)])
        shutil.copy(schema, tmp_path / "d")
        database = parts.make_database(settings)
        try:
            services = make_services(settings, database, parts.make_registry(settings), Silence(), Waiting())
            return request.get_response(make_app(settings, services))
        finally:
            database.dispose()

    return ask


PROXIED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "w.example.org", "X-Forwarded-Prefix": "/flows"}


@pytest.mark.parametrize(
    ("text", "path", "status"),
    [
        ("", "/healthcheck", 200),
        ("[healthcheck]\nenabled = false\n", "/healthcheck", 404),
        ("", "/info", 400),
    ],
)
def test_a_path_answers_as_configured(ask: Ask, text: str, path: str, status: int) -> None:
    assert ask(text, webob.Request.blank(path)).status_int == status


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("", "http://localhost/v2"),
        ("[oslo_middleware]\nenable_proxy_headers_parsing = true\n", "https://w.example.org/flows/v2"),
    ],
)
def test_links_follow_the_headers_of_a_trusted_proxy_only(ask: Ask, text: str, uri: str) -> None:
    assert ask(text, webob.Request.blank("/v2/", headers=PROXIED)).json == {"uri": uri}


CORS = "[cors]\nallowed_origin = https://desk.example.org\n"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "X-Auth-Token"}


@pytest.mark.parametrize(
    ("text", "method", "origin", "shared_with"),
    [
        (CORS, "GET", "https://desk.example.org", "https://desk.example.org"),
        (CORS, "OPTIONS", "https://desk.example.org", "https://desk.example.org"),
        (CORS, "GET", "https://other.example.org", None),
        (CORS, "OPTIONS", "https://other.example.org", None),
        ("", "GET", "https://desk.example.org", None),
        ("", "OPTIONS", "https://desk.example.org", None),
    ],
)
def test_answers_are_shared_with_the_configured_origins(
    ask: Ask, text: str, method: str, origin: str, shared_with: str | None
) -> None:
    headers = {"Origin": origin, **(PREFLIGHT if method == "OPTIONS" else {})}
    answer = ask(text, webob.Request.blank("/v2/workflows", method=method, headers=headers))
    assert answer.status_int == 200
    assert answer.headers.get("Access-Control-Allow-Origin") == shared_with
    if shared_with and method == "OPTIONS":
        assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
        assert "X-Auth-Token" in answer.headers["Access-Control-Allow-Headers"]
    elif shared_with:
        assert "X-Auth-Token" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(("length", "status"), [(1024, 400), (1025, 413)])
def test_the_largest_body_is_configured(ask: Ask, length: int, status: int) -> None:
    request = webob.Request.blank("/v2/workflows", method="POST", body=b"x" * length)
    assert ask("[api]\nmax_request_body_size_kb = 1\n", request).status_int == status


def test_the_wait_for_an_unsaved_action_is_configured(tmp_path: Path) -> None:
    path = tmp_path / "service.conf"
    text = f"[DEFAULT]\nrpc_response_timeout = 7\n{OPEN}[database]\nconnection = sqlite:///{tmp_path}/d\n"
    path.write_text(text)
    settings = config.load([str(path)])
    database = parts.make_database(settings)
    assert (
        make_services(
            settings, database, parts.make_registry(settings), Silence(), Waiting()
        ).settings.rpc_response_timeout_s
        == 7
    )
    database.dispose()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ("", "MISTRAL_LITE_CONFIG_FILE is not set"),
        ("absent.conf", "Configuration file not found"),
        ("empty.conf", "[database] connection is not set"),
        ("asking.conf", "auth_enable = false"),
    ],
)
def test_a_wsgi_server_without_a_usable_file_answers_503_and_logs_why(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    files: str,
    reason: str,
) -> None:
    # What is set up for logging before the fault is found ends with the test.
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    (tmp_path / "empty.conf").touch()
    asking = f"[DEFAULT]\ntransport_url = fake:///\n[database]\nconnection = sqlite:///{tmp_path}/d\n"
    (tmp_path / "asking.conf").write_text(asking)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(wsgi.CONFIG_FILE, files)
    answer = webob.Request.blank("/v2/").get_response(wsgi.Application())
    assert (answer.status_int, "Retry-After" in answer.headers) == (503, True)
    assert reason in caplog.text + "".join(capfd.readouterr())
    assert reason not in answer.text


def test_a_wsgi_server_asks_callers_who_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    (tmp_path / "users").touch()
    (tmp_path / "basic.conf").write_text(
        f"[DEFAULT]\ntransport_url = fake:///\nauth_type = basic\n[database]\nconnection = sqlite:///{tmp_path}/d\n"
        f"[oslo_middleware]\nhttp_basic_auth_user_file = {tmp_path}/users\n"
    )
    monkeypatch.setenv(wsgi.CONFIG_FILE, str(tmp_path / "basic.conf"))
    application = wsgi.Application()
    statuses = [
        webob.Request.blank(path).get_response(application).status_int for path in ("/v2/", "/v2/workflows")
    ]
    assert statuses == [200, 401]
