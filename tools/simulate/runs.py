"""Seeds in, failures out."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from tools.simulate.plans import make_plan
from tools.simulate.service import Laboratory, Simulation
from tools.simulate.world import World


@dataclass(slots=True, kw_only=True)
class Failure:
    """What was wrong in one run."""

    seed: int
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        shown = "".join(f"\n    {problem}" for problem in self.problems[:8])
        return f"python -m tools.simulate --seed {self.seed}{shown}"


def run_one(seed: int, laboratory: Laboratory | None = None, *, is_loud: bool = False) -> Failure:
    """Run one seed; the same seed gives the same run."""
    world = World(seed)
    plan = make_plan(Random(f"plan {seed}"))
    if is_loud:
        print(plan.text())
        print(world.chances)
        world.is_loud = True
    simulation = Simulation(laboratory or Laboratory(), world, plan)
    problems = simulation.run()
    return Failure(seed=seed, problems=problems)


def run_many(seeds: Iterable[int], most_failures: int = 1_000_000) -> list[Failure]:
    """Run seeds and return those that failed; no more are run after ``most_failures``."""
    # Lost answers and ignored events are the rule here.
    logging.disable(logging.CRITICAL)
    laboratory = Laboratory()
    failures: list[Failure] = []
    for seed in seeds:
        failure = run_one(seed, laboratory)
        if failure.problems:
            failures.append(failure)
        if len(failures) >= most_failures:
            break
    return failures
