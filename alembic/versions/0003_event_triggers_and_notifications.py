"""Event triggers, and the outbox of notifications.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OPTIONS = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _time() -> sa.types.TypeEngine:
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def _long_text() -> sa.types.TypeEngine:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "event_triggers",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("workflow_id", sa.String(36), nullable=False),
        sa.Column("workflow_input", _long_text(), nullable=False),
        sa.Column("workflow_params", _long_text(), nullable=False),
        sa.Column("exchange", sa.String(80), nullable=False),
        sa.Column("topic", sa.String(80), nullable=False),
        sa.Column("event", sa.String(80), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        sa.UniqueConstraint(
            "exchange",
            "topic",
            "event",
            "workflow_id",
            "project_id",
            name="uq_event_triggers_exchange_topic_event_workflow_id_project_id",
        ),
        **_OPTIONS,
    )
    op.create_index("ix_event_triggers_workflow_id", "event_triggers", ["workflow_id"])
    op.create_index(
        "ix_event_triggers_project_id_created_at_id", "event_triggers", ["project_id", "created_at", "id"]
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("root_execution_id", sa.String(36), nullable=False),
        sa.Column("execution_id", sa.String(36), nullable=False),
        sa.Column("publisher", _long_text(), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("payload", _long_text(), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("available_at", _time(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        **_OPTIONS,
    )
    op.create_index("ix_notifications_available_at_id", "notifications", ["available_at", "id"])


def downgrade() -> None:
    """Drop the tables with everything in them."""
    op.drop_table("notifications")
    op.drop_table("event_triggers")
