"""A database that ends the connections of the API: who only reads notices nothing, who changes comes back."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.db.transaction import Database

TEXT = {"Content-Type": "text/plain"}
WORKFLOW = "version: '2.0'\nw: {tasks: {t: {action: std.noop}}}\n"
PATIENCE_S = 120.0

# Those that others have to the same database, and how one of them is ended.
OTHERS = {
    "postgresql": (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "SELECT pg_terminate_backend({})",
    ),
    "mariadb": (
        "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
        "KILL {}",
    ),
}


@pytest.fixture(params=list(OTHERS))
def database(request: pytest.FixtureRequest, open_database: Callable[[str], Database]) -> Database:
    """An empty database with all tables on a server."""
    return open_database(request.param)


@pytest.fixture
def end_connections(database: Database) -> Callable[[], None]:
    """End all connections to the database from the side of the server."""
    look, end = OTHERS["postgresql" if database.dialect == "postgresql" else "mariadb"]
    admin = sa.create_engine(database.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    def end_connections() -> None:
        deadline = monotonic() + PATIENCE_S
        with admin.connect() as connection:
            found = connection.exec_driver_sql(look).scalars().all()
            assert found, "the API has a connection"
            for number in found:
                connection.exec_driver_sql(end.format(number))
            while connection.exec_driver_sql(look).first():
                assert monotonic() < deadline, "the connections do not end"

    return end_connections


def test_reading_goes_on_over_a_new_connection(api: Any, end_connections: Callable[[], None]) -> None:
    workflow = api.put_workflow(1)
    paths = (
        "/v2/executions",
        f"/v2/executions/{workflow}",
        f"/v2/executions/{workflow}/report",
        "/healthcheck",
    )
    before = [api.get(path) for path in paths]
    for path, expected in zip(paths, before, strict=True):
        assert expected.status == 200
        end_connections()
        answer = api.get(path)
        assert (answer.status, answer.text) == (200, expected.text), path


def upload(api: Any, name: str) -> Any:
    return api.call("POST", "/v2/workflows", WORKFLOW.replace("w:", f"{name}:"), headers=TEXT)


def names(api: Any) -> set[str]:
    return {row["name"] for row in api.rows(tables.workflow_definitions)}


def test_a_change_that_has_not_begun_goes_on_over_a_new_connection(
    api: Any, end_connections: Callable[[], None]
) -> None:
    assert names(api) == set()
    end_connections()
    # It looks first whether there is maintenance.
    assert upload(api, "w").status == 201
    assert names(api) == {"w"}


def test_a_change_that_has_begun_is_not_made_again_by_itself(
    api: Any, end_connections: Callable[[], None]
) -> None:
    # No look for maintenance comes before it.
    api.services.gate._open_until = math.inf
    assert names(api) == set()
    end_connections()
    refused = upload(api, "w")
    assert (refused.status, int(refused.headers["Retry-After"]) > 0) == (503, True)
    assert names(api) == set()
    assert upload(api, "w").status == 201
    assert names(api) == {"w"}
