"""DBOS Transact against the service in one process: the same chain, on the same PostgreSQL and on SQLite.

DBOS is a library: its workflows run in the process that starts them, here a small program in an environment of
its own. The service is asked over HTTP, as always.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tools.bench import definitions, deployments, installs
from tools.bench.client import BenchError
from tools.bench.deployments import Deployment, Services
from tools.bench.report import Section, Table, Target, number, yes
from tools.bench.workloads import Workload, batches

_PROGRAM = Path(__file__).with_name("dbos_chain.py")
_LENGTH = 20
_TARGET = 2.0
_AT_ONCE = (10, 1)
_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DbosProcess:
    """A process that runs chains with DBOS when it is asked to."""

    process: subprocess.Popen[str]

    def tasks_a_second(self, at_once: int, seconds: float) -> float:
        """Measure; return steps a second."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{at_once} {seconds}\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise BenchError("The program with DBOS ended; its log says why.") from error
        found = self.answer()
        return float(found["tasks"] / found["elapsed_s"])

    def answer(self) -> Any:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BenchError("The program with DBOS ended; its log says why.")
        return json.loads(line)


def section(folder: Path, services: Services, cache: Path, seconds: float) -> Section:
    """Measure both in turns on both databases."""
    python = installs.scripts_of(installs.DBOS, cache) / "python"
    rows = []
    targets = []
    for kind, url in (("PostgreSQL", services.postgresql_url), ("SQLite", None)):
        with ExitStack() as stack:
            place = folder / kind.lower()
            own = stack.enter_context(deployments.embedded(place, postgresql_url=url))
            peer = stack.enter_context(_dbos(python, place, url))
            for at_once in _AT_ONCE:
                ours, theirs, ratio = _compare(own, peer, at_once, seconds)
                title = f"chain of {_LENGTH}, {at_once} at once, {kind}"
                if at_once > 1:
                    targets.append(
                        Target(name=f"{title}: {number(ratio)} of 2 × DBOS", is_met=ratio >= _TARGET)
                    )
                aim = [f"{_TARGET:g} ×", yes(ratio >= _TARGET)] if at_once > 1 else ["", ""]
                rows.append([title, number(ours), number(theirs), number(ratio, " ×"), *aim])
    text = (
        f"The service with engine and executor in one process, driven over HTTP, against {installs.DBOS.name}, whose "
        "workflows run in the process that starts them. Tasks (steps) a second; each with its own settings for SQLite."
    )
    header = ["workload", "embedded", "DBOS", "embedded ÷ DBOS", "target", "met"]
    return Section(
        title="DBOS Transact", text=[text], tables=[Table(header=header, rows=rows)], targets=targets
    )


def _compare(own: Deployment, peer: DbosProcess, at_once: int, seconds: float) -> tuple[float, float, float]:
    """Return tasks a second of both, and the ratio."""
    name = f"bench_chain_{_LENGTH}"
    workload = Workload(
        name=f"{name}_{at_once}",
        title=name,
        unit="tasks/s",
        texts=((definitions.chain(name, _LENGTH), (name,)),),
        workflow=name,
        tasks=_LENGTH,
        at_once=at_once,
        commits=_LENGTH + 1,
        way=batches,
    )
    workload.prepare(own.client)
    workload.measure(own.client, 0)
    peer.tasks_a_second(at_once, 0)
    pairs = [
        (workload.measure(own.client, seconds).value, peer.tasks_a_second(at_once, seconds))
        for _ in range(_ROUNDS)
    ]
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    return ours, theirs, median(mine / its for mine, its in pairs)


@contextmanager
def _dbos(python: Path, folder: Path, postgresql_url: str | None) -> Iterator[DbosProcess]:
    with ExitStack() as stack:
        url = f"sqlite:///{(folder / 'dbos.sqlite').absolute()}"
        if postgresql_url is not None:
            name = f"mistral_lite_bench_{os.getpid()}_dbos"
            url = stack.enter_context(deployments.database(postgresql_url, name))
        log = stack.enter_context((folder / "dbos.log").open("w"))
        process = subprocess.Popen(
            [str(python), str(_PROGRAM), url, str(_LENGTH)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        stack.callback(_end, process)
        peer = DbosProcess(process=process)
        peer.answer()
        yield peer


def _end(process: subprocess.Popen[str]) -> None:
    try:
        # Its input ends, and it with that.
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
