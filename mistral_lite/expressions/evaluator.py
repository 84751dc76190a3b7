"""The front door of expressions: detection, recursion, the choice of language.

Owns which texts are expressions and in which order languages are asked. How an expression is evaluated is the
matter of ``yaql.py`` and ``jinja.py``; what it may cost, of ``limits.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from mistral_lite.errors import EvaluationError, ExpressionSyntaxError
from mistral_lite.expressions.base import EvaluationView, ExpressionSettings
from mistral_lite.expressions.containment import ContainedError, Containment, answer_from
from mistral_lite.expressions.functions import function_table
from mistral_lite.expressions.jinja import JinjaLanguage
from mistral_lite.expressions.limits import Guard, LimitReachedError, TooExpensiveError
from mistral_lite.expressions.yaql import YaqlLanguage
from mistral_lite.jsontext import JsonValue


class Language(Protocol):
    """One expression language."""

    name: str

    def is_found_in(self, text: str) -> bool:
        """Tell whether ``text`` holds an expression of this language."""

    def check_syntax(self, text: str) -> None:
        """Raise ``ExpressionSyntaxError`` if ``text`` cannot be parsed."""

    def evaluate(self, text: str, context: Mapping[str, JsonValue], view: EvaluationView | None) -> JsonValue:
        """Return the result of ``text``, in which the language was found.

        Raises ``EvaluationError``, and ``TooExpensiveError`` if it is to be done in a process of its own.
        """

    def describe(self, text: str, cause: str) -> str:
        """Return the message of a failure of ``text``."""


class Evaluator:
    """Evaluates texts in YAQL and Jinja2; one instance serves all threads of a process.

    ``plugins`` are further functions by name; each is called with the data context before its arguments.
    """

    def __init__(
        self,
        settings: ExpressionSettings,
        plugins: Mapping[str, Callable[..., JsonValue]] | None = None,
        *,
        is_contained: bool = False,
    ) -> None:
        """``is_contained``: this process is one that may be ended in the middle of an evaluation."""
        self._plugins = plugins or {}
        functions = function_table(self._plugins)
        self._guard = guard = Guard(settings, is_contained=is_contained)
        self._containment = Containment(settings, tuple(self._plugins))
        self._allowed = frozenset(settings.allowed_languages)
        # In this order: the first language that is found evaluates the whole text.
        self._languages: tuple[Language, ...] = (
            JinjaLanguage(settings, guard, functions),
            YaqlLanguage(settings, guard, functions),
        )

    def is_expression(self, text: str) -> bool:
        """Tell whether ``text`` holds an expression of any known language."""
        return self._find(text) is not None

    def check_syntax(self, text: str) -> None:
        """Raise ``ExpressionSyntaxError`` if ``text`` mixes languages or an expression cannot be parsed."""
        found = [language for language in self._languages if language.is_found_in(text)]
        if not found:
            return
        if len(found) > 1:
            raise ExpressionSyntaxError(
                f"The text already contains an expression of type '{found[0].name}'."
                " Mixing expression types in a single line is not allowed."
            )
        language = found[0]
        if language.name not in self._allowed:
            raise ExpressionSyntaxError(self._disabled(language))
        language.check_syntax(text)

    def one_step(self) -> AbstractContextManager[None]:
        """Bound what all evaluations of this thread may use together until the block ends."""
        return self._guard.one_step()

    def evaluate(
        self, value: JsonValue, context: Mapping[str, JsonValue] | JsonValue, view: EvaluationView | None
    ) -> JsonValue:
        """Return ``value`` with every expression in it replaced by its result, recursively.

        Mapping keys are never evaluated and results are not evaluated again. An empty context is evaluated
        over like any other: the output of an ad-hoc action may follow an empty result. Raises
        ``EvaluationError``. Source: language reference 14.4 and 11.2.
        """
        try:
            return self._walk(value, context, view)
        except RecursionError as error:
            raise EvaluationError("Can not evaluate a value that is nested too deeply") from error

    def _walk(
        self, value: JsonValue, context: Mapping[str, JsonValue], view: EvaluationView | None
    ) -> JsonValue:
        if isinstance(value, str):
            return self._evaluate_text(value, context, view)
        if isinstance(value, Mapping):
            return {key: self._walk(item, context, view) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._walk(item, context, view) for item in value]
        return value

    def _evaluate_text(
        self, text: str, context: Mapping[str, JsonValue], view: EvaluationView | None
    ) -> JsonValue:
        language = self._find(text)
        if language is None:
            return text
        if language.name not in self._allowed:
            raise EvaluationError(self._disabled(language))
        try:
            return language.evaluate(text, context, view)
        except TooExpensiveError:
            return self._evaluate_contained(language, text, context, view)

    def _evaluate_contained(
        self, language: Language, text: str, context: Mapping[str, JsonValue], view: EvaluationView | None
    ) -> JsonValue:
        try:
            self._guard.check_step()
            ask = answer_from(view, self._plugins, context)
            value, used_s = self._containment.evaluate(text, context, view, ask)
        except ContainedError as error:
            self._guard.spend(error.used_s)
            message = str(error) if error.is_described else language.describe(text, str(error))
            raise EvaluationError(message) from None
        except LimitReachedError as error:
            raise EvaluationError(language.describe(text, str(error))) from None
        self._guard.spend(used_s)
        return value

    def _find(self, text: str) -> Language | None:
        for language in self._languages:
            if language.is_found_in(text):
                return language
        return None

    @staticmethod
    def _disabled(language: Language) -> str:
        return f"The expression language '{language.name}' is disabled by the operator."
