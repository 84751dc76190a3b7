"""What one evaluation may cost: processor time, text size, growth of numbers and collections.

Owns the limits and the size checks that both languages call; time is watched by ``watchdog.py``. It knows
nothing about either language.

Two tiers
    In the thread of the caller an evaluation gets a small share (``_THREAD_S``, ``_THREAD_BYTES``). One that asks
    for more, or for an operation whose cost nobody can tell beforehand, leaves by ``TooExpensiveError`` and is
    done again from the start in a process of its own (``containment.py``). There a ``Guard`` is ``contained``:
    it allows what the operator's settings allow, and whatever slips through ends with that process.

What the watchdog cannot stop is one long call into C. So every operation whose result can be much larger than its
operands (repetition, powers, padding, joins, replacements) is checked here *before* it runs, and what has no
such check (regular expressions, structures that share parts so often that they are huge only when walked) is
left to the process that can be ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sized
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import TypeVar

from mistral_lite.expressions.base import EvaluationView, ExpressionSettings
from mistral_lite.expressions.patterns import is_cheap
from mistral_lite.expressions.watchdog import Evaluation, Interrupted, Watchdog
from mistral_lite.jsontext import JsonValue

T = TypeVar("T")

_MAX_INT_BITS = 65_536
_MAX_MODULAR_BITS = 4096
_MAX_PATTERN_CHARS = 10_000
# The share of an evaluation in the thread of its caller; longer than a collection of garbage in between takes.
_THREAD_S = 0.3
_THREAD_BYTES = 1024 * 1024
# Sorting compares in one call; so many elements take a moment even if each of them is large.
_THREAD_SORTED_ITEMS = 1000
# What one call that nothing can interrupt may take: some milliseconds.
_THREAD_STEPS = 10_000_000
# All evaluations of one step together, in times of one; those that are quicker than this do not count.
_STEP_FACTOR = 2
_QUICK_S = 0.02
# Everything an evaluation builds, also what it throws away again, stays below this many results.
_TOTAL_FACTOR = 4


class LimitReachedError(Exception):
    """An expression asked for more than it may have; the text says for what."""


class TooExpensiveError(BaseException):
    """This evaluation belongs into a process of its own. No ``except Exception`` on the way may swallow it."""


def too_long(limit_s: float) -> str:
    """Return what is said of an evaluation that took longer."""
    return f"it ran for more than {limit_s:g} s; make it smaller"


class Step:
    """Processor seconds that the evaluations of one step may still use together."""

    __slots__ = ("left_s",)

    def __init__(self, left_s: float) -> None:
        self.left_s = left_s


class Guard:
    """The limits of one evaluator; safe to use from any number of threads.

    ``is_contained``: the process may end if need be, so evaluations get all that the settings allow.
    """

    def __init__(self, settings: ExpressionSettings, *, is_contained: bool = False) -> None:
        self.is_contained = is_contained
        self.max_time_s = settings.max_time_s
        self.max_bytes = settings.max_result_bytes
        self.max_items = settings.max_items
        if settings.limit_iterators >= 0:
            self.max_items = min(self.max_items, settings.limit_iterators)
        self._own_time_s = self.max_time_s if is_contained else min(_THREAD_S, self.max_time_s)
        self._watchdog = Watchdog(self._own_time_s)
        self._local = threading.local()

    def current(self) -> Evaluation | None:
        """Return the evaluation that runs in this thread, if any."""
        return getattr(self._local, "evaluation", None)

    @contextmanager
    def one_step(self) -> Iterator[None]:
        """Bound what the evaluations of this thread use together until the block ends."""
        if getattr(self._local, "step", None) is not None:
            yield
            return
        self._local.step = Step(self.max_time_s * _STEP_FACTOR)
        try:
            yield
        finally:
            self._local.step = None

    def check_step(self) -> None:
        """Raise ``LimitReachedError`` if this step has no time left."""
        step: Step | None = getattr(self._local, "step", None)
        if step is not None and step.left_s <= 0:
            limit_s = self.max_time_s * _STEP_FACTOR
            raise LimitReachedError(
                f"the expressions of one step ran for more than {limit_s:g} s together; make them smaller"
            )

    def spend(self, used_s: float) -> None:
        """Take processor seconds that one evaluation used from what its step has left."""
        step: Step | None = getattr(self._local, "step", None)
        if step is not None and used_s > _QUICK_S:
            step.left_s -= used_s

    def leave_thread(self) -> None:
        """Raise ``TooExpensiveError`` unless this is the process where anything may be tried."""
        if not self.is_contained:
            raise TooExpensiveError

    def run(self, context: Mapping[str, JsonValue], view: EvaluationView | None, work: Callable[[], T]) -> T:
        """Return ``work()`` done within the limits.

        Raises ``LimitReachedError``, and ``TooExpensiveError`` if it is to be done elsewhere.
        """
        outer = self.current()
        evaluation = Evaluation(context, view, self._own_time_s)
        if outer is not None:
            # A plug-in function evaluates in turn: the outer evaluation stays the one that is watched.
            self._local.evaluation = evaluation
            try:
                return work()
            finally:
                self._local.evaluation = outer
        self.check_step()
        began_s = time.thread_time()
        try:
            return self._run_watched(evaluation, work)
        finally:
            self.spend(time.thread_time() - began_s)

    def _run_watched(self, evaluation: Evaluation, work: Callable[[], T]) -> T:
        try:
            try:
                self._local.evaluation = evaluation
                self._watchdog.begin(evaluation)
                return work()
            finally:
                self._finish(evaluation)
        except Interrupted:
            while not evaluation.is_over:
                try:
                    self._finish(evaluation)
                except Interrupted:
                    continue
            self.leave_thread()
            raise LimitReachedError(too_long(self.max_time_s)) from None

    def _finish(self, evaluation: Evaluation) -> None:
        self._watchdog.end(evaluation)
        self._local.evaluation = None

    def shielded(self, call: Callable[[], T]) -> T:
        """Return ``call()``, during which the watchdog sends nothing: it may hold a transaction."""
        evaluation = self.current()
        if evaluation is None or evaluation.is_shielded:
            return call()
        self._watchdog.shield(evaluation)
        try:
            return call()
        finally:
            self._watchdog.unshield(evaluation)

    def charge(self, size: int) -> None:
        """Account for ``size`` bytes that were, or are about to be, built."""
        if size > self.max_bytes:
            raise LimitReachedError(f"it builds a value of more than {self.max_bytes} bytes")
        evaluation = self.current()
        if evaluation is not None:
            evaluation.spent_bytes += size
            if evaluation.spent_bytes > _THREAD_BYTES:
                self.leave_thread()
            if evaluation.spent_bytes > self.max_bytes * _TOTAL_FACTOR:
                raise LimitReachedError(f"it builds more than {self.max_bytes * _TOTAL_FACTOR} bytes in all")

    def charge_value(self, value: object) -> None:
        """Account for a finished value if it is large; small ones cost nothing."""
        kind = type(value)
        if kind is str or kind is bytes:
            if len(value) > 4096:  # type: ignore[arg-type]
                self.charge(len(value))  # type: ignore[arg-type]
        elif (kind is tuple or kind is list or kind is dict) and len(value) > 512:  # type: ignore[arg-type]
            self.charge(8 * len(value))  # type: ignore[arg-type]

    def multiply(self, left: object, right: object) -> None:
        """Check ``left * right`` before it is done."""
        if isinstance(left, int) and isinstance(right, int):
            self._check_bits(left.bit_length() + right.bit_length())
            return
        for sequence, count in ((left, right), (right, left)):
            if isinstance(sequence, (str, bytes, list, tuple)) and isinstance(count, int):
                unit = 1 if isinstance(sequence, (str, bytes)) else 8
                self.charge(max(0, count) * len(sequence) * unit)

    def power(self, base: object, exponent: object, modulus: object = None) -> None:
        """Check ``base ** exponent``, or that modulo ``modulus``, before it is done."""
        if isinstance(modulus, int):
            self._check_modular_power(base, exponent, modulus)
        elif isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
            self._check_bits(base.bit_length() * exponent)

    def _check_modular_power(self, base: object, exponent: object, modulus: int) -> None:
        for number in (base, exponent, modulus):
            if isinstance(number, int) and number.bit_length() > _MAX_MODULAR_BITS:
                raise LimitReachedError(
                    f"it computes a power modulo with integers of more than {_MAX_MODULAR_BITS} bits"
                )

    def shift_left(self, value: int, bits: int) -> None:
        """Check ``value << bits`` before it is done."""
        self._check_bits(value.bit_length() + max(0, bits))

    def _check_bits(self, bits: int) -> None:
        if bits > _MAX_INT_BITS:
            raise LimitReachedError(f"it computes an integer of more than {_MAX_INT_BITS} bits")

    def replace(self, text: str, old: str, new: str, count: int = -1) -> None:
        """Check ``text.replace(old, new, count)`` before it is done."""
        hits = text.count(old) if count < 0 else min(count, text.count(old))
        self.charge_text(len(text) + hits * max(0, len(new) - len(old)))

    def substitute(self, text: str, replacement: str) -> None:
        """Check a regular-expression replacement before it is done; an upper bound, groups included."""
        self.charge_text((len(text) + 1) * max(1, len(replacement)))

    def charge_text(self, size: int) -> None:
        """Account for a text of ``size`` characters; small ones cost nothing."""
        if size > 4096:
            self.charge(size)

    def pattern(self, text: str) -> None:
        """Check the size of a regular expression before it is compiled."""
        if len(text) > _MAX_PATTERN_CHARS:
            raise LimitReachedError(f"a regular expression is longer than {_MAX_PATTERN_CHARS} characters")

    def match(self, text: str, length: int) -> None:
        """Check a match of the regular expression ``text`` in ``length`` characters before it is done."""
        if not self.is_contained and not is_cheap(text, length):
            raise TooExpensiveError

    def order(self, items: object) -> None:
        """Check that ``items`` may be sorted here: it compares all of them in one call."""
        if not isinstance(items, Sized) or len(items) > _THREAD_SORTED_ITEMS:
            self.leave_thread()

    def steps(self, first: int, second: int) -> None:
        """Check an operation that may take ``first`` times ``second`` steps in one call."""
        if first * second > _THREAD_STEPS:
            self.leave_thread()

    def join(self, parts: list[str], separator: str) -> str:
        """Return ``separator.join(parts)`` if it is not too large."""
        self.charge_text(sum(map(len, parts)) + len(separator) * max(0, len(parts) - 1))
        return separator.join(parts)

    def text_of(self, value: object) -> str:
        """Return ``str(value)``; containers are measured first, for shared parts count each time."""
        if isinstance(value, str):
            return str(value)
        if isinstance(value, (Mapping, AbstractSet, list, tuple)):
            self._measure(value, [self.max_bytes])
        text = str(value)
        self.charge_text(len(text))
        return text

    def _measure(self, value: object, left: list[int]) -> None:
        left[0] -= len(value) if isinstance(value, str) else 2
        if left[0] < 0:
            raise LimitReachedError(f"it builds a value of more than {self.max_bytes} bytes")
        if isinstance(value, Mapping):
            for key, item in value.items():
                self._measure(key, left)
                self._measure(item, left)
        elif isinstance(value, (AbstractSet, list, tuple)):
            for item in value:
                self._measure(item, left)
