"""Record and compare outcomes: ``PYTHONPATH=tools python -m differential COMMAND``.

A reference for ``record`` is ``pip install mistral==23.0.0`` in a virtual environment of its own, with a
PostgreSQL and a RabbitMQ: ``mistral-db-manage upgrade head``, then ``mistral-server --server api``, ``engine`` and
``executor``. Its configuration needs ``[pecan] auth_enable = false``, and ``denied_cidrs`` empty in
``[action_std_http]``, because the cases talk to a web server on loopback.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys

from differential import records
from differential.cases import Case, load_cases
from differential.document import DOCUMENT, rendered
from differential.runner import Outcome, Pace, run_cases

REFERENCE_PACE = Pace(poll_s=0.7, still_s=5.0, deadline_s=45.0)
OWN_PACE = Pace(poll_s=0.1, still_s=1.0, deadline_s=20.0)


def main() -> int:
    """Run one command; the exit code is 1 if outcomes differ without a stated reason."""
    parser = argparse.ArgumentParser(
        prog="differential", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("command", choices=["record", "compare", "accept", "document"])
    parser.add_argument(
        "--base-url", help="of the reference (record) or of mistral_lite, for example http://h:8989/v2"
    )
    parser.add_argument("--only", help="cases whose 'theme/name' contains this text")
    parser.add_argument("--missing", action="store_true", help="record only what has no record yet")
    parser.add_argument("--threads", type=int, default=16)
    arguments = parser.parse_args()
    cases = load_cases()
    if arguments.command == "document":
        DOCUMENT.write_text(rendered(cases), encoding="utf-8")
        return 0
    if not arguments.base_url:
        parser.error("--base-url is needed")
    known = records.load(records.REFERENCE)
    chosen = [
        case
        for case in cases
        if (not arguments.only or arguments.only in f"{case.theme}/{case.name}")
        and not (arguments.missing and case.name in known)
        and not (arguments.command == "accept" and not case.differs)
    ]
    pace = REFERENCE_PACE if arguments.command == "record" else OWN_PACE
    outcomes = run_cases(arguments.base_url, chosen, pace, threads=arguments.threads)
    if arguments.command == "record":
        records.save(records.REFERENCE, cases, outcomes)
        print(f"{len(outcomes)} outcomes recorded")
        return 0
    if arguments.command == "accept":
        stated = [case for case in cases if case.differs]
        records.save(records.HERE, stated, outcomes)
        return 0
    return _report(chosen, outcomes)


def _report(cases: list[Case], outcomes: dict[str, Outcome]) -> int:
    known = records.load(records.REFERENCE)
    unexplained = 0
    equal = 0
    for case in cases:
        if case.name in outcomes and outcomes[case.name] == known.get(case.name):
            equal += 1
            if case.differs:
                print(f"== {case.theme}/{case.name}: equal, though a difference is stated")
        elif case.differs:
            print(f"== {case.theme}/{case.name}: differs as stated: {case.differs}")
        else:
            unexplained += 1
            print(f"== {case.theme}/{case.name}: DIFFERS ({case.shows})")
            print("\n".join(_difference(known.get(case.name), outcomes.get(case.name))))
    print(f"{len(cases)} cases, {equal} equal, {unexplained} differ without a reason")
    return 1 if unexplained else 0


def _difference(reference: Outcome | None, here: Outcome | None) -> list[str]:
    return list(difflib.unified_diff(_lines(reference), _lines(here), "reference", "here", lineterm="", n=2))


def _lines(outcome: Outcome | None) -> list[str]:
    return json.dumps(outcome, indent=1, sort_keys=True, ensure_ascii=False).splitlines()


if __name__ == "__main__":
    sys.exit(main())
