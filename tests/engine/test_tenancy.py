"""What an execution uses by name is what its project sees: its own, public, or shared with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mistral_lite.db import definitions, members, tables
from mistral_lite.ids import new_id
from mistral_lite.lang import parse
from tests.engine.conftest import PROJECT

everywhere = pytest.mark.parametrize("backend", ["sqlite", "postgresql", "mariadb"], indirect=True)

OTHER = "q"

CALLER = """
version: '2.0'
caller:
  output:
    got: <% task(t).result %>
  tasks:
    t:
      workflow: helper
user:
  tasks:
    t:
      action: helping output='x'
teller:
  output:
    seen: <% executions().project_id.distinct() %>
    tasks: <% tasks().name.distinct() %>
  tasks:
    told:
      action: std.noop
"""
HELPER = """
version: '2.0'
helper:
  output:
    from: {project}
  tasks:
    t:
      action: std.noop
"""
ACTION = """
version: '2.0'
helping:
  base: std.echo
  base-input:
    output: <% $.output %>
  input: [output]
"""


@pytest.fixture
def service(service):
    service.api.upload(CALLER)
    return service


def run_caller(service):
    execution = service.start("caller")
    service.work()
    return service.workflow(execution)


def share(service, status):
    """Offer the helper of the other project to the one that the engine works for, with an answer to that."""
    (helper,) = service.rows(tables.workflow_definitions, tables.workflow_definitions.c.project_id == OTHER)
    now = datetime.now(UTC)
    row = {
        "id": new_id(now),
        "resource_id": helper["id"],
        "project_id": OTHER,
        "member_id": PROJECT,
        "status": "pending",
        "created_at": now,
        "updated_at": None,
    }

    def work(connection):
        members.insert_member(connection, row)
        members.set_status(connection, row["id"], status, now)

    service.database.run(work)
    return row["id"]


def test_a_private_workflow_of_another_project_is_not_found(service):
    service.api.upload(HELPER.format(project=OTHER), project=OTHER)
    ended = run_caller(service)
    assert ended["state"] == "ERROR"
    assert "helper" in ended["state_info"]
    assert OTHER not in {row["project_id"] for row in service.rows(tables.workflow_executions)}


def test_the_own_one_comes_before_a_public_one(service):
    service.api.upload(HELPER.format(project=OTHER), project=OTHER, scope="public")
    assert run_caller(service)["output"] == {"got": {"from": OTHER}}
    service.api.upload(HELPER.format(project=PROJECT))
    assert run_caller(service)["output"] == {"got": {"from": PROJECT}}
    assert {row["project_id"] for row in service.rows(tables.workflow_executions)} == {PROJECT}


@everywhere
def test_a_shared_one_is_found_as_long_as_it_is_shared(service):
    service.api.upload(HELPER.format(project=OTHER), project=OTHER)
    member = share(service, "rejected")
    assert run_caller(service)["state"] == "ERROR"

    now = datetime.now(UTC)
    service.database.run(lambda connection: members.set_status(connection, member, "accepted", now))
    assert run_caller(service)["output"] == {"got": {"from": OTHER}}

    service.database.run(lambda connection: members.delete_member(connection, member))
    assert run_caller(service)["state"] == "ERROR"


@pytest.mark.parametrize(("scope", "state"), [("private", "ERROR"), ("public", "SUCCESS")])
def test_ad_hoc_actions_of_another_project(service, scope, state):
    (spec,) = parse.parse_action_list(ACTION)

    def work(connection):
        values = {
            "id": new_id(datetime.now(UTC)),
            "name": "helping",
            "definition": ACTION,
            "scope": scope,
            "project_id": OTHER,
            "spec_hash": definitions.save_spec(
                service.database, connection, definitions.ACTION, {**spec.source, "name": "helping"}
            ),
            "created_at": datetime.now(UTC),
        }
        definitions.insert_definition(connection, tables.action_definitions, values)

    service.database.run(work)
    execution = service.start("user")
    service.work()
    assert service.state(execution) == state


def test_expressions_see_the_executions_of_their_project_only(service):
    for name in ("workflow_executions", "task_executions"):
        execution = service.start("teller")
        service.work()
        with service.database.write() as connection:
            table = tables.metadata.tables[name]
            connection.execute(
                table.update().where(table.c.root_execution_id == execution).values(project_id=OTHER)
            )
            if name == "task_executions":
                connection.execute(
                    table.update().where(table.c.root_execution_id == execution).values(name="hidden")
                )
    execution = service.start("teller")
    service.work()
    output = service.workflow(execution)["output"]
    assert output["seen"] == [PROJECT]
    assert "hidden" not in output["tasks"]
