"""Conditions on columns that hold a state."""

from __future__ import annotations

import sqlalchemy as sa

from mistral_lite.workflow.states import FINISHED

# Literals: a compiled statement (``statements``) takes no list that is expanded with each execution.
_FINISHED = [sa.literal(str(state)) for state in sorted(FINISHED)]


def is_unfinished(state: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition that what has this state has not ended."""
    return state.not_in(_FINISHED)
