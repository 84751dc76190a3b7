"""Messages between two processes over a socket: JSON texts, each behind its length.

Owns the framing. JSON and not pickle: the process at the other end may have been fooled by what it evaluated.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping

from mistral_lite.jsontext import JsonObject

_LENGTH = struct.Struct(">Q")


class ChannelClosedError(Exception):
    """The other end is gone, or sent what is no message."""


class Channel:
    """One end. Not for several threads at once."""

    def __init__(self, end: socket.socket, max_bytes: int) -> None:
        """``max_bytes``: largest message that is taken."""
        self._end = end
        self._max_bytes = max_bytes

    def send(self, message: JsonObject) -> None:
        """Send one message. Raises ``ChannelClosedError``; ``ValueError`` and ``TypeError`` for what has no JSON."""
        # With every character escaped, so that halves of surrogate pairs get through.
        data = json.dumps(message, default=_plain).encode("ascii")
        try:
            self._end.settimeout(None)
            self._end.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise ChannelClosedError from error

    def receive(self, timeout_s: float | None = None) -> JsonObject:
        """Return the next message. Raises ``TimeoutError`` and ``ChannelClosedError``."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline))
        if length > self._max_bytes:
            raise ChannelClosedError
        try:
            message = json.loads(self._read(length, deadline))
        except (ValueError, RecursionError) as error:
            raise ChannelClosedError from error
        if not isinstance(message, dict):
            raise ChannelClosedError
        return message

    def close(self) -> None:
        """Close this end; the other one sees it."""
        self._end.close()

    def _read(self, size: int, deadline: float | None) -> bytes:
        data = bytearray()
        while len(data) < size:
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                raise TimeoutError
            try:
                self._end.settimeout(left_s)
                piece = self._end.recv(min(size - len(data), 1 << 20))
            except TimeoutError:
                raise
            except OSError as error:
                raise ChannelClosedError from error
            if not piece:
                raise ChannelClosedError
            data += piece
        return bytes(data)


def _plain(value: object) -> object:
    """Return the nearest JSON form of what an evaluation may see besides plain data."""
    if isinstance(value, Mapping):
        return dict(value.items())
    raise TypeError(type(value).__name__)
