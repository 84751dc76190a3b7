"""A small web server for actions and webhooks: answers by path and keeps what it was told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Peer:
    """Serves on a free loopback port while entered.

    ``/status/404/any`` answers with that status and a JSON body; ``/note/NAME`` remembers the body under NAME.
    """

    def __init__(self) -> None:
        notes: dict[str, list[Any]] = {}
        self.notes = notes

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = self.path.split("?")[0].strip("/").split("/")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if parts[0] == "note":
                    notes.setdefault(parts[1], []).append(json.loads(body or b"null"))
                status = int(parts[1]) if parts[0] == "status" else 200
                answer = json.dumps(
                    {"method": self.command, "path": self.path, "body": body.decode(), "ok": status < 400}
                ).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
