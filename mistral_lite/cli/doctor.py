"""``mistral-lite doctor``: is the set-up sound, is anything stuck, and what does an execution wait for.

It reads the database that the service works on, and writes with ``--fix`` only: a request to the engine to wake
what nothing wakes, and the removal of what belongs to nothing. Executions themselves stay the engine's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from mistral_lite.cli import db, explain
from mistral_lite.db import diagnosis, services
from mistral_lite.db.diagnosis import Backlog
from mistral_lite.db.transaction import Database
from mistral_lite.db.waits import Stuck
from mistral_lite.errors import UnavailableError
from mistral_lite.jsontext import JsonObject

# By now the next sweep should have taken it, even that of an engine under load.
_LATE_S = 60
# A process that was not heard of for three of its heartbeats.
SILENT_S = 30
_SKEW_S = 2.0
# Rows that are listed one by one.
_MOST_LISTED = 20


class Level(StrEnum):
    """How bad it is. Only a problem makes the exit code 1."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check, and what to do about it unless it is fine."""

    check: str
    level: Level
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that was found. ``fixed`` says what ``--fix`` did, ``execution`` explains the one asked for."""

    findings: Sequence[Finding]
    stuck: Sequence[Stuck]
    fixed: Sequence[str]
    execution: Sequence[str]

    @property
    def is_healthy(self) -> bool:
        """Whether there is no problem."""
        return all(finding.level is not Level.PROBLEM for finding in self.findings)

    def to_text(self) -> str:
        """Return the report for people."""
        lines = list(self.execution)
        if lines:
            lines.append("")
        for finding in self.findings:
            lines.append(f"{finding.level:<8} {finding.check:<11} {finding.text}")
            if finding.advice:
                lines.append(f"{'':<21}{finding.advice}")
        lines += [
            f"         {row.noun} execution {row.id} ({row.state}) of {row.root_id}" for row in self._listed
        ]
        if len(self.stuck) > _MOST_LISTED:
            lines.append(f"         … and {len(self.stuck) - _MOST_LISTED} more")
        lines += [f"fixed    {text}" for text in self.fixed]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return the report for programs."""
        document: JsonObject = {
            "healthy": self.is_healthy,
            "checks": [asdict(finding) for finding in self.findings],
            "stuck": [{**asdict(row), "since": row.since.isoformat()} for row in self.stuck],
            "fixed": list(self.fixed),
            "execution": list(self.execution),
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    @property
    def _listed(self) -> Sequence[Stuck]:
        return self.stuck[:_MOST_LISTED]


# Says whether an engine answers over the bus; raises ``UnavailableError``.
Knock = Callable[[], None]


class Doctor:
    """Examines one database, whose schema is at ``revision``.

    ``knock`` calls an engine over the bus, None where there is no bus.
    """

    def __init__(self, database: Database, revision: str | None, knock: Knock | None) -> None:
        self._database = database
        self._revision = revision
        self._knock = knock

    def examine(self, identifier: str | None = None, *, must_fix: bool = False) -> Report:
        """Return what was found; with ``must_fix`` repair first what is safe to repair.

        Raises ``UnavailableError`` if the database does not answer, ``NotFoundError`` for an unknown id.
        """
        findings = [_check_schema(self._revision)]
        if findings[0].level is Level.PROBLEM:
            return Report(findings=findings, stuck=(), fixed=(), execution=())
        execution: Sequence[str] = ()
        if identifier is not None:
            with self._database.read(is_snapshot=True) as connection:
                execution = explain.explain(connection, identifier, self._database.now(connection))
        stuck = list(diagnosis.find_stuck(self._database))
        fixed = self._fix(stuck) if must_fix else []
        findings += self._check_database()
        findings += self._check_bus()
        with self._database.read() as connection:
            now = self._database.now(connection)
            findings += _check_services(connection, now)
            findings += _check_backlogs(connection, now)
            findings += _check_leftovers(connection)
        findings.append(_check_stuck(stuck, is_asked=must_fix))
        return Report(findings=findings, stuck=stuck, fixed=fixed, execution=execution)

    # -- repairs ---------------------------------------------------------------------------------------

    def _fix(self, stuck: Sequence[Stuck]) -> list[str]:
        done: list[str] = []
        with self._database.read() as connection:
            leftovers = {root for _, root in diagnosis.list_leftovers(connection)}

        def work(connection: sa.Connection) -> tuple[int, int]:
            now = self._database.now(connection)
            gone = diagnosis.sweep_orphans(connection)
            roots = sorted({row.root_id for row in stuck} | leftovers)
            asked = [root for root in roots if diagnosis.exists(connection, root)]
            for root_id in asked:
                diagnosis.order_mending(connection, root_id, now)
            services.prune(connection, now - timedelta(seconds=SILENT_S))
            return gone, len(asked)

        gone, asked = self._database.run(work)
        if gone:
            done.append(
                f"removed {_count(gone, 'timer or attempt', 'timers and attempts')} of executions that are gone"
            )
        if asked:
            done.append(
                f"asked the engine to wake {_count(asked, 'execution')}; it does so within seconds, or as soon as "
                "one runs"
            )
        return done or ["nothing: there was nothing that is safe to repair from here"]

    # -- checks ----------------------------------------------------------------------------------------

    def _check_database(self) -> Iterator[Finding]:
        with self._database.write() as connection:
            before = datetime.now(UTC)
            there = self._database.now(connection)
            skew_s = (there - before - (datetime.now(UTC) - before) / 2).total_seconds()
            level = self._database.isolation_level(connection)
            weak = diagnosis.weak_commits(self._database, connection)
        if abs(skew_s) < _SKEW_S:
            yield _ok("clock", f"{abs(skew_s):.1f} s between this host and the database")
        else:
            yield Finding(
                check="clock",
                level=Level.WARNING,
                text=f"this host is {abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead of'} the database",
                advice="Leases and timers go by the database; times in logs and of requests are off. Check NTP.",
            )
        if self._database.is_sqlite or level == "READ COMMITTED":
            yield _ok("isolation", level)
        else:
            yield Finding(
                check="isolation",
                level=Level.PROBLEM,
                text=f"{level}, but READ COMMITTED was asked for",
                advice="Look for a pooler or an account setting that changes it; engines refuse to start so.",
            )
        if weak is None:
            yield _ok("durability", "commits are synchronous")
        else:
            yield Finding(
                check="durability",
                level=Level.WARNING,
                text=f"{weak}: the server may lose what it has committed",
                advice="What was answered with a 2xx is only as safe as the commit behind it.",
            )

    def _check_bus(self) -> Iterator[Finding]:
        if self._knock is None:
            yield _ok("bus", "none is configured: API, engine and executor are one process")
            return
        try:
            self._knock()
        except UnavailableError as error:
            yield Finding(
                check="bus",
                level=Level.PROBLEM,
                text=str(error),
                advice="Check [DEFAULT] transport_url, the broker, and whether an engine runs.",
            )
        else:
            yield _ok("bus", "an engine answers over it")


def _check_schema(present: str | None) -> Finding:
    wanted = db.head()
    if present == wanted:
        return _ok("schema", f"revision {present}, as this release needs")
    if present is not None and not db.is_known(present):
        return Finding(
            check="schema",
            level=Level.WARNING,
            text=f"revision {present}, which is newer than this release knows",
            advice="Good during a rolling upgrade only. Run the doctor of the newer release.",
        )
    return Finding(
        check="schema",
        level=Level.PROBLEM,
        text=f"revision {present or 'none'}, but this release needs {wanted}",
        advice="Run 'mistral-lite db upgrade'. Nothing else was looked at.",
    )


def _check_services(connection: sa.Connection, now: datetime) -> Iterator[Finding]:
    alive: dict[str, int] = {}
    for beat in services.list_all(connection):
        silent_s = (now - beat.heartbeat_at).total_seconds()
        if silent_s < SILENT_S:
            alive[beat.service.role] = alive.get(beat.service.role, 0) + 1
            continue
        yield Finding(
            check="services",
            level=Level.WARNING,
            text=f"{beat.service.role} on {beat.service.host} was last heard of {explain.duration(silent_s)} ago",
            advice="It was stopped hard, or hangs. Its line goes after ten minutes, or with --fix.",
        )
    text = ", ".join(f"{count} {role}" for role, count in sorted(alive.items()))
    missing = [role for role in ("engine", "executor") if role not in alive and "serve" not in alive]
    if missing:
        yield Finding(
            check="services",
            level=Level.PROBLEM,
            text=f"no {' and no '.join(missing)} runs{f' (but {text})' if text else ''}",
            advice="Executions wait until one is started.",
        )
    else:
        yield _ok("services", text)


# (name, what is late, how to count it, advice)
_BACKLOGS: Sequence[tuple[str, str, Callable[[sa.Connection, datetime], Backlog], str]] = (
    (
        "inbox",
        "commands and results wait for an engine",
        diagnosis.overdue_inbox,
        "Does an engine run? If so, look for tree.parked in its log.",
    ),
    (
        "timers",
        "timers are overdue",
        diagnosis.overdue_timers,
        "Does an engine run? If so, look for tree.parked in its log.",
    ),
    (
        "leases",
        "leases ran out and nobody decided about them",
        diagnosis.overdue_leases,
        "Does an engine run? It runs such actions again, or fails them, by safe-rerun.",
    ),
    (
        "queue",
        "actions wait for an executor",
        diagnosis.overdue_actions,
        "Start more executors, or one whose [executor] host is the target of the tasks.",
    ),
)


def _check_backlogs(connection: sa.Connection, now: datetime) -> Iterator[Finding]:
    for check, what, count, advice in _BACKLOGS:
        late = count(connection, now - timedelta(seconds=_LATE_S))
        if late.oldest is None:
            yield _ok(check, "nothing is late")
            continue
        age = explain.duration((now - late.oldest).total_seconds())
        # Work that waits for a free executor is load, not damage.
        level = Level.WARNING if check == "queue" else Level.PROBLEM
        yield Finding(
            check=check, level=level, text=f"{late.count} {what}, the oldest for {age}", advice=advice
        )


def _check_leftovers(connection: sa.Connection) -> Iterator[Finding]:
    found = diagnosis.list_leftovers(connection)
    if not found:
        yield _ok("leftovers", "none")
        return
    roots = sorted({root for _, root in found})
    tables = sorted({table for table, _ in found})
    yield Finding(
        check="leftovers",
        level=Level.WARNING,
        text=f"rows of {' and '.join(tables)} that wake nothing, of {_count(len(roots), 'execution')}",
        advice="Harmless; --fix removes them.",
    )


def _check_stuck(stuck: Sequence[Stuck], *, is_asked: bool) -> Finding:
    if not stuck:
        return _ok("stuck", "no row that nothing will wake")
    return Finding(
        check="stuck",
        level=Level.PROBLEM,
        text=f"{_count(len(stuck), 'row')} that nothing will wake",
        advice="Run doctor again to see that they moved on."
        if is_asked
        else "This is a bug or damage. Run doctor --fix.",
    )


def _ok(check: str, text: str) -> Finding:
    return Finding(check=check, level=Level.OK, text=text)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"
