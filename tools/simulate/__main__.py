"""Run simulations: ``python -m tools.simulate --seeds 1000``; one again, with its trace: ``--seed N``."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tools.simulate.runs import Failure, run_many, run_one


def main() -> int:
    """Run what is asked for; the exit code is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="simulate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, help="run this one and print its workflows and its trace")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--most-failures", type=int, default=20, help="give up after so many in a process")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        failure = run_one(arguments.seed, is_loud=True)
        for problem in failure.problems:
            print(f"WRONG  {problem}")
        return 1 if failure.problems else 0
    began_s = time.monotonic()
    share = -(-arguments.seeds // arguments.processes)
    parts = [
        range(begin, min(begin + share, arguments.first + arguments.seeds))
        for begin in range(arguments.first, arguments.first + arguments.seeds, share)
    ]
    run = partial(run_many, most_failures=arguments.most_failures)
    with ProcessPoolExecutor(arguments.processes) as pool:
        failures: list[Failure] = [each for found in pool.map(run, parts) for each in found]
    took_s = time.monotonic() - began_s
    for failure in failures:
        print(failure.text())
    print(f"{arguments.seeds} seeds, {len(failures)} failed, {arguments.seeds / took_s:.0f} seeds/s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
