"""What is done with a deployment, and what is counted. One ``Workload`` per row of the table of results.

A measurement lasts about as long as it is told to, but at least one full round. The clock runs from the first
request to the moment at which a client saw the last execution finished; preparing is outside. An execution that
does not end in SUCCESS, or has not done what it should, ends the run: a wrong answer has no speed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tools.bench import definitions
from tools.bench.client import BenchError, Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """``value`` in the unit of the workload; ``tasks`` were run in ``elapsed_s`` seconds."""

    value: float
    tasks: int
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One row of the table.

    ``unit``: of the figure; for "ms" and "s" less is better. ``target``: how many times the reference's figure
    is aimed at, None where the aim is not a ratio. ``texts``: definition text and the names of the workflows in it.
    """

    name: str
    title: str
    unit: str
    target: float | None
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    measure: Callable[[Client, float], Measurement]

    @property
    def less_is_better(self) -> bool:
        """Tell whether the figure is a time."""
        return self.unit in {"ms", "s"}

    def prepare(self, client: Client) -> None:
        """Make the workflows."""
        for text, names in self.texts:
            client.define(text, names)


def _rate(tasks: int, began: float) -> Measurement:
    elapsed_s = time.perf_counter() - began
    return Measurement(value=tasks / elapsed_s, tasks=tasks, elapsed_s=elapsed_s)


def _open_loop(client: Client, seconds: float) -> Measurement:
    """Four threads start one-task workflows as fast as they are taken; all of them must have finished."""
    began = time.perf_counter()

    def feed(_number: int) -> list[str]:
        mine: list[str] = []
        while not mine or time.perf_counter() - began < seconds:
            mine.append(client.start("bench_one"))
        return mine

    with ThreadPoolExecutor(4) as threads:
        ids = [execution_id for mine in threads.map(feed, range(4)) for execution_id in mine]
    # Oldest last: when the youngest are finished, hardly anybody needs a second look.
    for execution_id in reversed(ids):
        client.wait(execution_id)
        if len(ids) > 200 and execution_id == ids[-50]:
            break
    while client.request("GET", "executions?workflow_name=bench_one&state=RUNNING&limit=1")["executions"]:
        time.sleep(0.01)
    return _rate(len(ids), began)


def _rounds(
    workflow: str,
    *,
    at_once: int,
    tasks: int,
    workflow_input: dict[str, Any] | None = None,
    check: Callable[[Client, Any], None] | None = None,
) -> Callable[[Client, float], Measurement]:
    """Start ``at_once`` executions, wait for all of them, and again. ``tasks``: in one execution."""

    def measure(client: Client, seconds: float) -> Measurement:
        began = time.perf_counter()
        count = 0
        execution: Any = None
        while not count or time.perf_counter() - began < seconds:
            ids = [client.start(workflow, workflow_input) for _ in range(at_once)]
            for execution_id in ids:
                execution = client.wait(execution_id)
            count += at_once
        measurement = _rate(count * tasks, began)
        if check is not None:
            check(client, execution)
        return measurement

    return measure


def _median_time(workflow: str, *, unit_s: float, tasks: int) -> Callable[[Client, float], Measurement]:
    """Run one execution after the other with a pause between; the median time from request to SUCCESS seen."""

    def measure(client: Client, seconds: float) -> Measurement:
        began = time.perf_counter()
        times: list[float] = []
        while len(times) < 5 or time.perf_counter() - began < seconds:
            started = time.perf_counter()
            execution_id = client.start(workflow)
            # No look before half of the shortest time: looks take CPU from what is measured.
            first_look_s = max(min(times) * unit_s / 2 - (time.perf_counter() - started), 0) if times else 0
            client.wait(execution_id, first_look_s=first_look_s)
            times.append((time.perf_counter() - started) / unit_s)
            # Idle in between: no work of the last one is left, and no batch is under way.
            time.sleep(0.03)
        elapsed_s = time.perf_counter() - began
        return Measurement(value=statistics.median(times), tasks=tasks * len(times), elapsed_s=elapsed_s)

    return measure


def _callbacks(client: Client, seconds: float) -> Measurement:
    """Park executions, then let four threads deliver the results of all of them."""
    # As many as the deployment parks in a fraction of the time that it may then be measured for.
    began = time.perf_counter()
    ids = [client.start("bench_parked")]
    while len(ids) < 4 or time.perf_counter() - began < seconds / 2:
        ids.append(client.start("bench_parked"))
    action_ids = [_parked_action(client, execution_id) for execution_id in ids]

    def deliver(action_id: str) -> None:
        body = {"state": "SUCCESS", "output": '{"value": 3}'}
        client.request("PUT", f"action_executions/{action_id}", json=body)

    began = time.perf_counter()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(deliver, action_ids))
    for execution_id in reversed(ids[-50:]):
        client.wait(execution_id)
    while client.request("GET", "executions?workflow_name=bench_parked&state=RUNNING&limit=1")["executions"]:
        time.sleep(0.01)
    return _rate(len(ids), began)


def _parked_action(client: Client, execution_id: str) -> str:
    for _ in range(3000):
        found = client.action_ids(execution_id)
        if found:
            return found[0]
        time.sleep(0.02)
    raise BenchError(f"Execution {execution_id} got no action execution.")


def _check_results(count: int) -> Callable[[Client, Any], None]:
    def check(client: Client, execution: Any) -> None:
        output = client.request("GET", f"executions/{execution['id']}")["output"]
        if f'"results": {list(range(count))}' not in output:
            raise BenchError(f"Execution {execution['id']} did not publish its {count} results.")

    return check


def _items(count: int) -> dict[str, Any]:
    return {"items": list(range(count))}


_PATH = "<% $.hosts[3].name %>"
_QUERY = "<% $.hosts.where($.up).select($.name) %>"

WORKLOADS: tuple[Workload, ...] = (
    Workload(
        name="one",
        title="one-task workflows, 4 client threads",
        unit="/s",
        target=12,
        texts=((definitions.ONE, ("bench_one",)),),
        measure=_open_loop,
    ),
    Workload(
        name="chain",
        title="chain of 20 tasks, 10 at once",
        unit="tasks/s",
        target=40,
        texts=((definitions.chain("bench_chain", 20), ("bench_chain",)),),
        measure=_rounds("bench_chain", at_once=10, tasks=20),
    ),
    Workload(
        name="fan-out",
        title="fan-out of 100 and join: all",
        unit="tasks/s",
        target=300,
        texts=((definitions.fan_out("bench_fan_out", 100), ("bench_fan_out",)),),
        measure=_rounds("bench_fan_out", at_once=1, tasks=102),
    ),
    Workload(
        name="items",
        title="with-items of 200, results published",
        unit="items/s",
        target=30,
        texts=((definitions.ITEMS, ("bench_items",)),),
        measure=_rounds(
            "bench_items", at_once=1, tasks=200, workflow_input=_items(200), check=_check_results(200)
        ),
    ),
    Workload(
        name="items-by-ten",
        title="with-items of 200, concurrency: 10",
        unit="items/s",
        target=100,
        texts=((definitions.ITEMS_BY_TEN, ("bench_items_by_ten",)),),
        measure=_rounds(
            "bench_items_by_ten", at_once=1, tasks=200, workflow_input=_items(200), check=_check_results(200)
        ),
    ),
    Workload(
        name="data",
        title="10 tasks over a 100 kB input, each with an expression and a publish",
        unit="tasks/s",
        target=30,
        texts=((definitions.data_chain("bench_data", 10, _PATH), ("bench_data",)),),
        measure=_rounds("bench_data", at_once=4, tasks=10, workflow_input=definitions.hosts(100, 950)),
    ),
    Workload(
        name="query",
        title="10 tasks with where/select over 500 structured rows",
        unit="tasks/s",
        target=80,
        texts=((definitions.data_chain("bench_query", 10, _QUERY), ("bench_query",)),),
        measure=_rounds("bench_query", at_once=4, tasks=10, workflow_input=definitions.hosts(500)),
    ),
    Workload(
        name="nested",
        title="with-items over a sub-workflow, 30",
        unit="tasks/s",
        target=25,
        texts=((definitions.NESTED, ("bench_leaf", "bench_nested")),),
        measure=_rounds("bench_nested", at_once=1, tasks=31, workflow_input=_items(30)),
    ),
    Workload(
        name="callbacks",
        title="callbacks of async actions, 4 threads",
        unit="/s",
        target=12,
        texts=((definitions.PARKED, ("bench_parked",)),),
        measure=_callbacks,
    ),
    Workload(
        name="latency",
        title="create to SUCCESS of a one-task workflow, idle, median",
        unit="ms",
        target=None,
        texts=((definitions.ONE, ("bench_one",)),),
        measure=_median_time("bench_one", unit_s=0.001, tasks=1),
    ),
    Workload(
        name="chain-40",
        title="chain of 40, idle, median",
        unit="s",
        target=None,
        texts=((definitions.chain("bench_chain_40", 40), ("bench_chain_40",)),),
        measure=_median_time("bench_chain_40", unit_s=1.0, tasks=40),
    ),
)
