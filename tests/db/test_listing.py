"""Pages are the same on every database, whatever its way to sort."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
import sqlalchemy as sa

from mistral_lite.db import executions, tables
from mistral_lite.db.listing import Filter, Operator, Page, Viewer, select_page
from mistral_lite.jsontext import dump

COUNT = 13
INPUTS = ({"a": 1, "b": [1, "ü"]}, {"b": [1, "ü"], "a": 1}, {"a": 1, "b": ["ü", 1]}, {})


@pytest.fixture
def many(database, now):
    """Executions that share times, states and inputs."""
    with database.write() as connection:
        for number in range(COUNT):
            identifier = f"00000000-0000-7000-8000-{number:012d}"
            values = {
                "id": identifier,
                "root_execution_id": identifier,
                "workflow_id": "w",
                "workflow_name": f"wf{number % 2}",
                "spec_hash": "0" * 64,
                "state": ("ERROR", "SUCCESS")[number % 2],
                "state_info": None if number % 4 else f"info {number % 8}",
                "input": dump(INPUTS[number % len(INPUTS)]),
                "params": "{}",
                "context": "{}",
                "project_id": "p",
                "created_at": now + timedelta(seconds=number % 3),
            }
            connection.execute(sa.insert(tables.workflow_executions).values(**values))
    return database


def pages(database, sort, limit, *filters):
    source = executions.workflow_source(Viewer(project_id="p"))
    marker = None
    while True:
        page = Page(sort=sort, limit=limit, marker=marker, filters=filters)
        with database.read() as connection:
            rows = select_page(connection, source, page, ["id", "input"])
        yield [row["id"] for row in rows]
        if len(rows) < limit:
            return
        marker = rows[-1]["id"]


@pytest.mark.parametrize("first", ["created_at", "state_info", "workflow_name"])
@pytest.mark.parametrize("directions", list(itertools.product([False, True], repeat=3)))
def test_pages_join_to_the_whole_list(many, first, directions):
    sort = tuple(zip((first, "state", "id"), directions, strict=True))
    (whole,) = pages(many, sort, COUNT + 1)

    assert len(set(whole)) == COUNT
    for limit in (1, 4, COUNT):
        assert [*itertools.chain(*pages(many, sort, limit))] == whole


@pytest.mark.parametrize(
    ("wanted", "places"), [(INPUTS[0], (0, 1)), (INPUTS[2], (2,)), ({}, (3,)), ({"a": 1}, ())]
)
def test_json_is_compared_by_value(many, wanted, places):
    sort = (("created_at", True), ("id", False))
    condition = Filter(column="input", operator=Operator.JSON, value=wanted)

    for limit in (1, 2, COUNT):
        found = [*itertools.chain(*pages(many, sort, limit, condition))]
        assert sorted(int(each[-4:]) for each in found) == [
            n for n in range(COUNT) if n % len(INPUTS) in places
        ]
