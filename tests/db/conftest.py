"""One suite for three databases, and rows to put into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mistral_lite.db import trees
from mistral_lite.db.transaction import Database
from mistral_lite.expressions.base import ExpressionSettings
from mistral_lite.expressions.evaluator import Evaluator
from mistral_lite.workflow.decision import Change
from mistral_lite.workflow.library import Library
from mistral_lite.workflow.model import (
    ActionExecution,
    PendingAction,
    TaskExecution,
    TaskType,
    Timer,
    TimerKind,
    WorkflowExecution,
)
from mistral_lite.workflow.states import State

NOW = datetime(2026, 11, 21, 22, 37, 10, 250_001, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of database."""
    name: str = request.param
    return name


@pytest.fixture
def database(backend: str, open_database: Callable[[str], Database]) -> Database:
    """An empty database with all tables."""
    return open_database(backend)


@pytest.fixture
def now() -> datetime:
    """A point in time."""
    return NOW


@pytest.fixture(scope="session")
def library() -> Library:
    """A library that nothing is asked of."""
    return Library(evaluator=Evaluator(ExpressionSettings()), find_python_action=lambda name: None)


def ident(number: int) -> str:
    """Return an identifier that ends in ``number``."""
    return f"00000000-0000-7000-8000-{number:012d}"


@dataclass
class Rows:
    """Rows of the core by number, with as few given values as possible, and a way to store them."""

    now: datetime = NOW
    ident: Callable[[int], str] = field(default=ident)

    def workflow(self, number: int, root: int | None = None, **values: Any) -> WorkflowExecution:
        """Return a workflow execution, a root if there is no other."""
        given = {"name": "wf", "namespace": "", "state": State.RUNNING, "project_id": "p", **values}
        return WorkflowExecution(
            id=ident(number),
            root_id=ident(number if root is None else root),
            spec_hash="0" * 64,
            definition_id=ident(900),
            created_at=NOW,
            **given,
        )

    def task(self, number: int, workflow: int, root: int | None = None, **values: Any) -> TaskExecution:
        """Return a task execution of a workflow execution."""
        given = {"name": f"t{number}", "type": TaskType.ACTION, "state": State.RUNNING, **values}
        return TaskExecution(
            id=ident(number),
            root_id=ident(workflow if root is None else root),
            workflow_id=ident(workflow),
            project_id="p",
            created_at=NOW,
            **given,
        )

    def action(
        self, number: int, task: int | None = None, workflow: int | None = None, **values: Any
    ) -> ActionExecution:
        """Return an action execution, stand-alone if there is no task."""
        given = {"name": "std.noop", "state": State.RUNNING, "is_sync": True, **values}
        return ActionExecution(
            id=ident(number),
            root_id=ident(number if workflow is None else workflow),
            task_id=None if task is None else ident(task),
            workflow_id=None if workflow is None else ident(workflow),
            project_id="p",
            created_at=NOW,
            **given,
        )

    def timer(
        self, number: int, root: int, task: int, due_in_s: float = 0.0, kind: TimerKind = TimerKind.RETRY
    ) -> Timer:
        """Return a timer of a task."""
        due_at = NOW + timedelta(seconds=due_in_s)
        return Timer(id=ident(number), root_id=ident(root), kind=kind, subject_id=ident(task), due_at=due_at)

    def pending(self, number: int, root: int | None = None, **values: Any) -> PendingAction:
        """Return an attempt of an action."""
        given = {"attempt": 1, "target": None, "available_at": NOW, "request": {"name": "std.noop"}, **values}
        return PendingAction(
            action_id=ident(number), root_id=ident(number if root is None else root), **given
        )

    def changes(self, *rows: Any, versions: Mapping[str, int] | None = None) -> trees.Changes:
        """Return the changes that insert rows."""
        changes = trees.Changes(versions=dict(versions or {}))
        for row in rows:
            match row:
                case WorkflowExecution():
                    place, key = changes.workflows, row.id
                case TaskExecution():
                    place, key = changes.tasks, row.id
                case ActionExecution():
                    place, key = changes.actions, row.id
                case Timer():
                    place, key = changes.timers, row.id
                case PendingAction():
                    place, key = changes.pending, row.action_id
                case _:
                    raise AssertionError(f"no row: {row!r}")
            place[key] = Change(before=None, after=row)
        return changes

    def store(self, database: Database, *rows: Any) -> None:
        """Insert rows."""
        with database.write() as connection:
            trees.write(connection, self.changes(*rows))


@pytest.fixture
def rows() -> Rows:
    """Rows of the core."""
    return Rows()
