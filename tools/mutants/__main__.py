"""``python -m tools.mutants [NAME...]``: break each invariant in a copy of the tree; exit code 1 if one survives.

``--table`` prints what ``docs/reliability.rst`` shows. The tests of some need PostgreSQL, as ``tools/test.sh`` says.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("mistral_lite", "tests", "tools", "alembic", "etc", "pyproject.toml", "setup.cfg", "setup.py")


def main() -> int:
    """Run the mutants that are asked for."""
    parser = argparse.ArgumentParser(prog="mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="all by default")
    parser.add_argument("--table", action="store_true", help="only print the table of the documents")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return 0
    chosen = [mutant for mutant in MUTANTS if not arguments.names or mutant.name in arguments.names]
    survivors = [mutant.name for mutant in chosen if not _is_caught(mutant)]
    print(
        f"{len(chosen) - len(survivors)} of {len(chosen)} caught; survivors: {', '.join(survivors) or 'none'}"
    )
    return 1 if survivors else 0


def table() -> str:
    """Return what is broken and what notices it, as a definition list."""
    return "\n\n".join(f"{mutant.breaks}\n   {_shown(mutant)}" for mutant in MUTANTS)


def _shown(mutant: Mutant) -> str:
    test = mutant.test if mutant.test.startswith("the ") else f"``{mutant.test}``"
    return f"``{mutant.name}``, noticed by {test}."


def _is_caught(mutant: Mutant) -> bool:
    with tempfile.TemporaryDirectory(prefix="mistral_lite_mutant_") as name:
        folder = Path(name)
        for part in _PARTS:
            source = ROOT / part
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, folder / part)
        broken = folder / mutant.path
        text = broken.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            print(f"{mutant.name:24} its place is not there (any more) in {mutant.path}")
            return False
        broken.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        began_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, *mutant.program],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
    lines = (done.stdout + done.stderr).strip().splitlines()
    word = "caught" if done.returncode == 1 else f"SURVIVED ({done.returncode})"
    print(
        f"{mutant.name:24} {word} in {time.monotonic() - began_s:.0f} s by {mutant.test}: {lines[-1] if lines else ''}",
        flush=True,
    )
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main())
