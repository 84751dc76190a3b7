"""The language, told a second time: slow, obvious, and from the plans alone.

``judge`` is given the plan of an execution and the rows that the service left. What the actions really ended with
is taken from the rows (``checks`` compares those with what the world outside did); everything that follows from
it is computed here again: which tasks run, how often, in which order of attempts, with which state, what they saw
and published, and how the workflow ends. It shares no code with the service.

Where the order of events makes several outcomes right, a *value* here is a set of texts that are all right. A
workflow that was ended early (by ``fail``, ``succeed``, an operator) is judged less strictly: nothing may run
without a cause, but what was on its way need not have come.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tools.simulate.plans import COMPLETE, ERROR, SUCCESS, Plan, Target, Task, Workflow

FINISHED = frozenset({"SUCCESS", "ERROR", "CANCELLED"})
# Any value is right.
ANY = "anything"

Row = dict[str, Any]
# The texts that a variable may hold; ``null`` if it may be absent.
Values = frozenset[str]
Context = dict[str, Values]
NULL: Values = frozenset({"null"})


@dataclass(slots=True, kw_only=True)
class History:
    """The rows of one execution tree, JSON columns as values, oldest first."""

    workflows: list[Row]
    tasks: list[Row]
    actions: list[Row]


@dataclass(slots=True, kw_only=True)
class _Run:
    """A task execution as the model sees it."""

    row: Row
    task: Task
    inbound: Context
    state: str | None = None
    value: Values = NULL
    is_timed_out: bool = False
    is_repeated: bool = False


@dataclass(slots=True, kw_only=True)
class _Judged:
    """A workflow execution while it is judged."""

    row: Row
    plan: Workflow
    is_early: bool
    runs: list[_Run] = field(default_factory=list)


def judge(plan: Plan, history: History, stopped_ids: Iterable[str] = ()) -> list[str]:
    """Return what is wrong with an execution that has ended; ``stopped_ids``: what operators tried to stop."""
    judge = _Judge(plan, history, frozenset(stopped_ids))
    for row in history.workflows:
        judge.judge_workflow(row)
    return judge.problems


class _Judge:
    def __init__(self, plan: Plan, history: History, stopped_ids: frozenset[str]) -> None:
        self.problems: list[str] = []
        self._plan = plan
        self._history = history
        self._stopped_ids = stopped_ids
        self._workflows = {row["id"]: row for row in history.workflows}
        self._parent_tasks = {row["id"]: row for row in history.tasks}

    def _say(self, row: Row, text: str) -> None:
        self.problems.append(f"{row.get('workflow_name') or row.get('name')} {row['id'][-6:]}: {text}")

    # -- workflows -------------------------------------------------------------------------------------

    def judge_workflow(self, row: Row) -> None:
        plan = self._plan.workflows[row["workflow_name"]]
        if row["state"] not in FINISHED:
            self._say(row, f"is still {row['state']}")
            return
        tasks = [each for each in self._history.tasks if each["workflow_execution_id"] == row["id"]]
        judged = _Judged(row=row, plan=plan, is_early=self._is_early(row, plan, tasks))
        if plan.is_reverse:
            self._walk_reverse(judged, tasks)
        else:
            self._walk_direct(judged, tasks)
        self._judge_end(judged)

    def _is_early(self, row: Row, plan: Workflow, tasks: list[Row]) -> bool:
        """Tell whether a workflow may have ended before its tasks were through."""
        if row["id"] in self._stopped_ids:
            return True
        parent = self._parent_tasks.get(row["task_execution_id"] or "")
        if parent is not None and self._ancestor_is_cancelled(parent):
            return True
        return any(
            task["state"] in FINISHED and _fired(plan.tasks[task["name"]], task["state"])[1] is not None
            for task in tasks
        )

    def _ancestor_is_cancelled(self, task: Row) -> bool:
        workflow = self._workflows[task["workflow_execution_id"]]
        if workflow["state"] == "CANCELLED":
            return True
        parent = self._parent_tasks.get(workflow["task_execution_id"] or "")
        return parent is not None and self._ancestor_is_cancelled(parent)

    def _judge_end(self, judged: _Judged) -> None:
        row = judged.row
        if judged.is_early:
            expected = FINISHED
        elif any(run.state == "CANCELLED" for run in judged.runs):
            expected = frozenset({"CANCELLED"})
        elif any(run.state == "ERROR" and not _is_handled(run.task) for run in judged.runs):
            expected = frozenset({"ERROR"})
        else:
            expected = frozenset({"SUCCESS"})
        if row["state"] not in expected:
            self._say(row, f"ended in {row['state']}, not in {sorted(expected)}")
        if row["state"] == "SUCCESS":
            self._judge_output(judged)
        elif "result" not in row["output"]:
            self._say(row, f"ended in {row['state']} without saying why")

    def _judge_output(self, judged: _Judged) -> None:
        if judged.plan.is_reverse:
            last = [run for run in judged.runs if run.task.name == judged.plan.target]
        else:
            last = [run for run in judged.runs if not _leads_on(run)]
        context = _merged([_outbound(run) for run in last])
        output = judged.row["output"]
        if judged.is_early:
            everything = _merged([_outbound(run) for run in judged.runs])
            context = {name: values | NULL for name, values in everything.items()}
        for name in judged.plan.tasks:
            variable = f"v_{name}"
            self._compare(judged.row, f"output {variable}", output.get(variable), context.get(variable, NULL))

    # -- which tasks run -------------------------------------------------------------------------------

    def _walk_direct(self, judged: _Judged, rows: list[Row]) -> None:
        left: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            task = judged.plan.tasks[row["name"]]
            cause = row["triggered_by"][0][0] if row["triggered_by"] and task.join is None else ""
            left.setdefault((row["name"], cause), []).append(row)
        for task in judged.plan.tasks.values():
            if task.join is not None:
                self._walk_join(judged, task, left.pop((task.name, ""), []))
            elif not judged.plan.sources(task.name):
                self._run(judged, task, left.pop((task.name, ""), []), {})
            else:
                for source in [run for run in judged.runs if _leads_to(run, task.name)]:
                    cause = source.row["id"]
                    self._run(judged, task, left.pop((task.name, cause), []), _outbound(source))
        for (name, _), extra in left.items():
            for row in extra:
                self._say(judged.row, f"{name} ran without a cause ({row['id'][-6:]}, {row['state']})")

    def _walk_join(self, judged: _Judged, task: Task, rows: list[Row]) -> None:
        names = judged.plan.sources(task.name)
        arrived = [run for run in judged.runs if run.task.name in names and _leads_to(run, task.name)]
        if not arrived:
            for _ in rows:
                self._say(judged.row, f"the join {task.name} exists although nothing led to it")
            return
        needed = len(names) if task.join == "all" else 1 if task.join == "one" else int(task.join or 0)
        is_met = len(arrived) >= needed
        inbound = _merged([_outbound(run) for run in arrived])
        if not is_met or needed < len(names):
            # Some may have come later than the join was decided.
            inbound = {name: values | NULL for name, values in inbound.items()}
        run = self._run(judged, task, rows, inbound, most_repeats=len(arrived) - needed, is_met=is_met)
        if run is not None and not is_met and run.state == "SUCCESS":
            self._say(run.row, f"the join went on with {len(arrived)} of {needed} sources")

    def _walk_reverse(self, judged: _Judged, rows: list[Row]) -> None:
        wanted: set[str] = set()
        stack = [judged.plan.target or ""]
        while stack:
            name = stack.pop()
            wanted.add(name)
            stack.extend(judged.plan.tasks[name].requires)
        done: dict[str, _Run] = {}
        for task in judged.plan.tasks.values():
            found = [row for row in rows if row["name"] == task.name]
            required = [done.get(name) for name in task.requires]
            if task.name not in wanted or any(r is None or r.state != "SUCCESS" for r in required):
                if found:
                    self._say(judged.row, f"{task.name} ran although its requirements are not met")
                continue
            failed = any(run.state == "ERROR" for run in judged.runs)
            if not found and failed:
                # Nothing new is begun once a task has failed.
                continue
            run = self._run(judged, task, found, _merged([_outbound(r) for r in required if r is not None]))
            if run is not None:
                done[task.name] = run

    def _run(
        self,
        judged: _Judged,
        task: Task,
        rows: list[Row],
        inbound: Context,
        *,
        most_repeats: int = 0,
        is_met: bool = True,
    ) -> _Run | None:
        if len(rows) > 1:
            self._say(judged.row, f"{task.name} was created {len(rows)} times for one cause")
        if not rows:
            if not judged.is_early:
                self._say(judged.row, f"{task.name} should have run")
            return None
        run = _Run(row=rows[0], task=task, inbound=inbound)
        self._judge_task(judged, run, most_repeats if task.join is not None else 0, is_met=is_met)
        judged.runs.append(run)
        return run

    # -- one task --------------------------------------------------------------------------------------

    def _judge_task(self, judged: _Judged, run: _Run, most_repeats: int, *, is_met: bool) -> None:
        row, task = run.row, run.task
        if row["state"] not in FINISHED:
            if not judged.is_early:
                self._say(row, f"is {row['state']} in a workflow that has ended by itself")
            return
        info = row["state_info"] or ""
        children = self._children_of(row)
        run.state = row["state"]
        if task.timeout and info.startswith("Task timed out"):
            run.is_timed_out = True
            run.value = frozenset({ANY})
        elif info.startswith("Failed by tasks"):
            if is_met:
                self._say(row, "the join failed although its sources led to it")
        else:
            rounds = self._rounds(row, task, children, most_repeats)
            run.is_repeated = len(rounds) > 1 and most_repeats > 0
            self._judge_rounds(judged, run, rounds)
        self._judge_published(run)
        for child in children:
            self._judge_input(run, child)

    def _children_of(self, row: Row) -> list[Row]:
        return [
            child
            for child in (*self._history.actions, *self._history.workflows)
            if child["task_execution_id"] == row["id"]
        ]

    def _rounds(self, row: Row, task: Task, children: list[Row], most_repeats: int) -> list[list[Row]]:
        """Return the children by attempt, each in order of items."""
        by_position: dict[int, list[Row]] = {}
        for child in children:
            by_position.setdefault(child["position"], []).append(child)
        count = 1 if task.items is None else task.items
        if any(position >= count for position in by_position):
            self._say(row, "ran an item that it does not have")
        most = max((len(each) for each in by_position.values()), default=0)
        if most > 1 + task.retries + max(most_repeats, 0):
            self._say(row, f"made {most} attempts")
        return [
            [
                by_position[position][number]
                for position in sorted(by_position)
                if number < len(by_position[position])
            ]
            for number in range(most)
        ]

    def _judge_rounds(self, judged: _Judged, run: _Run, rounds: list[list[Row]]) -> None:
        row, task = run.row, run.task
        count = 1 if task.items is None else task.items
        last = rounds[-1] if rounds else []
        states = {child["state"] for child in last}
        if self._was_cut_short(run, rounds):
            expected = {"CANCELLED"}
        elif run.is_repeated:
            expected = {state for each in rounds for state in (child["state"] for child in each)}
            run.value = frozenset({ANY})
        elif "CANCELLED" in states:
            expected = {"CANCELLED"}
        else:
            if len(last) != count or not states <= FINISHED:
                self._say(row, f"ended with {len(last)} of {count} items, in {sorted(states)}")
            expected = {"ERROR"} if "ERROR" in states else {"SUCCESS"}
            if "ERROR" in states and len(rounds) <= task.retries and not judged.is_early:
                self._say(row, f"gave up after {len(rounds)} of {task.retries + 1} attempts")
            for earlier in rounds[:-1]:
                if "ERROR" not in {child["state"] for child in earlier}:
                    self._say(row, "tried again although nothing had failed")
            run.value = _result(task, last)
        if row["state"] not in expected:
            self._say(row, f"{task.name} ended in {row['state']}, its actions say {sorted(expected)}")

    def _was_cut_short(self, run: _Run, rounds: list[list[Row]]) -> bool:
        """Tell whether the workflow was cancelled during a delay of the task, which then does not go on."""
        task = run.task
        workflow = self._workflows[run.row["workflow_execution_id"]]
        if run.row["state"] != "CANCELLED" or workflow["state"] != "CANCELLED":
            return False
        if not rounds:
            return task.wait_before > 0
        return len(rounds) <= task.retries and "ERROR" in {child["state"] for child in rounds[-1]}

    def _judge_published(self, run: _Run) -> None:
        if run.is_timed_out or run.is_repeated or "Failed by tasks" in (run.row["state_info"] or ""):
            return
        expected = _published(run)
        published = run.row["published"]
        if set(published) != set(expected):
            self._say(run.row, f"{run.task.name} published {sorted(published)}, not {sorted(expected)}")
        for name in set(published) & set(expected):
            self._compare(run.row, f"published {name}", published[name], expected[name])

    def _judge_input(self, run: _Run, child: Row) -> None:
        if run.task.kind not in {"sync", "async"}:
            return
        seen = child["input"].get("seen", [])
        for name, value in zip(run.task.sees, seen, strict=True):
            self._compare(child, f"what it saw of {name}", value, run.inbound.get(f"v_{name}", NULL))
        if run.task.items is not None and child["input"].get("item") != child["position"]:
            self._say(child, f"item {child['input'].get('item')} ran at position {child['position']}")

    def _compare(self, row: Row, what: str, value: object, expected: Values) -> None:
        if ANY not in expected and _text(value) not in expected:
            self._say(
                row, f"{what} is {_text(value)[:80]}, right is {[each[:80] for each in sorted(expected)]}"
            )


# -- the rules of the language ---------------------------------------------------------------------------


def _fired(task: Task, state: str | None) -> tuple[list[Target], str | None]:
    """Return the transitions that are taken after a task, and the command that ends the workflow, if any."""
    clauses = {"SUCCESS": (SUCCESS, COMPLETE), "ERROR": (ERROR, COMPLETE)}.get(state or "", ())
    targets = [target for clause in clauses for target in task.clauses.get(clause, []) if target.holds]
    for number, target in enumerate(targets):
        if target.name in {"fail", "succeed"}:
            return targets[:number], target.name
    return targets, None


def _leads_to(run: _Run, name: str) -> bool:
    return any(target.name == name for target in _fired(run.task, run.state)[0])


def _leads_on(run: _Run) -> bool:
    return any(target.name.startswith("t") for target in _fired(run.task, run.state)[0])


def _is_handled(task: Task) -> bool:
    return any(target.holds for target in task.clauses.get(ERROR, []))


def _result(task: Task, children: list[Row]) -> Values:
    values = [child["output"] if "spec_hash" in child else _data(child) for child in children]
    return frozenset({_text(values if task.items is not None else values[0] if values else [])})


def _data(action: Row) -> object:
    return (action["output"] or {}).get("result")


def _published(run: _Run) -> Context:
    """Return what a task published: by its end, or else by an earlier attempt that failed."""
    variable = f"v_{run.task.name}"
    if run.state == "SUCCESS":
        return {variable: run.value}
    if run.state == "ERROR" and run.task.publishes_error:
        return {variable: frozenset({_text("failed")})}
    if run.state == "CANCELLED" and run.task.publishes_error and run.task.retries and run.row["published"]:
        return {variable: frozenset({_text("failed")})}
    return {}


def _outbound(run: _Run) -> Context:
    if run.is_timed_out or run.is_repeated:
        # Whatever an earlier end of it published may stand.
        return {**run.inbound, f"v_{run.task.name}": frozenset({ANY})}
    return {**run.inbound, **_published(run)}


def _merged(contexts: list[Context]) -> Context:
    merged: Context = {}
    for name in {name for context in contexts for name in context}:
        known = [context[name] for context in contexts if name in context]
        # A branch that may lack it hides nothing that another one surely has.
        sure = [values for values in known if "null" not in values]
        merged[name] = frozenset().union(*(known if not sure else [values - NULL for values in known]))
    return merged


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
