"""Whether a second engine helps: the same workloads with one engine process and with two, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tools.bench import definitions, deployments
from tools.bench.comparison import Comparison
from tools.bench.deployments import Services
from tools.bench.report import Section, Table, Target, number, yes
from tools.bench.workloads import Workload, batches

_ONE = "one engine"
_TWO = "two engines"
_ROUNDS = 3
# Two measurements of the same differ by some per cent.
_TOLERATED = 0.95
_EXPRESSIONS_TARGET = 1.5

# Several executions at once, as an execution is decided by one engine at a time.
_EXPRESSIONS = Workload(
    name="expressions",
    title="bound by expressions: 5 tasks that compare 100 rows with each other, 8 at once",
    unit="tasks/s",
    texts=((definitions.data_chain("bench_expressions", 5, definitions.PAIRS), ("bench_expressions",)),),
    workflow="bench_expressions",
    workflow_input=definitions.hosts(100),
    tasks=5,
    at_once=8,
    commits=6,
    way=batches,
)


def section(folder: Path, services: Services, workloads: Sequence[Workload], seconds: float) -> Section:
    """Measure each workload with one engine and with two."""
    with ExitStack() as stack:
        comparison = Comparison(
            workloads=[*workloads, _EXPRESSIONS],
            deployments=[
                stack.enter_context(
                    deployments.distributed(folder / name, services, name=name, engines=engines)
                )
                for engines, name in ((1, _ONE), (2, _TWO))
            ],
            rounds=_ROUNDS,
            seconds=seconds,
        )
        comparison.run()
    rows = []
    targets = []
    for workload in comparison.workloads:
        ratio = comparison.results.ratio(workload, _TWO, base=_ONE)
        if ratio is None:
            continue
        least, aim = (
            (_EXPRESSIONS_TARGET, f"{_EXPRESSIONS_TARGET:g} ×")
            if workload is _EXPRESSIONS
            else (_TOLERATED, "not slower")
        )
        targets.append(
            Target(name=f"two engines, {workload.title}: {number(ratio)} ×, aim {aim}", is_met=ratio >= least)
        )
        values = [number(comparison.results.median(workload, name)) for name in (_ONE, _TWO)]
        rows.append([workload.title, workload.unit, *values, number(ratio, " ×"), aim, yes(ratio >= least)])
    text = (
        f"Two distributed deployments in turns, {_ROUNDS} rounds of about {seconds:g} s. The second engine shares the "
        'processors with everything else, the client included. "Not slower" tolerates '
        f"{1 - _TOLERATED:.0%}, which two measurements of the same differ by."
    )
    header = ["workload", "unit", _ONE, _TWO, "gain", "target", "met"]
    return Section(
        title="A second engine",
        text=[text],
        tables=[Table(header=header, rows=rows)],
        targets=targets,
        failures=comparison.failures,
    )
