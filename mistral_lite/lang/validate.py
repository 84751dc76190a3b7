"""Checks of the task graph: targets, start tasks, joins, requirements.

Works on a spec whose parts are sound each for itself; reports everything it finds.
"""

from __future__ import annotations

from mistral_lite.lang.clauses import parse_clause
from mistral_lite.lang.findings import Findings, Place
from mistral_lite.lang.loader import shorten
from mistral_lite.lang.parse_task import names
from mistral_lite.lang.specs import COMMANDS, Clause, TaskSpec, WorkflowSpec


def check_graph(findings: Findings, place: Place, spec: WorkflowSpec) -> None:
    """Report what is wrong between the tasks of a workflow; ``place`` is the workflow's."""
    if spec.type == "reverse":
        _check_requirements(findings, place, spec)
        return
    _check_targets(findings, place, spec)
    if not spec.start_tasks:
        findings.add(
            place,
            "Failed to find start tasks in direct workflow: every task is the target of another; "
            "let at least one task have no inbound transition",
        )
    _check_joins(findings, place, spec)


def requirement_cycle(spec: WorkflowSpec) -> tuple[str, ...]:
    """Return the names of tasks that require each other in a circle, the first one repeated; () if none do."""
    finished: set[str] = set()
    for start in spec.tasks:
        # Depth first with an own stack: a chain of requirements may be longer than Python's.
        path: dict[str, None] = {}
        todo = [(start, False)]
        while todo:
            name, leaving = todo.pop()
            if leaving:
                del path[name]
                finished.add(name)
            elif name in path:
                circle = list(path)
                return (*circle[circle.index(name) :], name)
            elif name not in finished and name in spec.tasks:
                path[name] = None
                todo.append((name, True))
                todo.extend((required, False) for required in spec.tasks[name].requires)
    return ()


def _check_targets(findings: Findings, place: Place, spec: WorkflowSpec) -> None:
    for name, task in spec.tasks.items():
        for clause in Clause:
            for transition in task.transitions(clause):
                target = transition.target
                if target in spec.tasks or target in COMMANDS:
                    continue
                at = (
                    place.entity("task", name, "tasks")
                    if _has_own(task, clause)
                    else place.at("task-defaults")
                )
                findings.add(at.at(clause), f"Task '{shorten(target)}' not found; add it or correct the name")


def _has_own(task: TaskSpec, clause: Clause) -> bool:
    return clause in task.source and bool(parse_clause(task.source[clause]).next)


def _check_joins(findings: Findings, place: Place, spec: WorkflowSpec) -> None:
    for name, task in spec.tasks.items():
        inbound = len(spec.sources[name])
        at = place.entity("task", name, "tasks").at("join")
        if task.join == "all" and not inbound:
            findings.add(
                at, "No inbound tasks for task with 'join: all'; let a task lead to it or remove the join"
            )
        elif isinstance(task.join, int) and inbound < task.join:
            findings.add(
                at,
                f"Not enough inbound tasks for task with 'join': it waits for {task.join}, {inbound} lead to it",
            )


def _check_requirements(findings: Findings, place: Place, spec: WorkflowSpec) -> None:
    for name, task in spec.tasks.items():
        own = names(task.source.get("requires"))
        for required in task.requires:
            if required not in spec.tasks:
                at = place.entity("task", name, "tasks") if required in own else place.at("task-defaults")
                findings.add(
                    at.at("requires"), f"Task '{shorten(required)}' not found; add it or correct the name"
                )
