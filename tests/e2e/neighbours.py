"""What stands around the service in these tests: a web service that computes, and a network that can be cut."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import requests
from free_ports import free_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the web service was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def action_execution_id(self) -> str:
        return self.headers["Mistral-Action-Execution-Id"]

    @property
    def callback(self) -> str:
        """Where the how-to says that the result belongs."""
        return f"{self.headers['Mistral-Callback-URL']}/v2/action-executions/{self.action_execution_id}"


def compute_sum(request: Request) -> None:
    """Add two numbers and deliver the result, as the web service of the how-to does."""
    result = int(request.query["a"]) + int(request.query["b"])
    answer = requests.post(request.callback, json={"state": "SUCCESS", "output": result}, timeout=120)
    assert answer.status_code == 200, answer.text


class WebService:
    """Accepts every request at once and does ``work`` in a background thread, as third parties do.

    With ``is_slow`` it keeps callers waiting for their answer until ``release``.
    """

    def __init__(self, work: Callable[[Request], None] | None = None, *, is_slow: bool = False) -> None:
        self.requests: list[Request] = []
        self._gate = threading.Event()
        if not is_slow:
            self._gate.set()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._answer()

            def _answer(self) -> None:
                place = urlsplit(self.path)
                request = Request(
                    method=self.command,
                    path=place.path,
                    query=dict(parse_qsl(place.query)),
                    headers=dict(self.headers.items()),
                )
                service.requests.append(request)
                service._gate.wait(300)
                if work is not None:
                    threading.Thread(target=work, args=(request,), daemon=True).start()
                body = json.dumps({"accepted": True}).encode()
                # A caller that was killed meanwhile hears nothing.
                with contextlib.suppress(OSError):
                    self.send_response(202)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Keep the output of the tests readable."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def release(self) -> None:
        """Answer those who wait and everybody who comes."""
        self._gate.set()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TcpProxy:
    """Passes connections on to ``target`` until it is cut: then all break and new ones are refused."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        # One that is still there after it was cut.
        self.port = free_port()
        self._listener = self._listen(self.port)

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        # Shutdown first: close alone would leave the accepting thread, and so the port, waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _break(end)

    def mend(self) -> None:
        """Let connections through again."""
        self._listener = self._listen(self.port)

    close = cut

    @property
    def connection_count(self) -> int:
        with self._lock:
            return len(self._pairs)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, timeout=10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            _break(end)
        with self._lock:
            self._pairs = [pair for pair in self._pairs if source not in pair]


def _break(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


class PostgreSQL:
    """A database server of the test's own, which it may stop as hard as it likes."""

    def __init__(self, *settings: str) -> None:
        """``settings`` are lines of its configuration."""
        # Not below the folder of the test, which the account of the server may not enter.
        self._folder = Path(tempfile.mkdtemp(prefix="ml_postgresql_"))
        self._data = self._folder / "data"
        self._as_other: tuple[str, ...] = ()
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            shutil.chown(self._folder, "postgres", "postgres")
            self._as_other = ("runuser", "-u", "postgres", "--")
        self.port = free_port()
        self._run(
            "initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"
        )
        lines = (
            f"port = {self.port}",
            "listen_addresses = '127.0.0.1'",
            "unix_socket_directories = ''",
            "shared_buffers = 16MB",
            *settings,
        )
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as config:
            config.write("\n".join(lines) + "\n")
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self, *, is_awaited: bool = True) -> None:
        """Start it; with ``is_awaited`` until it takes connections, else it may still be recovering."""
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "--silent", "--wait" if is_awaited else "--no-wait", "--log", log)
        # Until its process is known, nobody can stop it.
        pid_file = self._data / "postmaster.pid"
        deadline = time.monotonic() + 120
        pause = threading.Event()
        while not (pid_file.exists() and pid_file.read_text().strip()) and time.monotonic() < deadline:
            pause.wait(0.01)

    def stop(self) -> None:
        """Stop it as a crash does: connections break, nothing is written, the next start has to recover."""
        self._run("pg_ctl", "stop", "--silent", "--wait", "--mode=immediate")

    def own(self, folder: Path) -> None:
        """Let the account of the server own a folder."""
        if self._as_other:
            shutil.chown(folder, "postgres", "postgres")

    def remove(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
        found = shutil.which(program) or str(packaged[-1])
        command = [*self._as_other, found, "--pgdata", str(self._data), *arguments]
        subprocess.run(
            command,
            check=True,
            cwd=self._folder,
            timeout=120,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
