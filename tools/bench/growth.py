"""How cost grows with size: wide workflows, long chains over large inputs, many executions that wait.

All of it on the distributed deployment. A large workflow is run once, cold; the small one it is compared with is
warm and repeated, as it is too short otherwise.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import psycopg
from psycopg import sql

from tools.bench import definitions, deployments, processes
from tools.bench.client import BenchError, Client
from tools.bench.comparison import measured
from tools.bench.deployments import Deployment, Services
from tools.bench.report import Section, Table, Target, number, yes
from tools.bench.results import Figure
from tools.bench.workloads import Workload, batches, check_results, deliver, items_input, parked_action

_RATIO = 1.3
_GROWTH_MB = 20.0
_LATENCY_RATIO = 1.5
_IDLE_SHARE = 0.01
_MEMORY_MB = 300.0
_CALLBACKS = 40
_IDLE_S = 10.0
# Identifiers in the tables of executions; those of a copy differ from the original in the last part.
_OWN_IDS = ("id", "root_execution_id", "workflow_execution_id", "task_execution_id")
_TABLES = ("workflow_executions", "task_executions", "action_executions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large: tasks or items of a wide workflow, tasks of a chain, bytes of its input, executions that wait."""

    small: int = 100
    large: int = 10_000
    chain: int = 1000
    small_input: int = 1000
    large_input: int = 1_000_000
    parked: int = 100_000

    def scaled(self, share: float) -> Sizes:
        """Return sizes of which the large ones are this share of these."""
        return Sizes(
            small=self.small,
            large=max(int(self.large * share), self.small),
            chain=max(int(self.chain * share), 2),
            small_input=self.small_input,
            large_input=max(int(self.large_input * share), self.small_input),
            parked=max(int(self.parked * share), self.small),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table: what was found for small and large, and what the second may be."""

    title: str
    unit: str
    small: float | None
    large: float
    aim: str
    is_met: bool

    def cells(self) -> list[str]:
        """Return the cells."""
        ratio = number(self.large / self.small, " ×") if self.small else ""
        first = number(self.small) if self.small is not None else ""
        return [self.title, self.unit, first, number(self.large), ratio, self.aim, yes(self.is_met)]

    def target(self) -> Target:
        """Return what was aimed at."""
        ratio = f" ({number(self.large / self.small)} ×)" if self.small else ""
        return Target(
            name=f"{self.title}: {number(self.large)} {self.unit}{ratio}, aim {self.aim}", is_met=self.is_met
        )


def section(folder: Path, services: Services, sizes: Sizes, seconds: float) -> Section:
    """Measure everything."""
    rows: list[Row] = []
    failures: list[str] = []
    with deployments.distributed(folder, services) as deployment:
        for work in (partial(_wide, seconds=seconds), _long, _parked):
            try:
                rows += work(deployment, sizes)
            except BenchError as error:
                # What grows otherwise can still be measured.
                failures.append(str(error))
    text = (
        "On the distributed deployment. The large one of a pair is run once, cold; the small ones are warm and repeated. "
        "CPU is that of all its processes and of its connections in PostgreSQL. The executions that wait are copies, by "
        "SQL, of genuine ones; a callback is delivered to one after the other, and its time ends when its execution "
        "is seen in SUCCESS."
    )
    header = ["measured", "unit", "small", "large", "large ÷ small", "target", "met"]
    table = Table(header=header, rows=[row.cells() for row in rows])
    return Section(
        title="Growth",
        text=[text],
        tables=[table],
        targets=[row.target() for row in rows],
        failures=failures,
    )


def _wide(deployment: Deployment, sizes: Sizes, seconds: float) -> list[Row]:
    rows = []
    for make, title in ((_fan_out, "fan-out with join"), (_items, "with-items")):
        small = _run(deployment, make(sizes.small), seconds, is_warm=True)
        large = _run(deployment, make(sizes.large), 0.0)
        rows += _costs(f"{title}, {sizes.small:,} and {sizes.large:,}", small, large)
    return rows


def _long(deployment: Deployment, sizes: Sizes) -> list[Row]:
    # The engine has run a chain before.
    _run(deployment, _chain(2, sizes.small_input), 0.0)
    before_mb = _database_mb(deployment)
    small = _run(deployment, _chain(sizes.chain, sizes.small_input), 0.0)
    between_mb = _database_mb(deployment)
    large = _run(deployment, _chain(sizes.chain, sizes.large_input), 0.0)
    grown_mb = _database_mb(deployment) - between_mb
    title = f"chain of {sizes.chain:,}, inputs of {sizes.small_input:,} and {sizes.large_input:,} bytes"
    return [
        *_costs(title, small, large),
        Row(
            title=f"{title}: growth of the database",
            unit="MB",
            small=between_mb - before_mb,
            large=grown_mb,
            aim=f"{_GROWTH_MB:g} MB",
            is_met=grown_mb < _GROWTH_MB,
        ),
    ]


def _parked(deployment: Deployment, sizes: Sizes) -> list[Row]:
    client = deployment.client
    client.define(definitions.PARKED, ["bench_parked"])
    ids = [client.start("bench_parked") for _ in range(sizes.small + _CALLBACKS)]
    actions = [(execution_id, parked_action(client, execution_id)) for execution_id in ids[-_CALLBACKS:]]
    small_ms, small_cpu_ms = _callback_ms(deployment, actions)
    _copy(deployment, ids[: sizes.small], sizes.parked // sizes.small - 1)
    large_ms, large_cpu_ms = _callback_ms(deployment, _some_parked(deployment, _CALLBACKS))
    share, memory_mb = _idle(deployment)
    title = f"callback to SUCCESS, {sizes.small:,} and {sizes.parked:,} executions wait"
    return [
        _ratio_row(f"{title}: time", "ms", small_ms, large_ms, _LATENCY_RATIO),
        _ratio_row(f"{title}: CPU", "ms", small_cpu_ms, large_cpu_ms, _LATENCY_RATIO),
        Row(
            title=f"idle engine, {sizes.parked:,} executions wait: CPU",
            unit="%",
            small=None,
            large=share * 100,
            aim=f"{_IDLE_SHARE:.0%}",
            is_met=share < _IDLE_SHARE,
        ),
        Row(
            title=f"idle engine, {sizes.parked:,} executions wait: memory",
            unit="MB",
            small=None,
            large=memory_mb,
            aim=f"{_MEMORY_MB:g} MB",
            is_met=memory_mb < _MEMORY_MB,
        ),
    ]


def _run(deployment: Deployment, workload: Workload, seconds: float, *, is_warm: bool = False) -> Figure:
    workload.prepare(deployment.client)
    if is_warm:
        workload.measure(deployment.client, 0)
    figure = measured(workload, deployment, seconds, 1)
    print(f"growth   {workload.title:<40}{figure.value:10.1f} tasks/s", flush=True)
    return figure


def _costs(title: str, small: Figure, large: Figure) -> list[Row]:
    """Return the rows of time and of CPU a task."""
    pairs = {
        "time": (small.elapsed_s * 1000 / small.tasks, large.elapsed_s * 1000 / large.tasks),
        "CPU": (
            sum(small.cpu_s.values()) * 1000 / small.tasks,
            sum(large.cpu_s.values()) * 1000 / large.tasks,
        ),
    }
    return [_ratio_row(f"{title}: {kind}", "ms a task", *pair, _RATIO) for kind, pair in pairs.items()]


def _ratio_row(title: str, unit: str, small: float, large: float, most: float) -> Row:
    is_met = large <= most * small
    return Row(title=title, unit=unit, small=small, large=large, aim=f"{most:g} ×", is_met=is_met)


def _fan_out(width: int) -> Workload:
    name = f"bench_fan_out_{width}"
    return _workload(name, definitions.fan_out(name, width), width + 2)


def _items(count: int) -> Workload:
    name = f"bench_items_{count}"
    text = definitions.ITEMS.replace("bench_items", name)
    return _workload(name, text, count, workload_input=items_input(count), check_count=count)


def _chain(length: int, size: int) -> Workload:
    name = f"bench_chain_{length}_{size}"
    # Bytes that hardly compress: a copy of them is seen in the size of the database.
    blob = base64.b64encode(random.Random(1).randbytes(size * 3 // 4)).decode()
    text = definitions.chain(name, length, inputs=("blob",))
    return _workload(name, text, length, workload_input={"blob": blob})


def _workload(
    name: str,
    text: str,
    tasks: int,
    *,
    workload_input: dict[str, object] | None = None,
    check_count: int | None = None,
) -> Workload:
    return Workload(
        name=name,
        title=name,
        unit="tasks/s",
        texts=((text, (name,)),),
        workflow=name,
        workflow_input=workload_input or {},
        check=None if check_count is None else check_results(check_count),
        tasks=tasks,
        commits=1,
        way=batches,
    )


def _database_mb(deployment: Deployment) -> float:
    with _connect(deployment) as connection:
        found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert found is not None
    return float(found[0]) / 1e6


def _copy(deployment: Deployment, roots: Sequence[str], copies: int) -> None:
    """Add as many copies of these executions, with all that belongs to them, as if they had been started."""
    with _connect(deployment) as connection:
        for table in _TABLES:
            names = [
                name
                for (name,) in connection.execute(
                    "SELECT column_name FROM information_schema.columns"
                    " WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position",
                    (table,),
                )
            ]
            values = [
                sql.SQL("left({0}, 24) || lpad(to_hex(n), 12, '0')").format(sql.Identifier(name))
                if name in _OWN_IDS
                else sql.Identifier(name)
                for name in names
            ]
            statement = sql.SQL(
                "INSERT INTO {table} ({names}) SELECT {values} FROM {table}, generate_series(1, %s) n"
                " WHERE root_execution_id = ANY(%s)"
            ).format(
                table=sql.Identifier(table),
                names=sql.SQL(", ").join(map(sql.Identifier, names)),
                values=sql.SQL(", ").join(values),
            )
            connection.execute(statement, (copies, list(roots)))
        # What the server has to do because of the copying is no part of what follows.
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _some_parked(deployment: Deployment, count: int) -> list[tuple[str, str]]:
    """Return some workflow executions that wait, from all over the table, each with its action execution."""
    with _connect(deployment) as connection:
        return list(
            connection.execute(
                "SELECT workflow_execution_id, id FROM action_executions WHERE state = 'RUNNING'"
                " AND NOT is_sync ORDER BY md5(id) LIMIT %s",
                (count,),
            )
        )


def _callback_ms(deployment: Deployment, actions: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Return the median time from the delivery of a result to the end of the execution, and the mean CPU time."""
    client = deployment.client
    # What is used for the first time is no part of it.
    warm, counted = actions[: len(actions) // 4], actions[len(actions) // 4 :]
    for execution_id, action_id in warm:
        _finish(client, execution_id, action_id)
    before = deployment.cpu_s()
    times = [_finish(client, execution_id, action_id) for execution_id, action_id in counted]
    after = deployment.cpu_s()
    used_s = sum(after[role] - before[role] for role in before if role in after)
    return median(times) * 1000, used_s * 1000 / len(times)


def _finish(client: Client, execution_id: str, action_id: str) -> float:
    """Deliver the result of an action; return the seconds until its execution is seen in SUCCESS."""
    began = time.perf_counter()
    deliver(client, action_id)
    while (state := client.request("GET", f"executions/{execution_id}")["state"]) == "RUNNING":
        time.sleep(0.001)
    elapsed_s = time.perf_counter() - began
    if state != "SUCCESS":
        raise BenchError(f"Execution {execution_id} ended in {state}.")
    time.sleep(0.02)
    return elapsed_s


def _idle(deployment: Deployment) -> tuple[float, float]:
    """Return the share of a CPU that the engine takes when nothing happens, and its memory in MB."""
    pid = deployment.pids["engine1"]
    # What the last callback left to do is no part of idleness.
    time.sleep(2)
    before, began = processes.cpu_s(pid), time.monotonic()
    time.sleep(_IDLE_S)
    return (processes.cpu_s(pid) - before) / (time.monotonic() - began), processes.memory_mb(pid)


def _connect(deployment: Deployment) -> psycopg.Connection:
    assert deployment.database_url is not None
    return psycopg.connect(deployment.database_url, autocommit=True)
