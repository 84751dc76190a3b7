"""The migrations lead to the tables that the code knows, and back."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from mistral_lite.cli import db as schema
from mistral_lite.db import tables
from mistral_lite.db.transaction import Database
from mistral_lite.errors import ConflictError, UnavailableError


def described(url: str) -> dict[str, Any]:
    """Return what the database itself says of each table."""
    database = Database(url)
    try:
        inspector = sa.inspect(database.engine)
        return {
            name: {
                "columns": {
                    column["name"]: (str(column["type"]), column["nullable"], column["default"])
                    for column in inspector.get_columns(name)
                },
                "key": inspector.get_pk_constraint(name),
                "indexes": sorted(inspector.get_indexes(name), key=lambda index: str(index["name"])),
                "unique": sorted(
                    ({k: v for k, v in each.items() if v} for each in inspector.get_unique_constraints(name)),
                    key=lambda each: str(each["name"]),
                ),
                "options": {k: v for k, v in inspector.get_table_options(name).items() if "auto" not in k},
                "foreign": inspector.get_foreign_keys(name),
            }
            for name in inspector.get_table_names()
            if name != "alembic_version"
        }
    finally:
        database.dispose()


def test_the_migrated_schema_is_that_of_the_tables(backend, stores):
    migrated, created = stores.make_empty(backend), stores.make_empty(backend)
    schema.upgrade(migrated)
    database = Database(created)
    tables.metadata.create_all(database.engine)
    database.dispose()

    found, expected = described(migrated), described(created)

    assert found.keys() == expected.keys() == tables.metadata.tables.keys()
    for name in expected:
        assert found[name] == expected[name], name


def test_upgrade_and_downgrade_can_be_repeated(backend, stores):
    url = stores.make_empty(backend)
    assert schema.current(url) is None
    with pytest.raises(ConflictError, match="db upgrade"):
        schema.require_current(url)

    assert schema.upgrade(url) == schema.upgrade(url) == schema.current(url) == schema.head()
    schema.require_current(url)
    assert described(url).keys() == tables.metadata.tables.keys()
    assert schema.downgrade(url, "base") is None
    assert described(url) == {}
    assert schema.upgrade(url) == schema.head()


def test_processes_that_upgrade_at_once_take_turns(backend, stores, pool):
    url = stores.make_empty(backend)

    reached = list(pool.map(lambda _: schema.upgrade(url), range(4)))

    assert reached == [schema.head()] * 4
    database = Database(url)
    with database.read() as connection:
        counters = connection.execute(sa.select(tables.definition_changes)).all()
    database.dispose()
    assert [tuple(row) for row in counters] == [(1, 0)]


def test_a_server_that_does_not_answer_is_named(backend, unreachable):
    _, make = unreachable
    database = make(backend)
    url = database.url.render_as_string()
    database.dispose()

    with pytest.raises(UnavailableError) as caught:
        schema.current(url)

    assert url in str(caught.value)


@pytest.mark.parametrize(
    ("written", "driver"),
    [
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg2://u@h/d", "postgresql+psycopg"),
        ("mysql://u@h/d", "mysql+pymysql"),
        ("mysql+pymysql://u@h/d", "mysql+pymysql"),
        ("mariadb://u@h/d", "mysql+pymysql"),
        ("mariadb+mysqlconnector://u@h/d", "mysql+pymysql"),
        ("sqlite:///d", "sqlite"),
    ],
)
def test_urls_as_operators_write_them(written, driver):
    database = Database(written)
    database.dispose()

    assert database.url.drivername == driver
