"""Chaos: ``python -m tools.chaos --seed N --workflows 500 --kills 40``. Exit code 1 if a promise was broken.

Needs the programs of PostgreSQL and RabbitMQ on this machine (Linux); it starts instances of its own and touches
no other. As root it runs PostgreSQL as the account ``postgres``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tools.chaos.run import Chaos


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workflows", type=int, default=500)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--pause", type=float, default=2.5, help="seconds between two faults, on average")
    parser.add_argument(
        "--patience", type=float, default=400.0, help="seconds that the end may take afterwards"
    )
    parser.add_argument(
        "--folder", type=Path, help="where data and logs are kept; a temporary one by default"
    )
    parser.add_argument("--quiet", action="store_true", help="print the table only")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="mistral_lite_chaos_"))
    folder.mkdir(parents=True, exist_ok=True)
    # The account of PostgreSQL must get through to its own folder.
    folder.chmod(0o755)
    chaos = Chaos(folder, arguments.seed, is_loud=not arguments.quiet)
    problems = chaos.run(
        workflows=arguments.workflows,
        kills=arguments.kills,
        pause_s=arguments.pause,
        patience_s=arguments.patience,
    )
    print(chaos.table())
    for problem in problems[:50]:
        print(f"WRONG  {problem}")
    if problems:
        print(f"Logs are in {folder}. The same faults again: --seed {arguments.seed}")
    elif arguments.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
