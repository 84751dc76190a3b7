"""What a case came to: the tree of executions as plain data, without what differs from run to run.

Ids, times and the names of the run are replaced, tracebacks cut, lists without a promised order sorted.
"""

from __future__ import annotations

import json
import re
from typing import Any

from differential.service import Service

_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?")
_TRACEBACK = re.compile(
    r"\n\s*Traceback \(most recent call last\):(\n(?!    \[(action|wf)_ex_id|  \S+ \[task_ex_id).*)*"
)
_INDEX = re.compile(r"idx=\d+")
_CHILD = re.compile(r"((?:^    \[(?:action|wf)_ex_id=.*\n?)+)", re.MULTILINE)
# Where mistral_lite explains in words of its own, and never shows a value: only the head of the text is compared.
_OWN_WORDS = (
    # The place of a failed expression, said in the line where Mistral shows a traceback.
    (re.compile(r"\n(The expression is in|This is about) the field '[\w-]+' of the (task|workflow)\."), ""),
    (re.compile(r"(Invalid data type in \w+Policy:)(?s:.*?)(?=, wf=|\Z)"), r"\1 ..."),
    (re.compile(r"(Wrong input format for:).*?(?=All arrays|Iterable type)"), r"\1 ... "),
    (re.compile(r"(Wrong dynamic input for task: \S+).*?(?=, wf=|\Z)"), r"\1 ..."),
    (
        re.compile(r"(Failed to instantiate an action \[action_desc=)(?s:.*?)(?=\n    \[|\n  \S+ \[task|\Z)"),
        r"\1 ...",
    ),
    (re.compile(r"\[action=[^,]*, action_ex_id=None"), "[action=..., action_ex_id=<id>"),
    (re.compile(r"\[action=[^,]*(?=, action_ex_id)"), "[action=..."),
    (re.compile(r"'[\w.]*ContextView object'"), "'dict object'"),
    (re.compile(r"class=[\w.]*\."), "class="),
)
_INTERNAL = ("__execution", "__env", "__versions", "__task_execution", "openstack")


def observe(service: Service, execution_id: str, marks: dict[str, str]) -> dict[str, Any]:
    """Return the normalised tree under one workflow execution; ``marks`` maps texts of the run to stable ones."""
    tree = _execution(service, service.one(f"/executions/{execution_id}"))
    seen: dict[str, Any] = normal(tree, marks)
    return seen


def _execution(service: Service, row: dict[str, Any]) -> dict[str, Any]:
    tasks = service.many(f"/executions/{row['id']}/tasks", "tasks")
    return {
        "workflow": row["workflow_name"],
        "state": row["state"],
        "state_info": row["state_info"],
        "input": _decoded(row["input"]),
        "output": _decoded(row["output"]),
        "env": (_decoded(row["params"]) or {}).get("env"),
        "global": _decoded(row.get("published_global")),
        "tasks": [_task(service, task) for task in tasks],
    }


def _task(service: Service, listed: dict[str, Any]) -> dict[str, Any]:
    task_id = listed["id"]
    answer = service.call("GET", f"/tasks/{task_id}")
    if answer.status != 200:
        return {"name": listed["name"], "state": listed["state"], "refused": answer.status}
    row = answer.body
    actions = service.many(f"/tasks/{task_id}/action_executions", "action_executions")
    children = service.many(f"/tasks/{task_id}/workflow_executions", "executions")
    seen = {
        "name": row["name"],
        "state": row["state"],
        "state_info": row["state_info"],
        "published": _decoded(row["published"]) or {},
        "result": _decoded(row["result"]),
    }
    if actions:
        seen["actions"] = [_action(service, action["id"]) for action in actions]
    if children:
        seen["executions"] = [
            _execution(service, service.one(f"/executions/{child['id']}")) for child in children
        ]
    return seen


def _action(service: Service, action_id: str) -> dict[str, Any]:
    row = service.one(f"/action_executions/{action_id}")
    return {
        "name": row["name"],
        "state": row["state"],
        "accepted": row["accepted"],
        "input": _decoded(row["input"]),
        "output": _decoded(row["output"]),
    }


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value else value


def normal(value: Any, marks: dict[str, str]) -> Any:
    """Normalise texts; sort the lists that have no promised order (tasks, actions, executions)."""
    if isinstance(value, str):
        return normal_text(value, marks)
    if isinstance(value, list):
        return [normal(item, marks) for item in value]
    if isinstance(value, dict):
        return {
            key: _ordered(normal(item, marks))
            if key in {"tasks", "actions", "executions"}
            else normal(item, marks)
            for key, item in ((normal_text(key, marks), item) for key, item in sorted(value.items()))
            if key not in _INTERNAL
        }
    return value


def _ordered(items: Any) -> Any:
    if not isinstance(items, list):
        return items
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def normal_text(text: str, marks: dict[str, str]) -> str:
    """Return ``text`` without ids, times, tracebacks and names of the run."""
    for mark, stable in marks.items():
        text = text.replace(mark, stable)
    text = _TRACEBACK.sub("", text)
    for pattern, head in _OWN_WORDS:
        text = pattern.sub(head, text)
    text = _TIME.sub("<time>", _ID.sub("<id>", text))
    text = _CHILD.sub(_sorted_lines, _INDEX.sub("idx=n", text))
    return text.rstrip("\n")


def _sorted_lines(found: re.Match[str]) -> str:
    lines = found[1].splitlines()
    return "\n".join(sorted(lines)) + ("\n" if found[1].endswith("\n") else "")
