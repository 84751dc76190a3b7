"""Random workflows: what the model knows of them, and the text that the service gets.

Only shapes whose outcome follows from the outcomes of their actions, in whatever order these come:

* transitions lead forward, so there are no loops;
* a task that several others lead to is a join, or runs once for each of them; behind the latter stands no join;
* nothing follows a join of some of its sources, which may run once more for each source that comes late;
* from a join of all only ``on-success`` leads on: one that fails before all its sources ended may fail again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

COMMANDS = ("noop", "pause", "fail", "succeed")
SUCCESS, ERROR, COMPLETE = "on-success", "on-error", "on-complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a transition leads: a task or an engine command; never, if the condition does not hold."""

    name: str
    holds: bool = True


@dataclass(slots=True, kw_only=True)
class Task:
    """A task. ``kind``: sync, async, noop or the name of a workflow. ``sees``: tasks whose result it is told."""

    name: str
    kind: str
    items: int | None = None
    concurrency: int = 0
    retries: int = 0
    retry_delay: int = 0
    wait_before: int = 0
    wait_after: int = 0
    timeout: int = 0
    is_paused_before: bool = False
    is_safe: bool = True
    publishes_error: bool = False
    join: str | int | None = None
    sees: list[str] = field(default_factory=list)
    requires: list[str] = field(default_factory=list)
    clauses: dict[str, list[Target]] = field(default_factory=dict)

    @property
    def is_action(self) -> bool:
        return self.kind in {"sync", "async", "noop"}


@dataclass(slots=True, kw_only=True)
class Workflow:
    """A workflow; ``target``: the task that a reverse one is started for."""

    name: str
    tasks: dict[str, Task]
    target: str | None = None

    @property
    def is_reverse(self) -> bool:
        return self.target is not None

    def sources(self, name: str) -> list[str]:
        """Return the tasks that have a transition to ``name``."""
        return [
            task.name
            for task in self.tasks.values()
            if any(target.name == name for clause in task.clauses.values() for target in clause)
        ]


@dataclass(slots=True, kw_only=True)
class Plan:
    """Workflows that call each other; the first is what is started."""

    workflows: dict[str, Workflow]

    @property
    def root(self) -> Workflow:
        return next(iter(self.workflows.values()))

    def text(self) -> str:
        """Return the definitions. JSON is YAML."""
        shown = {name: _shown_workflow(workflow) for name, workflow in self.workflows.items()}
        return json.dumps({"version": "2.0", **shown}, indent=1)


def make_plan(random: Random) -> Plan:
    """Return random workflows."""
    children = [f"c{number}" for number in range(random.choice([0, 0, 1, 1, 2]))]
    names = ["w", *children]
    workflows = {
        name: _make_workflow(random, name, names[number + 1 :], most=6 if name == "w" else 3)
        for number, name in enumerate(names)
    }
    return Plan(workflows=workflows)


def _make_workflow(random: Random, name: str, callable_names: list[str], most: int) -> Workflow:
    is_reverse = name == "w" and random.random() < 0.12
    count = random.randint(2 if name == "w" else 1, most)
    tasks: dict[str, Task] = {}
    behind_many: set[str] = set()
    for number in range(count):
        earlier = list(tasks.values())
        task = _make_task(random, f"t{number}", callable_names)
        task.sees = random.sample(list(tasks), min(len(tasks), random.choice([0, 1, 2])))
        tasks[task.name] = task
        if is_reverse:
            task.requires = random.sample(
                [each.name for each in earlier], min(len(earlier), random.randint(0, 2))
            )
        else:
            _lead_to(random, task, [each for each in earlier if each.join in {None, "all"}], behind_many)
        if not is_reverse:
            _without_what_joins_ignore(task)
    if not is_reverse:
        for task in tasks.values():
            _add_commands(random, task)
    return Workflow(name=name, tasks=tasks, target=f"t{count - 1}" if is_reverse else None)


def _make_task(random: Random, name: str, callable_names: list[str]) -> Task:
    kind = random.choice(["sync", "sync", "sync", "async", "async", "noop", *callable_names[:1] * 2])
    task = Task(name=name, kind=kind, is_safe=random.random() < 0.6)
    if kind != "noop" and random.random() < 0.25:
        task.items = random.choice([0, 1, 2, 3, 3])
        task.concurrency = random.choice([0, 0, 1, 2])
    if random.random() < 0.2:
        task.retries, task.retry_delay = random.randint(1, 2), random.choice([0, 1])
    elif random.random() < 0.12:
        task.timeout = random.choice([1, 3, 6])
    if random.random() < 0.08:
        task.wait_before = 1
    if random.random() < 0.08:
        task.wait_after = 1
    task.is_paused_before = random.random() < 0.03
    task.publishes_error = random.random() < 0.3
    return task


def _lead_to(random: Random, task: Task, candidates: list[Task], behind_many: set[str]) -> None:
    """Choose the tasks that lead to ``task``."""
    count = random.choice([0, 1, 1, 1, 2, 2, 3])
    sources = random.sample(candidates, min(len(candidates), count))
    joinable = [source for source in sources if source.name not in behind_many]
    if len(joinable) >= 2 and random.random() < 0.75:
        sources = joinable
        task.join = random.choice(["all", "all", "all", "one", 1, len(sources) - 1 or 1, len(sources)])
        if task.join == len(sources):
            # The number of all sources is a join of some, by the word; both mean the same.
            task.join = "all"
    elif len(sources) >= 2 or any(source.name in behind_many for source in sources):
        behind_many.add(task.name)
    for source in sources:
        clause = SUCCESS
        if source.join is None:
            clause = random.choice([SUCCESS, SUCCESS, SUCCESS, ERROR, COMPLETE, COMPLETE])
        targets = source.clauses.setdefault(clause, [])
        targets.append(Target(name=task.name, holds=random.random() < 0.93))
        random.shuffle(targets)


def _without_what_joins_ignore(task: Task) -> None:
    if task.join is not None:
        task.wait_before = task.timeout = task.retries = task.concurrency = 0
        task.is_paused_before = False


def _add_commands(random: Random, task: Task) -> None:
    if random.random() < 0.2:
        task.clauses.setdefault(ERROR, []).append(Target(name="noop"))
    if task.join is None and random.random() < 0.08:
        clause = random.choice([SUCCESS, ERROR, COMPLETE])
        command = Target(name=random.choice(["pause", "pause", "fail", "succeed"]))
        targets = task.clauses.setdefault(clause, [])
        targets.insert(random.randint(0, len(targets)), command)


def _shown_workflow(workflow: Workflow) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "output": {f"v_{name}": f"<% $.get(v_{name}, null) %>" for name in workflow.tasks},
        "tasks": {name: _shown_task(task) for name, task in workflow.tasks.items()},
    }
    if workflow.is_reverse:
        shown["type"] = "reverse"
    return shown


def _shown_task(task: Task) -> dict[str, Any]:
    shown: dict[str, Any] = {"publish": {f"v_{task.name}": "<% task().result %>"}}
    if task.publishes_error:
        shown["publish-on-error"] = {f"v_{task.name}": "failed"}
    if task.kind == "noop":
        shown["action"] = "std.noop"
    elif task.is_action:
        shown["action"] = f"sim.{task.kind}"
        shown["input"] = {"seen": [f"<% $.get(v_{name}, null) %>" for name in task.sees]}
        if task.items is not None:
            shown["input"]["item"] = "<% $.item %>"
    else:
        shown["workflow"] = task.kind
    if task.items is not None:
        shown["with-items"] = f"item in <% range({task.items}) %>"
    if task.retries:
        shown["retry"] = {"count": task.retries, "delay": task.retry_delay}
    if task.is_safe:
        shown["safe-rerun"] = True
    for key, value in (
        ("concurrency", task.concurrency),
        ("wait-before", task.wait_before),
        ("wait-after", task.wait_after),
        ("timeout", task.timeout),
        ("pause-before", task.is_paused_before),
        ("join", task.join),
        ("requires", task.requires),
    ):
        if value:
            shown[key] = value
    for clause, targets in task.clauses.items():
        shown[clause] = [
            each.name if each.holds else {each.name: "<% $.get(v_none, false) %>"} for each in targets
        ]
    return shown
