"""``PYTHONPATH=tools python -m fuzz``: run hostile texts for as long as wanted, and print what was found."""

from __future__ import annotations

import argparse
import sys
import time
from itertools import chain

from fuzz.runner import Runner, peak_bytes


def main() -> int:
    """Run; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="equal seeds give equal texts (%(default)s)")
    parser.add_argument("--count", type=int, default=10_000, help="generated texts (%(default)s)")
    parser.add_argument(
        "--max-time", type=float, default=0.2, help="seconds for one expression (%(default)s)"
    )
    arguments = parser.parse_args()
    runner = Runner(arguments.max_time)
    began_s = time.monotonic()
    found = 0
    for finding in chain(
        runner.run_attacks(), runner.run_bombs(), runner.run(arguments.seed, arguments.count)
    ):
        found += 1
        print(finding, flush=True)
    print(
        f"{runner.count} texts, {found} findings, {time.monotonic() - began_s:.0f} s,"
        f" at most {peak_bytes() / 2**20:.0f} MiB"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
