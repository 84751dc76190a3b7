"""Runs scripts with the official client in this process and hands back what each command came to.

A process for each command would spend most of its time on imports; that both are the same is shown by a test.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shlex
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from client_commands import printed, script
from client_commands.script import Command, Theme, Wait

with warnings.catch_warnings(action="ignore"):
    # The client warns about its own libraries.
    import mistralclient.shell

Outcome = dict[str, Any]
# Key of an outcome: a failure without a sentence for the user. A matter of this service only, and not recorded.
MUTE = "mute"
_REQUEST = re.compile(r'"(\w+) (\S+) HTTP/[\d.]+" (\d+)')
_PLACE = re.compile(r"\{(\w+)\}")
_DEADLINE_S = 120.0
# Where to look for what a wait names; the second part is the list of that path whose items must all be there.
_PATHS = {
    "execution": ("executions/{}", None),
    "action_execution": ("action_executions/{}", None),
    "tasks": ("executions/{}/tasks", "tasks"),
    "actions": ("tasks/{}/action_executions", "action_executions"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service: ``url`` ends in ``/v2``; ``logins`` are the client's environment variables by who types.

    ``projects`` are the ids of their projects, which commands may name; empty without Keystone.
    """

    url: str
    logins: Mapping[str, Mapping[str, str]]
    projects: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, url: str) -> Service:
        """Return a service that asks nobody for a token."""
        return cls(url=url, logins={"primary": {"OS_MISTRAL_URL": url}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What one command did: its exit code, both streams, and the status of each answer of the service."""

    code: int
    out: str
    err: str
    statuses: tuple[int, ...]


class _Statuses(logging.Handler):
    """Collects the statuses of answers from what the HTTP library logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        seen = _REQUEST.search(record.getMessage())
        # Requests to Keystone are no matter of the service.
        if seen and not seen[2].startswith("/v3"):
            self.found.append(int(seen[3]))


@contextmanager
def _surroundings(environment: Mapping[str, str], statuses: _Statuses) -> Iterator[None]:
    """Let the client find its environment and set up logging as in a process of its own; take it back after."""
    root, wire = logging.getLogger(), logging.getLogger("urllib3.connectionpool")
    handlers, level, wire_level, is_heard = list(root.handlers), root.level, wire.level, wire.propagate
    variables = dict(os.environ)
    root.handlers.clear()
    for name in [name for name in os.environ if name.startswith(("OS_", "MISTRAL_"))]:
        del os.environ[name]
    os.environ.update(environment)
    wire.addHandler(statuses)
    wire.setLevel(logging.DEBUG)
    # What is collected is nothing that the user is shown.
    wire.propagate = False
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        wire.removeHandler(statuses)
        wire.setLevel(wire_level)
        wire.propagate = is_heard
        root.handlers[:] = handlers
        root.setLevel(level)
        os.environ.clear()
        os.environ.update(variables)


def in_this_process(arguments: list[str], environment: Mapping[str, str]) -> Printed:
    """Run the client's main function."""
    out, err, statuses = io.StringIO(), io.StringIO(), _Statuses()
    with redirect_stdout(out), redirect_stderr(err), _surroundings(environment, statuses):
        try:
            code = mistralclient.shell.main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return Printed(code=code or 0, out=out.getvalue(), err=err.getvalue(), statuses=tuple(statuses.found))


def in_a_process(program: Path, arguments: list[str], environment: Mapping[str, str]) -> Printed:
    """Run ``program`` as a user does; the statuses are not seen."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    done = subprocess.run(
        [str(program), *arguments],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Printed(code=done.returncode, out=done.stdout, err=done.stderr, statuses=())


def _sorted(text: str) -> str:
    return "\n".join(sorted(text.splitlines()))


class StuckError(Exception):
    """What a script waits for did not come about."""


def run_themes(
    service: Service, themes: list[Theme], make_folder: Callable[[str], Path]
) -> dict[str, list[Outcome] | StuckError]:
    """Run themes one after another and return, by name, what their commands came to or why one did not end."""
    found: dict[str, list[Outcome] | StuckError] = {}
    for theme in themes:
        try:
            found[theme.name] = Run(service, theme, make_folder(theme.name)).outcomes()
        except StuckError as error:
            found[theme.name] = error
    return found


class Run:
    """One theme on one service."""

    def __init__(self, service: Service, theme: Theme, folder: Path) -> None:
        self._service = service
        self._theme = theme
        self._folder = folder
        self._values: dict[str, str] = dict(service.projects)
        for name, text in theme.files.items():
            (folder / name).write_text(text, encoding="utf-8")

    def outcomes(self) -> list[Outcome]:
        """Run every step and return what the commands came to, in their order."""
        found = []
        for step in self._theme.steps:
            if isinstance(step, Wait):
                self._wait(step)
            else:
                found.append(self._outcome(step))
        return found

    def arguments(self, command: Command) -> list[str]:
        """Return the command with files and kept values in their places."""
        return [
            str(self._folder / part[1:]) if part.startswith("@") else part
            for part in shlex.split(self._filled(command.text))
        ]

    def _outcome(self, command: Command) -> Outcome:
        arguments = self.arguments(command)
        outcome: Outcome = {"run": command.text}
        columns: list[str] = []
        if command.format in (script.BOTH, script.JSON):
            done = self._type(command, [*arguments, "-f", "json"])
            outcome |= self._came_to(done)
            if done.code == 0:
                rows = printed.rows(done.out)
                self._keep(command, rows)
                columns = list(rows[0]) if rows else []
                outcome["rows"] = printed.normal_rows(rows, self._kept, command)
        if command.format == script.TABLE or (command.format == script.BOTH and outcome["exit"] == 0):
            hidden = {*command.own, *command.ignores}
            shown = [part for name in columns if name not in hidden for part in ("-c", name)]
            done = self._type(command, arguments + (shown if hidden else []))
            outcome |= self._came_to(done)
            outcome["table"] = printed.normal_table(done.out, self._kept, ordered=command.ordered)
        if command.format == script.RAW:
            done = self._type(command, arguments)
            outcome |= self._came_to(done)
            if done.code == 0:
                shown = printed.normal_text(done.out, self._kept)
                outcome["text"] = (
                    printed.WORDS if command.own else shown if command.ordered else _sorted(shown)
                )
        return outcome

    def _type(self, command: Command, arguments: list[str]) -> Printed:
        return in_this_process(arguments, self._service.logins[command.by])

    def _came_to(self, done: Printed) -> Outcome:
        came: Outcome = {"exit": done.code, "statuses": list(done.statuses)}
        if done.code:
            came["text"] = printed.lines_of_the_client(done.out, self._kept)
            came[MUTE] = not done.err.strip() or "Traceback" in done.err + done.out
        return came

    @property
    def _kept(self) -> dict[str, str]:
        """The names of the kept values; longer values first, so that none hides another."""
        return {
            value: name for name, value in sorted(self._values.items(), key=lambda item: -len(item[1]))
        } | {str(self._folder): "folder"}

    def _keep(self, command: Command, rows: list[dict[str, Any]]) -> None:
        for name, place in command.keep.items():
            if isinstance(place, str):
                (row,) = rows
                self._values[name] = row[place]
            else:
                column, value, wanted = place
                self._values[name] = next(row[wanted] for row in rows if row[column] == value)

    def _wait(self, step: Wait) -> None:
        path, listed = _PATHS[step.of]
        url = f"{self._service.url}/{path.format(self._filled(step.id))}"
        deadline = time.monotonic() + _DEADLINE_S
        while True:
            answer = requests.get(url, timeout=120).json()
            states = {item["state"] for item in (answer[listed] if listed else [answer])}
            if states == {step.state}:
                return
            if time.monotonic() > deadline:
                raise StuckError(f"{self._theme.name}: {step} is not reached; last seen: {answer}")
            time.sleep(0.1)

    def _filled(self, text: str) -> str:
        return _PLACE.sub(lambda found: self._values.get(found[1], found[0]), text)
