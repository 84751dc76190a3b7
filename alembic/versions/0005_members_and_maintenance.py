"""Shares of workflows, and pausing the whole service.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_OPTIONS = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _time() -> sa.types.TypeEngine:
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    """Make the tables, and the column that says who paused an execution."""
    op.create_table(
        "resource_members",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("resource_type", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("member_id", sa.String(80), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        sa.UniqueConstraint(
            "resource_id",
            "resource_type",
            "member_id",
            name="uq_resource_members_resource_id_resource_type_member_id",
        ),
        **_OPTIONS,
    )
    op.create_index("ix_resource_members_member_id", "resource_members", ["member_id"])
    op.create_table(
        "maintenance",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("updated_at", _time(), nullable=False),
        **_OPTIONS,
    )
    op.add_column("workflow_executions", sa.Column("paused_by", sa.String(16)))


def downgrade() -> None:
    """Drop the tables and the column; executions that maintenance paused stay paused."""
    op.drop_column("workflow_executions", "paused_by")
    op.drop_table("maintenance")
    op.drop_table("resource_members")
