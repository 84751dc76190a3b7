"""A running service for the commands in the pages."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable


def eventually(check: Callable[[], bool], what: str, within_s: float = 120.0) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.1)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
