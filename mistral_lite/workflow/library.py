"""What a decision may read besides the rows of its tree: specs, definitions, action descriptors, rules.

The core never fetches. When it meets a name that was not looked up yet it raises ``LookupNeeded``; the
caller looks it up, puts the answer here and decides again, which is safe because deciding leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mistral_lite.expressions.base import ExpressionEvaluator, ViewNotReady
from mistral_lite.jsontext import JsonObject, JsonValue
from mistral_lite.lang.specs import ActionSpec, WorkflowSpec
from mistral_lite.workflow.descriptors import ActionDescriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Settings that change decisions.

    ``field_size_limit_kb`` bounds inputs, outputs and published values (negative: no limit).
    ``merge_published`` deep-merges published variables instead of replacing them. ``version_contexts``: count
    publishes, so that at a join the later change wins; without, the branch that ended last wins.
    ``callback_base_url`` is the absolute URL of the API; ``callback_is_relative`` gives third parties the
    relative path that the reference gives. ``dynamic_actions``: whether uploaded code counts.
    ``most_items``: how many items of one task may start at once.
    """

    field_size_limit_kb: int = 1024
    merge_published: bool = False
    version_contexts: bool = True
    callback_base_url: str = "http://127.0.0.1:8989"
    callback_is_relative: bool = False
    dynamic_actions: bool = False
    most_items: int = 20_000

    def callback_url(self, action_execution_id: str) -> str:
        """Return what an asynchronous action tells its third party."""
        if self.callback_is_relative:
            return f"/v2/action_executions/{action_execution_id}"
        return self.callback_base_url


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDefinition:
    """A stored workflow as a nested start needs it."""

    id: str
    name: str
    namespace: str
    spec_hash: str
    workbook: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdhocDefinition:
    """A stored ad-hoc action."""

    name: str
    spec_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonAction:
    """An action that a Python class implements.

    ``code`` tells where the class of a dynamic action is (source_name, class_name, hash); None: installed.
    """

    descriptor: ActionDescriptor
    code: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A question for the database.

    ``kind``: "workflow" or "action" (key: name, namespace, project), "spec" (key: hash), "executions" or
    "tasks" (key: project and the filters as sorted pairs, of the expression function of that name).
    """

    kind: str
    key: tuple[JsonValue, ...]


class LookupNeeded(ViewNotReady):
    """The decision needs the answer to ``lookup`` first."""

    def __init__(self, lookup: Lookup) -> None:
        super().__init__(lookup.kind)
        self.lookup = lookup


@dataclass(slots=True, kw_only=True)
class Library:
    """Everything a decision may read besides its tree.

    ``specs`` never go out of date (keys are content hashes). ``answers`` hold as long as no definition was
    uploaded; ``generation`` counts the uploads that they know of. ``sources`` are those of dynamic actions, by
    content hash too.
    """

    evaluator: ExpressionEvaluator
    find_python_action: Callable[[str], ActionDescriptor | None]
    rules: Rules = field(default_factory=Rules)
    specs: dict[str, WorkflowSpec | ActionSpec] = field(default_factory=dict)
    answers: dict[Lookup, object] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    generation: int = -1

    def workflow_spec(self, spec_hash: str) -> WorkflowSpec:
        """Return the workflow spec with this hash."""
        spec = self._spec(spec_hash)
        assert isinstance(spec, WorkflowSpec)
        return spec

    def action_spec(self, spec_hash: str) -> ActionSpec:
        """Return the ad-hoc action spec with this hash."""
        spec = self._spec(spec_hash)
        assert isinstance(spec, ActionSpec)
        return spec

    def find_workflow(self, name: str, namespace: str, project_id: str) -> WorkflowDefinition | None:
        """Return the workflow of that name, in the namespace or else in the default one."""
        found = self._answer(Lookup(kind="workflow", key=(name, namespace, project_id)))
        assert found is None or isinstance(found, WorkflowDefinition)
        return found

    def find_action(
        self, name: str, namespace: str, project_id: str
    ) -> AdhocDefinition | PythonAction | None:
        """Return the action of that name: an ad-hoc one, else a dynamic one, else an installed one.

        The first two are looked for in the namespace, then in the default one.
        """
        found = self._answer(Lookup(kind="action", key=(name, namespace, project_id)))
        if found is None:
            descriptor = self.find_python_action(name)
            return None if descriptor is None else PythonAction(descriptor=descriptor)
        assert isinstance(found, AdhocDefinition | PythonAction)
        return found

    def query(self, kind: str, project_id: str, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        """Return what the expression function ``kind`` ("executions" or "tasks") finds outside the tree."""
        found = self._answer(Lookup(kind=kind, key=(project_id, *sorted(filters.items()))))
        assert isinstance(found, list)
        return found

    def _spec(self, spec_hash: str) -> WorkflowSpec | ActionSpec:
        spec = self.specs.get(spec_hash)
        if spec is None:
            raise LookupNeeded(Lookup(kind="spec", key=(spec_hash,)))
        return spec

    def _answer(self, lookup: Lookup) -> object:
        if lookup not in self.answers:
            raise LookupNeeded(lookup)
        return self.answers[lookup]
