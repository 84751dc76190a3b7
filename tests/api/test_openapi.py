"""The description of the API is valid, complete, and true of what the service answers."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mistral_lite.api.context import CONTEXT_KEY, RequestContext
from mistral_lite.db import tables

NOW = datetime(2026, 11, 21, 22, 37, 10, tzinfo=UTC)
# More of them by hand: MISTRAL_LITE_TEST_EXAMPLES=1000, with --hypothesis-seed for other ones.
EXAMPLES = os.environ.get("MISTRAL_LITE_TEST_EXAMPLES")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

WORKFLOW = """
version: '2.0'
fuzzed:
  input: [a: 1]
  output: {b: <% $.a %>}
  tasks:
    t: {action: std.noop}
"""
ACTION = """
version: '2.0'
act:
  base: std.echo
  base-input: {output: <% $.x %>}
  input: [x]
"""
WORKBOOK = """
version: '2.0'
name: wb
workflows:
  w:
    tasks:
      t: {action: std.noop}
"""
SOURCE = "class Dyn:\n    pass\n"
FIRST = [WORKFLOW, ACTION, WORKBOOK, SOURCE]
RENAMED = [
    WORKFLOW.replace("fuzzed", "another"),
    ACTION.replace("act:", "another:"),
    WORKBOOK.replace("wb", "another"),
]
TEXTS = [*FIRST, *RENAMED]
PROJECT = "<default-project>"
CALLER = RequestContext(project_id=PROJECT, is_admin=True, is_authenticated=True)
IDS = {
    number: f"00000000-0000-7000-8000-{number:012d}"
    for number in (1, 2, 3, 11, 12, 21, 22, 23, 31, 32, 41, 42)
}
# What paths of a tag may name.
KNOWN = {
    "actions": ["act", "env"],
    "action_executions": [IDS[21], IDS[22], IDS[23]],
    "code_sources": ["src", "env"],
    "cron_triggers": ["cron"],
    "dynamic_actions": ["dyn"],
    "environments": ["env"],
    "event_triggers": [IDS[32]],
    "executions": [IDS[1], IDS[2], IDS[3]],
    "members": [IDS[31], "act", quote(PROJECT)],
    "queue_doorbells": ["secret"],
    "tasks": [IDS[11], IDS[12], IDS[21]],
    "workbooks": ["wb"],
    "workflows": ["fuzzed", "unused"],
}
BODIES: dict[str, list[dict[str, Any]]] = {
    "executions": [
        {"workflow_name": "fuzzed"},
        {"workflow_id": "fuzzed", "input": {"a": 2}, "params": {"env": {"x": 1}}},
        {"id": "mine", "workflow_name": "fuzzed"},
        {"source_execution_id": IDS[1], "workflow_name": "fuzzed"},
        {"state": "PAUSED"},
        {"state": "RUNNING"},
        {"state": "CANCELLED", "state_info": "enough"},
        {"description": "said"},
        {"params": {"env": {"x": 2}}},
    ],
    "tasks": [
        {"state": "RUNNING", "reset": True},
        {"state": "RUNNING", "reset": False},
        {"state": "SKIPPED"},
    ],
    "action_executions": [
        {"name": "std.echo", "input": {"output": 1}},
        {"name": "std.echo", "input": {"output": 1}, "params": {"save_result": True, "run_sync": True}},
        {"name": "act", "input": {"x": 1}, "params": {"save_result": True}},
        {"state": "SUCCESS", "output": 3},
        {"state": "ERROR", "output": {"a": "no"}},
        {"state": "PAUSED"},
    ],
    "dynamic_actions": [
        {"name": "dyn", "class_name": "Dyn", "code_source_name": "src"},
        {"name": "new", "class_name": "Dyn", "code_source_name": "src"},
    ],
    "members": [{"member_id": "new"}, {"status": "accepted"}],
    "maintenance": [{"status": "PAUSED"}],
    "environments": [{"name": "env", "variables": {"a": 1}}, {"name": "new", "scope": "public"}],
    "cron_triggers": [
        {"name": "cron", "pattern": "* * * * *", "workflow_name": "fuzzed"},
        {"name": "new", "pattern": "1 * * * *", "workflow_id": "fuzzed", "remaining_executions": 2},
        {"name": "once", "first_execution_time": "2027-01-01 10:00", "workflow_name": "fuzzed"},
    ],
    "event_triggers": [
        {"exchange": "x", "topic": "t", "event": "e", "workflow_id": IDS[31]},
        {"exchange": "x", "topic": "t", "event": "another", "workflow_id": IDS[31]},
        {"name": "new"},
        {"workflow_params": {"env": {"x": 1}}},
    ],
}


def test_the_document_is_valid_and_needs_nobody(api: Any) -> None:
    answer = api.get("/v2/openapi.json")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json["servers"] == [{"url": "http://localhost"}]
    validate(answer.json)
    names = [operation["operationId"] for _, _, operation in api.contract.operations()]
    assert len(set(names)) == len(names)


def test_every_route_says_what_it_does(api: Any) -> None:
    lacking = []
    for method, path, operation in api.contract.operations():
        success = [status for status in operation["responses"] if status < "300"]
        wanted = {
            "summary": bool(operation["summary"]),
            "one success": len(success) == 1,
            "the schema of its answer": success == ["204"] or "content" in operation["responses"][success[0]],
            "descriptions of parameters": all(
                item["description"] for item in operation.get("parameters", ())
            ),
            "a body to send": method != "PUT" or "requestBody" in operation,
        }
        lacking += [f"{method} {path}: {what}" for what, is_there in wanted.items() if not is_there]
    assert lacking == []


# What is said in the query because the body is a program.
QUERIES = {"POST /v2/code_sources": "?name=new", "PUT /v2/code_sources": "?identifier=src"}


def requests_to(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return paths and bodies about what ``fill`` makes."""
    names = re.findall(r"{(\w+)}", path)
    content = operation.get("requestBody", {}).get("content", {})
    bodies = (
        TEXTS if "text/plain" in content else BODIES.get(operation["tags"][0], [{}]) if content else [None]
    )
    for values in product(KNOWN.get(operation["tags"][0], ()), repeat=len(names)):
        for body in bodies:
            target = path.format(**dict(zip(names, values, strict=True)))
            yield target + QUERIES.get(f"{method} {path}", ""), body


def test_every_operation_succeeds_as_described(api: Any, tmp_path: Path) -> None:
    # What is answered is compared with the description by ``api`` itself.
    fill(api, tmp_path)
    restoring = Restoring(api)
    in_vain = set()
    for method, path, operation in api.contract.operations():
        for target, body in requests_to(method, path, operation):
            if api.call(method, target, body, caller=CALLER).status < 300:
                if method != "GET":
                    restoring.restore()
                break
        else:
            in_vain.add(f"{method} {path}")
    assert in_vain == set()


@pytest.fixture
def described(api: Any, tmp_path: Path) -> Any:
    """The operations of an application in which there is one of everything."""
    fill(api, tmp_path)
    schema = schemathesis.openapi.from_dict(api.get("/v2/openapi.json").json)
    schema.app = Restoring(api)
    return schema


class Restoring:
    """The application, and everything as it was before after each request that changed something."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self._rows = {table: api.rows(table) for table in tables.metadata.tables.values()}

    def __call__(self, environ: Any, start_response: Any) -> Any:
        statuses = []

        def start(status: str, headers: Any, error: Any = None) -> Any:
            statuses.append(status)
            return start_response(status, headers, error)

        answer = list(self._api.app({**environ, CONTEXT_KEY: CALLER}, start))
        if environ["REQUEST_METHOD"] != "GET" and statuses[0].startswith("2"):
            self.restore()
        return answer

    def restore(self) -> None:
        with self._api.database.write() as connection:
            for table, rows in self._rows.items():
                connection.execute(sa.delete(table))
                for row in rows:
                    connection.execute(sa.insert(table).values(**row))


def fill(api: Any, folder: Path) -> None:
    """Make one of everything."""
    info = folder / "info.json"
    info.write_text('{"a": 1}')
    api.configure(
        allow_action_execution_deletion=True, has_dynamic_actions=True, info_path=str(info), max_limit=100
    )
    api.engine.effects["run_action"] = run_action
    for workflow in (WORKFLOW, WORKFLOW.replace("fuzzed", "unused")):
        api.call("POST", "/v2/workflows", workflow)
    api.call("POST", "/v2/workbooks", WORKBOOK)
    api.call("POST", "/v2/actions", ACTION)
    number_only_row(api, tables.workflow_definitions, 31, name="fuzzed")
    for namespace in ("", "env"):
        api.call("POST", f"/v2/code_sources?name=src&namespace={namespace}", SOURCE, caller=CALLER)
    for noun in ("environments", "cron_triggers", "event_triggers", "dynamic_actions"):
        assert api.call("POST", f"/v2/{noun}", BODIES[noun][0], caller=CALLER).status == 201
    number_only_row(api, tables.event_triggers, 32)
    share = {"resource_id": IDS[31], "resource_type": "workflow", "status": "pending", "created_at": NOW}
    api.put_rows(
        tables.resource_members,
        {**share, "id": IDS[41], "project_id": PROJECT, "member_id": "act"},
        {**share, "id": IDS[42], "project_id": "another", "member_id": PROJECT},
    )
    doorbell = {"doorbell_hash": sha256(b"secret").hexdigest()}
    api.put_rows(
        tables.queues, {**doorbell, "id": IDS[41], "name": "q", "project_id": PROJECT, "created_at": NOW}
    )
    api.put_workflow(1)
    api.put_workflow(2, state="PAUSED")
    api.put_workflow(3, state="ERROR", state_info="no", output='{"result":"no"}')
    api.put_task(11, 1)
    api.put_task(12, 3, state="ERROR", runtime='{"with_items":{"count":1}}')
    api.put_action(21, 11)
    api.put_action(22, 12, state="ERROR", output='{"result":"no"}', accepted=True)
    api.put_action(23, state="SUCCESS")


def number_only_row(api: Any, table: sa.Table, number: int, **where: str) -> None:
    """Give a row an id that requests can name."""
    with api.database.write() as connection:
        connection.execute(sa.update(table).filter_by(**where).values(id=IDS[number]))


def run_action(connection: sa.Connection, entry: Mapping[str, Any]) -> None:
    order = entry["payload"]
    row = {
        "id": entry["subject_id"],
        "root_execution_id": entry["subject_id"],
        "name": order["name"],
        "state": "SUCCESS",
        "input": json.dumps(order["input"]),
        "output": '{"result":1}',
        "is_sync": True,
        "project_id": order["project_id"],
        "created_at": entry["created_at"],
    }
    connection.execute(sa.insert(tables.action_executions).values(**row))


@st.composite
def familiar(draw: st.DrawFn, operation: Any) -> Any:
    """A request that fits the description, about what is there."""
    case = draw(operation.as_strategy())
    noun = operation.tags[0]
    for name in case.path_parameters:
        case.path_parameters[name] = draw(st.sampled_from(KNOWN[noun]))
    if draw(st.booleans()):
        case.query = {}
    if case.media_type == "text/plain":
        case.body = draw(st.sampled_from(TEXTS))
    elif noun in BODIES and isinstance(case.body, dict):
        case.body = (case.body if draw(st.booleans()) else {}) | draw(st.sampled_from(BODIES[noun]))
    return case


def fuzz(operation: Any, answered: Counter[tuple[str, int]]) -> None:
    """Send what fits the description of an operation, and what does not; raise for a wrong answer."""
    modes = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]

    @settings(
        max_examples=int(EXAMPLES or 7),
        derandomize=EXAMPLES is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(familiar(operation), *modes))
    def send(case: Any) -> None:
        response = case.call()
        answered[operation.label, response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    send()


def reasons(error: BaseException) -> Iterator[str]:
    """Return what was wrong, out of groups of groups."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from reasons(part)
    else:
        yield str(error)


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_answers_are_as_described(described: Any) -> None:
    answered: Counter[tuple[str, int]] = Counter()
    wrong = {}
    for result in described.get_all_operations():
        operation = result.ok()
        try:
            fuzz(operation, answered)
        except BaseExceptionGroup as error:
            wrong[operation.label] = "\n".join(reasons(error))
    assert wrong == {}, "\n\n".join(f"{label}: {error}" for label, error in wrong.items())
