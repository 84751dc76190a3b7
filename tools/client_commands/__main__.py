"""Record and compare what the client shows: ``PYTHONPATH=tools python -m client_commands COMMAND``.

A reference for ``record`` is a genuine Mistral 23.0.0 with an empty database of its own (api, engine, executor and
event-engine); for the themes that need Keystone one with Keystone, whose accounts are given as for the client.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import tempfile
from pathlib import Path

from client_commands import records
from client_commands.document import DOCUMENT, rendered
from client_commands.runner import Outcome, Run, Service
from client_commands.script import Theme, load_themes


def main() -> int:
    """Run one command; the exit code is 1 if something differs without a stated reason."""
    parser = argparse.ArgumentParser(prog="client_commands", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["record", "compare", "accept", "document"])
    parser.add_argument("--url", help="of the service, for example http://127.0.0.1:8989/v2")
    parser.add_argument(
        "--accounts", type=Path, help="JSON for themes with Keystone: logins and projects by who types"
    )
    parser.add_argument("--only", action="append", help="themes by name (default: all that can run)")
    arguments = parser.parse_args()
    themes = load_themes()
    if arguments.command == "document":
        DOCUMENT.write_text(rendered(themes), encoding="utf-8")
        return 0
    if not arguments.url:
        parser.error("--url is needed")
    accounts = json.loads(arguments.accounts.read_text()) if arguments.accounts else None
    chosen = [
        theme
        for theme in themes
        if (not arguments.only or theme.name in arguments.only) and theme.needs_identity == bool(accounts)
    ]
    service = Service(url=arguments.url, **accounts) if accounts else Service.open(arguments.url)
    unexplained = 0
    for theme in chosen:
        with tempfile.TemporaryDirectory() as folder:
            outcomes = Run(service, theme, Path(folder)).outcomes()
        if arguments.command == "record":
            records.save(records.REFERENCE, theme.name, outcomes)
            print(f"{theme.name}: {len(outcomes)} commands recorded")
        elif arguments.command == "accept":
            stated = zip(theme.commands, outcomes, strict=True)
            records.save(records.HERE, theme.name, [seen for command, seen in stated if command.differs])
        else:
            unexplained += _report(theme, outcomes)
    return 1 if unexplained else 0


def _report(theme: Theme, outcomes: list[Outcome]) -> int:
    unexplained = 0
    reference = records.load(records.REFERENCE, theme.name)
    outcomes = records.comparable(outcomes)
    for command, seen, wanted in zip(theme.commands, outcomes, reference, strict=True):
        if (seen == wanted) == (command.differs is None):
            continue
        unexplained += 1
        print(
            f"== {theme.name}: {command.text}"
            + (" is equal, though it should differ" if command.differs else "")
        )
        if not command.differs:
            print(
                "\n".join(
                    difflib.unified_diff(_lines(wanted), _lines(seen), "reference", "here", "", "", 2, "")
                )
            )
    print(f"{theme.name}: {len(outcomes)} commands, {unexplained} differ without a reason")
    return unexplained


def _lines(outcome: Outcome) -> list[str]:
    return json.dumps(outcome, indent=1, ensure_ascii=False).splitlines()


if __name__ == "__main__":
    sys.exit(main())
