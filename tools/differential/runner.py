"""Runs cases on a service through its public API and hands back their outcomes.

Owns the meaning of the steps of a case:

``start``     {workflow, input, params, id, description, as} (as: the name of this execution for later steps)
``wait``      {state, of} for an execution, {task, state, count} for tasks, or ``still``
``answer``    {task, state, output, nth} completes the nth open action of a task, as a callback does
``execution`` {of, ...} updates an execution, ``task`` {name, ...} a task; the rest is the body
``upload``, ``validate``  {kind, text, namespace}
``call``      {method, path, body, keep}; ``{main}`` and ``{task:NAME}`` in texts become ids; fields in ``keep`` are recorded
``sleep``     seconds, where the point is that nothing happens

``of`` is the name given by ``as`` (default main) or the name of a nested workflow.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from differential.cases import NAME_MARK, PEER_MARK, Case, renamed
from differential.outcome import normal, normal_text, observe
from differential.peer import Peer
from differential.service import Answer, Service

_FINISHED = {"SUCCESS", "ERROR", "CANCELLED", "SKIPPED"}
_PLACE = re.compile(r"\{(?:(task|action|child):)?(\w+)\}")

Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How patient a run is, in seconds; a service that polls its own work needs more than one that does not."""

    poll_s: float
    still_s: float
    deadline_s: float


def run_cases(base_url: str, cases: list[Case], pace: Pace, *, threads: int = 16) -> dict[str, Outcome]:
    """Run all cases, several at once, and return their outcomes by name.

    A case that breaks the rules of the runner itself has none; the reason is printed.
    """
    run_id = uuid.uuid4().hex[:6]

    def one(number: int, case: Case) -> Outcome:
        return _Run(Service(base_url), case, f"d{run_id}x{number:03}_", peer, pace).outcome()

    with Peer() as peer, ThreadPoolExecutor(threads) as pool:
        futures = {case.name: pool.submit(one, number, case) for number, case in enumerate(cases)}
    for future in futures.values():
        if future.exception():
            print(*traceback.format_exception_only(future.exception()), sep="", file=sys.stderr)
    return {name: future.result() for name, future in futures.items() if not future.exception()}


class _Run:
    """One case on one service."""

    def __init__(self, service: Service, case: Case, prefix: str, peer: Peer, pace: Pace) -> None:
        self._service = service
        self._case = case
        self._peer = peer
        self._pace = pace
        self._names = {NAME_MARK: prefix, PEER_MARK: peer.url}
        self._stable = {prefix: NAME_MARK, peer.url: PEER_MARK}
        self._executions: dict[str, str] = {}
        self._log: list[Any] = []
        self._steps: dict[str, Callable[[Any], None]] = {
            "start": self._start,
            "wait": self._wait,
            "answer": self._answer,
            "execution": self._update_execution,
            "task": self._update_task,
            "upload": self._upload,
            "validate": self._validate,
            "call": self._call,
            "sleep": time.sleep,
        }

    def outcome(self) -> Outcome:
        """Run all steps, wait for the end and observe."""
        try:
            for document in self._case.documents:
                self._upload({"kind": document.kind, "text": document.text})
            for environment in self._case.environments:
                self._note(
                    "environment", self._service.call("POST", "/environments", self._named(environment))
                )
            for step in self._case.steps:
                ((verb, body),) = step.items()
                self._steps[verb](self._named(body))
            self._end()
            missing = None
        except _Overdue as overdue:
            missing = str(overdue)
        except Exception as error:
            error.add_note(f"in the case {self._case.theme}/{self._case.name}")
            raise
        trees = {
            name: self._without_chance(observe(self._service, execution_id, self._stable))
            for name, execution_id in self._executions.items()
            if self._service.call("GET", f"/executions/{execution_id}").status == 200
        }
        outcome: Outcome = {"steps": self._log, "executions": trees}
        if missing:
            outcome["overdue"] = normal_text(missing, self._stable)
        return outcome

    def _named(self, value: Any) -> Any:
        return renamed(value, self._names)

    def _without_chance(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._without_chance(item) for item in value]
        if isinstance(value, dict):
            return {
                key: "<chance>" if key in self._case.ignores else self._without_chance(item)
                for key, item in value.items()
            }
        return value

    def _note(self, verb: str, answer: Answer, kept: dict[str, Any] | None = None) -> None:
        """Record a refusal (without its words), or what a step asked to keep; success needs no word."""
        if answer.fault is not None:
            self._log.append({verb: answer.status})
        elif kept:
            self._log.append({verb: answer.status, "kept": kept})

    # -- steps ---------------------------------------------------------------------------------------------

    def _start(self, body: dict[str, Any]) -> None:
        name = body.pop("as", "main")
        request = {"workflow_name": self._names[NAME_MARK] + "main", "input": {}, "params": {}, **body}
        if "workflow" in request:
            request["workflow_name"] = request.pop("workflow")
        answer = self._service.call("POST", "/executions", request)
        self._note("start", answer)
        if answer.status == 201:
            self._executions[name] = answer.body["id"]

    def _upload(self, body: dict[str, Any]) -> None:
        text = self._named(body["text"])
        answer = self._service.upload(body["kind"], text, namespace=body.get("namespace", ""))
        self._note(f"upload {body['kind']}", answer)

    def _validate(self, body: dict[str, Any]) -> None:
        text = body["text"] if body["text"].startswith("version:") else f"version: '2.0'\n{body['text']}"
        answer = self._service.upload(body.get("kind", "workflow"), text, verb="/validate")
        self._log.append({"validate": answer.body["valid"], "text": normal_text(body["text"], self._stable)})

    def _answer(self, body: dict[str, Any]) -> None:
        name, nth = body.pop("task"), body.pop("nth", 0)

        def open_actions() -> list[dict[str, Any]]:
            return [row for row in self._actions(name) if row["state"] in {"RUNNING", "PAUSED"}]

        self._until(lambda: len(open_actions()) > nth, f"{name} has {nth + 1} open actions")
        action_id = open_actions()[nth]["id"]
        self._note("answer", self._service.call("PUT", f"/action_executions/{action_id}", body))

    def _update_execution(self, body: dict[str, Any]) -> None:
        path = f"/executions/{self._execution_id(body.pop('of', 'main'))}"
        self._note("execution", self._service.call("PUT", path, body))

    def _update_task(self, body: dict[str, Any]) -> None:
        task_id = self._task_rows(body.pop("name"))[-1]["id"]
        self._note("task", self._service.call("PUT", f"/tasks/{task_id}", {"id": task_id, **body}))

    def _call(self, body: dict[str, Any]) -> None:
        answer = self._service.call(
            body.get("method", "GET"), self._filled(body["path"]), self._filled(body.get("body"))
        )
        found = answer.body if isinstance(answer.body, dict) else {}
        kept = normal({key: found.get(key) for key in body.get("keep", [])}, self._stable)
        self._note("call", answer, kept)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return _PLACE.sub(self._id_of, value)
        if isinstance(value, dict):
            return {key: self._filled(item) for key, item in value.items()}
        return value

    def _id_of(self, place: re.Match[str]) -> str:
        kind, name = place.groups()
        if kind == "task":
            return str(self._task_rows(name)[-1]["id"])
        if kind == "action":
            return str(self._actions(name)[-1]["id"])
        return self._execution_id(name)

    # -- waiting -------------------------------------------------------------------------------------------

    def _wait(self, body: Any) -> None:
        if body == "still":
            self._still()
        elif "task" in body:
            states, count = _states(body["state"]), body.get("count", 1)
            self._until(
                lambda: sum(row["state"] in states for row in self._task_rows(body["task"])) >= count,
                f"task {body['task']} is {body['state']}",
            )
        else:
            of, states = body.get("of", "main"), _states(body["state"])
            self._until(
                lambda: any(row["state"] in states for row in self._execution_rows(of)),
                f"{of} is {body['state']}",
            )

    def _until(self, reached: Callable[[], bool], goal: str) -> None:
        deadline = time.monotonic() + self._pace.deadline_s
        while not reached():
            if time.monotonic() > deadline:
                raise _Overdue(goal)
            time.sleep(self._pace.poll_s)

    def _end(self) -> None:
        """Wait for the end that the case expects."""
        if self._case.ends == "quiet":
            self._until(self._quiet, "everything is finished")
        self._still()

    def _still(self) -> None:
        """Wait until two looks, one pause apart, see the same."""
        deadline = time.monotonic() + self._pace.deadline_s
        pause = self._pace.still_s if self._case.ends == "still" else self._pace.still_s / 4
        before = self._look()
        while time.monotonic() < deadline:
            time.sleep(pause)
            now = self._look()
            if now == before:
                return
            before = now
        raise _Overdue("nothing moves any more")

    def _quiet(self) -> bool:
        return all(state in _FINISHED for _, state in self._look())

    def _look(self) -> list[tuple[str, str]]:
        """Ids and states of everything under the executions of this case."""
        seen = []
        for execution, tasks in self._trees():
            seen.append((execution["id"], execution["state"]))
            for task in tasks:
                seen.append((task["id"], task["state"]))
                if task["type"] == "ACTION":
                    seen += [(row["id"], row["state"]) for row in self._task_actions(task["id"])]
        return sorted(seen)

    # -- finding -------------------------------------------------------------------------------------------

    def _trees(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        for execution_id in self._executions.values():
            answer = self._service.call("GET", f"/executions/{execution_id}")
            if answer.status == 200:
                yield from self._tree(answer.body)

    def _tree(self, execution: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        tasks = self._service.many(f"/executions/{execution['id']}/tasks", "tasks")
        yield execution, tasks
        for task in tasks:
            if task["type"] == "WORKFLOW":
                for child in self._service.many(f"/tasks/{task['id']}/workflow_executions", "executions"):
                    yield from self._tree(child)

    def _execution_rows(self, of: str) -> list[dict[str, Any]]:
        if of in self._executions:
            return [self._service.one(f"/executions/{self._executions[of]}")]
        return [execution for execution, _ in self._trees() if execution["workflow_name"] == of]

    def _execution_id(self, of: str) -> str:
        if of in self._executions:
            return self._executions[of]
        self._until(lambda: bool(self._execution_rows(of)), f"{of} exists")
        return str(self._execution_rows(of)[-1]["id"])

    def _task_rows(self, name: str) -> list[dict[str, Any]]:
        rows = [task for _, tasks in self._trees() for task in tasks if task["name"] == name]
        return sorted(rows, key=lambda row: str(row["created_at"]))

    def _actions(self, task_name: str) -> list[dict[str, Any]]:
        rows = [row for task in self._task_rows(task_name) for row in self._task_actions(task["id"])]
        return sorted(rows, key=lambda row: (str(row["created_at"]), row["id"]))

    def _task_actions(self, task_id: str) -> list[dict[str, Any]]:
        return self._service.many(f"/tasks/{task_id}/action_executions", "action_executions")


class _Overdue(Exception):  # noqa: N818 - an outcome of a case, not an error of ours
    """What was waited for did not come; the argument says what it was."""


def _states(value: str | list[str]) -> set[str]:
    return {value} if isinstance(value, str) else set(value)
