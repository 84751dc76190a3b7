"""What is done with a deployment, and what is counted. One ``Workload`` per row of the table of results.

A measurement lasts about as long as it is told to, but at least one full round. The clock runs from the first
request to the moment at which a client saw the last execution finished; preparing is outside. An execution that
does not end in SUCCESS, or has not done what it should, ends the run: a wrong answer has no speed.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tools.bench import definitions
from tools.bench.client import BenchError, Client

# Between executions that are run one after the other.
_IDLE_S = 0.03


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
    is aimed at, None where the aim is not a ratio; ``most``: the most that the figure is to be, by deployment.
    ``texts``: definition text and the names of the workflows in it; ``workflow``: which of them is started, with
    ``workflow_input``; ``check``: raises ``BenchError`` if an execution did not do what it should.
    ``tasks``: counted in one execution; ``at_once``: executions that are under way together; ``commits``: how many
    commits those need at the least, as what follows a step may only begin once the step is durable.
    ``is_long``: the reference takes so long for one execution that its first use does not count in it, and that it
    does not vary between rounds. ``way``: what is done.
    """

    name: str
    title: str
    unit: str
    target: float | None = None
    most: Mapping[str, float] = field(default_factory=dict)
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    workflow: str
    workflow_input: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[Any], None] | None = None
    tasks: int = 1
    at_once: int = 1
    commits: int
    is_long: bool = False
    way: Callable[[Client, Workload, float], Measurement]

    @property
    def less_is_better(self) -> bool:
        """Tell whether the figure is a time."""
        return self.unit in {"ms", "s"}

    def prepare(self, client: Client) -> None:
        """Make the workflows."""
        for text, names in self.texts:
            client.define(text, names)

    def measure(self, client: Client, seconds: float) -> Measurement:
        """Do it for about ``seconds``; 0: once."""
        return self.way(client, self, seconds)


def one_after_the_other(client: Client, workflow: str, seconds: float, *, least: int = 3) -> list[float]:
    """Run executions with a pause between: the seconds of each from the request to its end seen."""
    began = time.perf_counter()
    times: list[float] = []
    execution_id = ""
    while len(times) < least or time.perf_counter() - began < seconds:
        started = time.perf_counter()
        execution_id = client.start(workflow)
        times.append(client.wait(workflow, began=started, expected_s=min(times, default=0.0)))
        # Idle in between: no work of the last one is left, and no batch is under way.
        time.sleep(_IDLE_S)
    client.check(workflow, execution_id)
    return times


def _rate(tasks: int, elapsed_s: float) -> Measurement:
    return Measurement(value=tasks / elapsed_s, tasks=tasks, elapsed_s=elapsed_s)


def open_loop(client: Client, workload: Workload, seconds: float) -> Measurement:
    """As many threads as executions at once start them as fast as they are taken; all must have finished."""
    began = time.perf_counter()

    def feed(_number: int) -> list[str]:
        mine: list[str] = []
        while not mine or time.perf_counter() - began < seconds:
            mine.append(client.start(workload.workflow))
        return mine

    with ThreadPoolExecutor(workload.at_once) as threads:
        ids = [execution_id for mine in threads.map(feed, range(workload.at_once)) for execution_id in mine]
    measurement = _rate(len(ids), client.wait(workload.workflow, began=began))
    client.check(workload.workflow, ids[-1])
    return measurement


def batches(client: Client, workload: Workload, seconds: float) -> Measurement:
    """Start as many executions as are to be at once, wait for all of them, and again."""
    began = time.perf_counter()
    count = 0
    execution_id = ""
    while not count or time.perf_counter() - began < seconds:
        started = time.perf_counter()
        for _ in range(workload.at_once):
            execution_id = client.start(workload.workflow, workload.workflow_input)
        shortest_s = client.shortest_s.get(workload.name, 0.0)
        taken_s = client.wait(workload.workflow, began=started, expected_s=shortest_s)
        client.shortest_s[workload.name] = min(taken_s, shortest_s or taken_s)
        count += workload.at_once
    measurement = _rate(count * workload.tasks, time.perf_counter() - began)
    execution = client.check(workload.workflow, execution_id)
    if workload.check is not None:
        workload.check(execution)
    return measurement


def median_time(client: Client, workload: Workload, seconds: float) -> Measurement:
    """Run one execution after the other; the median time from the request to the end seen."""
    began = time.perf_counter()
    times = one_after_the_other(client, workload.workflow, seconds, least=3 if seconds else 1)
    elapsed_s = time.perf_counter() - began
    value = statistics.median(times) * (1000 if workload.unit == "ms" else 1)
    return Measurement(value=value, tasks=workload.tasks * len(times), elapsed_s=elapsed_s)


def callbacks(client: Client, workload: Workload, seconds: float) -> Measurement:
    """Park executions, then let threads deliver the results of all of them."""
    # As many as the deployment parks in a fraction of the time that it may then be measured for.
    began = time.perf_counter()
    ids = [client.start(workload.workflow)]
    while len(ids) < workload.at_once or time.perf_counter() - began < seconds / 2:
        ids.append(client.start(workload.workflow))
    action_ids = [parked_action(client, execution_id) for execution_id in ids]
    began = time.perf_counter()
    with ThreadPoolExecutor(workload.at_once) as threads:
        list(threads.map(partial(deliver, client), action_ids))
    measurement = _rate(len(ids), client.wait(workload.workflow, began=began))
    client.check(workload.workflow, ids[-1])
    return measurement


def deliver(client: Client, action_id: str) -> None:
    """Deliver the result of an asynchronous action."""
    body = {"state": "SUCCESS", "output": '{"value": 3}'}
    client.request("PUT", f"action_executions/{action_id}", body=body)


def parked_action(client: Client, execution_id: str) -> str:
    """Return the id of the one action of an execution once it is there."""
    for _ in range(3000):
        found = client.action_ids(execution_id)
        if found:
            return found[0]
        time.sleep(0.02)
    raise BenchError(f"Execution {execution_id} got no action execution.")


def check_results(count: int) -> Callable[[Any], None]:
    """Return what checks that an execution published the numbers below ``count`` as ``results``."""

    def check(execution: Any) -> None:
        if json.loads(execution["output"]).get("results") != list(range(count)):
            raise BenchError(f"Execution {execution['id']} did not publish its {count} results.")

    return check


def items_input(count: int) -> dict[str, Any]:
    """Return the input of a with-items workflow of ``count`` items."""
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
        workflow="bench_one",
        at_once=4,
        commits=2,
        way=open_loop,
    ),
    Workload(
        name="chain",
        title="chain of 20 tasks, 10 at once",
        unit="tasks/s",
        target=40,
        texts=((definitions.chain("bench_chain", 20), ("bench_chain",)),),
        workflow="bench_chain",
        at_once=10,
        commits=21,
        tasks=20,
        way=batches,
    ),
    Workload(
        name="fan-out",
        title="fan-out of 100 and join: all",
        unit="tasks/s",
        target=300,
        texts=((definitions.fan_out("bench_fan_out", 100), ("bench_fan_out",)),),
        workflow="bench_fan_out",
        commits=4,
        is_long=True,
        tasks=102,
        way=batches,
    ),
    Workload(
        name="items",
        title="with-items of 200, results published",
        unit="items/s",
        target=30,
        texts=((definitions.ITEMS, ("bench_items",)),),
        workflow="bench_items",
        commits=2,
        tasks=200,
        workflow_input=items_input(200),
        check=check_results(200),
        way=batches,
    ),
    Workload(
        name="items-by-ten",
        title="with-items of 200, concurrency: 10",
        unit="items/s",
        target=100,
        texts=((definitions.ITEMS_BY_TEN, ("bench_items_by_ten",)),),
        workflow="bench_items_by_ten",
        commits=21,
        is_long=True,
        tasks=200,
        workflow_input=items_input(200),
        check=check_results(200),
        way=batches,
    ),
    Workload(
        name="data",
        title="10 tasks over a 100 kB input, each with an expression and a publish",
        unit="tasks/s",
        target=30,
        texts=((definitions.data_chain("bench_data", 10, _PATH), ("bench_data",)),),
        workflow="bench_data",
        at_once=4,
        commits=11,
        tasks=10,
        workflow_input=definitions.hosts(100, 950),
        way=batches,
    ),
    Workload(
        name="query",
        title="10 tasks with where/select over 500 structured rows",
        unit="tasks/s",
        target=80,
        texts=((definitions.data_chain("bench_query", 10, _QUERY), ("bench_query",)),),
        workflow="bench_query",
        at_once=4,
        commits=11,
        tasks=10,
        workflow_input=definitions.hosts(500),
        way=batches,
    ),
    Workload(
        name="nested",
        title="with-items over a sub-workflow, 30",
        unit="tasks/s",
        target=25,
        texts=((definitions.NESTED, ("bench_leaf", "bench_nested")),),
        workflow="bench_nested",
        commits=2,
        tasks=31,
        workflow_input=items_input(30),
        way=batches,
    ),
    Workload(
        name="callbacks",
        title="callbacks of async actions, 4 threads",
        unit="/s",
        target=12,
        texts=((definitions.PARKED, ("bench_parked",)),),
        workflow="bench_parked",
        at_once=4,
        commits=1,
        way=callbacks,
    ),
    Workload(
        name="latency",
        title="create to SUCCESS of a one-task workflow, idle, median",
        unit="ms",
        most={"embedded": 5, "distributed": 15},
        texts=((definitions.ONE, ("bench_one",)),),
        workflow="bench_one",
        commits=2,
        way=median_time,
    ),
    Workload(
        name="chain-40",
        title="chain of 40, idle, median",
        unit="s",
        most={"embedded": 0.15, "distributed": 0.6},
        texts=((definitions.chain("bench_chain_40", 40), ("bench_chain_40",)),),
        workflow="bench_chain_40",
        commits=41,
        tasks=40,
        way=median_time,
    ),
)
