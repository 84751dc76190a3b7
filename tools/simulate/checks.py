"""What must hold at any moment and at the end, asked of the tables themselves in plain SQL."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from tools.simulate.model import FINISHED, History, Row

_ENDED = "('SUCCESS', 'ERROR', 'CANCELLED')"

# A finished row that changes is noted by the database itself, in the transaction that changes it.
WATCHES = (
    "CREATE TABLE watch (text TEXT)",
    f"""CREATE TRIGGER watch_workflows AFTER UPDATE ON workflow_executions
        WHEN OLD.state IN {_ENDED} AND (NEW.state <> OLD.state OR NEW.output <> OLD.output)
        BEGIN INSERT INTO watch VALUES ('workflow ' || OLD.id || ' was ' || OLD.state || ', is ' || NEW.state); END""",
    f"""CREATE TRIGGER watch_actions AFTER UPDATE ON action_executions
        WHEN OLD.state IN {_ENDED} AND (NEW.state <> OLD.state OR NEW.output <> OLD.output)
        BEGIN INSERT INTO watch VALUES ('action ' || OLD.id || ' was ' || OLD.state || ', is ' || NEW.state); END""",
)

# Unfinished rows of trees that run and have nothing in the inbox, with nothing that will wake them.
_ASLEEP = (
    f"""SELECT 'action ' || a.id || ' is not queued' FROM action_executions a
        JOIN workflow_executions r ON r.id = a.root_execution_id
        WHERE a.state NOT IN {_ENDED} AND a.is_sync
        AND NOT EXISTS (SELECT 1 FROM action_queue q WHERE q.action_execution_id = a.id)""",
    f"""SELECT 'task ' || t.name || ' ' || t.id || ' is ' || t.state || ' and waits for nothing'
        FROM task_executions t JOIN workflow_executions w ON w.id = t.workflow_execution_id
        WHERE t.state NOT IN {_ENDED} AND w.state = 'RUNNING'
        AND NOT EXISTS (SELECT 1 FROM inbox i WHERE i.root_execution_id = w.root_execution_id)
        AND NOT EXISTS (SELECT 1 FROM timers x WHERE x.subject_id = t.id)
        AND NOT EXISTS (SELECT 1 FROM action_executions a WHERE a.task_execution_id = t.id
                        AND a.state NOT IN {_ENDED})
        AND NOT EXISTS (SELECT 1 FROM workflow_executions c WHERE c.task_execution_id = t.id
                        AND c.state NOT IN {_ENDED})
        AND NOT (t.state = 'WAITING' AND EXISTS (
            SELECT 1 FROM task_executions o WHERE o.workflow_execution_id = w.id AND o.id <> t.id
            AND (o.state NOT IN {_ENDED} OR NOT o.processed)))""",
    f"""SELECT 'workflow ' || w.workflow_name || ' ' || w.id || ' runs without a task'
        FROM workflow_executions w WHERE w.state = 'RUNNING'
        AND NOT EXISTS (SELECT 1 FROM inbox i WHERE i.root_execution_id = w.root_execution_id)
        AND NOT EXISTS (SELECT 1 FROM task_executions t WHERE t.workflow_execution_id = w.id
                        AND t.state NOT IN {_ENDED})""",
)


def find_asleep(connection: sa.Connection) -> list[str]:
    """Return the unfinished rows that nothing will wake."""
    return [text for query in _ASLEEP for (text,) in connection.exec_driver_sql(query)]


def find_changed(connection: sa.Connection) -> list[str]:
    """Return what changed although it was finished."""
    return [text for (text,) in connection.exec_driver_sql("SELECT text FROM watch")]


def is_over(connection: sa.Connection) -> bool:
    """Tell whether every execution and action has ended and nothing is on its way."""
    query = f"""SELECT (SELECT count(*) FROM workflow_executions WHERE state NOT IN {_ENDED})
        + (SELECT count(*) FROM action_executions WHERE state NOT IN {_ENDED})
        + (SELECT count(*) FROM inbox) + (SELECT count(*) FROM action_queue)"""
    return connection.exec_driver_sql(query).scalar_one() == 0


_JSON = {
    "input",
    "params",
    "context",
    "output",
    "runtime",
    "published",
    "triggered_by",
    "next_tasks",
}


def load_history(connection: sa.Connection, root_id: str) -> History:
    """Return the rows of a tree."""

    def rows(table: str) -> list[Row]:
        query = f"SELECT * FROM {table} WHERE root_execution_id = ? ORDER BY created_at, id"
        found: list[Row] = []
        for row in connection.exec_driver_sql(query, (root_id,)).mappings():
            found.append(
                {
                    key: json.loads(value) if key in _JSON and isinstance(value, str) else value
                    for key, value in row.items()
                }
            )
        return found

    workflows = rows("workflow_executions")
    for workflow in workflows:
        workflow["position"] = workflow["runtime"].get("position", 0)
    return History(workflows=workflows, tasks=rows("task_executions"), actions=rows("action_executions"))


def judge_effects(
    history: History,
    starts: dict[str, int],
    outcomes: dict[str, list[tuple[str, Any]]],
    answered: dict[str, list[tuple[str, Any]]],
) -> list[str]:
    """Compare actions with what happened outside.

    ``starts``: how often each was begun. ``outcomes``: what its runs ended with or a third party delivered.
    ``answered``: the results that were answered with a 2xx.
    """
    problems = []
    for action in history.actions:
        identifier = action["id"]
        count = starts.get(identifier, 0)
        is_safe = bool(action["safe_rerun"])
        ended = (action["state"], (action["output"] or {}).get("result"))
        if count > 1 and not is_safe:
            problems.append(f"action {identifier} was begun {count} times and is not safe to rerun")
        if action["state"] not in FINISHED:
            problems.append(f"action {identifier} is {action['state']}")
        is_lost = ended[0] == "ERROR" and "fell silent" in str(ended[1])
        if is_lost and is_safe:
            problems.append(f"action {identifier} was given up although it is safe to rerun")
        # A task that timed out ends what is still queued for it.
        is_timed_out = ended[0] == "ERROR" and str(ended[1]).startswith("Task timed out")
        if not is_lost and not is_timed_out and ended not in outcomes.get(identifier, []):
            problems.append(
                f"action {identifier} ended with {ended}, which nobody said: {outcomes.get(identifier)}"
            )
        for result in answered.get(identifier, []):
            if result != ended:
                problems.append(f"action {identifier} ended with {ended}, {result} was answered with a 2xx")
    return problems
