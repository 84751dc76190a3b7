"""Where the time goes: py-spy looks at the processes of a deployment while a workload runs.

A sample counts for what holds the interpreter just then: the innermost frame that belongs to one of the kinds of
work below. So the parser of expressions counts as expressions, whoever called it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bench.client import BenchError
from tools.bench.deployments import Deployment
from tools.bench.report import Section, Table
from tools.bench.workloads import Workload

_SAMPLES_A_SECOND = 200
_STOP_S = 30.0

# Kinds of work by the beginning of a file's path, as py-spy shortens it.
KINDS: Mapping[str, tuple[str, ...]] = {
    "JSON": ("orjson/", "json/", "mistral_lite/jsontext"),
    "expressions": ("yaql/", "jinja2/", "ply/", "mistral_lite/expressions/"),
    "SQL": ("psycopg/", "psycopg_binary/", "psycopg_pool/", "sqlalchemy/", "mistral_lite/db/"),
    "RPC": ("oslo_messaging/", "kombu/", "amqp/", "vine/", "futurist/", "mistral_lite/rpc/"),
    "HTTP": ("cheroot/", "pecan/", "webob/", "wsme/", "wsmeext/", "mistral_lite/api/"),
    "decide": ("mistral_lite/workflow/", "mistral_lite/lang/"),
    "turns": ("mistral_lite/engine/", "mistral_lite/starts", "mistral_lite/parts"),
    "actions": ("mistral_lite/executor/", "mistral_lite/actions/"),
}
OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Samples by kind of work and by process."""

    by_kind: Mapping[str, int]
    by_role: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiler:
    """``program``: py-spy."""

    program: Path

    def profile(self, deployment: Deployment, workload: Workload, seconds: float) -> Profile:
        """Run a workload under the profiler. Raises ``BenchError`` if py-spy may not look."""
        by_kind: Counter[str] = Counter()
        by_role: Counter[str] = Counter()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            files = {role: Path(folder) / role for role in deployment.pids}
            watching = [self._watch(deployment.pids[role], file, seconds) for role, file in files.items()]
            workload.measure(deployment.client, seconds)
            for process in watching:
                _, errors = process.communicate(timeout=_STOP_S)
                if process.returncode:
                    raise BenchError(f"py-spy ended with {process.returncode}: {errors[-500:]!r}")
            for role, file in files.items():
                found = fold(file.read_text().splitlines() if file.exists() else [])
                by_kind.update(found)
                by_role[role] += sum(found.values())
        return Profile(by_kind=by_kind, by_role=by_role)

    def _watch(self, pid: int, file: Path, seconds: float) -> subprocess.Popen[bytes]:
        looks = ["--gil", "--rate", str(_SAMPLES_A_SECOND), "--duration", str(max(round(seconds), 1))]
        command = [
            str(self.program),
            "record",
            "--pid",
            str(pid),
            "--format",
            "raw",
            *looks,
            "--output",
            str(file),
        ]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def fold(lines: Iterable[str]) -> Counter[str]:
    """Return the samples by kind of work. A line: frames from the outermost to the innermost, then a count."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        if stack and count.isdigit():
            found[kind_of(stack.split(";"))] += int(count)
    return found


def kind_of(frames: Sequence[str]) -> str:
    """Return the kind of work of a stack; a frame is ``function (path:line)``."""
    for frame in reversed(frames):
        path = frame.rpartition(" (")[2]
        for kind, beginnings in KINDS.items():
            if path.startswith(beginnings):
                return kind
    return OTHER


def section(workloads: Sequence[Workload], profiles: Mapping[str, Profile]) -> Section:
    """Return the table of shares."""
    kinds = [*KINDS, OTHER]
    rows = []
    for workload in workloads:
        profile = profiles[workload.name]
        rows.append([workload.title, *_shares(profile.by_kind, kinds), _roles(profile.by_role)])
    text = (
        "Shares of the time that the processes of the distributed deployment held their interpreters, in per cent, by "
        "py-spy: the innermost frame that belongs to a kind of work counts. PostgreSQL, RabbitMQ and waiting are not "
        "in it."
    )
    return Section(
        title="Shares of the time",
        text=[text],
        tables=[Table(header=["workload", *kinds, "by process"], rows=rows)],
    )


def _shares(samples: Mapping[str, int], names: Iterable[str]) -> list[str]:
    total = sum(samples.values()) or 1
    return [f"{100 * samples.get(name, 0) / total:.0f}" for name in names]


def _roles(samples: Mapping[str, int]) -> str:
    shares = _shares(samples, samples)
    return ", ".join(f"{role} {share}" for role, share in zip(samples, shares, strict=True))
