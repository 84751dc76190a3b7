"""What concerns every request: versions, routing, content types, bodies, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
import webob

from mistral_lite import errors
from mistral_lite.api.errors import status_of
from mistral_lite.db.transaction import Database

UNKNOWN_ID = "7a7e3cd8-7c4c-4a7c-8c4a-27eb5ab5f1aa"
JSON = {"Content-Type": "application/json"}


def test_versions(api: Any) -> None:
    link = {"href": "http://localhost/v2", "target": "v2", "rel": "self"}
    assert api.get("/").json == {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}
    assert api.get("/v2/").json == {"uri": "http://localhost/v2"}
    moved = api.get("/v2")
    assert (moved.status, moved.headers["Location"]) == (302, "http://localhost/v2/")


def test_links_follow_the_mount_and_the_proxy(api: Any) -> None:
    request = webob.Request.blank("/v2/", environ={"SCRIPT_NAME": "/wf", "HTTP_HOST": "h:1"})
    assert json.loads(request.get_response(api.app).body) == {"uri": "http://h:1/wf/v2"}
    forwarded = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "public.example",
        "X-Forwarded-Prefix": "/p/",
    }
    assert api.get("/v2/", **forwarded).json == {"uri": "http://localhost/v2"}
    api.configure(trust_proxy_headers=True)
    assert api.get("/v2/", **forwarded).json == {"uri": "https://public.example/p/v2"}


def test_health_and_info(api: Any, tmp_path: Any) -> None:
    assert api.get("/healthcheck").status == 200
    assert api.get("/info").status == 400
    path = tmp_path / "info.json"
    path.write_text('{"a": 1}')
    api.configure(info_path=str(path))
    assert api.get("/info").json == {"a": 1}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/v2/nope", 404),
        ("GET", "/v2//workflows", 404),
        ("GET", "/v2/workflows/a/b", 404),
        ("GET", "/v2/Workflows", 404),
        ("GET", "/v2/workflows/__class__", 404),
        ("GET", "/v2/environments/get", 404),
        ("GET", "/v2/environments/_services", 404),
        ("PATCH", "/v2/workflows", 405),
        ("HEAD", "/v2/workflows", 405),
        ("DELETE", "/v2/workflows", 405),
        ("POST", "/v2/tasks", 405),
        ("GET", "/v2/actions/validate", 405),
        ("OPTIONS", "/v2/workflows", 200),
        ("GET", "/v2/workflows/", 200),
        ("GET", "/v2/workflows?_method=delete", 400),
        ("GET", "/v2/workflows/%ff", 400),
        ("GET", "/v2/workflows?name=%ff", 400),
        ("GET", "/v2/workflows?%ff=a", 400),
        ("GET", "/v2/workflows?name=%ed%a0%80", 400),
        ("GET", "/v2/workflows?name=%00", 400),
        ("GET", "/v2/environments/%00", 400),
    ],
)
def test_routing(api: Any, method: str, path: str, status: int) -> None:
    assert api.call(method, path).status == status


def test_a_405_names_what_is_allowed(api: Any) -> None:
    assert api.call("PATCH", "/v2/workflows").headers["Allow"] == "GET, POST, PUT"


@pytest.mark.parametrize(
    ("headers", "body", "status", "fragment"),
    [
        (JSON, None, 400, 'Missing argument: "wf_ex"'),
        (JSON, "{", 400, "not in valid JSON format"),
        (JSON, "[]", 400, "must be an object"),
        (JSON, "[" * 100_000, 400, "not in valid JSON format"),
        (JSON, '{"input": {"a": ' + "[" * 300 + "]" * 300 + "}}", 400, "not in valid JSON format"),
        (JSON, '{"input": {"a": NaN}}', 400, "not in valid JSON format"),
        # Numbers that are kept exactly are read another way.
        (JSON, '{"input": {"a": NaN, "b": 12345678901234567890}}', 400, "not in valid JSON format"),
        (JSON, '{"input": {"a": 1e999, "b": 12345678901234567890}}', 400, "not in valid JSON format"),
        (JSON, '{"input": {"a": "\\ud800", "b": 12345678901234567890}}', 400, "not in valid JSON format"),
        (JSON, '{"input": {"a": 1e400}}', 400, "not in valid JSON format"),
        (JSON, '{"input": "{\\"a\\": -1e400}"}', 400, "input"),
        (JSON, '{"input": {"a": ' + "9" * 5000 + "}}", 400, "not in valid JSON format"),
        (JSON, '{"input": {"a": "\\ud800"}}', 400, "not in valid JSON format"),
        (JSON, b"\xff{}", 400, "not in valid JSON format"),
        (JSON, '{"a": 1}', 400, "Unknown attribute for argument wf_ex: a"),
        (JSON, '{"project_id": "x"}', 400, "Cannot set read only field."),
        (JSON, '{"workflow_namespace": {}}', 400, "Wrong type. Expected"),
        (JSON, '{"workflow_name": 3}', 400, "workflow_name"),
        (JSON, '{"input": "[1]"}', 400, "must be a dictionary"),
        (JSON, '{"input": 3}', 400, "must be a dictionary"),
        (JSON, '{"input": ""}', 400, "input"),
        (JSON, '{"id": "' + "x" * 37 + '"}', 400, "36"),
        (JSON, '{"description": "a\\u0000b"}', 400, "NUL"),
        ({"Content-Type": "text/plain"}, "{}", 415, "text/plain"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, '{"a": 1}', 400, "application/json"),
        ({}, "{}", 400, "workflow"),
        ({"Content-Type": "application/json; charset=utf-8"}, "{}", 400, "workflow"),
        ({"Content-Type": "text/javascript"}, "{}", 400, "workflow"),
    ],
)
def test_bodies_are_read_strictly(
    api: Any, headers: dict[str, str], body: Any, status: int, fragment: str
) -> None:
    answer = api.call("POST", "/v2/executions", body, headers=headers)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
    assert fragment in answer.fault
    assert answer.json == {"faultcode": "Client", "faultstring": answer.fault, "debuginfo": None}
    assert not api.engine.taken


def test_errors_do_not_repeat_what_may_be_secret(api: Any) -> None:
    answer = api.call("POST", "/v2/executions", {"input": ["hunter2"], "workflow_name": "x"})
    assert answer.status == 400
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("path", ["/v2/executions", "/v2/workflows"])
@pytest.mark.parametrize("kind", ["text/xml", "application/xml", "application/atom+xml"])
def test_xml_is_refused_everywhere(api: Any, path: str, kind: str) -> None:
    answer = api.call("POST", path, "<a/>", headers={"Content-Type": kind})
    assert answer.status == 415
    assert "XML" in answer.headers["Server-Error-Message"]


def test_too_large_bodies_are_refused(api: Any) -> None:
    api.configure(max_body_bytes=100)
    for path in ("/v2/workflows", "/v2/executions"):
        answer = api.call("POST", path, b" " * 101, headers=JSON)
        assert (answer.status, answer.json["faultcode"]) == (413, "Client")


def test_a_body_without_length_is_bounded_too(api: Any) -> None:
    api.configure(max_body_bytes=100)
    request = webob.Request.blank("/v2/workflows", method="POST", body=b" " * 101)
    del request.environ["CONTENT_LENGTH"]
    request.environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    assert request.get_response(api.app).status_int == 413


@pytest.mark.parametrize(("accept", "status"), [("application/json", 200), ("*/*", 200), ("text/plain", 406)])
def test_accept(api: Any, accept: str, status: int) -> None:
    assert api.get("/v2/tasks", Accept=accept).status == status


@pytest.mark.parametrize(
    "noun", ["workflows", "executions", "tasks", "action_executions", "environments", "actions"]
)
@pytest.mark.parametrize(
    ("query", "status", "fragment"),
    [
        ("limit=0", 400, "Limit must be positive"),
        ("limit=-1", 400, "Limit must be positive"),
        ("limit=x", 400, "limit"),
        ("limit=", 400, "limit"),
        ("limit=1&limit=2", 400, "limit"),
        ("sort_dirs=foo", 400, "Unknown sort direction"),
        ("sort_dirs=asc,desc", 400, "Length of sort_keys must be equal or greater than sort_dirs"),
        ("sort_keys=id,id&sort_dirs=asc,asc", 400, "Length of sort_keys must be equal or greater"),
        ("sort_keys=zzz", 400, "zzz"),
        ("zzz=1", 400, 'Unknown argument: "zzz"'),
        (f"marker={UNKNOWN_ID}", 404, UNKNOWN_ID),
    ],
)
def test_list_errors_are_the_same_for_all_nouns(
    api: Any, noun: str, query: str, status: int, fragment: str
) -> None:
    answer = api.get(f"/v2/{noun}?{query}")
    assert answer.status == status, answer.text
    assert fragment in answer.fault


@pytest.mark.parametrize("noun", ["workflows", "executions", "tasks", "action_executions", "environments"])
@pytest.mark.parametrize(
    "query", ["marker=zz", "fields=zzz", "created_at=yesterday", "created_at=has:2026-11-21"]
)
def test_values_of_the_wrong_form_are_refused(api: Any, noun: str, query: str) -> None:
    assert api.get(f"/v2/{noun}?{query}").status == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "9" * 5000),
        ("marker", "9" * 5000),
        ("remaining_executions", "9" * 40),
        ("remaining_executions", "lt:-" + "9" * 40),
        ("remaining_executions", "in:1," + "9" * 40),
        ("remaining_executions", "9" * 5000),
        ("created_at", "9999-12-31 23:59:59"),
        ("created_at", "gt:9999-12-31T23:59:59"),
        ("created_at", "0001-01-01T00:00:00%2B10:00"),
        ("created_at", "9" * 5000),
        ("workflow_input", "%5B" * 5000),
        ("workflow_input", '{"a": NaN}'),
        ("workflow_input", '{"a": "%5Cud800"}'),
    ],
)
def test_values_beyond_all_bounds_are_refused(api: Any, name: str, value: str) -> None:
    answer = api.get(f"/v2/cron_triggers?{name}={value}")
    assert answer.status == 400
    assert name in answer.fault


@pytest.mark.parametrize(
    ("length", "status"), [("x", 400), ("-1", 400), ("²", 400), ("1e3", 400), ("9" * 5000, 413)]
)
def test_lengths_that_are_none_are_refused(api: Any, length: str, status: int) -> None:
    request = webob.Request.blank("/v2/executions", method="POST", body=b"{}", headers=JSON)
    request.environ["CONTENT_LENGTH"] = length
    response = request.get_response(api.app)
    assert response.status_int == status
    assert json.loads(response.body)["faultcode"] == "Client"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.DefinitionError, 400),
        (errors.ExpressionSyntaxError, 400),
        (errors.InputError, 400),
        (errors.EvaluationError, 400),
        (errors.ActionError, 400),
        (errors.LimitExceededError, 400),
        (errors.AuthenticationError, 401),
        (errors.ForbiddenError, 403),
        (errors.NotFoundError, 404),
        (errors.AlreadyExistsError, 409),
        (errors.ConflictError, 409),
        (errors.InvalidTransitionError, 400),
        (errors.UnavailableError, 503),
        (errors.InternalError, 500),
    ],
)
def test_every_error_has_a_status(error: type[errors.MistralLiteError], status: int) -> None:
    assert status_of(error("x")) == status


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/tasks"),
        ("GET", "/healthcheck"),
        ("POST", "/v2/workflows"),
        ("POST", "/v2/action-executions/x"),
        ("DELETE", "/v2/workflows/x"),
    ],
)
def test_without_a_database_the_answer_is_503(api: Any, method: str, path: str) -> None:
    # Nobody listens on port 1.
    api.database = Database("postgresql://nobody:hunter2@127.0.0.1:1/nothing", connect_timeout_s=1)
    api.configure()
    answer = api.call(method, path, {"state": "SUCCESS"} if method == "POST" else None)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.fault
    assert "hunter2" not in answer.text


def test_a_bug_shows_no_traceback(api: Any) -> None:
    api.put_workflow(1, context="not json", published_global="[]")
    answer = api.get("/v2/executions/00000000-0000-7000-8000-000000000001")
    assert (answer.status, answer.json["faultcode"]) == (500, "Server")
    assert answer.fault == "Internal error. The log of the service says more."


def test_two_applications_in_one_process_do_not_share_anything(api: Any) -> None:
    first = api.app
    api.configure(max_limit=1)
    for number in (1, 2):
        api.put_workflow(number)
    assert len(api.get("/v2/executions").json["executions"]) == 1
    response = webob.Request.blank("/v2/executions").get_response(first)
    assert len(json.loads(response.body)["executions"]) == 2
