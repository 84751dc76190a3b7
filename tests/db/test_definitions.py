"""Definitions are found by name or id in their namespace, own ones before shared ones."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from mistral_lite.db import definitions, tables
from mistral_lite.errors import AlreadyExistsError, NotFoundError
from mistral_lite.lang import parse

WORKFLOW = "version: '2.0'\nw:\n  tasks:\n    t:\n      action: std.noop\n"


@pytest.fixture
def put(database, rows, now):
    """Insert a definition."""

    def put(number, name="w", namespace="", project="p", scope="private", table=tables.workflow_definitions):
        values = {
            "id": rows.ident(number),
            "name": name,
            "namespace": namespace,
            "definition": WORKFLOW,
            "project_id": project,
            "scope": scope,
            "spec_hash": "h",
            "created_at": now,
        }
        with database.write() as connection:
            definitions.insert_definition(connection, table, values)

    return put


LOOKUPS = [
    pytest.param("w", "", "p", 1, id="own, default namespace"),
    pytest.param("w", "n", "p", 2, id="own, given namespace"),
    pytest.param("w", "m", "p", 1, id="falls back to the default namespace"),
    pytest.param("w", "", "q", 3, id="own before shared"),
    pytest.param("s", "", "q", 4, id="shared"),
    pytest.param("x", "", "q", None, id="private to another project"),
    pytest.param("x", "", "p", 5, id="private"),
    pytest.param("W", "", "p", None, id="case counts"),
    pytest.param("nothing", "", "p", None, id="unknown"),
]


@pytest.mark.parametrize(("name", "namespace", "project", "number"), LOOKUPS)
def test_lookups(database, rows, put, name, namespace, project, number):
    put(1, scope="public")
    put(2, namespace="n")
    put(3, project="q")
    put(4, name="s", scope="public")
    put(5, name="x")

    with database.read() as connection:
        found = definitions.find_workflow(connection, name, namespace, project)
        by_id = number and definitions.find_workflow(connection, rows.ident(number), "anything", project)

    assert (found and found.id) == (rows.ident(number) if number else None)
    assert by_id == found


def test_an_exact_lookup_does_not_fall_back(database, put):
    put(1)

    with database.read() as connection:
        assert definitions.find_workflow(connection, "w", "n", "p") is not None
        assert definitions.find_workflow(connection, "w", "n", "p", is_exact=True) is None


def test_a_name_is_taken_once_per_namespace_and_project(put):
    put(1)
    put(2, namespace="n")
    put(3, project="q")

    with pytest.raises(AlreadyExistsError, match="name=w"):
        put(4)


def test_renaming_onto_another_is_refused(database, rows, put):
    put(1)
    put(2, name="v")

    with pytest.raises(AlreadyExistsError), database.write() as connection:
        definitions.update_definition(
            connection, tables.workflow_definitions, rows.ident(2), {"name": "w", "updated_at": rows.now}
        )


def test_every_change_is_counted_once_it_is_committed(database, rows, put):
    def generation():
        with database.read() as connection:
            return definitions.generation(connection)()

    seen = [generation()]
    put(1)
    seen.append(generation())
    put(2, table=tables.action_definitions)
    seen.append(generation())
    with database.write() as connection:
        definitions.update_definition(
            connection, tables.workflow_definitions, rows.ident(1), {"tags": '["a"]'}
        )
    seen.append(generation())
    with database.write() as connection:
        definitions.delete_definition(connection, tables.workflow_definitions, rows.ident(1))
    seen.append(generation())
    with pytest.raises(KeyError), database.write() as connection:  # noqa: PT012 - the block is the subject
        definitions.delete_definition(connection, tables.action_definitions, rows.ident(2))
        raise KeyError

    assert seen == list(range(seen[0], seen[0] + 5))
    assert generation() == seen[-1]


def test_a_spec_is_stored_once_under_its_content(database):
    (spec,) = parse.parse_workflow_list(WORKFLOW)

    with database.write() as connection:
        first = definitions.save_spec(database, connection, definitions.WORKFLOW, spec.source)
        second = definitions.save_spec(database, connection, definitions.WORKFLOW, spec.source)
        other = definitions.save_spec(
            database, connection, definitions.WORKFLOW, {**spec.source, "description": "d"}
        )
        stored = connection.scalar(sa.select(sa.func.count()).select_from(tables.specs))
        loaded = definitions.load_spec(connection, first)

    assert first == second != other
    assert stored == 2
    assert loaded == spec


def test_specs_saved_at_once_do_no_harm(database, pool):
    (spec,) = parse.parse_workflow_list(WORKFLOW)

    def save(_):
        return database.run(
            lambda connection: definitions.save_spec(database, connection, definitions.WORKFLOW, spec.source)
        )

    assert len(set(pool.map(save, range(8)))) == 1


def test_an_unknown_spec_is_not_found(database):
    with database.read() as connection, pytest.raises(NotFoundError, match="no-such-hash"):
        definitions.load_spec(connection, "no-such-hash")
