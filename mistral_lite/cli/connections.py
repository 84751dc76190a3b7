"""Connections of the HTTP server that read by the interpreter's own buffers, and send an answer as one piece.

Cheroot reads by buffers written in Python and sends head and body of each answer on their own, so that clients wake
up twice.
"""

from __future__ import annotations

import io
import socket
from typing import Any

from cheroot.server import HTTPConnection, HTTPRequest, HTTPServer

# What is sent together at most, so that a large answer is not held twice.
_HELD_BYTES = 64 * 1024


class _Arrivals(socket.SocketIO):
    """What arrives at a socket; nothing, while ``is_held``."""

    is_held = False

    def readinto(self, buffer: Any) -> int | None:
        return None if self.is_held else super().readinto(buffer)


class _Reader(io.BufferedReader):
    """Reads requests."""

    def __init__(self, arrivals: _Arrivals) -> None:
        super().__init__(arrivals)
        self._arrivals = arrivals

    def has_data(self) -> bool:
        """Tell whether there is something left that has been read from the socket already."""
        self._arrivals.is_held = True
        try:
            return bool(self.peek(1))
        finally:
            self._arrivals.is_held = False


class _Writer:
    """Writes answers. Between ``hold`` and ``release`` what is written waits to be sent together."""

    def __init__(self, target: socket.socket) -> None:
        self._target = target
        self._held = bytearray()
        self._is_holding = False

    def write(self, data: bytes) -> int:
        self._held += data
        if not self._is_holding or len(self._held) >= _HELD_BYTES:
            self._send()
        return len(data)

    def hold(self) -> None:
        self._is_holding = True

    def release(self) -> None:
        self._is_holding = False
        self._send()

    def _send(self) -> None:
        # The time that a client may take is meant for each piece, not for the whole.
        data, self._held = memoryview(self._held), bytearray()
        while data:
            data = data[self._target.send(data) :]


class _Request(HTTPRequest):
    def respond(self) -> None:
        """Answer."""
        self.conn.wfile.hold()
        try:
            super().respond()
        finally:
            self.conn.wfile.release()


class Connection(HTTPConnection):
    """One connection; without TLS, for which a proxy is there."""

    RequestHandlerClass = _Request

    def __init__(self, server: HTTPServer, sock: socket.socket, makefile: object = None) -> None:
        """See ``HTTPConnection``; ``makefile``, which chooses cheroot's own buffers, is not used."""
        super().__init__(server, sock, lambda *_: None)
        self.rfile = _Reader(_Arrivals(sock, "rb"))
        self.wfile = _Writer(sock)
