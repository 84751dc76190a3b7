"""Rows of ``cron_triggers`` and ``cron_slots``.

The API inserts and deletes triggers. An engine claims one by its lock, writes the slot that it fires and
moves the trigger on, all in one transaction: two engines never fire for the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from mistral_lite.db.listing import Row, Source, Viewer, only_row, own_or_public
from mistral_lite.db.statements import Statement
from mistral_lite.db.tables import cron_slots, cron_triggers
from mistral_lite.errors import AlreadyExistsError
from mistral_lite.jsontext import JsonValue, dump

_t = cron_triggers.c
_s = cron_slots.c

# Asked by every engine, each second.
_DUE = Statement(
    sa.select(_t.id)
    .where(_t.next_execution_time <= sa.bindparam("now"))
    .order_by(_t.next_execution_time)
    .limit(sa.bindparam("most", type_=sa.Integer))
)
_RETRIES = Statement(
    sa.select(_s.cron_trigger_id)
    .where(_s.retry_at <= sa.bindparam("now"))
    .order_by(_s.retry_at)
    .limit(sa.bindparam("most", type_=sa.Integer))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A time for which a trigger was due. ``attempts`` counts the starts that failed."""

    trigger_id: str
    due_at: datetime
    attempts: int


# -- for the API -----------------------------------------------------------------------------------


def source(viewer: Viewer) -> Source:
    """Return the cron triggers that ``viewer`` may list."""
    return Source(
        noun="Cron trigger",
        select_from=cron_triggers,
        columns=dict(_t),
        conditions=own_or_public(cron_triggers, viewer),
    )


def find_trigger(connection: sa.Connection, name_or_id: str, viewer: Viewer) -> Row | None:
    """Return the trigger that ``viewer`` means by a name or an id, or None.

    Being an administrator widens the search by id only: names of other projects mean nothing here.
    """
    by_id = sa.and_(_t.id == name_or_id, *own_or_public(cron_triggers, viewer))
    by_name = sa.and_(
        _t.name == name_or_id, *own_or_public(cron_triggers, Viewer(project_id=viewer.project_id))
    )
    statement = (
        sa.select(cron_triggers)
        .where(sa.or_(by_id, by_name))
        .order_by(
            sa.case((_t.id == name_or_id, 0), (_t.project_id == viewer.project_id, 1), else_=2),
            _t.created_at,
            _t.id,
        )
        .limit(1)
    )
    return only_row(connection.execute(statement))


def insert_trigger(connection: sa.Connection, values: Mapping[str, JsonValue]) -> None:
    """Insert one row.

    Raises ``AlreadyExistsError`` if the project has the name already, or a trigger that does the same. The
    latter is only looked for where count and first time are both given, as in Mistral.
    """
    given = (values["remaining_executions"], values["first_execution_time"])
    digest = None
    if None not in given:
        parts = [values[name] for name in ("workflow_id", "workflow_input", "workflow_params", "pattern")]
        digest = sha256(dump([*parts, given[0], given[1].isoformat()]).encode()).hexdigest()
    try:
        connection.execute(sa.insert(cron_triggers), {**values, "digest": digest})
    except IntegrityError as error:
        raise AlreadyExistsError(
            f"Cron trigger already exists [name={values['name']}]: this project has one of that name, or one "
            "with the same workflow, input, parameters, pattern, count and first time."
        ) from error


def delete_trigger(connection: sa.Connection, trigger_id: str) -> None:
    """Delete one trigger with the record of what it fired; starts that wait to be repeated are dropped."""
    # In this order: the row of the trigger is the lock of its slots.
    connection.execute(sa.delete(cron_triggers).where(_t.id == trigger_id))
    connection.execute(sa.delete(cron_slots).where(_s.cron_trigger_id == trigger_id))


def list_using(connection: sa.Connection, workflow_id: str) -> list[tuple[str, str]]:
    """Return the triggers of all projects that start a workflow, as (trigger id, project id)."""
    statement = sa.select(_t.id, _t.project_id).where(_t.workflow_id == workflow_id).order_by(_t.id)
    return [(row.id, row.project_id) for row in connection.execute(statement)]


# -- for the engine --------------------------------------------------------------------------------


def list_due(connection: sa.Connection, now: datetime, most: int) -> list[str]:
    """Return the ids of the triggers that are due, those first that have been for longest."""
    return [row["id"] for row in _DUE.rows(connection, {"now": now, "most": most})]


def claim_due(connection: sa.Connection, trigger_id: str, now: datetime) -> Row | None:
    """Lock and return a trigger that is due, or None if another engine has it, or had it."""
    statement = (
        sa.select(cron_triggers)
        .where(_t.id == trigger_id, _t.next_execution_time <= now)
        .with_for_update(skip_locked=True)
    )
    return only_row(connection.execute(statement))


def insert_slot(connection: sa.Connection, slot: Slot, now: datetime) -> bool:
    """Record that a claimed trigger is fired for a time; return False if it has been before."""
    is_known = sa.select(_s.due_at).where(_s.cron_trigger_id == slot.trigger_id, _s.due_at == slot.due_at)
    if connection.execute(is_known).first() is not None:
        return False
    values = {
        "cron_trigger_id": slot.trigger_id,
        "due_at": slot.due_at,
        "attempts": slot.attempts,
        "created_at": now,
    }
    connection.execute(sa.insert(cron_slots), values)
    return True


def move_on(
    connection: sa.Connection, trigger_id: str, next_at: datetime | None, remaining: int | None, now: datetime
) -> None:
    """Set when a trigger is due next, None for never, and how often it still is."""
    connection.execute(
        sa.update(cron_triggers)
        .where(_t.id == trigger_id)
        .values(next_execution_time=next_at, remaining_executions=remaining, updated_at=now)
    )


def delete_if_done(connection: sa.Connection, trigger_id: str) -> None:
    """Delete a trigger that is never due again, unless a start of it waits to be repeated."""
    waiting = sa.select(_s.cron_trigger_id).where(_s.cron_trigger_id == trigger_id, _s.retry_at.is_not(None))
    connection.execute(
        sa.delete(cron_triggers).where(
            _t.id == trigger_id, _t.next_execution_time.is_(None), ~sa.exists(waiting)
        )
    )


def record_start(connection: sa.Connection, slot: Slot, execution_id: str) -> None:
    """Record what was started for a slot."""
    _update_slot(connection, slot, workflow_execution_id=execution_id, retry_at=None, reason=None)


def record_failure(connection: sa.Connection, slot: Slot, reason: str, retry_at: datetime | None) -> None:
    """Record why the start for a slot failed and when to repeat it, None for never."""
    _update_slot(connection, slot, attempts=slot.attempts + 1, reason=reason, retry_at=retry_at)


def _update_slot(connection: sa.Connection, slot: Slot, **values: JsonValue) -> None:
    connection.execute(
        sa.update(cron_slots)
        .where(_s.cron_trigger_id == slot.trigger_id, _s.due_at == slot.due_at)
        .values(**values)
    )


def give_up_older(connection: sa.Connection, slot: Slot) -> None:
    """Stop repeating the starts of earlier slots of the same trigger: the new one stands for them."""
    connection.execute(
        sa.update(cron_slots)
        .where(_s.cron_trigger_id == slot.trigger_id, _s.due_at < slot.due_at, _s.retry_at.is_not(None))
        .values(retry_at=None)
    )


def list_retries(connection: sa.Connection, now: datetime, most: int) -> list[str]:
    """Return the ids of the triggers with a start that is to be repeated now."""
    found = _RETRIES.rows(connection, {"now": now, "most": most})
    return list(dict.fromkeys(row["cron_trigger_id"] for row in found))


def claim_retry(connection: sa.Connection, trigger_id: str, now: datetime) -> tuple[Row, Slot] | None:
    """Lock and return a trigger with its slot that is to be repeated, or None if another engine has it."""
    # The trigger is the lock of its slots, as for a new one.
    locked = sa.select(cron_triggers).where(_t.id == trigger_id).with_for_update(skip_locked=True)
    trigger = only_row(connection.execute(locked))
    if trigger is None:
        return None
    statement = (
        sa.select(_s.due_at, _s.attempts)
        .where(_s.cron_trigger_id == trigger_id, _s.retry_at <= now)
        .order_by(_s.due_at)
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    return trigger, Slot(trigger_id=trigger_id, due_at=row.due_at, attempts=row.attempts)


def prune_slots(connection: sa.Connection, before: datetime) -> None:
    """Delete slots from before a time, unless their start waits to be repeated."""
    connection.execute(sa.delete(cron_slots).where(_s.created_at < before, _s.retry_at.is_(None)))
