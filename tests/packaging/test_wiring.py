"""What a configuration file says about the API is what the API does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import webob

from mistral_lite import config, parts
from mistral_lite.api import wsgi
from mistral_lite.api.app import build_app
from mistral_lite.api.wiring import make_services
from mistral_lite.cli import db
from mistral_lite.errors import InputError

Ask = Callable[[str, webob.Request], webob.Response]


class Silence:
    """A doorbell for an API without an engine."""

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """Do nothing; no engine listens."""


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Send one request to the API that a configuration text describes."""

    def ask(text: str, request: webob.Request) -> webob.Response:
        path = tmp_path / "service.conf"
        path.write_text(f"[database]\nconnection = sqlite:///{tmp_path}/d\n{text}")
        settings = config.load([str(path)])
        db.upgrade(str(settings.database.connection))
        database = parts.make_database(settings)
        try:
            return request.get_response(build_app(make_services(settings, database, Silence())))
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


@pytest.mark.parametrize(("length", "status"), [(1024, 400), (1025, 413)])
def test_the_largest_body_is_configured(ask: Ask, length: int, status: int) -> None:
    request = webob.Request.blank("/v2/workflows", method="POST", body=b"x" * length)
    assert ask("[api]\nmax_request_body_size_kb = 1\n", request).status_int == status


def test_the_wait_for_an_unsaved_action_is_configured(tmp_path: Path) -> None:
    path = tmp_path / "service.conf"
    path.write_text(f"[DEFAULT]\nrpc_response_timeout = 7\n[database]\nconnection = sqlite:///{tmp_path}/d\n")
    settings = config.load([str(path)])
    database = parts.make_database(settings)
    assert make_services(settings, database, Silence()).settings.rpc_response_timeout_s == 7
    database.dispose()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ("", "MISTRAL_LITE_CONFIG_FILE is not set"),
        ("absent.conf", "Configuration file not found"),
        ("empty.conf", "auth_enable = false"),
    ],
)
def test_a_wsgi_server_without_a_usable_file_answers_503_and_logs_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, files: str, reason: str
) -> None:
    (tmp_path / "empty.conf").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(wsgi.CONFIG_FILE, files)
    answer = webob.Request.blank("/v2/").get_response(wsgi.Application())
    assert (answer.status_int, "Retry-After" in answer.headers) == (503, True)
    assert reason in caplog.text
    assert reason not in answer.text


def test_authentication_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="set \\[pecan\\] auth_enable = false"):
        parts.require_no_authentication(config.load())
