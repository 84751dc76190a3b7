"""Runs hostile texts in this process and tells which of them were not dealt with."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from fuzz.attacks import ALL, DATA
from fuzz.documents import Documents, bombs
from fuzz.grammar import Grammar
from mistral_lite.errors import MistralLiteError
from mistral_lite.expressions import Evaluator, ExpressionSettings
from mistral_lite.jsontext import dump
from mistral_lite.lang import documents, parse
from mistral_lite.lang.lint import lint

MAX_CPU_S = 5.0
"""Processor seconds after which a text counts as one that was not dealt with."""
_SHOWN_CHARS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A text that ended in anything but a result or an error of ours, or took too long."""

    text: str
    what: str

    def __str__(self) -> str:
        return f"{self.what}\n    {self.text[:_SHOWN_CHARS]!r}"


class Runner:
    """Evaluates expressions and reads definitions; ``max_time_s`` is for one expression."""

    def __init__(self, max_time_s: float = 0.2) -> None:
        self._evaluator = Evaluator(ExpressionSettings(max_time_s=max_time_s, max_result_bytes=2 * 2**20))
        self.count = 0

    def run(self, seed: int, count: int) -> Iterator[Finding]:
        """Yield what is found among ``count`` generated texts, half of them expressions, half definitions."""
        random = Random(seed)
        grammar, made = Grammar(random), Documents(random)
        for number in range(count):
            if number % 2:
                yield from self._try(self._evaluate, grammar.text())
            else:
                yield from self._try(self._read, made.text())

    def run_attacks(self) -> Iterator[Finding]:
        """Yield what is found among the expressions that are known to be attacks."""
        for text in ALL:
            yield from self._try(self._evaluate, text)

    def run_bombs(self) -> Iterator[Finding]:
        """Yield what is found among the definitions that are large or mean to become large."""
        for text in bombs():
            yield from self._try(self._read, text)

    def _try(self, work: Callable[[str], None], text: str) -> Iterator[Finding]:
        self.count += 1
        began_s = time.process_time()
        try:
            work(text)
        except MistralLiteError:
            pass
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            yield Finding(text=text, what=f"{type(error).__name__}: {error}"[:_SHOWN_CHARS])
        used_s = time.process_time() - began_s
        if used_s > MAX_CPU_S:
            yield Finding(text=text, what=f"{used_s:.1f} s of processor time")

    def _evaluate(self, text: str) -> None:
        self._evaluator.check_syntax(text)
        with self._evaluator.one_step():
            dump(self._evaluator.evaluate(text, DATA, None))

    def _read(self, text: str) -> None:
        lint(text)
        specs = parse.parse_workflow_list(text, self._evaluator.check_syntax)
        documents.workflow_texts(text, [spec.name for spec in specs])
        for spec in specs:
            dump(spec.source)


def peak_bytes() -> int:
    """Return the largest memory that this process has ever used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
