"""Time-ordered identifiers (UUID version 7, RFC 9562).

``new_id`` is for the shells. ``derived_id`` is for the core: it takes its randomness from facts that are
unique (an execution and its version), so that a decision made twice names its rows the same.
"""

from __future__ import annotations

import os
from datetime import datetime
from hashlib import blake2b


def _uuid7(timestamp_ms: int, sequence: int, tail: bytes) -> str:
    time = f"{timestamp_ms & 0xFFFF_FFFF_FFFF:012x}"
    noise = f"{0x8000_0000_0000_0000 | int.from_bytes(tail[:8], 'big') & 0x3FFF_FFFF_FFFF_FFFF:x}"
    return f"{time[:8]}-{time[8:]}-7{sequence & 0xFFF:03x}-{noise[:4]}-{noise[4:]}"


def new_id(now: datetime) -> str:
    """Return a fresh identifier that sorts by ``now`` (millisecond resolution)."""
    noise = os.urandom(10)
    return _uuid7(int(now.timestamp() * 1000), int.from_bytes(noise[8:], "big"), noise)


def derived_id(now: datetime, scope: str, version: int, ordinal: int) -> str:
    """Return the ``ordinal``-th identifier of step ``version`` of ``scope``; same arguments, same result.

    Identifiers of one step sort by ``ordinal``; each 4096 of them take another millisecond.
    """
    tail = blake2b(f"{scope}/{version}/{ordinal}".encode(), digest_size=8).digest()
    return _uuid7(int(now.timestamp() * 1000) + (ordinal >> 12), ordinal, tail)
