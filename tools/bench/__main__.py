"""The command: ``python -m tools.bench`` (see ``--help``). Starts, measures in turns, prints, stops."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tools.bench import deployments
from tools.bench.client import BenchError
from tools.bench.deployments import Deployment
from tools.bench.results import Figure, Results, machine, rst_table, text_table
from tools.bench.workloads import WORKLOADS, Workload

_REFERENCE = "reference"
_OWN = ("embedded", "distributed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit status."""
    options = _parser().parse_args(arguments)
    workloads = [workload for workload in WORKLOADS if workload.name in options.workloads]
    try:
        with ExitStack() as stack:
            measured = _start(options, stack)
            results = Results(workloads, [deployment.name for deployment in measured], _REFERENCE)
            _measure(workloads, measured, results, rounds=options.rounds, seconds=options.seconds)
    except BenchError as error:
        print(f"The run was broken off: {error}", file=sys.stderr)
        return 1
    facts = machine()
    print(f"\n{facts['date']}, {facts['machine']}, Python {facts['python']}")
    print(f"{options.rounds} rounds of {options.seconds:g} s; medians\n")
    print(text_table(results.header(), results.rows()))
    cpu = results.cpu_rows()
    if cpu:
        print("\n" + text_table(["CPU", "deployment", "ms a task"], cpu))
    if options.json:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    if options.rst:
        options.rst.write_text(_rst(results, options))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure deployments.")
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--only", type=_one_of(_OWN), default=list(_OWN), help=f"of {', '.join(_OWN)}")
    parser.add_argument("--workloads", type=_one_of(names), default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--seconds", type=float, default=5.0, help="about how long one measurement lasts")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turns")
    parser.add_argument("--engines", type=int, default=1, help="engine processes of the distributed one")
    parser.add_argument("--reference", metavar="URL", help="base URL of a Mistral to compare with")
    parser.add_argument("--postgresql", default="postgresql://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--rabbitmq", default="rabbit://guest:guest@127.0.0.1:5672/")
    parser.add_argument("--folder", type=Path, help="for state and logs; kept (default: one that is removed)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--rst", type=Path, metavar="FILE", help="write the tables in reStructuredText")
    return parser


def _one_of(known: Sequence[str]) -> type[list[str]]:
    class Names(list[str]):
        def __init__(self, text: str) -> None:
            names = text.split(",")
            unknown = [name for name in names if name not in known]
            if unknown:
                raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
            super().__init__(names)

    return Names


def _start(options: argparse.Namespace, stack: ExitStack) -> list[Deployment]:
    folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    measured = []
    if "embedded" in options.only:
        measured.append(stack.enter_context(deployments.embedded(folder / "embedded")))
    if "distributed" in options.only:
        services = deployments.Services(postgresql_url=options.postgresql, transport_url=options.rabbitmq)
        measured.append(
            stack.enter_context(
                deployments.distributed(folder / "distributed", services, engines=options.engines)
            )
        )
    if options.reference:
        measured.append(deployments.external(_REFERENCE, options.reference))
    return measured


def _measure(
    workloads: Sequence[Workload],
    measured: Sequence[Deployment],
    results: Results,
    *,
    rounds: int,
    seconds: float,
) -> None:
    for deployment in measured:
        for workload in workloads:
            workload.prepare(deployment.client)
            # Once unmeasured: what is compiled, cached or connected on first use is not what is compared.
            workload.measure(deployment.client, 0.0)
    for number in range(1, rounds + 1):
        for workload in workloads:
            for deployment in measured:
                before = deployment.cpu_s()
                found = workload.measure(deployment.client, seconds)
                after = deployment.cpu_s()
                results.add(
                    Figure(
                        workload=workload.name,
                        deployment=deployment.name,
                        round=number,
                        value=found.value,
                        tasks=found.tasks,
                        elapsed_s=found.elapsed_s,
                        cpu_s={role: after[role] - before[role] for role in before if role in after},
                    )
                )
                print(
                    f"round {number}  {workload.name:<14}{deployment.name:<13}{found.value:10.2f} {workload.unit}"
                )
                sys.stdout.flush()


def _rst(results: Results, options: argparse.Namespace) -> str:
    facts = machine()
    return "\n".join(
        [
            f"Measured {facts['date']} on {facts['machine']}, Python {facts['python']}.",
            f"{options.rounds} rounds of {options.seconds:g} s a measurement; medians.",
            "",
            rst_table(results.header(), results.rows()),
            "",
            "CPU milliseconds a task, by process:",
            "",
            rst_table(["workload", "deployment", "ms a task"], results.cpu_rows()),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
