"""The tables of the first release.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
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
    """Make all tables."""
    op.create_table(
        "action_definitions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("namespace", sa.String(255), nullable=False),
        sa.Column("definition", _long_text(), nullable=False),
        sa.Column("tags", _long_text(), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.Column("input", _long_text()),
        sa.Column("description", _long_text()),
        sa.Column("workbook_name", sa.String(255)),
        sa.Column("is_system", sa.Boolean(), nullable=False),
        sa.UniqueConstraint(
            "name", "namespace", "project_id", name="uq_action_definitions_name_namespace_project_id"
        ),
        **_OPTIONS,
    )
    op.create_table(
        "action_executions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("root_execution_id", sa.String(36), nullable=False),
        sa.Column("task_execution_id", sa.String(36)),
        sa.Column("workflow_execution_id", sa.String(36)),
        sa.Column("workflow_name", sa.String(255)),
        sa.Column("workflow_namespace", sa.String(255)),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_info", _long_text()),
        sa.Column("input", _long_text(), nullable=False),
        sa.Column("output", _long_text()),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("is_sync", sa.Boolean(), nullable=False),
        sa.Column("is_ephemeral", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("safe_rerun", sa.Boolean(), nullable=False),
        sa.Column("callback_digest", sa.String(64)),
        sa.Column("chain", _long_text()),
        sa.Column("description", _long_text()),
        sa.Column("tags", _long_text()),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        **_OPTIONS,
    )
    op.create_index("ix_action_executions_created_at_id", "action_executions", ["created_at", "id"])
    op.create_index(
        "ix_action_executions_project_id_created_at_id",
        "action_executions",
        ["project_id", "created_at", "id"],
    )
    op.create_index("ix_action_executions_root_execution_id", "action_executions", ["root_execution_id"])
    op.create_index(
        "ix_action_executions_task_execution_id_created_at_id",
        "action_executions",
        ["task_execution_id", "created_at", "id"],
    )
    op.create_table(
        "action_queue",
        sa.Column("action_execution_id", sa.String(36), primary_key=True),
        sa.Column("root_execution_id", sa.String(36), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(255)),
        sa.Column("available_at", _time(), nullable=False),
        sa.Column("executor_id", sa.String(255)),
        sa.Column("lease_until", _time()),
        sa.Column("claim_id", sa.String(36)),
        sa.Column("request", _long_text(), nullable=False),
        **_OPTIONS,
    )
    op.create_index("ix_action_queue_claim_id", "action_queue", ["claim_id"])
    op.create_index(
        "ix_action_queue_lease_until_available_at", "action_queue", ["lease_until", "available_at"]
    )
    op.create_index("ix_action_queue_root_execution_id", "action_queue", ["root_execution_id"])
    op.create_table(
        "definition_changes",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        **_OPTIONS,
    )
    op.create_table(
        "environments",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", _long_text()),
        sa.Column("variables", _long_text(), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        sa.UniqueConstraint("name", "project_id", name="uq_environments_name_project_id"),
        **_OPTIONS,
    )
    op.create_table(
        "inbox",
        sa.Column("seq", _serial(), primary_key=True, autoincrement=True),
        sa.Column("root_execution_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject_id", sa.String(36), nullable=False),
        sa.Column("payload", _long_text(), nullable=False),
        sa.Column("once", sa.String(64)),
        sa.Column("created_at", _time(), nullable=False),
        sa.UniqueConstraint("once", name="uq_inbox_once"),
        **_OPTIONS,
    )
    op.create_index("ix_inbox_root_execution_id_seq", "inbox", ["root_execution_id", "seq"])
    op.create_table(
        "services",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("started_at", _time(), nullable=False),
        sa.Column("heartbeat_at", _time(), nullable=False),
        **_OPTIONS,
    )
    op.create_table(
        "specs",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("source", _long_text(), nullable=False),
        **_OPTIONS,
    )
    op.create_table(
        "task_executions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("root_execution_id", sa.String(36), nullable=False),
        sa.Column("workflow_execution_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_info", _long_text()),
        sa.Column("published", _long_text(), nullable=False),
        sa.Column("published_global", _long_text(), nullable=False),
        sa.Column("triggered_by", _long_text(), nullable=False),
        sa.Column("next_tasks", _long_text()),
        sa.Column("error_handled", sa.Boolean(), nullable=False),
        sa.Column("processed", sa.Boolean(), nullable=False),
        sa.Column("runtime", _long_text(), nullable=False),
        sa.Column("tags", _long_text(), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        sa.Column("started_at", _time()),
        sa.Column("finished_at", _time()),
        **_OPTIONS,
    )
    op.create_index("ix_task_executions_created_at_id", "task_executions", ["created_at", "id"])
    op.create_index(
        "ix_task_executions_project_id_created_at_id", "task_executions", ["project_id", "created_at", "id"]
    )
    op.create_index("ix_task_executions_root_execution_id", "task_executions", ["root_execution_id"])
    op.create_index(
        "ix_task_executions_workflow_execution_id_created_at_id",
        "task_executions",
        ["workflow_execution_id", "created_at", "id"],
    )
    op.create_table(
        "timers",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("root_execution_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject_id", sa.String(36), nullable=False),
        sa.Column("due_at", _time(), nullable=False),
        **_OPTIONS,
    )
    op.create_index("ix_timers_due_at", "timers", ["due_at"])
    op.create_index("ix_timers_root_execution_id", "timers", ["root_execution_id"])
    op.create_table(
        "workbooks",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("namespace", sa.String(255), nullable=False),
        sa.Column("definition", _long_text(), nullable=False),
        sa.Column("tags", _long_text(), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        sa.UniqueConstraint("name", "namespace", "project_id", name="uq_workbooks_name_namespace_project_id"),
        **_OPTIONS,
    )
    op.create_table(
        "workflow_definitions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("namespace", sa.String(255), nullable=False),
        sa.Column("definition", _long_text(), nullable=False),
        sa.Column("tags", _long_text(), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.Column("checksum", sa.String(32)),
        sa.Column("workbook_name", sa.String(255)),
        sa.Column("is_system", sa.Boolean(), nullable=False),
        sa.UniqueConstraint(
            "name", "namespace", "project_id", name="uq_workflow_definitions_name_namespace_project_id"
        ),
        **_OPTIONS,
    )
    op.create_index(
        "ix_workflow_definitions_project_id_created_at_id",
        "workflow_definitions",
        ["project_id", "created_at", "id"],
    )
    op.create_table(
        "workflow_executions",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("root_execution_id", sa.String(36), nullable=False),
        sa.Column("task_execution_id", sa.String(36)),
        sa.Column("workflow_id", sa.String(36), nullable=False),
        sa.Column("workflow_name", sa.String(255), nullable=False),
        sa.Column("workflow_namespace", sa.String(255), nullable=False),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_info", _long_text()),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("input", _long_text(), nullable=False),
        sa.Column("params", _long_text(), nullable=False),
        sa.Column("context", _long_text(), nullable=False),
        sa.Column("published_global", _long_text(), nullable=False),
        sa.Column("output", _long_text(), nullable=False),
        sa.Column("runtime", _long_text(), nullable=False),
        sa.Column("description", _long_text()),
        sa.Column("tags", _long_text(), nullable=False),
        sa.Column("project_id", sa.String(80), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("created_at", _time(), nullable=False),
        sa.Column("updated_at", _time()),
        **_OPTIONS,
    )
    op.create_index("ix_workflow_executions_created_at_id", "workflow_executions", ["created_at", "id"])
    op.create_index(
        "ix_workflow_executions_project_id_created_at_id",
        "workflow_executions",
        ["project_id", "created_at", "id"],
    )
    op.create_index("ix_workflow_executions_root_execution_id", "workflow_executions", ["root_execution_id"])
    op.create_index(
        "ix_workflow_executions_state_created_at_id", "workflow_executions", ["state", "created_at", "id"]
    )
    op.create_index("ix_workflow_executions_task_execution_id", "workflow_executions", ["task_execution_id"])
    op.execute("INSERT INTO definition_changes (id, count) VALUES (1, 0)")


def downgrade() -> None:
    """Drop all tables, with everything in them."""
    for name in (
        "workflow_executions",
        "workflow_definitions",
        "workbooks",
        "timers",
        "task_executions",
        "specs",
        "services",
        "inbox",
        "environments",
        "definition_changes",
        "action_queue",
        "action_executions",
        "action_definitions",
    ):
        op.drop_table(name)
