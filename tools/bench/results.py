"""From the figures of deployments that did the same in turns to the tables that compare them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tools.bench.report import Table, Target, number, yes
from tools.bench.workloads import WORKLOADS, Workload

MEAN_TARGET = 50.0
# Whose figures are held against the targets that are ratios.
JUDGED = "distributed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measurement of one workload on one deployment.

    CPU seconds in that time: ``cpu_s`` by process, ``client_cpu_s`` of this tool, ``machine_cpu_s`` of all.
    """

    workload: str
    deployment: str
    round: int
    value: float
    tasks: int
    elapsed_s: float
    cpu_s: dict[str, float]
    client_cpu_s: float
    machine_cpu_s: float


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

    def ratio(self, workload: Workload, deployment: str, base: str | None = None) -> float | None:
        """Return how many times better than another (None: the reference) a deployment is: the median over the rounds.

        A ratio is taken within a round, whose measurements were made one after the other. For a round in which
        the other one was not measured, its last figure before stands.
        """
        base = base or self._reference
        if base is None or deployment == base:
            return None
        bases = {figure.round: figure.value for figure in self._of(workload, base)}
        ratios = []
        for figure in self._of(workload, deployment):
            known = [bases[number] for number in sorted(bases) if number <= figure.round]
            if known:
                better = known[-1] / figure.value if workload.less_is_better else figure.value / known[-1]
                ratios.append(better)
        return statistics.median(ratios) if ratios else None

    def geometric_mean(self, deployment: str) -> float | None:
        """Return the geometric mean of the ratios of all workloads whose target is a ratio."""
        found = [self.ratio(workload, deployment) for workload in self._workloads if workload.target]
        ratios = [ratio for ratio in found if ratio]
        return math.exp(statistics.fmean(map(math.log, ratios))) if ratios else None

    def targets(self, workload: Workload) -> list[Target]:
        """Return the targets of a workload that this run can judge."""
        found = []
        ratio = self.ratio(workload, JUDGED)
        if workload.target and ratio is not None:
            name = f"{workload.title}: {number(ratio)} of {workload.target:g} ×"
            found.append(Target(name=name, is_met=ratio >= workload.target))
        for deployment, most in workload.most.items():
            value = self.median(workload, deployment)
            if value is not None:
                name = f"{workload.title}, {deployment}: {number(value)} {workload.unit}, aim {most:g}"
                found.append(Target(name=name, is_met=value <= most))
        return found

    def all_targets(self) -> list[Target]:
        """Return the targets of all workloads, and of the geometric mean if none is missing in it."""
        found = [target for workload in self._workloads for target in self.targets(workload)]
        return found + self._mean_targets()

    def table(self) -> Table:
        """Return the table that compares, a row a workload."""
        others = [name for name in self._deployments if name != self._reference]
        header = ["workload", "unit", *self._deployments]
        header += [f"{name} ÷ {self._reference}" for name in others] if self._reference else []
        rows = []
        for workload in self._workloads:
            row = [workload.title, workload.unit]
            row += [number(self.median(workload, name)) for name in self._deployments]
            row += [number(self.ratio(workload, name), " ×") for name in others] if self._reference else []
            rows.append([*row, _aim(workload), _verdict(self.targets(workload))])
        if self._reference:
            means = [number(self.geometric_mean(name), " ×") for name in others]
            empty = [""] * (len(self._deployments) + 1)
            verdict = _verdict(self._mean_targets())
            rows.append(["geometric mean of the ratios", *empty, *means, f"{MEAN_TARGET:g} ×", verdict])
        return Table(header=[*header, "target", "met"], rows=rows)

    def cpu_table(self) -> Table:
        """Return the CPU time of each workload by deployment, where it is known."""
        rows = []
        for workload in self._workloads:
            for name in self._deployments:
                figures = self._of(workload, name)
                roles = dict.fromkeys(role for figure in figures for role in figure.cpu_s)
                if not roles:
                    continue
                tasks = sum(figure.tasks for figure in figures)
                by_role = {
                    role: sum(figure.cpu_s.get(role, 0.0) for figure in figures) * 1000 / tasks
                    for role in roles
                }
                client = sum(figure.client_cpu_s for figure in figures) * 1000 / tasks
                machine = sum(figure.machine_cpu_s for figure in figures) * 1000 / tasks
                texts = ", ".join(f"{role} {value:.2f}" for role, value in by_role.items())
                total = sum(by_role.values())
                rows.append([workload.title, name, f"{total:.2f}", texts, f"{client:.2f}", f"{machine:.2f}"])
        header = ["workload", "deployment", "sum", "by process", "client", "whole machine"]
        return Table(title="CPU milliseconds a task", header=header, rows=rows)

    def as_json(self) -> list[dict[str, Any]]:
        """Return all figures."""
        return [asdict(figure) for figure in self._figures]

    def _mean_targets(self) -> list[Target]:
        mean = self.geometric_mean(JUDGED)
        measured = {workload.name for workload in self._workloads if self.ratio(workload, JUDGED)}
        if mean is None or not {workload.name for workload in WORKLOADS if workload.target} <= measured:
            return []
        name = f"geometric mean: {number(mean)} of {MEAN_TARGET:g} ×"
        return [Target(name=name, is_met=mean >= MEAN_TARGET)]

    def _of(self, workload: Workload, deployment: str) -> list[Figure]:
        return [
            figure
            for figure in self._figures
            if figure.workload == workload.name and figure.deployment == deployment
        ]


def _aim(workload: Workload) -> str:
    if workload.target:
        return f"{workload.target:g} ×"
    return ", ".join(f"{name} {most:g} {workload.unit}" for name, most in workload.most.items())


def _verdict(targets: Sequence[Target]) -> str:
    return yes(all(target.is_met for target in targets)) if targets else ""
