"""From figures to tables: text for the terminal, reStructuredText for ``docs/benchmarks.rst``, JSON for tools."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.bench.workloads import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measurement of one workload on one deployment; ``cpu_s``: CPU seconds by process in that time."""

    workload: str
    deployment: str
    round: int
    value: float
    tasks: int
    elapsed_s: float
    cpu_s: dict[str, float]


class Results:
    """All figures of a run. ``reference``: the deployment that the others are compared with, if it took part."""

    def __init__(self, workloads: Sequence[Workload], deployments: Sequence[str], reference: str) -> None:
        self._workloads = workloads
        self._deployments = deployments
        self._reference = reference if reference in deployments else None
        self._figures: list[Figure] = []

    def add(self, figure: Figure) -> None:
        """Take in a figure."""
        self._figures.append(figure)

    def median(self, workload: Workload, deployment: str) -> float | None:
        """Return the median over the rounds, or None if there is none."""
        values = [figure.value for figure in self._of(workload, deployment)]
        return statistics.median(values) if values else None

    def ratio(self, workload: Workload, deployment: str) -> float | None:
        """Return how many times better than the reference a deployment is: the median over the rounds.

        A ratio is taken within a round, whose measurements were made one after the other.
        """
        if self._reference is None or deployment == self._reference:
            return None
        base = {figure.round: figure.value for figure in self._of(workload, self._reference)}
        ratios = [
            base[figure.round] / figure.value
            if workload.less_is_better
            else figure.value / base[figure.round]
            for figure in self._of(workload, deployment)
            if figure.round in base
        ]
        return statistics.median(ratios) if ratios else None

    def cpu_ms_a_task(self, workload: Workload, deployment: str) -> str:
        """Return the CPU milliseconds a task by process, as text; empty if unknown."""
        figures = self._of(workload, deployment)
        tasks = sum(figure.tasks for figure in figures)
        roles = dict.fromkeys(role for figure in figures for role in figure.cpu_s)
        return ", ".join(
            f"{role} {sum(figure.cpu_s.get(role, 0.0) for figure in figures) * 1000 / tasks:.2f}"
            for role in roles
        )

    def geometric_mean(self, deployment: str) -> float | None:
        """Return the geometric mean of the ratios of all workloads that have a target."""
        found = [self.ratio(workload, deployment) for workload in self._workloads if workload.target]
        ratios = [ratio for ratio in found if ratio]
        return math.exp(statistics.fmean(map(math.log, ratios))) if ratios else None

    def header(self) -> list[str]:
        """Return the titles of the columns."""
        others = [name for name in self._deployments if name != self._reference]
        ratios = [f"{name} ÷ {self._reference}" for name in others] if self._reference else []
        return ["workload", "unit", *self._deployments, *ratios, *(["target"] if ratios else [])]

    def rows(self) -> list[list[str]]:
        """Return the cells of the table, a row a workload."""
        table = []
        others = [name for name in self._deployments if name != self._reference]
        for workload in self._workloads:
            row = [workload.title, workload.unit]
            row += [_number(self.median(workload, name)) for name in self._deployments]
            if self._reference:
                row += [_number(self.ratio(workload, name), " ×") for name in others]
                row.append(f"{workload.target:g} ×" if workload.target else "")
            table.append(row)
        if self._reference:
            means = [_number(self.geometric_mean(name), " ×") for name in others]
            table.append(["geometric mean of the ratios", "", *([""] * len(self._deployments)), *means, ""])
        return table

    def cpu_rows(self) -> list[list[str]]:
        """Return the CPU time of each workload by deployment, where it is known."""
        return [
            [workload.title, name, cpu]
            for workload in self._workloads
            for name in self._deployments
            if (cpu := self.cpu_ms_a_task(workload, name))
        ]

    def as_json(self) -> dict[str, Any]:
        """Return everything."""
        return {**machine(), "figures": [asdict(figure) for figure in self._figures]}

    def _of(self, workload: Workload, deployment: str) -> list[Figure]:
        return [
            figure
            for figure in self._figures
            if figure.workload == workload.name and figure.deployment == deployment
        ]


def machine() -> dict[str, str]:
    """Return date and machine of the run."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} × {model}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def text_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table for a terminal."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: list[str]) -> str:
        first, *rest = zip(row, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])


def rst_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in [header, *rows]:
        lines += [f"   {'*' if number == 0 else ' '} - {cell}".rstrip() for number, cell in enumerate(row)]
    return "\n".join(lines)


def _number(value: float | None, suffix: str = "") -> str:
    if value is None:
        return "–"
    digits = 0 if value >= 100 else 1 if value >= 10 else 3 if value < 1 else 2
    return f"{value:.{digits}f}{suffix}"
