"""A chain of steps in DBOS Transact; runs in an environment that has ``dbos`` and knows nothing else of the tool.

``python dbos_chain.py DATABASE_URL LENGTH`` prints a line once it is ready. For each line ``AT_ONCE SECONDS`` that
it then reads it starts that many workflows of LENGTH steps together, waits for them, and again, until the
seconds are over; it prints the steps done and the seconds taken, as JSON.
"""

from __future__ import annotations

import json
import sys
import time

from dbos import DBOS


@DBOS.step()
def step(number: int) -> int:
    """Do as much as ``std.noop``."""
    return number


@DBOS.workflow()
def chain(length: int) -> int:
    """Run the steps one after the other."""
    for number in range(length):
        step(number)
    return length


def measure(length: int, at_once: int, seconds: float) -> dict[str, float]:
    """Return the steps done and the seconds taken."""
    began = time.perf_counter()
    count = 0
    while not count or time.perf_counter() - began < seconds:
        handles = [DBOS.start_workflow(chain, length) for _ in range(at_once)]
        count += sum(handle.get_result() for handle in handles)
    return {"tasks": count, "elapsed_s": time.perf_counter() - began}


def main() -> None:
    """Serve measurements until standard input ends."""
    database_url, length = sys.argv[1], int(sys.argv[2])
    DBOS(config={"name": "bench", "system_database_url": database_url, "log_level": "ERROR"})
    DBOS.launch()
    print(json.dumps({"is_ready": True}), flush=True)
    for line in sys.stdin:
        at_once, seconds = line.split()
        print(json.dumps(measure(length, int(at_once), float(seconds))), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main()
