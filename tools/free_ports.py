"""Ports of this machine that nobody else takes between the choice and the use."""

from __future__ import annotations

import socket
from random import SystemRandom

# Below those that Linux gives to outgoing connections, any of which would do for a moment what a server is to do.
_PORTS = range(20000, 32000)
_CLAIMS: list[socket.socket] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens; nobody else is given it while this process lives."""
    for port in SystemRandom().sample(_PORTS, len(_PORTS)):
        # A name that the system takes back when the process ends, however it does.
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0mistral_lite.port.{port}")
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            claim.close()
            continue
        _CLAIMS.append(claim)
        return port
    raise RuntimeError("No port is free.")
