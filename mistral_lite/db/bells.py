"""Ringing engines by way of the database, where it can tell: sooner than over the bus, and for less.

Each engine has a bell of its own and says so once a second, over the connection on which it hears it, so what is known to
be there works. One engine is rung for one tree, the same one each time: it has the tree at hand, and the others need not
look. A bell that an engine does not hear any more is made up for by the sweep of the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic
from uuid import uuid4
from zlib import crc32

import sqlalchemy as sa

from mistral_lite.db.listening import Listener
from mistral_lite.db.statements import Statement
from mistral_lite.db.transaction import Database
from mistral_lite.errors import MistralLiteError

# Where engines say which bells there are.
CHANNEL = "mistral_lite_bells"
_RING = Statement(sa.select(sa.func.pg_notify(sa.bindparam("bell"), sa.bindparam("root_ids"))))
# PostgreSQL takes payloads of less than 8000 bytes; an id has 36.
_MOST_IDS = 200
# How long a bell counts as heard: engines that stop say nothing.
_KEPT_S = 3.0


def make_listener(database: Database, ring: Callable[[Sequence[str]], None]) -> Listener:
    """Return what lets an engine hear a bell of its own; ``ring`` gets the trees to look at. Not started yet."""
    bell = f"mistral_lite_bell_{uuid4().hex}"
    heard = {bell: lambda root_ids: ring(root_ids.split(","))}
    return Listener(database, "bell", heard, announce=(CHANNEL, bell))


class Bells:
    """The bells that engines have said to hear."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # By name: until when they count.
        self._heard_until: dict[str, float] = {}

    def note(self, bell: str) -> None:
        """Note that an engine hears ``bell``."""
        with self._lock:
            self._heard_until[bell] = self._monotonic() + _KEPT_S

    def ring(self, root_ids: Sequence[str]) -> bool:
        """Ring the engines of these trees; False if there is none, or the database cannot tell it."""
        bells = self._present()
        if not bells:
            return False
        by_bell: dict[str, list[str]] = {}
        for root_id in root_ids:
            by_bell.setdefault(bells[crc32(root_id.encode()) % len(bells)], []).append(root_id)
        parameters = [
            {"bell": bell, "root_ids": ",".join(ids[start : start + _MOST_IDS])}
            for bell, ids in by_bell.items()
            for start in range(0, len(ids), _MOST_IDS)
        ]
        try:
            # Not with what it tells of: commits with a word wait for each other, and this one need not be kept.
            with self._database.read() as connection:
                _RING.run_many(connection, parameters)
        except MistralLiteError:
            return False
        return True

    def _present(self) -> list[str]:
        now = self._monotonic()
        with self._lock:
            self._heard_until = {bell: until for bell, until in self._heard_until.items() if until > now}
            return sorted(self._heard_until)
