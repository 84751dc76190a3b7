"""Measure what the all-in-one service costs while it has nothing to do.

Prints seconds from start to ready, resident memory and CPU time while idle: ::

    python tools/measure_idle.py [--seconds 30]

Needs Linux (``/proc``) and an environment in which ``mistral_lite`` is installed.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POLL_S = 0.02
START_LIMIT_S = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v2/workflows?limit=1")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def cpu_s(pid: int) -> float:
    """Return user and system time of a process in seconds."""
    # The name in parentheses may hold blanks; the fields behind it do not.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not is_ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("The service did not start.")
        time.sleep(POLL_S)


def measure(seconds: float) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mistral_lite.cli.main", "serve"]
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, "--port", str(port), "--state-dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            wait_ready(process, port)
            print(f"start to ready  {time.monotonic() - began:6.2f} s (with an empty state directory)")
            # What the first request and the start left to do is no part of idleness.
            time.sleep(2)
            cpu_before, began = cpu_s(process.pid), time.monotonic()
            time.sleep(seconds)
            share = (cpu_s(process.pid) - cpu_before) / (time.monotonic() - began)
            print(f"resident memory {resident_mb(process.pid):6.1f} MB")
            print(f"idle CPU        {share:6.2%} of one core over {seconds:g} s")
        finally:
            process.terminate()
            process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the idle all-in-one service.")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to watch (default: 30)")
    measure(parser.parse_args().seconds)


if __name__ == "__main__":
    main()
