"""``/v2/cron_triggers``: what is stored, what is refused, and in which order."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mistral_lite.db import tables

PATH = "/v2/cron_triggers"
WORKFLOW = """
version: '2.0'
wf:
  input: [a, b: 2]
  tasks:
    t: {action: std.noop}
free:
  tasks:
    t: {action: std.noop}
"""
MINUTELY = {"pattern": "* * * * *"}
LATER = "4242-12-25 13:37"


@pytest.fixture
def workflows(api):
    """Upload the workflows; return their ids by name."""
    answer = api.call("POST", "/v2/workflows", WORKFLOW)
    assert answer.status == 201, answer.text
    return {item["name"]: item["id"] for item in answer.json["workflows"]}


@pytest.fixture
def create(api, workflows):
    """Send a trigger of the workflow ``free``."""

    def create(name="c", **values):
        return api.call("POST", PATH, {"name": name, "workflow_name": "free", **values})

    return create


@pytest.fixture
def names(api):
    """Return the names in a list."""
    return lambda query="": [item["name"] for item in api.get(PATH + query).json["cron_triggers"]]


def test_life_of_a_trigger(api, workflows):
    body = {
        "name": "c",
        "workflow_name": "wf",
        "workflow_input": '{"a":1}',
        "workflow_params": {"env": {"k": "v"}},
        "pattern": "@hourly",
        "remaining_executions": None,
        "first_execution_time": None,
    }
    created = api.call("POST", PATH, body)
    assert created.status == 201
    identifier = created.json["id"]
    shown = {
        "id": identifier,
        "name": "c",
        "workflow_name": "wf",
        "workflow_id": workflows["wf"],
        "workflow_input": '{"a": 1}',
        "workflow_params": '{"env": {"k": "v"}}',
        "project_id": "<default-project>",
        "scope": "private",
        "pattern": "@hourly",
        "remaining_executions": None,
        "first_execution_time": None,
        "next_execution_time": "2026-11-21 23:00:00",
        "created_at": "2026-11-21 22:37:10",
    }
    assert list(created.json.items()) == list(shown.items())
    full = {**shown, "updated_at": None}
    assert api.get(f"{PATH}/c").json == api.get(f"{PATH}/{identifier}").json == full
    assert api.get(PATH).json == {"cron_triggers": [full]}
    assert api.get(f"{PATH}/c?fields=pattern").json == {"id": identifier, "pattern": "@hourly"}
    assert api.call("PUT", PATH, body).status == 405
    assert api.call("DELETE", f"{PATH}/{identifier}").status == 204
    gone = api.get(f"{PATH}/c")
    assert (gone.status, gone.fault) == (404, "Cron trigger not found [identifier=c]")
    assert api.call("DELETE", f"{PATH}/c").status == 404


@pytest.mark.parametrize(
    ("values", "pattern", "remaining", "first", "next_at"),
    [
        (MINUTELY, "* * * * *", None, None, "2026-11-21 22:38:00"),
        ({"pattern": "* * * * * */30"}, "* * * * * */30", None, None, "2026-11-21 22:37:30"),
        ({**MINUTELY, "remaining_executions": "42"}, "* * * * *", 42, None, "2026-11-21 22:38:00"),
        ({"first_execution_time": LATER}, "0 0 30 2 0", 1, f"{LATER}:00", f"{LATER}:00"),
        (
            {"first_execution_time": LATER, "pattern": None, "remaining_executions": None},
            "0 0 30 2 0",
            1,
            f"{LATER}:00",
            f"{LATER}:00",
        ),
        ({"first_execution_time": LATER, **MINUTELY}, "* * * * *", None, f"{LATER}:00", f"{LATER}:00"),
        ({"first_execution_time": "2026-11-21 22:39"}, "0 0 30 2 0", 1, *["2026-11-21 22:39:00"] * 2),
    ],
)
def test_when_it_will_fire(create, values, pattern, remaining, first, next_at):
    created = create(**values).json
    shown = ("pattern", "remaining_executions", "first_execution_time", "next_execution_time")
    assert tuple(created[name] for name in shown) == (pattern, remaining, first, next_at)


# In the order of the checks; each body is also wrong in every way that is checked later.
CHECKS = [
    ({"remaining_executions": "x"}, 400, "whole number"),
    ({"remaining_executions": 0}, 400, "greater or equal to 1"),
    ({"remaining_executions": -1}, 400, "greater or equal to 1"),
    ({"remaining_executions": 2**31}, 400, "lower or equal"),
    ({"remaining_executions": True}, 400, "whole number"),
    ({"unknown": 1}, 400, "Unknown attribute for argument cron_trigger: unknown"),
    ({"project_id": "p"}, 400, "project_id"),
    ({"pattern": 5}, 400, "Wrong type"),
    ({"scope": "shared"}, 400, "private, public"),
    ({"scope": "public", "first_execution_time": "x"}, 403, "insufficient permissions"),
    ({"first_execution_time": "x"}, 400, "first_execution_time is not a time like"),
    ({"first_execution_time": "4242-12-25 13:37:20"}, 400, "first_execution_time is not a time like"),
    ({"first_execution_time": "4242-12-25T13:37"}, 400, "first_execution_time is not a time like"),
    ({}, 400, "Pattern or first_execution_time must be specified."),
    ({"remaining_executions": 2}, 400, "Pattern or first_execution_time must be specified."),
    ({"first_execution_time": "2020-01-01 00:00"}, 400, "must be at least 1 minute in the future"),
    ({"first_execution_time": "2026-11-21 22:38"}, 400, "must be at least 1 minute in the future"),
    ({"first_execution_time": LATER, "remaining_executions": 2}, 400, "Pattern must be provided"),
    ({"pattern": "5 *"}, 400, "The specified pattern is not valid: 5 *"),
    ({"pattern": "88 * * * *"}, 400, "The specified pattern is not valid"),
    ({"pattern": "* 88 * * *"}, 400, "The specified pattern is not valid"),
    ({"pattern": "* * * 35 *"}, 400, "The specified pattern is not valid"),
    ({"pattern": "* * * * 15"}, 400, "The specified pattern is not valid"),
    ({"pattern": "@never"}, 400, "The specified pattern is not valid"),
    ({"pattern": "0 0 30 2 *"}, 400, "It never matches"),
    (MINUTELY, 404, "Workflow not found [workflow_identifier=nope, namespace=]"),
    ({**MINUTELY, "workflow_id": "nope2"}, 404, "workflow_identifier=nope2"),
    ({**MINUTELY, "workflow_name": "wf"}, 400, "missing=['a'], unexpected=['c']"),
    ({**MINUTELY, "workflow_name": "wf", "workflow_input": {"a": 1}}, 409, "already exists"),
]


@pytest.mark.parametrize(("values", "status", "fragment"), CHECKS)
def test_refused_in_this_order(api, create, names, values, status, fragment):
    create(name="taken", **MINUTELY)
    body = {"workflow_name": "nope", "workflow_input": {"c": 1}, "name": "taken", **values}
    answer = api.call("POST", PATH, body)
    assert (answer.status, fragment in answer.fault) == (status, True), answer.text
    assert names() == ["taken"]


@pytest.mark.parametrize("name", [None, ""])
def test_a_trigger_needs_a_name(create, name):
    answer = create(name=name, **MINUTELY)
    assert (answer.status, "Name" in answer.fault) == (400, True)


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ({}, {}, 201),
        ({"remaining_executions": 2}, {"remaining_executions": 2}, 201),
        ({"first_execution_time": LATER}, {"first_execution_time": LATER}, 201),
        *(
            ({"remaining_executions": 2, "first_execution_time": LATER}, second, status)
            for second, status in (
                ({"remaining_executions": 2, "first_execution_time": LATER}, 409),
                ({"remaining_executions": 3, "first_execution_time": LATER}, 201),
                ({"remaining_executions": 2, "first_execution_time": "4242-12-25 13:38"}, 201),
                ({"remaining_executions": 2, "first_execution_time": LATER, "pattern": "@daily"}, 201),
                (
                    {"remaining_executions": 2, "first_execution_time": LATER, "workflow_params": {"x": 1}},
                    201,
                ),
            )
        ),
    ],
)
def test_the_same_again_under_another_name(create, first, second, status):
    assert create(name="a b", **{**MINUTELY, **first}).status == 201
    assert create(name="c", **{**MINUTELY, **second}).status == status


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?name=a", ["a"]),
        ("?workflow_name=free", ["a", "b"]),
        ("?workflow_name=wf", []),
        ("?remaining_executions=3", ["a"]),
        ("?remaining_executions=gt:2", ["a"]),
        ("?pattern=@daily", ["b"]),
        ("?next_execution_time=2026-11-22 00:00:00", ["b"]),
        ('?workflow_input={"x":1}', []),
        ("?workflow_input={}", ["a", "b"]),
        ("?limit=1", ["a"]),
        ("?sort_keys=name&sort_dirs=desc", ["b", "a"]),
    ],
)
def test_filters(api, create, names, query, found):
    create(name="a", remaining_executions=3, **MINUTELY)
    api.clock.value += timedelta(seconds=1)
    create(name="b", pattern="@daily")
    assert names(query) == found


def test_the_link_to_the_next_page_keeps_the_count(api, create):
    create(name="a", remaining_executions=3, **MINUTELY)
    link = api.get(f"{PATH}?remaining_executions=3&limit=1").json["next"]
    assert api.get(link.removeprefix("http://localhost")).json == {"cron_triggers": []}


def test_only_administrators_see_all_projects(api):
    assert api.get(f"{PATH}?all_projects=true").status == 403
    assert api.call("GET", f"{PATH}?all_projects=true", headers={"X-Roles": "admin"}).status == 200


def test_a_public_trigger_of_another_project_can_be_read_but_not_deleted(api, create):
    created = create(**MINUTELY).json
    with api.database.write() as connection:
        connection.execute(tables.cron_triggers.update().values(project_id="other"))
    assert api.get(f"{PATH}/c").status == 404
    with api.database.write() as connection:
        connection.execute(tables.cron_triggers.update().values(scope="public"))
    assert api.get(f"{PATH}/c").json["id"] == created["id"]
    assert api.call("DELETE", f"{PATH}/c").status == 403


def test_a_deleted_trigger_leaves_nothing(api, create):
    created = create(**MINUTELY).json
    slot = {"cron_trigger_id": created["id"], "due_at": api.clock.value, "created_at": api.clock.value}
    api.put_rows(tables.cron_slots, {**slot, "attempts": 1, "retry_at": api.clock.value})
    assert api.call("DELETE", f"{PATH}/c").status == 204
    assert api.rows(tables.cron_slots) == []


def test_a_workflow_with_triggers_of_any_project_cannot_be_deleted(api, create):
    created = create(**MINUTELY).json
    refused = "Can't delete workflow that has cron triggers associated"
    answer = api.call("DELETE", "/v2/workflows/free")
    assert (answer.status, refused in answer.fault, created["id"] in answer.fault) == (400, True, True)
    with api.database.write() as connection:
        connection.execute(tables.cron_triggers.update().values(project_id="other"))
    # Which ones of other projects is not told.
    answer = api.call("DELETE", "/v2/workflows/free")
    assert (answer.status, refused in answer.fault, created["id"] in answer.fault) == (400, True, False)
    assert api.call("DELETE", "/v2/workflows/wf").status == 204


@pytest.mark.parametrize(("project", "status"), [("<default-project>", 200), ("other", 403)])
def test_a_workflow_that_others_start_by_the_clock_stays_public(api, create, project, status):
    create(**MINUTELY)
    with api.database.write() as connection:
        connection.execute(tables.workflow_definitions.update().values(scope="public"))
        connection.execute(tables.cron_triggers.update().values(project_id=project))
    answer = api.call("PUT", "/v2/workflows?scope=private", WORKFLOW)
    assert answer.status == status, answer.text
