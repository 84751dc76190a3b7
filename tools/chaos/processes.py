"""A process with all its descendants: started, killed as a power cut does it, frozen, and let go on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class ChaosError(Exception):
    """The surroundings do not work, which says nothing about the service."""


class Victim:
    """A program that is started anew after each death, with its log in ``folder``."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._folder = folder
        self._environment = {**os.environ, **(environment or {})}
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self.is_frozen = False

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        as_other = {"user": self._user, "group": self._user, "extra_groups": []} if self._user else {}
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_other,  # type: ignore[call-overload]
            )

    def kill(self) -> None:
        """End it and everything below it with SIGKILL."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(120)
        self.is_frozen = False

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)
        self.is_frozen = False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        for pid in _family(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _family(pid: int) -> list[int]:
    """Return a process and all below it (Linux)."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{each}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def wait_until(check: Callable[[], bool], what: str, within_s: float = 240.0) -> None:
    """Return once ``check`` says yes. Raises ``ChaosError``."""
    deadline_s = time.monotonic() + within_s
    while not check():
        if time.monotonic() > deadline_s:
            raise ChaosError(f"Not within {within_s:g} s: {what}")
        time.sleep(0.1)
