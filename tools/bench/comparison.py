"""The main part: every workload on every deployment, in turns, so that all of them meet the same machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.bench import limit, processes, profiles, reference
from tools.bench.client import BenchError
from tools.bench.deployments import Deployment
from tools.bench.limit import Limit
from tools.bench.profiles import Profile
from tools.bench.report import Section
from tools.bench.results import JUDGED, Figure, Results
from tools.bench.workloads import Workload


@dataclass(slots=True, kw_only=True)
class Comparison:
    """Measures ``workloads`` on ``deployments``, ``rounds`` times about ``seconds`` each.

    ``failures``: what did not do what it should; such a measurement gives no figure, the others go on.
    """

    workloads: Sequence[Workload]
    deployments: Sequence[Deployment]
    rounds: int
    seconds: float
    failures: list[str] = field(default_factory=list)
    results: Results = field(init=False)

    def __post_init__(self) -> None:
        names = [deployment.name for deployment in self.deployments]
        self.results = Results(self.workloads, names, reference.NAME)

    def run(self) -> None:
        """Prepare everything, then measure round by round."""
        for deployment in self.deployments:
            for workload in self.workloads:
                workload.prepare(deployment.client)
                # Once unmeasured: what is compiled, cached or connected on first use is not what is compared.
                if not (workload.is_long and deployment.name == reference.NAME):
                    self._try(workload, deployment, 0)
        for number in range(1, self.rounds + 1):
            for workload in self.workloads:
                for deployment in self.deployments:
                    if not (workload.is_long and deployment.name == reference.NAME and number > 1):
                        self._try(workload, deployment, number)

    def limits(self) -> dict[str, Limit]:
        """Return the limit by name of the workload, from what the workloads left in the database."""
        deployment = self._judged()
        assert deployment.database_url is not None
        return {
            workload.name: limit.measure(deployment.database_url, workload) for workload in self.workloads
        }

    def profiles(self, profiler: profiles.Profiler) -> dict[str, Profile]:
        """Return where the time went by name of the workload."""
        deployment = self._judged()
        return {
            workload.name: profiler.profile(deployment, workload, self.seconds) for workload in self.workloads
        }

    def section(self) -> Section:
        """Return the tables."""
        text = [f"{self.rounds} rounds of about {self.seconds:g} s a measurement; medians."]
        if any(deployment.name == reference.NAME for deployment in self.deployments):
            titles = " and ".join(f'"{workload.title}"' for workload in self.workloads if workload.is_long)
            if titles:
                text.append(f"The reference was measured once with {titles}, as that takes it so long.")
        tables = [self.results.table(), self.results.cpu_table()]
        return Section(
            title="Comparison",
            text=text,
            tables=[table for table in tables if table.rows],
            targets=self.results.all_targets(),
            failures=self.failures,
        )

    def _judged(self) -> Deployment:
        for deployment in self.deployments:
            if deployment.name == JUDGED:
                return deployment
        raise BenchError("Limits and profiles need the distributed deployment.")

    def _try(self, workload: Workload, deployment: Deployment, number: int) -> None:
        """Measure once; number 0 is the unmeasured time."""
        try:
            figure = measured(workload, deployment, self.seconds if number else 0.0, number)
        except BenchError as error:
            self.failures.append(f"{workload.name} on {deployment.name}: {error}")
            print(f"FAILED  {self.failures[-1]}", file=sys.stderr)
            return
        if number:
            self.results.add(figure)
            announce(figure, workload)


def measured(workload: Workload, deployment: Deployment, seconds: float, number: int) -> Figure:
    """Measure once, with the CPU that it takes."""
    before, client_before, machine_before = (
        deployment.cpu_s(),
        time.process_time(),
        processes.machine_cpu_s(),
    )
    found = workload.measure(deployment.client, seconds)
    client_cpu_s = time.process_time() - client_before
    machine_cpu_s = processes.machine_cpu_s() - machine_before
    after = deployment.cpu_s()
    return Figure(
        workload=workload.name,
        deployment=deployment.name,
        round=number,
        value=found.value,
        tasks=found.tasks,
        elapsed_s=found.elapsed_s,
        cpu_s={role: after[role] - before[role] for role in before if role in after},
        client_cpu_s=client_cpu_s,
        machine_cpu_s=machine_cpu_s,
    )


def announce(figure: Figure, workload: Workload) -> None:
    """Print a figure as soon as it is there."""
    name = f"{workload.name:<14}{figure.deployment:<14}"
    print(f"round {figure.round}  {name}{figure.value:10.2f} {workload.unit}", flush=True)
