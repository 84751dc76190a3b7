"""Removing what nobody needs any more. Nothing depends on when it runs, or whether it does."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from mistral_lite import faults
from mistral_lite.db import cron_triggers, inbox
from mistral_lite.db.tables import action_executions
from mistral_lite.db.transaction import Database
from mistral_lite.workflow.states import FINISHED

# A caller that waits for the result of an action run has long read it, or given up.
_EPHEMERAL_S = 300
# For an operator who asks why a trigger did not start its workflow.
_CRON_SLOTS_KEPT = timedelta(days=7)


def keep_house(database: Database, now: datetime) -> None:
    """Remove results that nobody asked to keep, old records of triggers, commands about what is gone."""

    def work(connection: sa.Connection) -> None:
        connection.execute(
            sa.delete(action_executions).where(
                # Only what runs on its own is ephemeral; these two conditions let an index find it.
                action_executions.c.task_execution_id.is_(None),
                action_executions.c.created_at < now - timedelta(seconds=_EPHEMERAL_S),
                action_executions.c.is_ephemeral.is_(True),
                action_executions.c.state.in_([str(state) for state in FINISHED]),
                action_executions.c.updated_at < now - timedelta(seconds=_EPHEMERAL_S),
            )
        )
        cron_triggers.prune_slots(connection, before=now - _CRON_SLOTS_KEPT)
        root_ids, _ = inbox.list_roots(connection, most=500)
        inbox.delete_orphans(connection, root_ids)
        faults.reach("housekeeping.before_commit")

    database.run(work)
