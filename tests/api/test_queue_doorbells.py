"""Where a Zaqar calls: its secret opens nothing but a look at one queue."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

from mistral_lite.db import tables

SECRET = "of-one-queue"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def put_queue(api, number, **values):
    row = {"id": f"id-{number}", "name": f"q{number}", "project_id": "p", "created_at": NOW}
    api.put_rows(tables.queues, {**row, **values})


def look_times(api):
    return {row["name"]: row["look_at"] for row in api.rows(tables.queues)}


def test_a_call_makes_one_queue_due_and_rings(api):
    later = datetime(2100, 1, 1, tzinfo=UTC)
    put_queue(api, 1, look_at=later, doorbell_hash=sha256(SECRET.encode()).hexdigest())
    put_queue(api, 2, look_at=later)

    answer = api.call("POST", f"/v2/queue_doorbells/{SECRET}", b"\xff no JSON at all")

    assert (answer.status, answer.text) == (204, "")
    assert look_times(api)["q1"] < later
    assert look_times(api)["q2"] == later
    assert api.engine.queue_rings == 1


def test_an_unknown_secret_is_not_found(api):
    put_queue(api, 1, look_at=NOW)
    assert api.call("POST", f"/v2/queue_doorbells/{SECRET}").status == 404
    assert look_times(api) == {"q1": NOW}
    assert api.engine.queue_rings == 0
