"""One compiled expression, and how its value becomes plain data.

Owns the border: what is a part of the data is shared and not looked at, what was computed is converted, and
measured, as results of the library are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mistral_lite.expressions.base import EvaluationView
from mistral_lite.expressions.fast.values import SCALARS, Closure, ComputedMapping, ListIterator, Run, Value
from mistral_lite.expressions.functions import Scope
from mistral_lite.expressions.limits import Guard
from mistral_lite.expressions.plain import PlainConverter
from mistral_lite.jsontext import JsonValue

_PLAIN = SCALARS | {dict, list}
ConverterFactory = Callable[[type[PlainConverter], bool], PlainConverter]


class SharingConverter(PlainConverter):
    """Converts what was computed and shares what is data."""

    __slots__ = ()

    def convert(self, value: object) -> JsonValue:
        """Return ``value`` as plain JSON data."""
        kind = type(value)
        if kind is dict or kind is list:
            return value
        if kind is tuple:
            self._take_node()
            return [self.convert(item) for item in value]  # type: ignore[attr-defined]
        if kind is ComputedMapping:
            self._take_node()
            return {self._key(key): self.convert(item) for key, item in value.items()}  # type: ignore[attr-defined]
        return super().convert(value)


class FastExpression:
    """Evaluates one expression directly.

    ``is_watched``: it has loops, whose time is to be limited. ``is_part``: its result is no larger than the data.
    """

    __slots__ = ("_converter", "_evaluate", "_guard", "_is_part", "_is_watched")

    def __init__(
        self, evaluate: Closure, guard: Guard, converter: ConverterFactory, *, is_watched: bool, is_part: bool
    ) -> None:
        self._evaluate = evaluate
        self._guard = guard
        self._converter = converter
        self._is_watched = is_watched
        self._is_part = is_part

    def evaluate(
        self, context: Mapping[str, JsonValue], view: EvaluationView | None, *, for_text: bool
    ) -> JsonValue:
        """Return the result as plain data. Raises whatever comes up where the library is to be asked instead."""
        run = Run(self._guard, Scope(context, view))
        if not self._is_watched:
            return self._finished(self._evaluate(run, context), context, for_text)
        return self._guard.run(
            context, view, lambda: self._finished(self._evaluate(run, context), context, for_text)
        )

    def _finished(self, value: Value, context: Mapping[str, JsonValue], for_text: bool) -> JsonValue:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if value is context and isinstance(context, Mapping):
            return dict(context)
        converter = self._converter(SharingConverter, for_text)
        if self._is_part and (kind is ListIterator or kind is tuple):
            return [item if type(item) in _PLAIN else converter.convert(item) for item in value]
        return converter.convert(value)
