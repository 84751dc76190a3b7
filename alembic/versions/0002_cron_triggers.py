"""Cron triggers and what they fired.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OPTIONS = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _time() -> sa.types.TypeEngine:
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def _long_text() -> sa.types.TypeEngine:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "cron_triggers",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("workflow_id", sa.String(36), nullable=False),
        sa.Column("workflow_name", sa.String(255), nullable=False),
        sa.Column("workflow_input", _long_text(), nullable=False),
        sa.Column("workflow_params", _long_text(), nullable=False),
        sa.Column("pattern", sa.String(255), nullable=False),
        sa.Column("first_execution_time", _time()),
        sa.Column("next_execution_time", _time()),
        sa.Column("remaining_executions", sa.Integer()),
        sa.Column("digest", sa.String(64)),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        sa.UniqueConstraint("name", "project_id", name="uq_cron_triggers_name_project_id"),
        sa.UniqueConstraint("digest", "project_id", name="uq_cron_triggers_digest_project_id"),
        **_OPTIONS,
    )
    op.create_index("ix_cron_triggers_next_execution_time", "cron_triggers", ["next_execution_time"])
    op.create_index("ix_cron_triggers_workflow_id", "cron_triggers", ["workflow_id"])
    op.create_index(
        "ix_cron_triggers_project_id_created_at_id", "cron_triggers", ["project_id", "created_at", "id"]
    )
    op.create_table(
        "cron_slots",
        sa.Column("cron_trigger_id", sa.String(36), primary_key=True),
        sa.Column("due_at", _time(), primary_key=True),
        sa.Column("workflow_execution_id", sa.String(36)),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retry_at", _time()),
        sa.Column("reason", _long_text()),
        sa.Column("created_at", _time(), nullable=False),
        **_OPTIONS,
    )
    op.create_index("ix_cron_slots_retry_at", "cron_slots", ["retry_at"])
    op.create_index("ix_cron_slots_created_at", "cron_slots", ["created_at"])


def downgrade() -> None:
    """Drop the two tables."""
    op.drop_table("cron_slots")
    op.drop_table("cron_triggers")
