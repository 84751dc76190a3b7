"""Stops evaluations that have used up their processor time, in the middle of whatever Python does.

Owns the thread that watches and the exception that it sends; what follows is decided in ``limits.py``.

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
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Mapping

from mistral_lite.expressions.base import EvaluationView
from mistral_lite.jsontext import JsonValue

_POLL_S = 0.05
_IDLE_POLLS_BEFORE_PARKING = 20
# Seen running at this many times the limit by wall clock, a thread is stopped although it used little
# processor time; polls are counted, so a stopped process ages nobody.
_WALL_FACTOR = 10
_RESEND_POLLS = 3


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
