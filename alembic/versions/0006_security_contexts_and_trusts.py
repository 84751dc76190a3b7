"""For whom executions and triggers work: security contexts and trusts.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_OPTIONS = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _time() -> sa.types.TypeEngine:
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def _long_text() -> sa.types.TypeEngine:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Make the tables, and let triggers say whom they work for."""
    op.create_table(
        "security_contexts",
        sa.Column("root_execution_id", sa.String(36), primary_key=True),
        sa.Column("content", _long_text(), nullable=False),
        sa.Column("trust_id", sa.String(64)),
        sa.Column("created_at", _time(), nullable=False),
        **_OPTIONS,
    )
    op.create_index("ix_security_contexts_trust_id", "security_contexts", ["trust_id"])
    op.create_table(
        "trusts",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("created_at", _time(), nullable=False),
        **_OPTIONS,
    )
    for table in ("cron_triggers", "event_triggers"):
        op.add_column(table, sa.Column("security", _long_text()))
        op.add_column(table, sa.Column("trust_id", sa.String(64)))


def downgrade() -> None:
    """Drop the tables, and what triggers said."""
    for table in ("cron_triggers", "event_triggers"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("trust_id")
            batch.drop_column("security")
    op.drop_table("trusts")
    op.drop_table("security_contexts")
