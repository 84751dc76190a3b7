"""The states of workflow, task and action executions, and what may follow what.

``ALLOWED`` holds one table per machine. A pair that is missing there is a step the machine does not have;
``require`` turns it into an error, so that a wrong step can be neither taken nor silently dropped.
Source: language and engine reference, "States and transitions".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from mistral_lite.errors import InvalidTransitionError


class State(StrEnum):
    """Life cycle of an execution. Not every machine uses every state; see ``ALLOWED``."""

    IDLE = "IDLE"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    DELAYED = "DELAYED"
    PAUSED = "PAUSED"
    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"


class Machine(StrEnum):
    """The three kinds of executions."""

    WORKFLOW = "workflow"
    TASK = "task"
    ACTION = "action"


FINISHED = frozenset({State.SUCCESS, State.ERROR, State.CANCELLED, State.SKIPPED})

_S = State

ALLOWED: Mapping[Machine, Mapping[State, frozenset[State]]] = {
    Machine.WORKFLOW: {
        _S.IDLE: frozenset({_S.RUNNING, _S.ERROR, _S.CANCELLED}),
        _S.RUNNING: frozenset({_S.PAUSED, _S.SUCCESS, _S.ERROR, _S.CANCELLED}),
        _S.PAUSED: frozenset({_S.RUNNING, _S.ERROR, _S.CANCELLED}),
        # Only a rerun or a skip of one of its tasks re-opens a finished workflow; success is final.
        _S.SUCCESS: frozenset(),
        _S.ERROR: frozenset({_S.RUNNING}),
        _S.CANCELLED: frozenset({_S.RUNNING}),
    },
    Machine.TASK: {
        _S.IDLE: frozenset({_S.RUNNING, _S.DELAYED, _S.ERROR, _S.CANCELLED}),
        # A join that fails or is cancelled goes straight from waiting to its end.
        _S.WAITING: frozenset({_S.RUNNING, _S.DELAYED, _S.ERROR, _S.CANCELLED}),
        _S.RUNNING: frozenset(
            {_S.IDLE, _S.WAITING, _S.DELAYED, _S.PAUSED, _S.SUCCESS, _S.ERROR, _S.CANCELLED}
        ),
        _S.DELAYED: frozenset({_S.RUNNING, _S.WAITING, _S.SUCCESS, _S.ERROR, _S.CANCELLED}),
        _S.PAUSED: frozenset({_S.RUNNING, _S.DELAYED, _S.SUCCESS, _S.ERROR, _S.CANCELLED}),
        # A policy may still overrule a fresh end (fail-on, retry); a late arrival re-opens a finished join.
        _S.SUCCESS: frozenset({_S.DELAYED, _S.WAITING, _S.ERROR}),
        _S.ERROR: frozenset({_S.DELAYED, _S.WAITING, _S.RUNNING, _S.SKIPPED}),
        _S.CANCELLED: frozenset({_S.WAITING, _S.RUNNING}),
        _S.SKIPPED: frozenset({_S.WAITING}),
    },
    Machine.ACTION: {
        _S.RUNNING: frozenset({_S.PAUSED, _S.SUCCESS, _S.ERROR, _S.CANCELLED}),
        _S.PAUSED: frozenset({_S.RUNNING, _S.SUCCESS, _S.ERROR, _S.CANCELLED}),
        _S.SUCCESS: frozenset(),
        _S.ERROR: frozenset(),
        _S.CANCELLED: frozenset(),
    },
}


def is_finished(state: State) -> bool:
    """Tell whether nothing follows ``state`` by itself."""
    return state in FINISHED


def is_allowed(machine: Machine, before: State, after: State) -> bool:
    """Tell whether the machine may go from ``before`` to ``after``; staying is always allowed."""
    return before == after or after in ALLOWED[machine].get(before, frozenset())


def require(machine: Machine, before: State, after: State) -> None:
    """Raise ``InvalidTransitionError`` unless the machine may go from ``before`` to ``after``."""
    if not is_allowed(machine, before, after):
        raise InvalidTransitionError(
            f"Invalid state transition from {before} to {after} of a {machine} execution.",
            machine=machine,
            before=before,
            after=after,
        )
