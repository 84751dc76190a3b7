"""The tables, and who writes them.

The engine alone writes ``task_executions``, ``action_executions``, ``action_queue``, ``timers`` and, once
they exist, ``workflow_executions``. The API writes definitions, inserts root rows of ``workflow_executions``
and adds to ``inbox``, as maintenance does. JSON values are text columns in the form of ``jsontext.dump``.
All times are UTC.

Every row of an execution tree carries ``root_execution_id``; a transaction of the engine touches only rows
of roots that it has locked. A root names itself there, also a stand-alone action execution. There are no
foreign keys between execution tables: the lock on the root gives their order, and a key check would make
an insert into the inbox wait for the engine that holds that lock.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import mysql

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(sa.TypeDecorator[datetime]):
    """Aware UTC datetimes with microseconds, stored without zone."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[datetime]:
        """Ask MySQL for microseconds; it drops them otherwise."""
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Drop the zone, which is always UTC."""
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Put the zone back."""
        return value.replace(tzinfo=UTC) if value is not None else None


class AnyString(sa.TypeDecorator[str]):
    """Short text from outside: what databases refuse to store is replaced, as a row must never be refused."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """Replace what cannot be stored."""
        return storable(value) if value is not None else None


class AnyText(AnyString):
    """Long text from outside, in the same way."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[str]:
        """Ask MySQL for more than 64 KB."""
        if dialect.name in {"mysql", "mariadb"}:
            return mysql.LONGTEXT()
        return sa.Text()


def storable(text: str) -> str:
    """Return ``text`` without what PostgreSQL (NUL) or UTF-8 (lone surrogates) does not know."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


Identifier = sa.String(36)
Name = AnyString(255)
State = sa.String(16)
Project = AnyString(80)
LongText = AnyText()
TrustId = sa.String(64)
BigSerial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _table(name: str, *parts: sa.schema.SchemaItem) -> sa.Table:
    # Names are compared exactly, as on the other databases; MySQL's default would ignore case.
    return sa.Table(
        name,
        metadata,
        *parts,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def _definition_columns() -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("id", Identifier, primary_key=True),
        sa.Column("name", Name, nullable=False),
        sa.Column("namespace", Name, nullable=False, default=""),
        sa.Column("definition", LongText, nullable=False),
        sa.Column("tags", LongText, nullable=False, default="[]"),
        sa.Column("scope", sa.String(16), nullable=False, default="private"),
        sa.Column("project_id", Project, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime),
    )


# The parsed form of every workflow and ad-hoc action, and the text of every code source, by the hash of its
# content. An execution points here
# and is immune to later changes of the definition. Rows are never changed.
specs = _table(
    "specs",
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("source", LongText, nullable=False),
)

workflow_definitions = _table(
    "workflow_definitions",
    *_definition_columns(),
    sa.Column("spec_hash", sa.String(64), nullable=False),
    sa.Column("checksum", sa.String(32)),
    sa.Column("workbook_name", Name),
    sa.Column("is_system", sa.Boolean, nullable=False, default=False),
    sa.UniqueConstraint("name", "namespace", "project_id"),
    sa.Index(None, "project_id", "created_at", "id"),
)

workbooks = _table(
    "workbooks",
    *_definition_columns(),
    sa.UniqueConstraint("name", "namespace", "project_id"),
)

action_definitions = _table(
    "action_definitions",
    *_definition_columns(),
    sa.Column("spec_hash", sa.String(64), nullable=False),
    sa.Column("input", LongText),
    sa.Column("description", LongText),
    sa.Column("workbook_name", Name),
    sa.Column("is_system", sa.Boolean, nullable=False, default=False),
    sa.UniqueConstraint("name", "namespace", "project_id"),
)

# Python modules as uploaded; their text is also in ``specs``, by its hash, for executions that are under way.
code_sources = _table(
    "code_sources",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("name", Name, nullable=False),
    sa.Column("namespace", Name, nullable=False, default=""),
    sa.Column("content", LongText, nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    # Counts the uploads from 1.
    sa.Column("version", sa.Integer, nullable=False, default=1),
    sa.Column("scope", sa.String(16), nullable=False, default="private"),
    sa.Column("project_id", Project, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.UniqueConstraint("name", "namespace", "project_id"),
)

dynamic_actions = _table(
    "dynamic_actions",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("name", Name, nullable=False),
    sa.Column("namespace", Name, nullable=False, default=""),
    sa.Column("class_name", Name, nullable=False),
    sa.Column("code_source_id", Identifier, nullable=False),
    sa.Column("scope", sa.String(16), nullable=False, default="private"),
    sa.Column("project_id", Project, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.UniqueConstraint("name", "namespace", "project_id"),
    sa.Index(None, "code_source_id"),
)

environments = _table(
    "environments",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("name", Name, nullable=False),
    sa.Column("description", LongText),
    sa.Column("variables", LongText, nullable=False, default="{}"),
    sa.Column("scope", sa.String(16), nullable=False, default="private"),
    sa.Column("project_id", Project, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.UniqueConstraint("name", "project_id"),
)

# With which other projects a private workflow is shared.
resource_members = _table(
    "resource_members",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("resource_id", Identifier, nullable=False),
    # Always "workflow".
    sa.Column("resource_type", sa.String(16), nullable=False),
    # Of the owner.
    sa.Column("project_id", Project, nullable=False),
    # The other project; it decides the status.
    sa.Column("member_id", Project, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.UniqueConstraint("resource_id", "resource_type", "member_id"),
    sa.Index(None, "member_id"),
)

# One row that counts changes of definitions, so that an engine may keep what it looked up until then.
definition_changes = _table(
    "definition_changes",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("count", sa.BigInteger, nullable=False),
)


@event.listens_for(definition_changes, "after_create")
def _begin_counting(target: sa.Table, connection: sa.Connection, **_: object) -> None:
    connection.execute(sa.insert(target).values(id=1, count=0))


workflow_executions = _table(
    "workflow_executions",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("root_execution_id", Identifier, nullable=False),
    # The parent task of a nested workflow; null for roots.
    sa.Column("task_execution_id", Identifier),
    sa.Column("workflow_id", Identifier, nullable=False),
    sa.Column("workflow_name", Name, nullable=False),
    sa.Column("workflow_namespace", Name, nullable=False, default=""),
    sa.Column("spec_hash", sa.String(64), nullable=False),
    sa.Column("state", State, nullable=False),
    sa.Column("state_info", LongText),
    # "maintenance" if that paused it and shall resume it; else null.
    sa.Column("paused_by", sa.String(16)),
    # Counts the decisions about the whole tree; meaningful on the root only.
    sa.Column("version", sa.BigInteger, nullable=False, default=0),
    sa.Column("input", LongText, nullable=False),
    sa.Column("params", LongText, nullable=False),
    # Workflow-wide variables: ``vars`` and global publishes.
    sa.Column("context", LongText, nullable=False),
    # Names in ``context`` that tasks published globally (JSON array); the rest came from ``vars``.
    sa.Column("published_global", LongText, nullable=False, default="[]"),
    sa.Column("output", LongText, nullable=False, default="{}"),
    # Item index in the parent, workbook name, commands kept by a pause, force-failure noted while paused.
    sa.Column("runtime", LongText, nullable=False, default="{}"),
    sa.Column("description", LongText),
    sa.Column("tags", LongText, nullable=False, default="[]"),
    sa.Column("project_id", Project, nullable=False),
    sa.Column("scope", sa.String(16), nullable=False, default="private"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    # A change of state writes to every index, so there are only those that a list needs to cost the same however
    # many executions there are: a tree,
    sa.Index(None, "root_execution_id"),
    # the children of a task, and the roots (whose parent is null),
    sa.Index(None, "task_execution_id", "created_at", "id"),
    # the lists of a project and of an administrator, all of them or those in a state,
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "project_id", "state", "created_at", "id"),
    sa.Index(None, "created_at", "id"),
    sa.Index(None, "state", "created_at", "id"),
    # the runs of one workflow.
    sa.Index(None, "workflow_name", "created_at", "id"),
)

task_executions = _table(
    "task_executions",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("root_execution_id", Identifier, nullable=False),
    sa.Column("workflow_execution_id", Identifier, nullable=False),
    sa.Column("name", Name, nullable=False),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("state", State, nullable=False),
    sa.Column("state_info", LongText),
    sa.Column("published", LongText, nullable=False, default="{}"),
    sa.Column("published_global", LongText, nullable=False, default="{}"),
    # JSON array of [task execution id, clause]: where the inbound context comes from.
    sa.Column("triggered_by", LongText, nullable=False, default="[]"),
    # JSON array of [task name, clause] started because of this task; null until it finished.
    sa.Column("next_tasks", LongText),
    sa.Column("error_handled", sa.Boolean, nullable=False, default=False),
    sa.Column("processed", sa.Boolean, nullable=False, default=False),
    sa.Column("runtime", LongText, nullable=False, default="{}"),
    sa.Column("tags", LongText, nullable=False, default="[]"),
    sa.Column("project_id", Project, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Index(None, "root_execution_id"),
    sa.Index(None, "workflow_execution_id", "created_at", "id"),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "created_at", "id"),
)

action_executions = _table(
    "action_executions",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("root_execution_id", Identifier, nullable=False),
    # Both null for a stand-alone run.
    sa.Column("task_execution_id", Identifier),
    sa.Column("workflow_execution_id", Identifier),
    sa.Column("workflow_name", Name),
    sa.Column("workflow_namespace", Name),
    sa.Column("name", Name, nullable=False),
    sa.Column("state", State, nullable=False),
    sa.Column("state_info", LongText),
    sa.Column("input", LongText, nullable=False),
    # ``{"result": value}`` once finished, null before.
    sa.Column("output", LongText),
    sa.Column("accepted", sa.Boolean, nullable=False, default=False),
    sa.Column("is_sync", sa.Boolean, nullable=False),
    # A synchronous run that the caller did not ask to keep: never listed, removed soon after its end.
    sa.Column("is_ephemeral", sa.Boolean, nullable=False, default=False),
    # The item of a with-items task it belongs to, else 0.
    sa.Column("position", sa.Integer, nullable=False, default=0),
    sa.Column("safe_rerun", sa.Boolean, nullable=False, default=False),
    # Digest of the result that a callback delivered, so that a repetition is known after the fact.
    sa.Column("callback_digest", sa.String(64)),
    # Ad-hoc calls (JSON): the chain of actions whose output transformations apply; null for plain ones.
    sa.Column("chain", LongText),
    sa.Column("description", LongText),
    sa.Column("tags", LongText),
    sa.Column("project_id", Project, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    sa.Index(None, "root_execution_id"),
    sa.Index(None, "task_execution_id", "created_at", "id"),
    sa.Index(None, "project_id", "created_at", "id"),
    sa.Index(None, "created_at", "id"),
)

# What happened and waits for a decision: callbacks, commands. Rows go in the transaction that applies them.
inbox = _table(
    "inbox",
    sa.Column("seq", BigSerial, primary_key=True, autoincrement=True),
    sa.Column("root_execution_id", Identifier, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    # The execution it is about: a workflow, a task or an action execution, by kind.
    sa.Column("subject_id", Identifier, nullable=False),
    sa.Column("payload", LongText, nullable=False),
    # Makes a second result for one action execution impossible: ``result:<action execution id>``.
    sa.Column("once", sa.String(64), unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index(None, "root_execution_id", "seq"),
)

# Actions to run. A row lives from the decision to run until its outcome (or, for an asynchronous action,
# the fact that it left) is applied.
action_queue = _table(
    "action_queue",
    sa.Column("action_execution_id", Identifier, primary_key=True),
    sa.Column("root_execution_id", Identifier, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    # Who may run it: null for anybody, else the name that a task gave as ``target``.
    sa.Column("target", Name),
    sa.Column("available_at", UtcDateTime, nullable=False),
    # All three null while nobody has it.
    sa.Column("executor_id", Name),
    sa.Column("lease_until", UtcDateTime),
    # The call of the executor that it was leased to; names what is lost if that call was never answered.
    sa.Column("claim_id", Identifier),
    # The order for the executor (JSON), without attempt and lease.
    sa.Column("request", LongText, nullable=False),
    sa.Index(None, "lease_until", "available_at"),
    sa.Index(None, "claim_id"),
    sa.Index(None, "root_execution_id"),
)

timers = _table(
    "timers",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("root_execution_id", Identifier, nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("subject_id", Identifier, nullable=False),
    sa.Column("due_at", UtcDateTime, nullable=False),
    sa.Index(None, "due_at"),
    sa.Index(None, "root_execution_id"),
)

# What publishers are still to be told. A row is written with the change that it tells of and goes once it was
# told, or was tried often enough; it outlives its execution.
notifications = _table(
    "notifications",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("root_execution_id", Identifier, nullable=False),
    # The workflow or task execution that changed.
    sa.Column("execution_id", Identifier, nullable=False),
    # An element of the parameter ``notify`` (JSON); may hold secrets in its headers.
    sa.Column("publisher", LongText, nullable=False),
    sa.Column("event", sa.String(32), nullable=False),
    sa.Column("payload", LongText, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # Nobody delivers it before; a lease while somebody does.
    sa.Column("available_at", UtcDateTime, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Index(None, "available_at", "id"),
)

event_triggers = _table(
    "event_triggers",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("name", Name, nullable=False, default=""),
    sa.Column("workflow_id", Identifier, nullable=False),
    sa.Column("workflow_input", LongText, nullable=False, default="{}"),
    sa.Column("workflow_params", LongText, nullable=False, default="{}"),
    sa.Column("exchange", sa.String(80), nullable=False),
    sa.Column("topic", sa.String(80), nullable=False),
    sa.Column("event", sa.String(80), nullable=False),
    sa.Column("scope", sa.String(16), nullable=False, default="private"),
    sa.Column("project_id", Project, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    # Whom the work is done for (JSON, without secrets), and the trust of Keystone that allows it; may be null.
    sa.Column("security", LongText),
    sa.Column("trust_id", TrustId),
    sa.UniqueConstraint("exchange", "topic", "event", "workflow_id", "project_id"),
    sa.Index(None, "workflow_id"),
    sa.Index(None, "project_id", "created_at", "id"),
)

# Written by the API; engines claim what is due by the row's lock and move it on.
cron_triggers = _table(
    "cron_triggers",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("name", Name, nullable=False),
    sa.Column("workflow_id", Identifier, nullable=False),
    sa.Column("workflow_name", Name, nullable=False),
    sa.Column("workflow_input", LongText, nullable=False),
    sa.Column("workflow_params", LongText, nullable=False),
    sa.Column("pattern", Name, nullable=False),
    sa.Column("first_execution_time", UtcDateTime),
    # Null once there is nothing more to fire, while a start is still to be tried again.
    sa.Column("next_execution_time", UtcDateTime),
    # Null: without end.
    sa.Column("remaining_executions", sa.Integer),
    # Digest of what it starts and when; null if the count or the first time is open.
    sa.Column("digest", sa.String(64)),
    sa.Column("scope", sa.String(16), nullable=False, default="private"),
    sa.Column("project_id", Project, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime),
    # Whom the work is done for (JSON, without secrets), and the trust of Keystone that allows it; may be null.
    sa.Column("security", LongText),
    sa.Column("trust_id", TrustId),
    sa.UniqueConstraint("name", "project_id"),
    sa.UniqueConstraint("digest", "project_id"),
    sa.Index(None, "next_execution_time"),
    sa.Index(None, "workflow_id"),
    sa.Index(None, "project_id", "created_at", "id"),
)

# One row for each time that a trigger was due; its key makes a second firing for the same time impossible.
cron_slots = _table(
    "cron_slots",
    sa.Column("cron_trigger_id", Identifier, primary_key=True),
    sa.Column("due_at", UtcDateTime, primary_key=True),
    # Null while, or because, the workflow could not be started.
    sa.Column("workflow_execution_id", Identifier),
    sa.Column("attempts", sa.Integer, nullable=False),
    # When to try the start again; null if it succeeded or was given up.
    sa.Column("retry_at", UtcDateTime),
    # Why the last attempt failed.
    sa.Column("reason", LongText),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index(None, "retry_at"),
    sa.Index(None, "created_at"),
)

# At most one row: whether the service is paused. Without one it is not.
maintenance = _table(
    "maintenance",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    # RUNNING, PAUSING, PAUSED, or RESUMING (shown as RUNNING) while executions are still to be resumed.
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)

# Whom the actions of an execution work for. Written with a start, read by engines for their executors, removed
# once the execution has ended.
security_contexts = _table(
    "security_contexts",
    sa.Column("root_execution_id", Identifier, primary_key=True),
    # JSON; what is secret in it is sealed.
    sa.Column("content", LongText, nullable=False),
    sa.Column("trust_id", TrustId),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index(None, "trust_id"),
)

# Trusts of Keystone that this service was given. Deleted, there and here, once no trigger and no execution has them.
trusts = _table(
    "trusts",
    sa.Column("id", TrustId, primary_key=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

# The queues that the actions ``zaqar.*`` work on; of those in a Zaqar the ones that somebody waits for. Whoever changes
# what a queue holds, or who waits for it, has its row locked; that gives messages and waiters their order. Written by
# engines, but for ``look_at``.
queues = _table(
    "queues",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("project_id", Project, nullable=False),
    sa.Column("metadata", LongText, nullable=False, default="{}"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # With a Zaqar: when an engine is to look for messages there, null for at once. While one looks, the end of its
    # lease. The API sets it when Zaqar calls.
    sa.Column("look_at", UtcDateTime),
    # The hash of the secret with which Zaqar calls, and until when it does.
    sa.Column("doorbell_hash", sa.String(64), unique=True),
    sa.Column("called_until", UtcDateTime),
    sa.UniqueConstraint("project_id", "name"),
)

queue_messages = _table(
    "queue_messages",
    sa.Column("seq", BigSerial, primary_key=True, autoincrement=True),
    sa.Column("id", Identifier, nullable=False, unique=True),
    sa.Column("queue_id", Identifier, nullable=False),
    # JSON.
    sa.Column("body", LongText, nullable=False),
    sa.Column("ttl_s", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    # The last claim and its end; both null before the first.
    sa.Column("claim_id", Identifier),
    sa.Column("claimed_until", UtcDateTime),
    sa.Column("claim_count", sa.Integer, nullable=False, default=0),
    sa.Index(None, "queue_id", "seq"),
    sa.Index(None, "expires_at"),
)

# Asynchronous actions that wait for messages. The row goes with the message, in the transaction that puts the
# result into the inbox; that of an action which ended otherwise is removed by whoever meets it.
queue_waiters = _table(
    "queue_waiters",
    sa.Column("seq", BigSerial, primary_key=True, autoincrement=True),
    sa.Column("action_execution_id", Identifier, nullable=False, unique=True),
    sa.Column("queue_id", Identifier, nullable=False),
    # A YAQL expression over a message that must hold; null for any message.
    sa.Column("expression", LongText),
    sa.Column("most_messages", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Index(None, "queue_id", "seq"),
)

# Messages of a Zaqar that actions have got and that may still be there. The row comes with the result in the inbox and
# goes once Zaqar has deleted the message; until then nobody gets the message again.
taken_messages = _table(
    "taken_messages",
    sa.Column("queue_id", Identifier, primary_key=True),
    sa.Column("message_id", sa.String(64), primary_key=True),
    # When Zaqar has forgotten it in any case.
    sa.Column("expires_at", UtcDateTime, nullable=False),
)

# Heartbeats of processes, for readiness and for the operator. Nothing depends on them.
services = _table(
    "services",
    sa.Column("id", Identifier, primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("host", Name, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("heartbeat_at", UtcDateTime, nullable=False),
)
