"""An execution in plain words: what it waits for, down to the last thing, or why it failed, down to the first."""

from __future__ import annotations

import json
from datetime import datetime

import sqlalchemy as sa

from mistral_lite.db import diagnosis, waits
from mistral_lite.db.listing import Row
from mistral_lite.db.waits import Noun, Wait, WaitKind
from mistral_lite.errors import NotFoundError
from mistral_lite.workflow.states import State, is_finished

_MOST_TEXT = 500

# What a wait leads to, where that is an execution.
_NEXT = {
    WaitKind.TASK: Noun.TASK,
    WaitKind.JOIN: Noun.TASK,
    WaitKind.ACTION: Noun.ACTION,
    WaitKind.WORKFLOW: Noun.WORKFLOW,
}
_TEXTS = {
    WaitKind.INBOX: "a command or a result about it is stored and waits for an engine",
    WaitKind.TIMER: "a delay",
    WaitKind.RETRY: "the delay before its next attempt",
    WaitKind.QUEUE: "an executor to take it from the queue",
    WaitKind.EXECUTOR: "executor {id}, which runs it",
    WaitKind.CALLBACK: "its result, to be delivered from outside to /v2/action_executions/{id}",
    WaitKind.ACTION: "an action",
    WaitKind.WORKFLOW: "a nested workflow",
    WaitKind.TASK: "a task",
    WaitKind.JOIN: "the tasks before it; of those under way this is the oldest",
    WaitKind.OPERATOR: "somebody to resume {id}",
    WaitKind.ENDED: "nothing more: its workflow {id} has ended; only a rerun goes on",
    WaitKind.NOTHING: "NOTHING WILL WAKE IT. This is a bug or damage; run doctor --fix",
}


def duration(seconds: float) -> str:
    """Return a span of time as people say it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def explain(connection: sa.Connection, identifier: str, now: datetime) -> list[str]:
    """Return lines about an execution of whatever kind. Raises ``NotFoundError``."""
    found = diagnosis.find_execution(connection, identifier)
    if found is None:
        raise NotFoundError(f"There is no workflow, task or action execution {identifier}.")
    noun, row = found
    if not is_finished(State(row["state"])):
        return _waiting(connection, noun, row, now)
    if row["state"] == State.ERROR:
        return _failed(connection, noun, row, now)
    return [_headline(noun, row, now)]


def _headline(noun: Noun, row: Row, now: datetime) -> str:
    since = row["updated_at"] or row["created_at"]
    name = row["workflow_name"] if noun is Noun.WORKFLOW else row["name"]
    age = duration((now - since).total_seconds())
    return f"{str(noun).capitalize()} '{name}' {row['id']} is {row['state']}, unchanged for {age}"


def _waiting(connection: sa.Connection, noun: Noun, row: Row, now: datetime) -> list[str]:
    lines: list[str] = []
    indent = ""
    while True:
        lines.append(f"{indent}{_headline(noun, row, now)}.")
        wait = waits.find(connection, noun, [row["id"]])[row["id"]]
        lines.append(f"{indent}It waits for {_wait_text(wait, now)}.")
        following = _NEXT.get(wait.kind)
        found = diagnosis.find_execution(connection, wait.id) if following and wait.id else None
        if found is None:
            return lines
        noun, row = found
        indent += "  "


def _wait_text(wait: Wait, now: datetime) -> str:
    text = _TEXTS[wait.kind].format(id=wait.id)
    if wait.kind not in _NEXT:
        text += f", for {duration((now - wait.since).total_seconds())} so far"
    if wait.until is not None:
        left_s = (wait.until - now).total_seconds()
        text += f"; at most {duration(left_s)} more" if left_s > 0 else f"; overdue for {duration(-left_s)}"
    return text


def _failed(connection: sa.Connection, noun: Noun, row: Row, now: datetime) -> list[str]:
    lines: list[str] = []
    indent = ""
    while True:
        lines.append(f"{indent}{_headline(noun, row, now)}.")
        cause = diagnosis.find_failure(connection, noun, row["id"])
        if cause is None:
            lines.append(f"{indent}First cause: {_failure_text(noun, row)}")
            return lines
        noun, row = cause
        indent += "  "


def _failure_text(noun: Noun, row: Row) -> str:
    text = row["state_info"]
    if noun is Noun.ACTION and row["output"] is not None:
        text = str(json.loads(row["output"]).get("result"))
    text = " ".join((text or "it does not say").split())
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
