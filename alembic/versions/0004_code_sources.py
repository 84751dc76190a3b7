"""Code sources and dynamic actions.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"
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
        "code_sources",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("namespace", sa.String(255), nullable=False),
        sa.Column("content", _long_text(), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        sa.UniqueConstraint(
            "name", "namespace", "project_id", name="uq_code_sources_name_namespace_project_id"
        ),
        **_OPTIONS,
    )
    op.create_table(
        "dynamic_actions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("namespace", sa.String(255), nullable=False),
        sa.Column("class_name", sa.String(255), nullable=False),
        sa.Column("code_source_id", sa.String(36), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        sa.UniqueConstraint(
            "name", "namespace", "project_id", name="uq_dynamic_actions_name_namespace_project_id"
        ),
        **_OPTIONS,
    )
    op.create_index("ix_dynamic_actions_code_source_id", "dynamic_actions", ["code_source_id"])


def downgrade() -> None:
    """Drop the tables with everything in them."""
    op.drop_table("dynamic_actions")
    op.drop_table("code_sources")
