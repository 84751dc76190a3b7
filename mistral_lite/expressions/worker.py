"""The process that evaluates what may not run among threads: ``python -m mistral_lite.expressions.worker``.

Its standard input is a socket to the process that started it; over this come evaluations, one at a time, and
go results and questions (``task()``, ``env()``, plug-ins). It ends when that socket closes, so it never
outlives its parent, and it cannot run wild: the kernel ends it when an evaluation has used its processor time,
and memory beyond the limit is refused to it. It writes no files, no core dumps and no output.
"""

from __future__ import annotations

import resource
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mistral_lite.errors import EvaluationError
from mistral_lite.expressions.base import ExpressionSettings
from mistral_lite.expressions.channel import Channel, ChannelClosedError
from mistral_lite.expressions.evaluator import Evaluator
from mistral_lite.jsontext import JsonObject, JsonValue

# Beyond the limit at which Python is told to stop; whoever gets here sits in one call into C.
_GRACE_S = 0.5
_OPEN_FILES = 64
# What the parent may raise as it answers a question; anything else arrives as the last one.
_ANSWERS: Mapping[str, type[Exception]] = {
    "KeyError": KeyError,
    "TypeError": TypeError,
    "ValueError": ValueError,
    "EvaluationError": EvaluationError,
}


class _Dismissed(BaseException):
    """The parent does not want the result any more."""


class _RemoteView:
    """Asks the parent for everything that the functions of expressions may look at."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    def environment(self) -> Mapping[str, JsonValue]:
        found: JsonObject = self._ask("environment")
        return found

    def execution(self) -> JsonObject:
        found: JsonObject = self._ask("execution")
        return found

    def executions(self, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        found: list[JsonObject] = self._ask("executions", filters)
        return found

    def task(self, name: str | None) -> JsonObject | None:
        found: JsonObject | None = self._ask("task", name)
        return found

    def tasks(self, filters: Mapping[str, JsonValue]) -> Sequence[JsonObject]:
        found: list[JsonObject] = self._ask("tasks", filters)
        return found

    def global_variable(self, name: str) -> JsonValue:
        return self._ask("global_variable", name)

    def new_uuid(self) -> str:
        return str(self._ask("new_uuid"))


class Worker:
    """Answers the evaluations of one parent."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        hello = channel.receive()
        settings = hello["settings"]
        settings["allowed_languages"] = tuple(settings["allowed_languages"])
        self._settings = ExpressionSettings(**settings)
        plugins = {name: self._plugin(name) for name in hello["plugins"]}
        self._evaluator = Evaluator(self._settings, plugins, is_contained=True)
        # What the libraries make ready at first use is not the memory of whoever comes first.
        for text in ("<% [1].select($ + 1) %>", "{{ [1] | map('string') | list }}"):
            self._evaluator.evaluate(text, {}, None)
        self._base_bytes = _data_bytes()
        _confine(self._base_bytes + self._settings.max_memory_bytes)

    def run(self) -> None:
        """Work until the parent closes the socket, or until too much memory stays in use."""
        while True:
            answer = self._answer(self._channel.receive())
            # Memory that an evaluation has left behind would be missing for the next one.
            is_last = _data_bytes() - self._base_bytes > self._settings.max_memory_bytes // 4
            self._channel.send({**answer, "is_last": is_last})
            if is_last:
                return

    def _answer(self, request: JsonObject) -> JsonObject:
        began_s = time.process_time()
        view = _RemoteView(self._ask) if request["has_view"] else None
        signal.setitimer(signal.ITIMER_PROF, self._settings.max_time_s + _GRACE_S)
        try:
            value = self._evaluator.evaluate(request["text"], request["context"], view)
            outcome: JsonObject = {"value": value}
        except EvaluationError as error:
            outcome = {"error": error.message}
        except _Dismissed:
            outcome = {"dismissed": True}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        return {**outcome, "used_s": time.process_time() - began_s}

    def _plugin(self, name: str) -> Callable[..., JsonValue]:
        return lambda _context, *args, **kwargs: self._ask(f"plugin:{name}", *args, **kwargs)

    def _ask(self, what: str, *args: JsonValue, **kwargs: JsonValue) -> JsonValue:
        self._channel.send({"ask": what, "args": args, "kwargs": kwargs})
        answer = self._channel.receive()
        if "value" in answer:
            return answer["value"]
        if "raise" in answer:
            kind, text = answer["raise"]
            raise _ANSWERS.get(kind, EvaluationError)(text)
        raise _Dismissed


def _data_bytes() -> int:
    """Return the private memory of this process, as ``RLIMIT_DATA`` counts it."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _confine(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)


def main() -> None:
    """Run as the child of an evaluator."""
    # A signal to the whole group or service is the parent's to obey; it closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=0), max_bytes=1 << 40)
    try:
        Worker(channel).run()
    except ChannelClosedError:
        return


if __name__ == "__main__":
    main()
