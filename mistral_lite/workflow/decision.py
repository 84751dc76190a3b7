"""What a decision is: the rows that change, in a form that can be stored and applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NamedTuple, TypeVar

from mistral_lite.workflow.journal import ABSENT, Entry, redo
from mistral_lite.workflow.model import (
    ActionExecution,
    Notification,
    PendingAction,
    TaskExecution,
    Timer,
    WorkflowExecution,
)
from mistral_lite.workflow.snapshot import Snapshot

R = TypeVar("R")


class Change(NamedTuple, Generic[R]):
    """One row before and after; None before means inserted, None after means deleted."""

    before: R | None
    after: R | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """All that one event changes in an execution tree.

    Keys are row identifiers. ``ignored`` says why the event changed nothing. ``version`` is the version of
    the tree once the decision is applied.
    """

    version: int
    ignored: str | None = None
    workflows: dict[str, Change[WorkflowExecution]] = field(default_factory=dict)
    tasks: dict[str, Change[TaskExecution]] = field(default_factory=dict)
    actions: dict[str, Change[ActionExecution]] = field(default_factory=dict)
    timers: dict[str, Change[Timer]] = field(default_factory=dict)
    pending: dict[str, Change[PendingAction]] = field(default_factory=dict)
    notifications: dict[str, Change[Notification]] = field(default_factory=dict)
    entries: Sequence[Entry] = field(default=(), repr=False, compare=False)

    @property
    def is_empty(self) -> bool:
        """Whether no row changes."""
        return not (
            self.workflows or self.tasks or self.actions or self.timers or self.pending or self.notifications
        )


def collect(snapshot: Snapshot, entries: Sequence[Entry], ignored: str | None) -> Decision:
    """Return the decision that consists of the journal ``entries`` made over ``snapshot``."""
    decision = Decision(version=snapshot.version + 1, ignored=ignored, entries=entries)
    places: dict[int, dict[Any, Change[Any]]] = {
        id(snapshot.workflows): decision.workflows,
        id(snapshot.tasks): decision.tasks,
        id(snapshot.actions): decision.actions,
        id(snapshot.timers): decision.timers,
        id(snapshot.pending): decision.pending,
        id(snapshot.notifications): decision.notifications,
    }
    # Rows that came and went within the decision.
    passing: list[tuple[dict[Any, Change[Any]], object]] = []
    for mapping, key, before, _ in entries:
        place = places.get(id(mapping))
        if place is None or key in place:
            continue
        change = Change(before=None if before is ABSENT else before, after=mapping.get(key))
        place[key] = change
        if change.before is change.after:
            passing.append((place, key))
    for place, key in passing:
        del place[key]
    # What is not written must not count: a snapshot ahead of its row would be taken for a later one.
    return replace(decision, version=snapshot.version) if decision.is_empty else decision


def apply(snapshot: Snapshot, decision: Decision) -> None:
    """Make ``decision`` part of ``snapshot``, which must be the one that it was made over."""
    redo(decision.entries)
    snapshot.notifications.clear()
    snapshot.version = decision.version
