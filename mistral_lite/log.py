"""What may be logged, and under which names; the back end is attached in ``log_setup.py``.

A record is one short constant message plus fields. ``Event`` and ``Fields`` list all names there are, so
that the type checker refuses a field that nobody declared. Inputs, outputs, contexts, headers and tokens
have no name here and are therefore never logged.

A line reads ``Task finished event=task.state_changed task_execution_id=… to_state=SUCCESS``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import TypedDict, Unpack

# Longer values are cut: a log line is no place for data.
_MAX_VALUE_LENGTH = 300
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+@")


class Event(StrEnum):
    """Machine-readable names of what is worth a line; once released they stay."""

    SERVICE_STARTED = "service.started"
    SERVICE_STOPPING = "service.stopping"
    SERVICE_STOPPED = "service.stopped"
    SERVICE_FAILED = "service.failed"
    LOG_LEVELS_READ = "log.levels_read"
    SCHEMA_UPGRADED = "schema.upgraded"
    WORKFLOW_STATE_CHANGED = "workflow.state_changed"
    TASK_STATE_CHANGED = "task.state_changed"
    ACTION_STATE_CHANGED = "action.state_changed"
    ACTION_STARTED = "action.started"
    ACTION_FINISHED = "action.finished"
    ACTIONS_HIDDEN = "actions.hidden"
    ACTION_REPORT_REFUSED = "action.report_refused"
    EVENT_IGNORED = "event.ignored"
    DECISION_FAILED = "decision.failed"
    TREE_PARKED = "tree.parked"
    TREE_BROKEN_OFF = "tree.broken_off"
    ROW_STUCK = "row.stuck"
    LEASE_LOST = "lease.lost"
    BATCH_COMMITTED = "batch.committed"
    BATCH_RETRIED = "batch.retried"
    SWEEP_FINISHED = "sweep.finished"
    TIMER_FIRED = "timer.fired"
    CRON_TRIGGER_FIRED = "cron_trigger.fired"
    CRON_TRIGGER_FAILED = "cron_trigger.failed"
    EVENT_TRIGGER_FIRED = "event_trigger.fired"
    EVENT_TRIGGER_FAILED = "event_trigger.failed"
    EVENT_LISTENER_CHANGED = "event_listener.changed"
    NOTIFICATION_DROPPED = "notification.dropped"
    EXECUTIONS_EXPIRED = "executions.expired"
    DATABASE_UNAVAILABLE = "database.unavailable"
    BUS_UNAVAILABLE = "bus.unavailable"
    DOORBELL_FAILED = "doorbell.failed"
    REQUEST_FAILED = "request.failed"
    MAINTENANCE_CHANGED = "maintenance.changed"
    POLICY_FILE_REFUSED = "policy_file.refused"
    IDENTITY_UNAVAILABLE = "identity.unavailable"
    AUTHENTICATION_OFF = "authentication.off"
    TRUST_LEFT_BEHIND = "trust.left_behind"
    ZAQAR_UNAVAILABLE = "zaqar.unavailable"
    ZAQAR_REFUSED = "zaqar.refused"
    INTERNAL_ERROR = "internal.error"


class Fields(TypedDict, total=False):
    """The fields of a record; suffixes: ``_s`` seconds, ``_bytes``, ``_count``."""

    workflow_execution_id: str
    task_execution_id: str
    action_execution_id: str
    root_execution_id: str
    cron_trigger_id: str
    event_trigger_id: str
    exchange: str
    topic: str
    workflow_name: str
    task_name: str
    action_name: str
    # Group and name of an entry point.
    plugin: str
    queue: str
    executor_id: str
    service_id: str
    role: str
    attempt: int
    from_state: str
    to_state: str
    kind: str
    reason: str
    code: str
    error_type: str
    method: str
    route: str
    status: int
    host: str
    port: int
    revision: str
    duration_s: float
    event_count: int
    action_count: int
    execution_count: int
    size_bytes: int


class _Line:
    """A message with its fields, made into text only if the record is really written."""

    __slots__ = ("_event", "_fields", "_message")

    def __init__(self, message: str, event: Event, fields: Mapping[str, object]) -> None:
        self._message = message
        self._event = event
        self._fields = fields

    def __str__(self) -> str:
        parts = [self._message, f"event={self._event}"]
        parts.extend(f"{name}={_value_text(value)}" for name, value in self._fields.items())
        return " ".join(parts)


def _value_text(value: object) -> str:
    """Return ``value`` on one line; quoted unless it is a plain word, so that nobody forges a field."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if len(text) > _MAX_VALUE_LENGTH:
        text = text[:_MAX_VALUE_LENGTH] + "…"
    if text and _PLAIN.issuperset(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped) + '"'


def write(
    logger: logging.Logger,
    level: int,
    event: Event,
    message: str,
    *,
    exc_info: bool = False,
    **fields: Unpack[Fields],
) -> None:
    """Write one record: a constant ``message``, its ``event`` and the fields that are facts about it.

    INFO: one line per state change. WARNING: recovered. ERROR: someone must act. ``exc_info`` is for
    internal errors only; a traceback must not be written for a user's mistake.
    """
    if logger.isEnabledFor(level):
        # stacklevel: the record names the caller, not this function.
        logger.log(level, _Line(message, event, fields), exc_info=exc_info, stacklevel=2)
