"""The third party: counts every request that reaches it, and delivers results until somebody takes them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

from tools.chaos.service import Service

_AGAIN_S = 0.5


class Outside:
    """``counts``: requests by path. ``answered``: by action execution the results that were answered with a 200."""

    def __init__(self, service: Service, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.answered: dict[str, list[Any]] = {}
        self.refused = 0
        self._service = service
        self._random = Random(f"outside {seed}")
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(16)
        self._pending = 0
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, body = outside.take(self.path, self.headers.get("Mistral-Action-Execution-Id"))
                shown = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(shown)))
                self.end_headers()
                self.wfile.write(shown)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        ThreadingHTTPServer.request_queue_size = 128
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def owes(self) -> int:
        """How many results are still to be delivered."""
        return self._pending

    def take(self, path: str, action_id: str | None) -> tuple[int, Any]:
        """Count a request and answer it; what was asked for asynchronously is delivered later."""
        with self._lock:
            self.counts[path] += 1
            count = self.counts[path]
            pause_s = self._random.choice([0.0, 0.02, 0.2, 1.0])
        kind = path.split("/")[1]
        if kind == "async" and action_id is not None:
            self._plan_delivery(action_id, path)
        if kind == "slow":
            self._stopped.wait(pause_s)
        if kind == "flaky" and count <= 2:
            return 503, {"try": count}
        return 200, {"did": path}

    def _plan_delivery(self, action_id: str, path: str) -> None:
        with self._lock:
            delays_s = [
                self._random.choice([0.0, 0.0, 0.3, 2.0]) for _ in range(self._random.choice([1, 1, 2, 3]))
            ]
            self._pending += len(delays_s)
        for delay_s in delays_s:
            timer = threading.Timer(delay_s, self._pool.submit, (self._deliver, action_id, {"done": path}))
            timer.daemon = True
            timer.start()

    def _deliver(self, action_id: str, output: Any) -> None:
        """Deliver a result until there is an answer that says what became of it."""
        number = hash(action_id)
        try:
            while not self._stopped.is_set():
                number += 1
                answer = self._service.call(
                    number,
                    "PUT",
                    f"/action_executions/{action_id}",
                    json={"state": "SUCCESS", "output": output},
                )
                if answer is not None and answer.status_code == 200:
                    with self._lock:
                        self.answered.setdefault(action_id, []).append(output)
                    return
                if answer is not None and answer.status_code in {404, 409}:
                    with self._lock:
                        self.refused += 1
                    return
                self._stopped.wait(_AGAIN_S)
        finally:
            with self._lock:
                self._pending -= 1

    def close(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._pool.shutdown(cancel_futures=True)
