"""Queues, their messages, and the actions that wait for some.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OPTIONS = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _time() -> sa.types.TypeEngine:
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def _long_text() -> sa.types.TypeEngine:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def _serial() -> sa.types.TypeEngine:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "queues",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("metadata", _long_text(), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_queues"),
        sa.UniqueConstraint("project_id", "name", name="uq_queues_project_id_name"),
        **_OPTIONS,
    )
    op.create_table(
        "queue_messages",
        sa.Column("seq", _serial(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("queue_id", sa.String(36), nullable=False),
        sa.Column("body", _long_text(), nullable=False),
        sa.Column("ttl_s", sa.Integer(), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("expires_at", _time(), nullable=False),
        sa.Column("claim_id", sa.String(36)),
        sa.Column("claimed_until", _time()),
        sa.Column("claim_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_queue_messages"),
        sa.UniqueConstraint("id", name="uq_queue_messages_id"),
        **_OPTIONS,
    )
    op.create_index("ix_queue_messages_queue_id_seq", "queue_messages", ["queue_id", "seq"])
    op.create_index("ix_queue_messages_expires_at", "queue_messages", ["expires_at"])
    op.create_table(
        "queue_waiters",
        sa.Column("seq", _serial(), autoincrement=True, nullable=False),
        sa.Column("action_execution_id", sa.String(36), nullable=False),
        sa.Column("queue_id", sa.String(36), nullable=False),
        sa.Column("expression", _long_text()),
        sa.Column("most_messages", sa.Integer(), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_queue_waiters"),
        sa.UniqueConstraint("action_execution_id", name="uq_queue_waiters_action_execution_id"),
        **_OPTIONS,
    )
    op.create_index("ix_queue_waiters_queue_id_seq", "queue_waiters", ["queue_id", "seq"])


def downgrade() -> None:
    """Drop them. What is in the queues is lost, and who waits for a message waits until the task times out."""
    op.drop_table("queue_waiters")
    op.drop_table("queue_messages")
    op.drop_table("queues")
