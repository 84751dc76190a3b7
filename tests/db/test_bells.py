"""Ringing engines by way of the database."""

from __future__ import annotations

from contextlib import ExitStack
from queue import Queue

import pytest

from mistral_lite.api.doorbell import DistantDoorbell
from mistral_lite.db import bells
from mistral_lite.db.listening import Listener
from mistral_lite.db.transaction import Database

LONG_S = 120.0
ROOTS = [f"00000000-0000-7000-8000-{number:012}" for number in range(450)]


class Bus:
    """Takes what would go over the bus."""

    def __init__(self) -> None:
        self.rung: list[str] = []
        self.queue_count = 0

    def ring(self, root_execution_ids) -> None:
        self.rung += root_execution_ids

    def ring_queues(self) -> None:
        self.queue_count += 1


@pytest.fixture
def database(open_database) -> Database:
    return open_database("postgresql")


def test_each_engine_is_rung_for_its_trees(database: Database) -> None:
    known, announced = bells.Bells(database), Queue()
    heard: Queue[tuple[int, list[str]]] = Queue()
    with ExitStack() as stack:
        for number in range(2):
            engine = bells.make_listener(database, lambda ids, number=number: heard.put((number, list(ids))))
            stack.callback(engine.stop)
            engine.start()
        api = Listener(database, "api", {bells.CHANNEL: announced.put})
        stack.callback(api.stop)
        api.start()
        names = set()
        while len(names) < 2:
            names.add(announced.get(timeout=LONG_S))
        for name in names:
            known.note(name)

        bus = Bus()
        doorbell = DistantDoorbell(known, bus)
        doorbell.ring(ROOTS)

        found: list[list[str]] = [[], []]
        while len(found[0]) + len(found[1]) < len(ROOTS):
            number, root_ids = heard.get(timeout=LONG_S)
            found[number] += root_ids
        assert sorted(found[0] + found[1]) == ROOTS
        assert all(found)
        # The same one each time.
        doorbell.ring(found[1][:1])
        assert heard.get(timeout=LONG_S) == (1, found[1][:1])
        doorbell.ring_queues()
        assert (bus.rung, bus.queue_count) == ([], 1)


def test_the_bus_is_rung_where_no_engine_was_heard_lately(database: Database) -> None:
    times = [0.0]
    known, bus = bells.Bells(database, monotonic=lambda: times[0]), Bus()
    doorbell = DistantDoorbell(known, bus)
    doorbell.ring(["a"])
    known.note("an_engine")
    times[0] += 2.9
    doorbell.ring(["b"])
    times[0] += 0.2
    doorbell.ring(["c"])
    assert bus.rung == ["a", "c"]


def test_the_bus_is_rung_where_the_database_is_away() -> None:
    known, bus = bells.Bells(Database("postgresql://nobody@127.0.0.1:1/none", connect_timeout_s=1)), Bus()
    known.note("an_engine")
    DistantDoorbell(known, bus).ring(["a"])
    assert bus.rung == ["a"]
