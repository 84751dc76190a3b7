"""Telling other processes, by way of the database, what an engine has applied.

A doorbell, no more: only PostgreSQL can (NOTIFY goes out with the commit), it may be lost, and whoever waits
looks for himself in the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from mistral_lite.db.statements import Statement

CHANNEL = "mistral_lite_applied"
_TELL = Statement(sa.select(sa.func.pg_notify(CHANNEL, sa.bindparam("keys"))))
# PostgreSQL takes payloads of less than 8000 bytes; a key has at most 36.
_MOST_KEYS = 200


def tell(connection: sa.Connection, keys: Sequence[str]) -> None:
    """Tell listeners of ``keys`` when the transaction commits."""
    if keys and connection.dialect.name == "postgresql":
        _TELL.run_many(connection, [{"keys": ",".join(part)} for part in _parts(keys)])


def read(payload: str) -> Sequence[str]:
    """Return the keys that were told."""
    return payload.split(",")


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _MOST_KEYS):
        yield keys[start : start + _MOST_KEYS]
