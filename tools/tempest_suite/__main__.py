"""Run the tempest plugin of Mistral: ``PYTHONPATH=tools python -m tempest_suite COMMAND``.

``here`` runs it against this tree, ``genuine`` against a genuine Mistral whose programs are in ``--programs`` (a
virtual environment's ``bin`` with mistral 23.0.0), with a Keystone that is made for the run. Both write what came out
into ``recorded``; ``table`` writes ``docs/tempest.rst`` from it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from identity.install import default_root, installed
from identity.server import Keystone

from tempest_suite import document, suite
from tempest_suite.servers import Genuine, Server, here


def main() -> int:
    """Run one command; the exit code is 1 if a test fails here that passes on the genuine server."""
    parser = argparse.ArgumentParser(prog="tempest_suite", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=[document.HERE, document.GENUINE, "table"])
    parser.add_argument(
        "--only", help="run tests whose name matches this regular expression; nothing is recorded"
    )
    parser.add_argument(
        "--folder", type=Path, help="keep logs and results here (default: removed at the end)"
    )
    parser.add_argument("--programs", type=Path, help="of the genuine server")
    parser.add_argument("--database", help="of the genuine server: a SQLAlchemy URL of an empty database")
    parser.add_argument("--bus", default="rabbit://guest:guest@127.0.0.1:5672/", help="of the genuine server")
    arguments = parser.parse_args()
    if arguments.command == "table":
        document.write()
        return 0
    with _folder(arguments.folder) as folder:
        keystone = Keystone(installed(), folder / "keystone")
        keystone.start()
        try:
            if arguments.command == document.HERE:
                server = here(folder, keystone)
            else:
                genuine = Genuine(programs=arguments.programs, database=arguments.database, bus=arguments.bus)
                server = genuine.start(folder, keystone)
            outcomes = _run(server, keystone, folder, arguments.only)
        finally:
            keystone.stop()
    print(document.table(outcomes))
    if arguments.only is None:
        document.record(arguments.command, outcomes)
    return 1 if arguments.command == document.HERE and document.missed(outcomes) else 0


def _run(server: Server, keystone: Keystone, folder: Path, only: str | None) -> suite.Outcomes:
    try:
        server.wait_ready()
        keystone.register("workflowv2", server.url)
        accounts = suite.make_accounts(keystone)
        suite.upload_expected_workflows(server.url, keystone.token(accounts[0].account))
        binaries = suite.install(default_root().parent / "tempest")
        workspace = suite.configure(folder / "tempest", binaries, keystone.url, accounts)
        return suite.run(workspace, binaries, only=only)
    finally:
        server.stop()


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(parents=True)
        yield chosen.resolve()
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


if __name__ == "__main__":
    sys.exit(main())
