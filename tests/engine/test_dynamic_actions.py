"""Dynamic actions from the database to the executor that runs their code."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mistral_lite.actions.source_loader import SourceLoader
from mistral_lite.db import definitions, dynamic_actions, tables
from mistral_lite.executor.runner import ActionRunner
from mistral_lite.ids import new_id
from mistral_lite.rpc.protocol import ActionRequest, Outcome
from mistral_lite.workflow.library import Rules

SOURCE = """
from mistral_lib import actions

class Times(actions.Action):
    '''Multiplies.'''

    def __init__(self, number, factor=2):
        self.number, self.factor = number, factor

    def run(self, context):
        return self.number * self.factor

class Far(actions.Action):
    def run(self, context):
        return None

    def is_sync(self):
        return False
"""

WORKFLOW = """
version: '2.0'
double:
  input: [n]
  output: {got: <% $.got %>}
  tasks:
    t:
      action: my.times number=<% $.n %>
      publish: {got: <% task().result %>}
wrong:
  tasks:
    t:
      action: my.times num=1
far:
  tasks:
    t:
      action: my.far
echo:
  tasks:
    t:
      action: std.echo output=1
"""


class Uploads:
    """Writes what the API writes."""

    def __init__(self, database):
        self.database = database

    def source(self, content, name="src", project_id="p", scope="private"):
        now = datetime.now(UTC)
        with self.database.write() as connection:
            values = {
                "id": new_id(now),
                "name": name,
                "content": content,
                "content_hash": dynamic_actions.save_content(self.database, connection, content),
                "scope": scope,
                "project_id": project_id,
                "created_at": now,
            }
            definitions.insert_definition(connection, tables.code_sources, values)
        return values["id"]

    def change(self, source_id, content):
        with self.database.write() as connection:
            content_hash = dynamic_actions.save_content(self.database, connection, content)
            values = {"content": content, "content_hash": content_hash}
            definitions.update_definition(connection, tables.code_sources, source_id, values)

    def action(self, name, class_name, source_id, project_id="p", scope="private"):
        now = datetime.now(UTC)
        with self.database.write() as connection:
            values = {
                "id": new_id(now),
                "name": name,
                "class_name": class_name,
                "code_source_id": source_id,
                "scope": scope,
                "project_id": project_id,
                "created_at": now,
            }
            definitions.insert_definition(connection, tables.dynamic_actions, values)


@pytest.fixture
def uploads(database):
    return Uploads(database)


@pytest.fixture
def service(idle):
    idle.add_engine(rules=Rules(dynamic_actions=True))
    idle.api.upload(WORKFLOW)
    return idle


def run(order, loader):
    """Run an order as it arrives over the bus."""
    return ActionRunner(None, loader).run(ActionRequest.from_json(order.to_json()))


def test_code_travels_to_the_executor_and_its_result_back(service, uploads):
    source = uploads.source(SOURCE)
    uploads.action("my.times", "Times", source)
    execution = service.start("double", {"n": 21})
    (order,) = service.claim()

    report = run(order, SourceLoader())
    service.exchange(reports=(report,))

    assert order.code.content == SOURCE
    assert service.workflow(execution)["output"] == {"got": 42}


def test_an_order_runs_the_code_of_the_moment_of_its_decision(service, uploads):
    source = uploads.source(SOURCE)
    uploads.action("my.times", "Times", source)
    loader = SourceLoader()
    service.start("double", {"n": 21})
    uploads.change(source, SOURCE.replace("factor=2", "factor=3"))
    (old,) = service.claim()
    service.start("double", {"n": 21})
    (new,) = service.claim()

    assert [run(order, loader).result for order in (old, new, old)] == [42, 63, 42]


def test_parameters_are_checked_before_anything_runs(service, uploads):
    uploads.action("my.times", "Times", uploads.source(SOURCE))

    execution = service.start("wrong")

    assert service.claim() == ()
    row = service.workflow(execution)
    assert row["state"] == "ERROR"
    assert "missing=['number'], unexpected=['num']" in row["state_info"]


def test_an_asynchronous_class_waits_for_its_third_party(service, uploads):
    uploads.action("my.far", "Far", uploads.source(SOURCE))
    execution = service.start("far")
    (order,) = service.claim()

    report = run(order, SourceLoader())
    service.exchange(reports=(report,))

    assert report.outcome is Outcome.SENT
    assert service.state(execution) == "RUNNING"
    service.call_back(order.action_execution_id, {})
    assert service.state(execution) == "SUCCESS"


def test_a_dynamic_action_comes_before_an_installed_one_of_the_same_name(service, uploads):
    uploads.action("std.echo", "Echo", uploads.source("from x import Echo"))
    service.start("echo")

    (order,) = service.claim()

    assert order.code.class_name == "Echo"


@pytest.mark.parametrize(("scope", "is_found"), [("private", False), ("public", True)])
def test_only_own_and_public_ones_are_found(service, uploads, scope, is_found):
    source = uploads.source(SOURCE, project_id="other", scope=scope)
    uploads.action("my.times", "Times", source, project_id="other", scope=scope)

    execution = service.start("double", {"n": 1})

    assert [order.name for order in service.claim()] == (["my.times"] if is_found else [])
    assert service.state(execution) == ("RUNNING" if is_found else "ERROR")


def test_switched_off_they_are_not_found(idle, uploads):
    idle.add_engine()
    idle.api.upload(WORKFLOW)
    uploads.action("my.times", "Times", uploads.source(SOURCE))

    execution = idle.start("double", {"n": 1})

    assert "Failed to find action [action_name=my.times" in idle.workflow(execution)["state_info"]


def test_an_executor_without_the_switch_refuses(service, uploads):
    uploads.action("my.times", "Times", uploads.source(SOURCE))
    service.start("double", {"n": 1})
    (order,) = service.claim()

    report = run(order, None)

    assert (report.outcome, "[dynamic_actions] enabled" in report.result) == (Outcome.ERROR, True)


def test_a_class_that_vanished_from_the_source_fails_the_action_with_a_sentence(service, uploads):
    source = uploads.source(SOURCE)
    uploads.action("my.times", "Times", source)
    uploads.change(source, "x = 1")
    service.start("double", {"n": 1})
    (order,) = service.claim()

    assert run(order, SourceLoader()).result == "Code source 'src' has no class 'Times'."
