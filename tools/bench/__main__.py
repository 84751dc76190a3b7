"""The command: ``python -m tools.bench`` (see ``--help``). Starts, measures in turns, prints, stops."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tools.bench import deployments, engines, growth, installs, limit, peers, profiles, reference, report
from tools.bench.client import BenchError
from tools.bench.comparison import Comparison
from tools.bench.deployments import Deployment, Services
from tools.bench.report import Section
from tools.bench.workloads import WORKLOADS, Workload

_OWN = ("embedded", "distributed")
_PARTS = ("compare", "limit", "profile", "dbos", "growth", "engines")
_DOCUMENT = Path("docs/benchmarks.rst")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit status: 1 if something did not do what it should."""
    options = _parser().parse_args(arguments)
    if options.all:
        options.parts = list(_PARTS)
        options.genuine = options.reference is None
        options.document = options.document or _DOCUMENT
    if options.document:
        # Before the run, not after it: raises if the marks are not there.
        report.replaced(options.document.read_text(encoding="utf-8"), "")
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        run = Run(options=options, folder=folder)
        run.take()
    print("\n" + report.as_text(run.sections))
    if options.rst:
        options.rst.write_text(report.as_rst(run.sections))
    if options.document:
        document = options.document.read_text(encoding="utf-8")
        options.document.write_text(report.replaced(document, report.as_rst(run.sections)), encoding="utf-8")
    return 1 if any(section.failures for section in run.sections) else 0


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of the parts that were asked for. A part that breaks off leaves the others."""

    options: argparse.Namespace
    folder: Path
    sections: list[Section] = field(default_factory=list)
    figures: list[dict[str, object]] = field(default_factory=list)

    def take(self) -> None:
        """Take the parts, one after the other."""
        options = self.options
        if {"compare", "limit", "profile"} & set(options.parts):
            self._part("Comparison", self._compare)
        if "dbos" in options.parts:
            self._part("DBOS Transact", self._dbos)
        if "growth" in options.parts:
            self._part("Growth", self._growth)
        if "engines" in options.parts:
            self._part("A second engine", self._engines)

    def _part(self, title: str, work: Callable[[], list[Section]]) -> None:
        began = time.monotonic()
        try:
            found = work()
        except (BenchError, OSError, psycopg.Error, subprocess.SubprocessError) as error:
            # What was measured before is not lost.
            print(f"{title} was broken off: {error}", file=sys.stderr)
            found = [Section(title=title, text=[], tables=[], failures=[f"broken off: {error}"])]
        # With the first one of a part that has several sections.
        first = dataclasses.replace(found[0], elapsed_s=time.monotonic() - began)
        self.sections += [first, *found[1:]]
        if self.options.json:
            self.options.json.write_text(json.dumps(self._as_json(), indent=1) + "\n")

    def _as_json(self) -> dict[str, object]:
        sections = [dataclasses.asdict(section) for section in self.sections]
        return {**report.machine(), "figures": self.figures, "sections": sections}

    def _compare(self) -> list[Section]:
        options = self.options
        with ExitStack() as stack:
            comparison = Comparison(
                workloads=self._workloads(),
                deployments=self._start(stack),
                rounds=options.rounds,
                seconds=options.seconds,
            )
            comparison.run()
            self.figures = comparison.results.as_json()
            sections = [comparison.section()]
            if "limit" in options.parts:
                limits = comparison.limits()
                sections.append(limit.section(comparison.workloads, limits, comparison.results))
            if "profile" in options.parts:
                scripts = installs.scripts_of(installs.PROFILER, options.cache)
                found = comparison.profiles(profiles.Profiler(program=scripts / "py-spy"))
                sections.append(profiles.section(comparison.workloads, found))
        return sections

    def _start(self, stack: ExitStack) -> list[Deployment]:
        options = self.options
        started: list[Deployment] = []
        if "embedded" in options.only:
            started.append(stack.enter_context(deployments.embedded(self.folder / "embedded")))
        if "distributed" in options.only:
            place = self.folder / "distributed"
            deployment = deployments.distributed(place, self._services(), engines=options.engines)
            started.append(stack.enter_context(deployment))
        if options.reference:
            started.append(deployments.external(reference.NAME, options.reference))
        elif options.genuine:
            genuine = reference.genuine(self.folder / "reference", self._services(), options.cache)
            started.append(stack.enter_context(genuine))
        return started

    def _dbos(self) -> list[Section]:
        options = self.options
        return [peers.section(self.folder / "dbos", self._services(), options.cache, options.seconds)]

    def _growth(self) -> list[Section]:
        options = self.options
        sizes = growth.Sizes().scaled(options.scale)
        return [growth.section(self.folder / "growth", self._services(), sizes, options.seconds)]

    def _engines(self) -> list[Section]:
        # Twice the deployments of the comparison: half the time for each.
        seconds = self.options.seconds / 2
        return [engines.section(self.folder / "engines", self._services(), self._workloads(), seconds)]

    def _services(self) -> Services:
        return Services(postgresql_url=self.options.postgresql, transport_url=self.options.rabbitmq)

    def _workloads(self) -> list[Workload]:
        return [workload for workload in WORKLOADS if workload.name in self.options.workloads]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure deployments.")
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument(
        "--all", action="store_true", help=f"every part, the genuine Mistral, and write {_DOCUMENT}"
    )
    parser.add_argument("--parts", type=_some_of(_PARTS), default=["compare"], help=f"of {', '.join(_PARTS)}")
    parser.add_argument("--only", type=_some_of(_OWN), default=list(_OWN), help=f"of {', '.join(_OWN)}")
    parser.add_argument("--workloads", type=_some_of(names), default=names, help=f"of {', '.join(names)}")
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long one measurement lasts")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turns")
    parser.add_argument("--engines", type=int, default=1, help="engine processes of the distributed one")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes that growth goes to")
    compared = parser.add_mutually_exclusive_group()
    compared.add_argument(
        "--genuine", action="store_true", help="compare with Mistral, installed and started"
    )
    compared.add_argument("--reference", metavar="URL", help="compare with a Mistral that runs already")
    parser.add_argument("--postgresql", default="postgresql://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--rabbitmq", default="rabbit://guest:guest@127.0.0.1:5672/")
    parser.add_argument("--folder", type=Path, help="for state and logs; kept (default: one that is removed)")
    parser.add_argument(
        "--cache", type=Path, default=installs.cache_folder(), help="where what is compared with is installed"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--rst", type=Path, metavar="FILE", help="write the tables in reStructuredText")
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="write them between the marks of a document"
    )
    return parser


def _some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = text.split(",")
        unknown = [name for name in found if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return found

    return names


if __name__ == "__main__":
    # What was started is stopped and removed also if somebody ends the run.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
