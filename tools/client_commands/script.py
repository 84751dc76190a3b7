"""The scripts of commands in ``tests/e2e/client_commands/script/*.yaml``.

Owns their shape; knows nothing of servers. A file is one theme, run from top to bottom on one service:

``shows``     one sentence: what the theme is about
``identity``  true if it needs Keystone; then a step may say ``by``, and the names of ``by`` are kept project ids
``files``     texts by file name; ``@name`` in a command is the path of that file
``steps``     a list of steps, each either a command

    ``run``      the command as typed after ``mistral``; ``{name}`` is a kept value
    ``by``       who types it: ``primary`` (default), ``alt`` or ``admin``; or ``wrong`` (a wrong password)
    ``format``   ``both`` (default for commands that only read, where no Keystone is asked each time), ``json``
                 (default for the others) or ``table``
    ``keep``     values by new name: a column of the only row, or ``[column, value, column]`` to choose a row
    ``own``      columns that hold sentences; only that there is one is compared
    ``ignores``  columns that the reference leaves to chance
    ``ordered``  the order of the rows matters (of a text: that of its lines, which does by default but for reports)
    ``differs``  why mistral_lite answers otherwise on purpose

or ``wait``: ``{of, id, state}`` until an ``execution`` or ``action_execution``, all ``tasks`` of an execution or
all ``actions`` of a task are in that state. Only where no Keystone is asked.
"""

from __future__ import annotations

import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cliff.lister import Lister
from cliff.show import ShowOne

with warnings.catch_warnings(action="ignore"):
    # The client warns about its own libraries.
    import mistralclient.shell

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "e2e" / "client_commands"
REPORT = "execution-get-report"
BOTH, JSON, TABLE, RAW = "both", "json", "table", "raw"
_THEME_KEYS = {"shows", "identity", "files", "steps"}
_STEP_KEYS = {"run", "by", "format", "keep", "own", "ignores", "ordered", "differs", "wait"}
_READS = ("-list", "-get", "-validate", "-sub-executions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command; see the module's docstring for the meaning of its fields."""

    text: str
    by: str
    format: str
    keep: dict[str, Any]
    own: tuple[str, ...]
    ignores: tuple[str, ...]
    ordered: bool
    differs: str | None

    @property
    def name(self) -> str:
        """The command itself, without its arguments."""
        return shlex.split(self.text)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A pause until something has reached a state; ``id`` may name a kept value."""

    of: str
    id: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """One script."""

    name: str
    shows: str
    needs_identity: bool
    files: dict[str, str]
    steps: tuple[Command | Wait, ...]

    @property
    def commands(self) -> list[Command]:
        """The steps that are commands, in their order."""
        return [step for step in self.steps if isinstance(step, Command)]


def client_commands() -> dict[str, type]:
    """Return every command that the installed client has for the server's API, with its class."""
    shell = mistralclient.shell.MistralShell()
    commands: dict[str, type] = shell._get_commands(2)  # noqa: SLF001 - what "mistral help" shows
    return commands


def load_themes(folder: Path = FOLDER / "script") -> list[Theme]:
    """Read all scripts in the order of their file names; raises ValueError for a malformed one."""
    classes = client_commands()
    return [
        _theme(path.stem, yaml.safe_load(path.read_text(encoding="utf-8")), classes)
        for path in sorted(folder.glob("*.yaml"))
    ]


def _theme(name: str, body: dict[str, Any], classes: dict[str, type]) -> Theme:
    unknown = set(body) - _THEME_KEYS
    if unknown:
        raise ValueError(f"{name}: unknown keys {sorted(unknown)}")
    return Theme(
        name=name,
        shows=" ".join(body["shows"].split()),
        needs_identity=bool(body.get("identity")),
        files=body.get("files", {}),
        steps=tuple(_step(name, step, classes, is_quick=not body.get("identity")) for step in body["steps"]),
    )


def _step(theme: str, body: dict[str, Any], classes: dict[str, type], *, is_quick: bool) -> Command | Wait:
    unknown = set(body) - _STEP_KEYS
    if unknown:
        raise ValueError(f"{theme}: {body}: unknown keys {sorted(unknown)}")
    if "wait" in body:
        return Wait(**body["wait"])
    text = body["run"]
    name = shlex.split(text)[0]
    format_ = body.get("format") or _default_format(name, classes, is_quick=is_quick)
    return Command(
        text=text,
        by=body.get("by", "primary"),
        format=format_,
        keep=body.get("keep", {}),
        own=tuple(body.get("own", [])),
        ignores=tuple(body.get("ignores", [])),
        ordered=body.get("ordered", format_ == RAW and name != REPORT),
        differs=" ".join(body["differs"].split()) if body.get("differs") else None,
    )


def _default_format(name: str, classes: dict[str, type], *, is_quick: bool) -> str:
    if not issubclass(classes.get(name, object), (Lister, ShowOne)) or name == "run-action":
        return RAW
    return BOTH if name.endswith(_READS) and is_quick else JSON
