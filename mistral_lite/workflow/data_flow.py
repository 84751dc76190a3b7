"""Contexts: what a task sees, derived from what the tasks before it published.

No context is stored. A task's inbound context is that of the task that triggered it, or the merge of those
that a join waited for; its outbound context adds what it published. Contexts are persistent maps, so a
chain of a thousand tasks shares one structure instead of holding a thousand copies.

Merging follows version counters: publishing a variable raises its counter, and at a join the value with the
higher counter wins, whichever branch ended last. On a tie the branch that ended last wins.
Source: engine reference, "Data flow".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5
from operator import is_

from immutables import Map

from mistral_lite.expressions.base import LayeredContext
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.specs import WorkflowSpec
from mistral_lite.workflow.library import Rules
from mistral_lite.workflow.model import ActionExecution, TaskExecution, WorkflowExecution
from mistral_lite.workflow.snapshot import Snapshot

_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch context: variables, and a counter for each leaf path (components joined by dots)."""

    values: Map[str, JsonValue] = Map()
    versions: Map[str, int] = Map()

    def visible(self) -> Mapping[str, JsonValue]:
        """Return the variables as expressions see them, with the counters under ``__versions``."""
        if not self.versions:
            return self.values
        return LayeredContext((self.values, _Versions(self.versions)))


EMPTY_BRANCH = Branch()


class _Versions(Mapping[str, JsonValue]):
    """The ``__versions`` entry, built only when somebody looks at it."""

    def __init__(self, versions: Map[str, int]) -> None:
        self._versions = versions

    def __getitem__(self, key: str) -> JsonValue:
        if key != "__versions":
            raise KeyError(key)
        return {
            md5(path.encode(), usedforsecurity=False).hexdigest(): count
            for path, count in self._versions.items()
        }

    def __iter__(self) -> Iterator[str]:
        return iter(("__versions",))

    def __len__(self) -> int:
        return 1


def leaf_paths(name: str, value: JsonValue) -> Iterable[str]:
    """Yield a path for each leaf below a variable; a value that is no mapping is a leaf itself."""
    if not isinstance(value, Mapping):
        yield name
        return
    for key, child in value.items():
        yield from leaf_paths(f"{name}.{key}", child)


def publish(branch: Branch, published: JsonObject, rules: Rules) -> Branch:
    """Return ``branch`` with ``published`` laid over it, counters raised."""
    if not published:
        return branch
    values, versions = branch.values.mutate(), branch.versions.mutate()
    for name, value in published.items():
        values[name] = deep_merge(values.get(name), value) if rules.merge_published else value
        for path in leaf_paths(name, value) if rules.version_contexts else ():
            versions[path] = versions.get(path, 0) + 1
    return Branch(values.finish(), versions.finish())


def deep_merge(left: JsonValue, right: JsonValue) -> JsonValue:
    """Return ``right`` laid over ``left``, mapping by mapping."""
    if left is right or not isinstance(left, Mapping) or not isinstance(right, Mapping):
        return right
    merged = dict(left)
    for key, value in right.items():
        merged[key] = deep_merge(merged[key], value) if key in merged else value
    return merged


def merge(left: Branch, right: Branch) -> Branch:
    """Return the merge of two branches; ``right`` is the one that ended later."""
    if right is left or not right.values:
        return left
    if not left.values:
        return right
    values, versions = left.values.mutate(), left.versions.mutate()
    for name, value in right.values.items():
        if name not in values:
            values[name] = value
        elif values[name] is not value:
            values[name] = _merge_values(name, values[name], value, left.versions, right.versions)
    for path, count in right.versions.items():
        if count > versions.get(path, 0):
            versions[path] = count
    return Branch(values.finish(), versions.finish())


def _merge_values(
    path: str, left: JsonValue, right: JsonValue, left_versions: Map[str, int], right_versions: Map[str, int]
) -> JsonValue:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        merged = dict(left)
        for key, value in right.items():
            if key not in merged:
                merged[key] = value
            else:
                merged[key] = _merge_values(
                    f"{path}.{key}", merged[key], value, left_versions, right_versions
                )
        return merged
    return left if left_versions.get(path, 0) > right_versions.get(path, 0) else right


def inbound(snapshot: Snapshot, task: TaskExecution) -> Branch:
    """Return the context that a task got from the tasks before it."""
    stored = task.runtime.get("inbound")
    sources = _sources(snapshot, task)
    if stored is None and len(sources) <= 1:
        return outbound(snapshot, sources[0]) if sources else EMPTY_BRANCH
    # Asked for several times while a task runs, and by each of its items.
    origins = sources if stored is None else [stored]
    key = ("inbound", task.id)
    remembered = snapshot.memory.get(key)
    if remembered is not None and _are_same(remembered[0], origins):
        branch = remembered[1]
        assert isinstance(branch, Branch)
        return branch
    branch = merge_of(snapshot, sources) if stored is None else _from_stored_form(stored)
    snapshot.memory[key] = (origins, branch)
    return branch


def _are_same(remembered: object, origins: Sequence[object]) -> bool:
    assert isinstance(remembered, Sequence)
    return len(remembered) == len(origins) and all(map(is_, remembered, origins))


def stored_form(branch: Branch) -> JsonObject:
    """Return a branch as JSON, for a task whose inbound context can no longer be derived.

    That is a join that runs again in a loop: its sources descend from its own first run.
    """
    return {"values": dict(branch.values), "versions": dict(branch.versions)}


def _from_stored_form(stored: JsonObject) -> Branch:
    return Branch(Map(stored["values"]), Map(stored["versions"]))


def outbound(snapshot: Snapshot, task: TaskExecution) -> Branch:
    """Return the context that a task hands on.

    Works without recursion, since a chain of tasks may be as long as the tree is large.
    """
    stack = [] if _is_remembered(snapshot, task) else [task]
    while stack:
        current = stack[-1]
        if _is_remembered(snapshot, current):
            stack.pop()
            continue
        missing = [source for source in _sources(snapshot, current) if not _is_remembered(snapshot, source)]
        if missing:
            stack.extend(missing)
            continue
        branch = publish(inbound(snapshot, current), current.published, snapshot.library.rules)
        snapshot.memory["outbound", current.id] = (current, branch)
        stack.pop()
    branch_or_none = snapshot.memory["outbound", task.id][1]
    assert isinstance(branch_or_none, Branch)
    return branch_or_none


def merge_of(snapshot: Snapshot, tasks: Iterable[TaskExecution]) -> Branch:
    """Return the merged outbound contexts of tasks, in the order in which they ended."""
    ordered = sorted(tasks, key=lambda task: (task.finished_at or _EPOCH, task.id))
    result = EMPTY_BRANCH
    for task in ordered:
        result = merge(result, outbound(snapshot, task))
    return result


def final_branch(snapshot: Snapshot, workflow: WorkflowExecution, spec: WorkflowSpec) -> Branch:
    """Return the final context of a workflow: the merge over the tasks that led nowhere further."""
    if spec.type == "reverse":
        target = snapshot.find_task(workflow.id, str(workflow.params.get("task_name")))
        return outbound(snapshot, target) if target is not None else EMPTY_BRANCH
    return merge_of(
        snapshot,
        (task for task in snapshot.tasks_of(workflow.id) if task.is_finished and not task.next_tasks),
    )


def _sources(snapshot: Snapshot, task: TaskExecution) -> list[TaskExecution]:
    if "inbound" in task.runtime:
        return []
    sources = task.runtime.get("context_from")
    if sources is None:
        sources = [trigger.task_id for trigger in task.triggered_by]
    return [snapshot.tasks[task_id] for task_id in sources]


def _is_remembered(snapshot: Snapshot, task: TaskExecution) -> bool:
    remembered = snapshot.memory.get(("outbound", task.id))
    return remembered is not None and remembered[0] is task


def environment_of(snapshot: Snapshot) -> JsonObject:
    """Return the environment of the root execution."""
    root = snapshot.workflows.get(snapshot.root_id)
    if root is None:
        return {}
    environment = root.params.get("env")
    return environment if isinstance(environment, dict) else {}


def workflow_layers(snapshot: Snapshot, workflow: WorkflowExecution) -> tuple[Mapping[str, JsonValue], ...]:
    """Return the layers that every expression of a workflow sees last: its variables, then its input."""
    return (workflow.context, own_facts(snapshot, workflow), workflow.input)


def own_facts(snapshot: Snapshot, workflow: WorkflowExecution) -> JsonObject:
    """Return what every expression of a workflow may know of it: its id, and whom it works for."""
    facts: JsonObject = {"__execution": {"id": workflow.id}}
    root = snapshot.workflows.get(snapshot.root_id)
    if root is not None and root.openstack is not None:
        facts["openstack"] = root.openstack
    return facts


def task_context(
    snapshot: Snapshot,
    task: TaskExecution,
    branch: Branch,
    extra: Mapping[str, JsonValue] | None = None,
) -> LayeredContext:
    """Return what the expressions of a task see; ``extra`` (item variables) ranks below the branch."""
    workflow = snapshot.workflows[task.workflow_id]
    markers = {
        "__task_execution": {"id": task.id, "name": task.name},
        "__env": environment_of(snapshot),
    }
    return LayeredContext((markers, branch.visible(), extra or {}, *workflow_layers(snapshot, workflow)))


def workflow_context(snapshot: Snapshot, workflow: WorkflowExecution, branch: Branch) -> LayeredContext:
    """Return what ``output`` and ``output-on-error`` see."""
    markers = {"__env": environment_of(snapshot)}
    return LayeredContext((branch.visible(), markers, *workflow_layers(snapshot, workflow)))


def task_result(snapshot: Snapshot, task: TaskExecution) -> JsonValue:
    """Return ``task(x).result``: the accepted result, or the list of them.

    With-items and tasks that ran more than once give a list by item; a task without an accepted result
    gives an empty list.
    """
    results = [
        (child.position, _child_result(child))
        for child in snapshot.children_of(task.id)
        if child.accepted and child.is_finished
    ]
    if "with_items" in task.runtime:
        return [result for _, result in sorted(results, key=lambda pair: pair[0])]
    if len(results) == 1:
        return results[0][1]
    return [result for _, result in results]


def _child_result(child: ActionExecution | WorkflowExecution) -> JsonValue:
    return child.output if isinstance(child, WorkflowExecution) else child.result


def task_view(snapshot: Snapshot, task: TaskExecution) -> JsonObject:
    """Return a task execution as the expression functions show it."""
    workflow = snapshot.workflows[task.workflow_id]
    spec = snapshot.library.workflow_spec(workflow.spec_hash).tasks.get(task.name)
    return {
        "id": task.id,
        "name": task.name,
        "spec": spec.source if spec else {},
        "state": str(task.state),
        "state_info": task.state_info,
        "result": task_result(snapshot, task),
        "published": task.published,
        "type": str(task.type),
        "workflow_execution_id": task.workflow_id,
        "created_at": format_time(task.created_at),
        "updated_at": format_time(task.updated_at) if task.updated_at else None,
    }


def workflow_view(snapshot: Snapshot, workflow: WorkflowExecution) -> JsonObject:
    """Return a workflow execution as ``execution()`` shows it."""
    return {
        "id": workflow.id,
        "name": workflow.name,
        "spec": snapshot.library.workflow_spec(workflow.spec_hash).source,
        "input": workflow.input,
        "params": workflow.params,
        "created_at": format_time(workflow.created_at),
        "updated_at": format_time(workflow.updated_at) if workflow.updated_at else None,
        "root_execution_id": None if workflow.id == workflow.root_id else workflow.root_id,
    }


def format_time(value: datetime) -> str:
    """Return a time as the language shows it: UTC, whole seconds, no zone."""
    return value.strftime("%Y-%m-%d %H:%M:%S")
