"""When to look for messages in a Zaqar, who is called when there are some, and which were taken.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_OPTIONS = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _time() -> sa.types.TypeEngine:
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    """Add the columns and make the table."""
    with op.batch_alter_table("queues") as queues:
        queues.add_column(sa.Column("look_at", _time()))
        queues.add_column(sa.Column("doorbell_hash", sa.String(64)))
        queues.add_column(sa.Column("called_until", _time()))
        queues.create_unique_constraint("uq_queues_doorbell_hash", ["doorbell_hash"])
    op.create_table(
        "taken_messages",
        sa.Column("queue_id", sa.String(36), nullable=False),
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("expires_at", _time(), nullable=False),
        sa.PrimaryKeyConstraint("queue_id", "message_id", name="pk_taken_messages"),
        **_OPTIONS,
    )


def downgrade() -> None:
    """Undo it. A message that an action has got, and that Zaqar has not deleted yet, may reach another one."""
    op.drop_table("taken_messages")
    with op.batch_alter_table("queues") as queues:
        queues.drop_constraint("uq_queues_doorbell_hash", type_="unique")
        queues.drop_column("called_until")
        queues.drop_column("doorbell_hash")
        queues.drop_column("look_at")
