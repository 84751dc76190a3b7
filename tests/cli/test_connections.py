"""Requests and answers on the connections of the HTTP server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from cheroot import wsgi

from mistral_lite.cli.connections import Connection

LARGE = 300_000
REQUEST = b"POST /%b HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\nabc"


def app(environ: Any, start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer with the body of the request, as often as the path says."""
    body = environ["wsgi.input"].read(3) * int(environ["PATH_INFO"][1:])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """Serve ``app``."""
    server = wsgi.Server(("127.0.0.1", 0), app, numthreads=1)
    server.ConnectionClass = Connection
    server.prepare()
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server.bind_addr
    server.stop()
    thread.join()


@pytest.fixture
def connection(address: tuple[str, int]) -> Iterator[socket.socket]:
    """Connect to the server."""
    with socket.create_connection(address, timeout=10) as connection:
        yield connection


def received(connection: socket.socket, ends: bytes) -> bytes:
    """Return what comes up to ``ends``."""
    found = b""
    while not found.endswith(ends):
        part = connection.recv(1_000_000)
        assert part
        found += part
    return found


def test_head_and_body_come_together(connection: socket.socket) -> None:
    for _ in range(3):
        connection.sendall(REQUEST % b"1")
        answer = connection.recv(1_000_000)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nabc")


def test_requests_that_come_together_are_all_answered(connection: socket.socket) -> None:
    connection.sendall(b"".join(REQUEST % b"%d" % count for count in (1, 2, 3)))
    answers = received(connection, b"\r\n\r\nabcabcabc")
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 3


def test_a_large_answer_comes_whole(connection: socket.socket) -> None:
    connection.sendall(REQUEST % b"%d" % LARGE)
    head, _, body = received(connection, b"abc").partition(b"\r\n\r\n")
    while len(body) < 3 * LARGE:
        body += connection.recv(1_000_000)
    assert b"Content-Length: %d" % (3 * LARGE) in head
    assert body == b"abc" * LARGE


def test_a_request_that_cannot_be_read_is_refused(connection: socket.socket) -> None:
    connection.sendall(b"nonsense\r\n\r\n")
    assert connection.recv(1_000_000).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_client_that_leaves_disturbs_nobody(address: tuple[str, int], connection: socket.socket) -> None:
    with socket.create_connection(address) as leaving:
        leaving.sendall(REQUEST % b"%d" % LARGE)
    connection.sendall(REQUEST % b"1")
    assert received(connection, b"abc").startswith(b"HTTP/1.1 200 OK\r\n")
