"""A real web server on loopback whose answers the tests steer by path."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Site:
    port: int
    requests: list[dict[str, object]] = field(default_factory=list)
    peers: set[object] = field(default_factory=set)
    hang: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.site.peers.add(self.client_address)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": dict(self.headers),
            "body": body.decode(),
        }
        self.site.requests.append(seen)
        kind, _, argument = self.path.partition("?")[0].strip("/").partition("/")
        match kind:
            case "status":
                self.answer(int(argument), b"body")
            case "redirect":
                self.answer(302, b"moved", Location=self.headers["X-To"], Set_Cookie="seen=1")
            case "text":
                self.answer(200, "é".encode("latin-1"), Content_Type="text/plain", Set_Cookie="a=b")
            case "binary":
                self.answer(200, b"\xff\xfe")
            case "large":
                self.answer(200, b"x" * int(argument))
            case "stream":  # no Content-Length: the size shows only while reading
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for _ in range(int(argument)):
                    self.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")
            case "hang":
                self.site.hang.wait(120)
                self.close_connection = True
            case _:
                self.answer(200, json.dumps(seen).encode())

    do_POST = do_GET


@pytest.fixture
def site() -> Iterator[Site]:
    handler = type("SiteHandler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda request, client: None  # type: ignore[method-assign]  # a client that hangs up
    handler.site = Site(port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield handler.site
    handler.site.hang.set()
    server.shutdown()
    server.server_close()
    thread.join()
