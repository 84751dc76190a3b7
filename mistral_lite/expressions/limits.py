"""What one evaluation may cost: processor time, text size, growth of numbers and collections.

Owns the watchdog and the size checks that both languages call. It knows nothing about either language.

How an endless expression is stopped
    Python loops, however deep inside YAQL or Jinja2, are stopped by an asynchronous exception
    (``PyThreadState_SetAsyncExc``) that one daemon thread sends to the evaluating thread once that thread has
    used its *processor* time. Processor time, not wall time: a loaded machine or a stopped process must
    not fail innocent expressions. Three races are closed:

    * an exception sent as the evaluation ends: sending and ending exclude each other by a lock, and whoever
      ends takes back what was sent but not yet delivered;
    * an exception inside a look-up of the caller (which may hold a database transaction): such calls are
      shielded, their time does not count against anybody else's state;
    * an exception swallowed by a destructor: it is sent again until the evaluation is over.

    The watchdog polls only while evaluations run; it parks when there is nothing to watch. After a fork
    the first evaluation starts a new one.

What that cannot stop is one long call into C. So every operation whose result can be much larger than its
operands (repetition, powers, padding, joins, replacements) is checked here *before* it runs. A regular
expression with catastrophic backtracking stays uninterruptible: the ``re`` module checks for nothing. The
same holds for comparing or hashing structures that share parts so often that they are huge only when walked.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

from mistral_lite.expressions.base import EvaluationView, ExpressionSettings
from mistral_lite.jsontext import JsonValue

T = TypeVar("T")

_POLL_S = 0.1
_IDLE_POLLS_BEFORE_PARKING = 20
# Seen running at this many times the limit by wall clock, a thread is stopped although it used little
# processor time; polls are counted, so a stopped process ages nobody.
_WALL_FACTOR = 10
_RESEND_POLLS = 3
_MAX_INT_BITS = 65_536
_MAX_PATTERN_CHARS = 10_000
# Everything an evaluation builds, also what it throws away again, stays below this many results.
_TOTAL_FACTOR = 4


class LimitReachedError(Exception):
    """An expression asked for more than it may have; the text says for what."""


class Interrupted(BaseException):
    """Sent by the watchdog. No ``except Exception`` on the way may swallow it."""


class Evaluation:
    """One running evaluation: what it looks at and what it has used so far."""

    __slots__ = (
        "clock_id",
        "context",
        "cpu_limit_s",
        "fired_at_poll",
        "is_over",
        "is_shielded",
        "is_stopped",
        "polls",
        "spent_bytes",
        "thread_id",
        "view",
    )

    def __init__(
        self, context: Mapping[str, JsonValue], view: EvaluationView | None, max_time_s: float
    ) -> None:
        self.context = context
        self.view = view
        self.thread_id = threading.get_ident()
        self.clock_id = time.pthread_getcpuclockid(self.thread_id)
        self.cpu_limit_s = time.clock_gettime(self.clock_id) + max_time_s
        self.spent_bytes = 0
        self.polls = 0
        self.fired_at_poll = -_RESEND_POLLS
        self.is_over = False
        self.is_shielded = False
        self.is_stopped = False


class Watchdog:
    """Stops evaluations that used up their processor time; see the design note of this module."""

    def __init__(self, max_time_s: float) -> None:
        self._max_polls = max(1, round(max_time_s * _WALL_FACTOR / _POLL_S))
        self._running: dict[int, Evaluation] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_parked = True
        self._thread: threading.Thread | None = None

    def begin(self, evaluation: Evaluation) -> None:
        """Watch ``evaluation``, which belongs to the calling thread."""
        self._running[evaluation.thread_id] = evaluation
        if self._is_parked or self._thread is None or not self._thread.is_alive():
            self._start()

    def end(self, evaluation: Evaluation) -> None:
        """Stop watching; afterwards no exception can reach the thread. Harmless when repeated."""
        with self._lock:
            evaluation.is_over = True
            if evaluation.is_stopped:
                _take_back(evaluation.thread_id)
            self._running.pop(evaluation.thread_id, None)

    def shield(self, evaluation: Evaluation) -> None:
        """Let nothing reach the thread until ``unshield``."""
        with self._lock:
            evaluation.is_shielded = True
            if evaluation.is_stopped:
                _take_back(evaluation.thread_id)
                evaluation.is_shielded = False
                raise Interrupted

    def unshield(self, evaluation: Evaluation) -> None:
        """Undo ``shield``."""
        evaluation.is_shielded = False

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    thread = threading.Thread(target=self._watch, name="expression-watchdog", daemon=True)
                    thread.start()
                    self._thread = thread
        self._wake.set()

    def _watch(self) -> None:
        idle_polls = 0
        while True:
            if idle_polls > _IDLE_POLLS_BEFORE_PARKING:
                # The flag goes up before the last look, and `begin` registers before it reads the flag:
                # one of the two sees the other.
                self._wake.clear()
                self._is_parked = True
                if not self._running:
                    self._wake.wait()
            self._is_parked = False
            time.sleep(_POLL_S)
            evaluations = list(self._running.values())
            idle_polls = 0 if evaluations else idle_polls + 1
            for evaluation in evaluations:
                self._check(evaluation)

    def _check(self, evaluation: Evaluation) -> None:
        evaluation.polls += 1
        with self._lock:
            if evaluation.is_over or evaluation.is_shielded:
                return
            if evaluation.polls - evaluation.fired_at_poll < _RESEND_POLLS:
                return
            late = evaluation.polls > self._max_polls
            if late or time.clock_gettime(evaluation.clock_id) >= evaluation.cpu_limit_s:
                evaluation.fired_at_poll = evaluation.polls
                evaluation.is_stopped = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(evaluation.thread_id), ctypes.py_object(Interrupted)
                )


def _take_back(thread_id: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), None)


class Guard:
    """The limits of one evaluator; safe to use from any number of threads."""

    def __init__(self, settings: ExpressionSettings) -> None:
        self._max_time_s = settings.max_time_s
        self.max_bytes = settings.max_result_bytes
        self.max_items = settings.max_items
        if settings.limit_iterators >= 0:
            self.max_items = min(self.max_items, settings.limit_iterators)
        self._watchdog = Watchdog(settings.max_time_s)
        self._local = threading.local()

    def current(self) -> Evaluation | None:
        """Return the evaluation that runs in this thread, if any."""
        return getattr(self._local, "evaluation", None)

    def run(self, context: Mapping[str, JsonValue], view: EvaluationView | None, work: Callable[[], T]) -> T:
        """Return ``work()`` done within the limits. Raises ``LimitReachedError`` when the time is up."""
        outer = self.current()
        evaluation = Evaluation(context, view, self._max_time_s)
        if outer is not None:
            # A plug-in function evaluates in turn: the outer evaluation stays the one that is watched.
            self._local.evaluation = evaluation
            try:
                return work()
            finally:
                self._local.evaluation = outer
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
            raise LimitReachedError(f"it ran for more than {self._max_time_s:g} s; make it smaller") from None

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

    def power(self, base: object, exponent: object) -> None:
        """Check ``base ** exponent`` before it is done."""
        if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
            self._check_bits(base.bit_length() * exponent)

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
