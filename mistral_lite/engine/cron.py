"""Firing cron triggers: every due time once, never early, however many engines there are.

One transaction claims a trigger, writes the slot, inserts the execution with its start and moves the trigger
on. Times that passed while no engine ran collapse into one firing. A start that is refused (the workflow,
its environment or an expression is wrong) is recorded on the slot and repeated a few times, unless a later
time of the same trigger comes first.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from mistral_lite import cron, faults, log, starts
from mistral_lite.db import cron_triggers, definitions, maintenance
from mistral_lite.db.cron_triggers import Slot
from mistral_lite.db.listing import Row, Viewer
from mistral_lite.db.transaction import Database, DatabaseClock
from mistral_lite.errors import MistralLiteError, NotFoundError
from mistral_lite.jsontext import JsonObject, load
from mistral_lite.security import SecurityContext
from mistral_lite.starts import StartRequest, StartRules

LOG = logging.getLogger(__name__)

# Seconds from a start that failed to its next attempt; after the last one the slot is given up.
RETRY_DELAYS_S = (5, 30, 120, 600)
# Triggers looked up at a time.
_MOST = 100

_BUG = "An internal error of the service; the operator's log has the details."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What became of a slot: an execution, or a reason why not and when to try again (None: never)."""

    slot: Slot
    execution_id: str | None = None
    reason: str = ""
    retry_at: datetime | None = None

    def log(self) -> None:
        """Write a line about it, once it is committed."""
        trigger_id = self.slot.trigger_id
        if self.execution_id is not None:
            log.write(
                LOG,
                logging.INFO,
                log.Event.CRON_TRIGGER_FIRED,
                "Cron trigger fired",
                cron_trigger_id=trigger_id,
                root_execution_id=self.execution_id,
            )
        elif self.reason:
            log.write(
                LOG,
                logging.WARNING if self.retry_at else logging.ERROR,
                log.Event.CRON_TRIGGER_FAILED,
                "The workflow of a cron trigger could not be started",
                cron_trigger_id=trigger_id,
                attempt=self.slot.attempts + 1,
                reason=self.reason,
            )


class CronTriggers:
    """Fires the triggers of one database."""

    def __init__(self, database: Database, rules: StartRules, ring: Callable[[Sequence[str]], None]) -> None:
        """``ring`` tells an engine of new executions, by their ids."""
        self._database = database
        self._rules = rules
        self._ring = ring
        self._clock = DatabaseClock(database)

    def work(self) -> None:
        """Fire what is due by the time of the database, unless the service is in maintenance."""
        with self._database.read() as connection:
            if maintenance.find_status(connection).is_maintenance:
                return
            self._clock.synchronize(connection)
        self.fire(self._clock.now())

    def fire(self, now: datetime) -> None:
        """Fire what is due at ``now``, then repeat the starts that failed before."""
        for find, attempt in (
            (cron_triggers.list_due, self._fire),
            (cron_triggers.list_retries, self._repeat),
        ):
            more = True
            while more:
                with self._database.read() as connection:
                    found = find(connection, now, _MOST)
                settled = [attempt(trigger_id, now) for trigger_id in found]
                # Nothing was settled: other engines have them all.
                more = len(found) == _MOST and any(settled)

    def _fire(self, trigger_id: str, now: datetime) -> bool:
        """Fire a trigger that is due; return False if another engine has it."""

        def work(connection: sa.Connection) -> _Outcome | None:
            trigger = cron_triggers.claim_due(connection, trigger_id, now)
            if trigger is None:
                return None
            slot = Slot(trigger_id=trigger_id, due_at=trigger["next_execution_time"], attempts=0)
            is_new = cron_triggers.insert_slot(connection, slot, now)
            self._move_on(connection, trigger, now)
            if not is_new:
                return _Outcome(slot=slot)
            cron_triggers.give_up_older(connection, slot)
            return self._start(connection, trigger, slot, now)

        return self._settle(work)

    def _repeat(self, trigger_id: str, now: datetime) -> bool:
        """Repeat a start that failed; return False if another engine has it."""

        def work(connection: sa.Connection) -> _Outcome | None:
            claimed = cron_triggers.claim_retry(connection, trigger_id, now)
            return None if claimed is None else self._start(connection, *claimed, now)

        return self._settle(work)

    def _settle(self, work: Callable[[sa.Connection], _Outcome | None]) -> bool:
        def watched(connection: sa.Connection) -> _Outcome | None:
            found = work(connection)
            faults.reach("cron.before_commit")
            return found

        outcome = self._database.run(watched)
        faults.reach("cron.after_commit")
        if outcome is None:
            return False
        if outcome.execution_id is not None:
            self._ring([outcome.execution_id])
        outcome.log()
        return True

    def _move_on(self, connection: sa.Connection, trigger: Row, now: datetime) -> None:
        remaining = trigger["remaining_executions"]
        if remaining is not None:
            remaining -= 1
        next_at = None
        if remaining is None or remaining > 0:
            next_at = cron.next_match(trigger["pattern"], max(now, trigger["next_execution_time"]))
        cron_triggers.move_on(connection, trigger["id"], next_at, remaining, now)

    def _start(self, connection: sa.Connection, trigger: Row, slot: Slot, now: datetime) -> _Outcome:
        """Start the workflow for a slot, or record why it cannot be."""
        try:
            row = starts.prepare(connection, _request(connection, trigger), self._rules, now)
        except SQLAlchemyError:
            # The transaction is lost; the trigger is still due.
            raise
        except MistralLiteError as error:
            outcome = _failure(slot, error.message, now)
        except Exception:  # noqa: BLE001 - a bug that one trigger meets must not hold up the others
            log.write(LOG, logging.ERROR, log.Event.INTERNAL_ERROR, "A cron trigger failed", exc_info=True)
            outcome = _failure(slot, _BUG, now)
        else:
            starts.store(connection, row, _security(trigger))
            outcome = _Outcome(slot=slot, execution_id=row["id"])
        if outcome.execution_id is not None:
            cron_triggers.record_start(connection, slot, outcome.execution_id)
        else:
            cron_triggers.record_failure(connection, slot, outcome.reason, outcome.retry_at)
        cron_triggers.delete_if_done(connection, slot.trigger_id)
        return outcome


def _failure(slot: Slot, reason: str, now: datetime) -> _Outcome:
    retry_at = None
    if slot.attempts < len(RETRY_DELAYS_S):
        retry_at = now + timedelta(seconds=RETRY_DELAYS_S[slot.attempts])
    return _Outcome(slot=slot, reason=reason, retry_at=retry_at)


def _request(connection: sa.Connection, trigger: Row) -> StartRequest:
    project_id, security = trigger["project_id"], _security(trigger)
    definition = definitions.find_workflow(connection, trigger["workflow_id"], "", project_id)
    if definition is None:
        raise NotFoundError(
            f"Workflow not found [workflow_identifier={trigger['workflow_id']}]: it was deleted, or is no "
            "longer shared with the project of the trigger."
        )
    return StartRequest(
        definition=definition,
        viewer=Viewer(project_id=project_id),
        workflow_input=load(trigger["workflow_input"]),
        params=load(trigger["workflow_params"]),
        namespace=definition.namespace,
        description=_description(trigger["id"]),
        security=None if security is None else SecurityContext.from_stored(security),
    )


def _security(trigger: Row) -> JsonObject | None:
    stored = trigger["security"]
    return load(stored) if stored else None


def _description(trigger_id: str) -> str:
    # Clients parse it; the words are those of Mistral.
    return json.dumps(
        {
            "description": f"Workflow execution created by cron trigger '({trigger_id})'.",
            "triggered_by": {"type": "cron_trigger", "id": trigger_id},
        }
    )
