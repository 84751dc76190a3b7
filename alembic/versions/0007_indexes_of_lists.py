"""Indexes that lists of executions are read from.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLE = "workflow_executions"


def upgrade() -> None:
    """Make the indexes; one takes the place of a shorter one."""
    op.create_index(
        "ix_workflow_executions_task_execution_id_created_at_id",
        _TABLE,
        ["task_execution_id", "created_at", "id"],
    )
    op.drop_index("ix_workflow_executions_task_execution_id", _TABLE)
    op.create_index(
        "ix_workflow_executions_project_id_state_created_at_id",
        _TABLE,
        ["project_id", "state", "created_at", "id"],
    )
    op.create_index(
        "ix_workflow_executions_workflow_name_created_at_id", _TABLE, ["workflow_name", "created_at", "id"]
    )


def downgrade() -> None:
    """Drop them and make the shorter one again."""
    op.drop_index("ix_workflow_executions_workflow_name_created_at_id", _TABLE)
    op.drop_index("ix_workflow_executions_project_id_state_created_at_id", _TABLE)
    op.create_index("ix_workflow_executions_task_execution_id", _TABLE, ["task_execution_id"])
    op.drop_index("ix_workflow_executions_task_execution_id_created_at_id", _TABLE)
