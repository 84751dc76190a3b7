"""What lists cost in a large table against a small one: ``python -m tools.lists`` from the top of the tree.

Fills two databases of its own on a PostgreSQL server with executions by SQL, each execution with a task and an
action, and asks the API in this process, in turns, for the same things in both. What a caller sees of a page
must not depend on how many executions there are. Drops the databases at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import sqlalchemy as sa
import webob

from mistral_lite.actions.registry import ActionRegistry, ActionSettings
from mistral_lite.api.app import build_app
from mistral_lite.api.services import ApiServices
from mistral_lite.cli import db as schema
from mistral_lite.db.transaction import Database, normalize_url
from mistral_lite.expressions import Evaluator, ExpressionSettings
from tools.bench.report import machine, rst_table, text_table

PAGE = 20
DEEP_PAGE = 1000
SMALL = 1000
# Without authentication everybody works in this project. Half of the rows are of another one.
_PROJECT = "<default-project>"
_ADMIN = {"X-Roles": "admin"}

# Of 20 executions one fails, of 100 one runs, the rest ended well; of 10 nine are nested; 50 workflows in turn, and a
# rare one that ran at the beginning only.
_WORKFLOWS = """
INSERT INTO workflow_executions (id, root_execution_id, task_execution_id, workflow_id, workflow_name,
    workflow_namespace, spec_hash, state, version, input, params, context, published_global, output, runtime,
    description, tags, project_id, scope, created_at, updated_at)
SELECT 'a0000000-0000-7000-8000-' || lpad(i::text, 12, '0'),
    'a0000000-0000-7000-8000-' || lpad((i - i % 10)::text, 12, '0'),
    CASE WHEN i % 10 = 0 THEN NULL ELSE 'b0000000-0000-7000-8000-' || lpad((i - i % 10)::text, 12, '0') END,
    'c0000000-0000-7000-8000-' || lpad(CASE WHEN i < {rare} THEN '99' ELSE (i % 50)::text END, 12, '0'),
    CASE WHEN i < {rare} THEN 'rare' ELSE 'workflow_' || i % 50 END, '', repeat('0', 64),
    CASE WHEN i % 20 = 3 THEN 'ERROR' WHEN i % 100 = 0 THEN 'RUNNING' ELSE 'SUCCESS' END, 3,
    '{{"host":"h' || i || '","names":["a","b","c"]}}', '{{"env":{{}},"namespace":""}}', '{{"host":"h' || i || '"}}',
    '[]', '{{"result":"' || repeat('x', 100) || '"}}', '{{}}', '', '[]',
    CASE WHEN i / 10 % 2 = 0 THEN '{project}' ELSE 'other' END, 'private',
    timestamp '2026-01-01' + i * interval '1.000001 second', timestamp '2026-01-01' + (i + 5) * interval '1 second'
FROM generate_series(0, {count} - 1) AS i
"""
_TASKS = """
INSERT INTO task_executions (id, root_execution_id, workflow_execution_id, name, type, state, published,
    published_global, triggered_by, next_tasks, error_handled, processed, runtime, tags, project_id, created_at,
    updated_at, started_at, finished_at)
SELECT 'b' || substr(id, 2), root_execution_id, id, 'task', 'ACTION', state, '{}', '{}', '[]', '[]', false, true,
    '{}', '[]', project_id, created_at, updated_at, created_at, updated_at
FROM workflow_executions
"""
_ACTIONS = """
INSERT INTO action_executions (id, root_execution_id, task_execution_id, workflow_execution_id, workflow_name,
    workflow_namespace, name, state, input, output, accepted, is_sync, is_ephemeral, position, safe_rerun,
    project_id, created_at, updated_at)
SELECT 'd' || substr(id, 2), root_execution_id, 'b' || substr(id, 2), id, workflow_name, '', 'std.echo', state,
    '{"output":"x"}', '{"result":"x"}', true, true, false, 0, false, project_id, created_at, updated_at
FROM workflow_executions
"""
_TABLES = ("workflow_executions", "task_executions", "action_executions")


class _NobodyListens:
    """A doorbell; there is no engine."""

    def ring(self, root_execution_ids: Sequence[str]) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A path to ask for, with ``{marker}`` for the last row of the page before the deep one."""

    title: str
    path: str
    collection: str | None = "executions"
    headers: Mapping[str, str] | None = None

    @property
    def first(self) -> str:
        """Return the same without a marker."""
        return self.path.replace("&marker={marker}", "")


def _page(
    title: str, noun: str, query: str = "", headers: Mapping[str, str] | None = None, *, limit: int = PAGE
) -> Question:
    path = f"/v2/{noun}?limit={limit}{query}"
    return Question(title=title, path=path, collection=noun.rpartition("/")[2], headers=headers)


_DEEP = "&marker={marker}"
_NEWEST = "&sort_keys=created_at&sort_dirs=desc"
_ROOT = "a0000000-0000-7000-8000-000000000400"
_RARE = "a0000000-0000-7000-8000-000000000000"
_TASK = "b0000000-0000-7000-8000-000000000400"
QUESTIONS = (
    _page("executions, page 1", "executions"),
    _page("executions, page 1,000", "executions", _DEEP),
    _page("executions, newest first, page 1", "executions", _NEWEST),
    _page("executions, newest first, page 1,000", "executions", _NEWEST + _DEEP),
    _page("executions in ERROR, page 1", "executions", "&state=ERROR"),
    _page("executions in ERROR, page 1,000", "executions", "&state=ERROR" + _DEEP),
    _page("executions in ERROR, newest first, page 1", "executions", "&state=ERROR" + _NEWEST),
    # Few are: a page of 5, which the small table has too.
    _page("executions RUNNING, newest first", "executions", "&state=RUNNING" + _NEWEST, limit=5),
    _page("executions RUNNING, administrator", "executions", "&state=RUNNING" + _NEWEST, _ADMIN, limit=5),
    _page("executions of one workflow, page 1", "executions", "&workflow_name=workflow_2"),
    _page("executions of a rare workflow, newest first", "executions", "&workflow_name=rare" + _NEWEST),
    _page("root executions, page 1,000", "executions", "&nulls=root_execution_id" + _DEEP),
    _page("executions of one tree", "executions", f"&root_execution_id={_ROOT}"),
    _page("executions, administrator, page 1,000", "executions", _DEEP, _ADMIN),
    _page("executions in ERROR, administrator, page 1,000", "executions", "&state=ERROR" + _DEEP, _ADMIN),
    Question(title="one execution", path=f"/v2/executions/{_ROOT}", collection=None),
    Question(title="its report", path=f"/v2/executions/{_ROOT}/report", collection=None),
    Question(title="report of a rare workflow", path=f"/v2/executions/{_RARE}/report", collection=None),
    _page("its tasks", f"executions/{_ROOT}/tasks"),
    _page("tasks, page 1", "tasks"),
    _page("tasks, newest first, page 1,000", "tasks", _NEWEST + _DEEP),
    Question(title="one task", path=f"/v2/tasks/{_TASK}", collection=None),
    _page("action executions, page 1", "action_executions"),
    _page("action executions, newest first, page 1,000", "action_executions", _NEWEST + _DEEP),
    _page("action executions of one task", f"tasks/{_TASK}/action_executions"),
    Question(title="one action execution", path=f"/v2/action_executions/d{_ROOT[1:]}", collection=None),
)


class Filled:
    """A database that ``fill`` has filled, and the API over it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._app = build_app(
            ApiServices(
                database=database,
                doorbell=_NobodyListens(),
                registry=ActionRegistry.load(ActionSettings(load_plugins=False)),
                evaluator=Evaluator(ExpressionSettings()),
            )
        )

    def ask(self, path: str, headers: Mapping[str, str] | None) -> dict[str, object]:
        """Return what the API answers."""
        response = webob.Request.blank(path, headers=dict(headers or {})).get_response(self._app)
        if response.status_int != 200:
            raise SystemExit(f"{path}: {response.status_int} {response.text}")
        answer: dict[str, object] = json.loads(response.body)
        return answer

    def path_of(self, question: Question) -> str:
        """Return the path for a question; the deep page is the last full one where there are fewer."""
        if question.collection is None or "{marker}" not in question.path:
            return question.path
        # Walks there in steps that are as large as may be, then back to whole pages.
        wanted = (DEEP_PAGE - 1) * PAGE
        path = question.first.replace(f"limit={PAGE}", "limit=1000&fields=id")
        seen: list[str] = []
        marker = ""
        while len(seen) < wanted:
            answer = self.ask(path + (f"&marker={marker}" if marker else ""), question.headers)
            found = [row["id"] for row in answer[question.collection]]  # type: ignore[attr-defined]
            seen.extend(found)
            if len(found) < 1000:
                break
            marker = found[-1]
        last_full = max(len(seen) // PAGE - 1, 0) * PAGE
        place = min(wanted, last_full)
        if place == 0:
            return question.first
        return question.path.replace("{marker}", seen[place - 1])


def fill(database: Database, count: int) -> None:
    """Put ``count`` executions, tasks and action executions into a database without any."""
    with database.write() as connection:
        indexes = [definition for table in _TABLES for definition in _drop_indexes(connection, table)]
        workflows = _WORKFLOWS.format(count=count, project=_PROJECT, rare=40)
        for statement in (workflows, _TASKS, _ACTIONS, *indexes):
            connection.exec_driver_sql(statement.replace("%", "%%"))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _drop_indexes(connection: sa.Connection, table: str) -> list[str]:
    """Drop the indexes of a table but its keys, and return the statements that make them again.

    Filling a table first and making its indexes afterwards is several times faster.
    """
    definitions = list(
        connection.execute(
            sa.text("SELECT indexdef FROM pg_indexes WHERE tablename = :t AND indexdef NOT LIKE '%UNIQUE%'"),
            {"t": table},
        ).scalars()
    )
    for definition in definitions:
        connection.exec_driver_sql(f"DROP INDEX {definition.split()[2]}")
    return definitions


@contextmanager
def _filled(server: str, name: str, count: int) -> Iterator[Filled]:
    """Yield a filled database of its own; dropped afterwards."""
    admin = sa.create_engine(normalize_url(server), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        url = admin.url.set(database=name).render_as_string(hide_password=False)
        schema.upgrade(url)
        database = Database(url)
        try:
            fill(database, count)
            yield Filled(database)
        finally:
            database.dispose()
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


def measure(small: Filled, large: Filled, repeats: int) -> list[list[str]]:
    """Return the rows of the table: question, milliseconds in both, ratio."""
    rows = []
    for question in QUESTIONS:
        paths = {filled: filled.path_of(question) for filled in (small, large)}
        times: dict[Filled, list[float]] = {small: [], large: []}
        # In turns, so that what else the machine does falls on both; the first ones warm the caches.
        for turn in range(repeats + 3):
            for filled, path in paths.items():
                began = perf_counter()
                filled.ask(path, question.headers)
                if turn >= 3:
                    times[filled].append(perf_counter() - began)
        first, second = median(times[small]), median(times[large])
        rows.append([question.title, f"{first * 1000:.1f}", f"{second * 1000:.1f}", f"{second / first:.2f}"])
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, measure, print, drop; the status is 1 if a ratio is above the bound."""
    parser = argparse.ArgumentParser(prog="python -m tools.lists", description=__doc__)
    parser.add_argument("--postgresql", default="postgresql://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--rows", type=int, default=1_000_000, help="executions in the large table")
    parser.add_argument(
        "--repeats", type=int, default=40, help="times that each question is asked of each table"
    )
    parser.add_argument("--bound", type=float, default=1.5, help="ratio that none may exceed")
    parser.add_argument("--rst", action="store_true", help="print the table for the documentation")
    options = parser.parse_args(arguments)
    name = f"ml_lists_{os.getpid()}"
    with (
        _filled(options.postgresql, f"{name}_small", SMALL) as small,
        _filled(options.postgresql, f"{name}_large", options.rows) as large,
    ):
        rows = measure(small, large, options.repeats)
    header = ["request", f"{SMALL:,} executions, ms", f"{options.rows:,} executions, ms", "ratio"]
    facts = machine()
    print(f"{facts['date']}, {facts['machine']}, Python {facts['python']}; pages of {PAGE}, medians\n")
    print((rst_table if options.rst else text_table)(header, rows))
    return int(any(float(row[-1]) > options.bound for row in rows))


if __name__ == "__main__":
    sys.exit(main())
