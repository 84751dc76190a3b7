"""Definitions: well-formed ones with odd expressions in them, and mutations of those."""

from __future__ import annotations

from random import Random

import yaml

from fuzz.grammar import Grammar

_FIELDS = (
    *(
        "with-items",
        "retry",
        "wait-before",
        "wait-after",
        "timeout",
        "pause-before",
        "fail-on",
        "concurrency",
    ),
    *(
        "join",
        "target",
        "keep-result",
        "safe-rerun",
        "requires",
        "on-success",
        "on-error",
        "on-complete",
        "publish",
    ),
    *("publish-on-error", "input", "action", "workflow", "description", "tags", "unknown"),
)
_PIECES = (
    *(
        "<%",
        "%>",
        "{{",
        "}}",
        "{%",
        "%}",
        ":",
        ": ",
        "- ",
        "&a ",
        "*a",
        "!!python/object:os.system ",
        "? ",
        "|",
        ">",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        "#",
        "\t",
        "\n",
        "\x00",
        "\x85",
        "\ufeff",
        "\ud800",
        "é",
        "0x",
        "1e999",
        ".inf",
    ),
    *(
        "<<: ",
        "~",
        "null",
        "---\n",
        "...\n",
        "%YAML 9.9\n",
        " " * 50,
        "a" * 200,
        "<% $.",
        "=",
        "\\",
        "@",
        "`",
    ),
)


class Documents:
    """Makes workflow texts."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._grammar = Grammar(random, depth=3)

    def text(self) -> str:
        """Return a workflow text; two of three are broken somewhere."""
        written: str = yaml.safe_dump(self.document(), sort_keys=False, allow_unicode=True)
        for _ in range(self._random.choice((0, 1, 1, 2, 4, 8))):
            written = self._mutated(written)
        return written

    def document(self) -> dict[str, object]:
        """Return a document of the shape of a workflow."""
        tasks: dict[str, object] = {}
        for number in range(self._random.randint(1, 4)):
            task: dict[str, object] = {
                "action": self._random.choice(("std.noop", "std.echo output=1", self._value()))
            }
            for _ in range(self._random.randint(0, 4)):
                task[self._random.choice(_FIELDS)] = self._value()
            tasks[f"t{number}"] = task
        body: dict[str, object] = {"tasks": tasks}
        for field in ("input", "output", "vars", "task-defaults", "type", "output-on-error"):
            if self._random.random() < 0.15:
                body[field] = self._value()
        return {"version": self._random.choice(("2.0", "2.0", "2.0", 2.0, self._value())), "fuzzed": body}

    def _value(self, depth: int = 2) -> object:
        choose = self._random.choice
        kind = self._random.random()
        if kind < 0.5:
            return self._grammar.text()
        if kind < 0.75 or depth == 0:
            return choose(
                (
                    0,
                    -1,
                    1,
                    2.5,
                    True,
                    False,
                    None,
                    "",
                    "t0",
                    "t1",
                    "all",
                    "one",
                    "i in [1, 2]",
                    "std.noop a=1",
                )
            )
        if kind < 0.88:
            return [self._value(depth - 1) for _ in range(self._random.randint(0, 3))]
        return {
            choose(("t0", "count", "delay", "next", "a", "publish")): self._value(depth - 1) for _ in range(2)
        }

    def _mutated(self, text: str) -> str:
        place = self._random.randrange(len(text) + 1)
        end = min(len(text), place + self._random.randint(1, 20))
        return self._random.choice(
            (
                lambda: text[:place] + self._random.choice(_PIECES) + text[place:],
                lambda: text[:place] + text[end:],
                lambda: text[:place] + text[place:end] * self._random.choice((2, 3, 50)) + text[end:],
                lambda: text[:place] + chr(self._random.randrange(0x20, 0x3000)) + text[place + 1 :],
                lambda: text[:place] + self._random.choice(_PIECES) * 100 + text[place:],
                lambda: text.replace("  ", self._random.choice((" ", "   ", "\t")), 3),
            )
        )()


def bombs() -> tuple[str, ...]:
    """Return definitions that are small and mean to become large, or are as large as is allowed."""
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))
    alias = f"version: '2.0'\na0: &a0 [lol, lol]\n{levels}\nw:\n  tasks:\n    t:\n      action: std.noop\n"
    merge = "version: '2.0'\nx: &x {a: 1}\nw:\n  <<: *x\n  tasks:\n    t:\n      <<: [*x, *x]\n      action: std.noop\n"
    head = "version: '2.0'\nw:\n  tasks:\n    t:\n      action: std.noop\n      publish:\n        a: "
    million = 1_000_000
    return (
        alias,
        merge,
        "version: '2.0'\nw: &w\n  tasks: *w\n",
        f"{head}{'[' * million}",
        f"{head}'{'<% ' * (million // 3)}'",
        f"{head}'{'{{ ' * (million // 3)}'",
        f"{head}'{'<% $.a %>' * (million // 9)}'",
        f"{head}'<% [{'1, ' * (million // 3)}1] %>'",
        f"{head}'{{{{ {'1 + ' * (million // 4)}1 }}}}'",
        f"{head}1{':1' * (million // 2)}",
        f"{head}0x{'f' * million}",
        f"{head}{'1' * million}",
        head + '"' + "\\u0041" * (million // 6) + '"',
        f"{head}[{'a, ' * (million // 3)}&a]",
        f"{head}{{{'? ' * (million // 2)}}}",
        f"{head}|\n{'          x' * (million // 11)}",
        "? " * (million // 2),
        "- " * (million // 2),
        "{" * million,
        "\n" * million,
        "#" * million,
        "\t" * million,
        "x" * (2 * million),
        "!!python/object/apply:os.system ['id']",
        "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    )
