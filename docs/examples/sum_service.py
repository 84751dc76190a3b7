"""A web service that takes an order at once, adds two numbers in its own time, and then delivers the sum.

It knows nothing of workflows but two headers of the order. ``python3 sum_service.py [PORT]``
"""

import json
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


def deliver(callback: str, total: int) -> None:
    body = json.dumps({"state": "SUCCESS", "output": total}).encode()
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(callback, body, headers), timeout=10).close()
    print(f"delivered {total} to {callback}", flush=True)


class Orders(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        total = int(query["a"][0]) + int(query["b"][0])
        base, order = self.headers["Mistral-Callback-URL"], self.headers["Mistral-Action-Execution-Id"]
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        threading.Timer(1.0, deliver, (f"{base}/v2/action-executions/{order}", total)).start()


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9000
    ThreadingHTTPServer(("127.0.0.1", port), Orders).serve_forever()
