"""Frozen, checked forms of workflow definitions, as the engine reads them.

Built by ``parse.py`` only. A spec never changes after it was built and is shared between executions; its
``source`` is the plain dictionary it came from (what is stored, and what ``task().spec`` shows).
Section numbers refer to the language reference in ``docs/language.rst``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from mistral_lite.jsontext import JsonObject, JsonValue


class Clause(StrEnum):
    """The routing clauses of a task."""

    ON_SUCCESS = "on-success"
    ON_ERROR = "on-error"
    ON_COMPLETE = "on-complete"
    ON_SKIP = "on-skip"


COMMANDS = frozenset({"noop", "fail", "succeed", "pause"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A declared input of a workflow or an ad-hoc action; ``default`` only counts if not ``required``."""

    name: str
    required: bool
    default: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One entry of a clause: go to ``target`` (a task name or an engine command) if ``condition`` holds."""

    target: str
    condition: str | None = None
    parameters: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSpec:
    """What a task publishes, by scope. ``atomic`` is accepted by the language and never published."""

    branch: JsonObject = field(default_factory=dict)
    global_: JsonObject = field(default_factory=dict)
    atomic: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseSpec:
    """A clause as written: its transitions in document order and its advanced publish, if any."""

    next: tuple[Transition, ...] = ()
    publish: PublishSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySpec:
    """Retry policy as written; ``count`` and ``delay`` (seconds) may be expressions."""

    count: int | str
    delay: int | str
    break_on: str | None = None
    continue_on: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpecs:
    """Policies in force for a task, defaults already merged; None means "no such policy".

    Times are seconds; every field may hold an expression.
    """

    pause_before: bool | str | None = None
    wait_before: int | str | None = None
    wait_after: int | str | None = None
    fail_on: bool | str | None = None
    retry: RetrySpec | None = None
    timeout: int | str | None = None
    concurrency: int | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """One task. Clauses and policies have ``task-defaults`` merged in already.

    ``action`` and ``workflow`` are names (possibly expressions) without inline parameters, which are
    merged into ``input``. ``join`` is None, ``"all"`` or the number of arrivals.
    ``with_items`` pairs a variable with a source: a list (JSON literal) or an expression text.
    ``own_timeout`` is the task's own ``timeout``; only that one is told to executors.
    """

    name: str
    source: JsonObject
    description: str | None = None
    tags: tuple[str, ...] = ()
    action: str | None = None
    workflow: str | None = None
    input: JsonObject | str = field(default_factory=dict)
    with_items: tuple[tuple[str, list[JsonValue] | str], ...] = ()
    publish: JsonObject = field(default_factory=dict)
    publish_on_error: JsonObject = field(default_factory=dict)
    publish_on_skip: JsonObject = field(default_factory=dict)
    policies: PolicySpecs = field(default_factory=PolicySpecs)
    own_timeout: int | str | None = None
    keep_result: bool = True
    safe_rerun: bool = False
    target: str | None = None
    join: int | str | None = None
    requires: tuple[str, ...] = ()
    clauses: Mapping[Clause, ClauseSpec] = field(default_factory=dict)

    @property
    def is_workflow_task(self) -> bool:
        """Whether the task starts a nested workflow rather than an action."""
        return self.workflow is not None

    def transitions(self, clause: Clause) -> tuple[Transition, ...]:
        """Return the transitions of ``clause`` in document order."""
        spec = self.clauses.get(clause)
        return spec.next if spec else ()


@dataclass(frozen=True, kw_only=True)
class WorkflowSpec:
    """A workflow: its tasks and the static graph between them."""

    name: str
    source: JsonObject
    type: str = "direct"
    description: str | None = None
    tags: tuple[str, ...] = ()
    input: tuple[Parameter, ...] = ()
    vars: JsonObject = field(default_factory=dict)
    output: JsonObject | None = None
    output_on_error: JsonObject | None = None
    tasks: Mapping[str, TaskSpec] = field(default_factory=dict)

    @cached_property
    def targets(self) -> Mapping[str, tuple[str, ...]]:
        """Task name → names of the tasks that any of its clauses names, each once.

        A task that is called like a command counts, although a transition to that name means the command:
        such a task does not start by itself either.
        """
        return {
            name: tuple(
                dict.fromkeys(
                    transition.target
                    for clause in Clause
                    for transition in task.transitions(clause)
                    if transition.target in self.tasks
                )
            )
            for name, task in self.tasks.items()
        }

    @cached_property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """Task name → names of the tasks that lead to it, each once, in document order."""
        found: dict[str, list[str]] = {name: [] for name in self.tasks}
        for name, targets in self.targets.items():
            for target in targets:
                found[target].append(name)
        return {name: tuple(sources) for name, sources in found.items()}

    @cached_property
    def start_tasks(self) -> tuple[str, ...]:
        """Names of the tasks without inbound transition, in document order."""
        return tuple(name for name, sources in self.sources.items() if not sources)

    @cached_property
    def joins(self) -> frozenset[str]:
        """Names of the tasks with a ``join``."""
        return frozenset(name for name, task in self.tasks.items() if task.join)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """An ad-hoc action: a base action, the input given to it and what becomes of its result."""

    name: str
    source: JsonObject
    base: str
    description: str | None = None
    tags: tuple[str, ...] = ()
    input: tuple[Parameter, ...] = ()
    base_input: JsonObject = field(default_factory=dict)
    output: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkbookSpec:
    """A workbook: ad-hoc actions and workflows under one name. Members keep their short names here."""

    name: str
    source: JsonObject
    description: str | None = None
    tags: tuple[str, ...] = ()
    actions: Mapping[str, ActionSpec] = field(default_factory=dict)
    workflows: Mapping[str, WorkflowSpec] = field(default_factory=dict)
