"""What a page costs does not depend on how many executions there are: it touches few of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.db.transaction import Database
from tools.lists import PAGE, QUESTIONS, Filled, Question, fill

COUNT = 10_000
# Of the rows that a page reads, some are another project's, or nested where roots are wanted.
MOST_TOUCHED = 20 * PAGE
_TABLES = {"workflow_executions", "task_executions", "action_executions"}


@pytest.fixture(scope="module")
def filled(stores: Any) -> Iterator[Filled]:
    """Executions, tasks and action executions in a database of their own."""
    database = Database(stores.make_empty("postgresql"))
    tables.metadata.create_all(database.engine)
    fill(database, COUNT)
    yield Filled(database)
    database.dispose()


def rows_touched(plan: dict[str, Any]) -> int:
    """Return how many rows of the large tables a plan has read."""
    own = 0
    if plan.get("Relation Name") in _TABLES:
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return int(own) + sum(rows_touched(child) for child in plan.get("Plans", ()))


def explained(database: Database, work: Callable[[], object]) -> list[tuple[str, int]]:
    """Return the queries that ``work`` makes, each with the rows that it touches."""
    queries: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, text: str, values: Any, *_: object) -> None:
        if text.startswith("SELECT"):
            queries.append((text, values))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)
    found = []
    with database.read() as connection:
        driver: Any = connection.connection.driver_connection
        for text, values in queries:
            # Statements that pass by the driver's cursors have their parameters as PostgreSQL writes them.
            is_raw = isinstance(values, list)
            cursor = psycopg.RawCursor(driver) if is_raw else driver.cursor()
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", values[0] if is_raw else values)
            ((plan,),) = cursor.fetchone()
            found.append((text, rows_touched(plan["Plan"])))
    return found


@pytest.mark.parametrize("question", QUESTIONS, ids=[question.title for question in QUESTIONS])
def test_a_page_touches_few_rows(filled: Filled, question: Question) -> None:
    path = filled.path_of(question)

    found = explained(filled.database, lambda: filled.ask(path, question.headers))

    assert any(table in text for text, _ in found for table in _TABLES)
    for text, touched in found:
        assert touched <= MOST_TOUCHED, text
