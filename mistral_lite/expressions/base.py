"""What an expression sees and how it is evaluated: the contract of this package.

Expressions are pure: the data come from a ``LayeredContext``, everything wider from an
``EvaluationView`` that the caller passes in. Nothing here reads a database, a clock or a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from mistral_lite.errors import InputError
from mistral_lite.jsontext import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionSettings:
    """What an operator may set for expressions; the defaults are those of a fresh installation."""

    allowed_languages: tuple[str, ...] = ("yaql", "jinja")
    """Languages that may be used; a text of another known language is refused."""
    limit_iterators: int = -1
    """Longest collection a YAQL expression may walk; -1 means ``max_items``."""
    memory_quota_bytes: int = -1
    """YAQL's own estimate of memory for one expression; -1 means none."""
    convert_tuples_to_lists: bool = True
    convert_sets_to_lists: bool = False
    iterable_dicts: bool = False
    """Lets YAQL treat mappings as collections of their keys."""
    keyword_operator: str = "=>"
    allow_delegates: bool = False
    convert_input_data: bool = True
    convert_output_data: bool = True
    max_time_s: float = 1.5
    """Processor seconds one evaluation may use."""
    max_result_bytes: int = 16 * 1024 * 1024
    """Largest text, and roughly the largest result, of one evaluation."""
    max_items: int = 1_000_000
    """Longest collection any expression may walk."""
    max_memory_bytes: int = 256 * 1024 * 1024
    """Memory that an evaluation may use which is done in a process of its own."""
    cache_size: int = 4096
    """Parsed expressions that are kept, for each language."""

    def __post_init__(self) -> None:
        if self.convert_input_data and not self.convert_output_data:
            raise InputError(
                "The option yaql.convert_output_data is off while yaql.convert_input_data is on;"
                " turn convert_input_data off too, or leave both on."
            )


class ViewNotReady(Exception):  # noqa: N818 - a request to the caller, nothing went wrong
    """Raised by an ``EvaluationView`` that must fetch something first; it leaves an evaluation as it is."""


class EvaluationView(Protocol):
    """What the expression functions (``task()``, ``env()``, …) may look at.

    All values are plain JSON data and must not be changed by the receiver.
    """

    def environment(self) -> Mapping[str, JsonValue]:
        """Return the environment of the root execution (``{}`` if none)."""

    def execution(self) -> JsonObject:
        """Return the current workflow execution as ``execution()`` shows it."""

    def executions(self, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        """Return workflow executions (keys: id, root_execution_id, state, from_time, to_time)."""

    def task(self, name: str | None) -> JsonObject | None:
        """Return the task execution called ``name`` (the current one for None), or None."""

    def tasks(self, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        """Return task executions (keys: workflow_execution_id, recursive, state, flat)."""

    def global_variable(self, name: str) -> JsonValue:
        """Return a variable of the workflow-wide context, or None."""

    def new_uuid(self) -> str:
        """Return a random UUID4 text."""


class LayeredContext(Mapping[str, JsonValue]):
    """A read-only overlay of mappings; the first layer that has a key wins. Nothing is copied."""

    __slots__ = ("layers",)

    def __init__(self, layers: Sequence[Mapping[str, JsonValue]]) -> None:
        self.layers = tuple(layer for layer in layers if layer)

    def __getitem__(self, key: str) -> JsonValue:
        for layer in self.layers:
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(key in layer for layer in self.layers)

    def __iter__(self) -> Iterator[str]:
        seen: dict[str, None] = {}
        for layer in self.layers:
            seen.update(dict.fromkeys(layer))
        return iter(seen)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return bool(self.layers)


class ExpressionEvaluator(Protocol):
    """Checks and evaluates texts that may hold expressions of any enabled language."""

    def is_expression(self, text: str) -> bool:
        """Tell whether ``text`` holds an expression of any known language."""

    def check_syntax(self, text: str) -> None:
        """Raise ``ExpressionSyntaxError`` if an expression in ``text`` cannot be parsed."""

    def one_step(self) -> AbstractContextManager[None]:
        """Bound what all evaluations of this thread may use together until the block ends."""

    def evaluate(
        self, value: JsonValue, context: Mapping[str, JsonValue] | JsonValue, view: EvaluationView | None
    ) -> JsonValue:
        """Return ``value`` with every expression in it replaced by its result, recursively.

        ``context`` is a mapping of variables, or any JSON value for the output of an ad-hoc action.
        Lists and mapping values are walked, keys are not. The result shares no container with ``value`` but
        may share data with ``context``; it holds plain JSON data only. Raises ``EvaluationError``.
        """
