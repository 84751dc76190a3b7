"""The look for rows that nothing will wake: all are found in a few goes, and each is told once."""

from __future__ import annotations

import logging

import sqlalchemy as sa

from mistral_lite.db import tables
from mistral_lite.engine.inspection import Inspector

TEXT = """
version: '2.0'
w:
  tasks:
    t: {action: std.noop}
"""


def stuck_lines(caplog):
    return [record.getMessage() for record in caplog.records if "event=row.stuck" in record.getMessage()]


def test_what_nothing_will_wake_is_told_once(service, caplog):
    service.api.upload(TEXT)
    executions = [service.start("w") for _ in range(5)]
    inspector = Inspector(service.database, most=2)
    lost = {executions[1], executions[4]}
    service._execute(
        sa.delete(tables.action_queue).where(tables.action_queue.c.root_execution_id.in_(sorted(lost)))
    )
    actions = [row["id"] for row in service.actions() if row["root_execution_id"] in lost]

    with caplog.at_level(logging.ERROR):
        for _ in range(9):
            inspector.work()

    lines = stuck_lines(caplog)
    assert len(lines) == 2
    assert all(any(action in line for line in lines) for action in actions)


def test_a_sound_database_is_told_nothing_of(service, caplog):
    service.api.upload(TEXT)
    service.start("w")
    with caplog.at_level(logging.ERROR):
        Inspector(service.database).work()
    assert stuck_lines(caplog) == []
