"""How fast PostgreSQL takes the rows of a workload, with nothing else done: the limit of whatever stores them.

The rows that the last executions of a workload left behind are written again into empty tables of the same
form, with the same indexes: every row once, as it was in the end, by one statement a table, in as few commits as
the workload has steps that must be durable one after the other. A commit takes one exchange with the server.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import psycopg
from psycopg import sql

from tools.bench.report import Section, Table, number
from tools.bench.results import JUDGED, Results
from tools.bench.workloads import Workload

_TABLES = ("workflow_executions", "task_executions", "action_executions")
_SCHEMA = "bench_limit"
_MEASURE_S = 0.4
_MOST_REPETITIONS = 100

# The rows of each table as JSON objects, in the order in which they were made.
_Rows: TypeAlias = dict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """``value`` in the unit of the workload; rows and commits are those of one repetition."""

    value: float
    rows: int
    commits: int


def measure(database_url: str, workload: Workload) -> Limit:
    """Return the limit of a workload that was run in this database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = _last_rows(connection, workload)
        _make_tables(connection)
        elapsed_s = 0.0
        repetitions = 0
        while elapsed_s < _MEASURE_S and repetitions < _MOST_REPETITIONS:
            # Once unmeasured: the server prepares.
            taken_s = _write(connection, rows, workload.commits)
            elapsed_s += taken_s if repetitions else 0.0
            repetitions += 1
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(_SCHEMA)))
    repetition_s = elapsed_s / (repetitions - 1)
    factor = 1000 if workload.unit == "ms" else 1
    value = (
        repetition_s * factor if workload.less_is_better else workload.tasks * workload.at_once / repetition_s
    )
    return Limit(value=value, rows=sum(map(len, rows.values())), commits=workload.commits)


def section(workloads: Sequence[Workload], limits: dict[str, Limit], results: Results) -> Section:
    """Return the table that holds what was measured against the limits."""
    rows = []
    for workload in workloads:
        found, value = limits[workload.name], results.median(workload, JUDGED)
        distance = None
        if value is not None:
            distance = value / found.value if workload.less_is_better else found.value / value
        rows.append(
            [
                workload.title,
                workload.unit,
                number(value),
                number(found.value),
                number(distance, " ×"),
                str(found.rows),
                str(found.commits),
            ]
        )
    text = (
        "The rows that the last executions of a workload left, written again by psycopg alone: each once, in its "
        "final form, one statement a table, in as few commits as there are steps that must be durable one after the "
        "other (of executions that run together, together). No queue, no change of state, no decision, no HTTP."
    )
    header = ["workload", "unit", JUDGED, "limit", "away by", "rows", "commits"]
    return Section(title="Distance from bare SQL", text=[text], tables=[Table(header=header, rows=rows)])


def part(rows: Sequence[str], number: int, count: int) -> Sequence[str]:
    """Return the ``number``-th (from 0) of ``count`` parts of about the same size."""
    return rows[number * len(rows) // count : (number + 1) * len(rows) // count]


def _last_rows(connection: psycopg.Connection, workload: Workload) -> _Rows:
    roots = [
        root
        for (root,) in connection.execute(
            "SELECT id FROM workflow_executions WHERE workflow_name = %s ORDER BY created_at DESC, id DESC LIMIT %s",
            (workload.workflow, workload.at_once),
        )
    ]
    query = sql.SQL(
        "SELECT row_to_json(t)::text FROM {} t WHERE root_execution_id = ANY(%s) ORDER BY created_at, id"
    )
    return {
        table: [text for (text,) in connection.execute(query.format(sql.Identifier(table)), (roots,))]
        for table in _TABLES
    }


def _make_tables(connection: psycopg.Connection) -> None:
    schema = sql.Identifier(_SCHEMA)
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
    for name in _TABLES:
        create = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)")
        connection.execute(create.format(sql.Identifier(_SCHEMA, name), sql.Identifier("public", name)))


def _write(connection: psycopg.Connection, rows: _Rows, commits: int) -> float:
    """Write all rows; return the seconds that took."""
    for name in _TABLES:
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(_SCHEMA, name)))
    statements = {
        name: sql.SQL("INSERT INTO {0} SELECT * FROM json_populate_recordset(NULL::{0}, %s::json)").format(
            sql.Identifier(_SCHEMA, name)
        )
        for name in _TABLES
    }
    work = [
        {name: f"[{','.join(chosen)}]" for name in _TABLES if (chosen := part(rows[name], number, commits))}
        for number in range(commits)
    ]
    began = time.perf_counter()
    for step in work:
        with connection.pipeline(), connection.transaction():
            for name, text in step.items():
                connection.execute(statements[name], (text,), prepare=True)
    return time.perf_counter() - began
