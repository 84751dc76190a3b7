"""One simulated service, from start to end: processes over one SQLite database, and the world around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa

from mistral_lite import faults, ids, starts
from mistral_lite.db import definitions, inbox, tables, trees
from mistral_lite.db.listing import Viewer
from mistral_lite.db.transaction import Database
from mistral_lite.engine.agenda import TurnSettings
from mistral_lite.engine.service import Engine, EngineSettings
from mistral_lite.errors import AlreadyExistsError, ConflictError, UnavailableError
from mistral_lite.expressions.base import ExpressionSettings
from mistral_lite.expressions.evaluator import Evaluator
from mistral_lite.ids import new_id
from mistral_lite.jsontext import JsonObject
from mistral_lite.lang import parse
from mistral_lite.rpc.protocol import ActionReport, ActionRequest, ExchangeRequest, Outcome
from mistral_lite.starts import StartRequest, StartRules
from mistral_lite.workflow.descriptors import ActionDescriptor
from mistral_lite.workflow.library import Library
from tools.simulate import checks
from tools.simulate.model import judge
from tools.simulate.plans import Plan
from tools.simulate.processes import Answer, EngineProcess, ExecutorProcess, Fault, Work
from tools.simulate.world import Crash, Process, World

PROJECT = "p"
LEASE_S = 5.0
SWEEP_S = 3.0
# How often the tables are looked at.
_LOOK_S = 0.7
# So long things go wrong, and so long a calm service may then take to end everything.
STORM_S = 25.0
CALM_S = 120.0

_ACTIONS = {
    name: ActionDescriptor(name=name, class_name=name, accepts_any=True, is_sync=name != "sim.async")
    for name in ("sim.sync", "sim.async", "std.noop")
}


class SimulatedDatabase(Database):
    """SQLite in memory, for one thread; its time is that of the world."""

    def __init__(self) -> None:
        super().__init__("sqlite://", pool_size=1)
        self.world: World | None = None
        tables.metadata.create_all(self.engine)
        with self.write() as connection:
            for statement in checks.WATCHES:
                connection.exec_driver_sql(statement)

    def now(self, connection: sa.Connection) -> datetime:
        assert self.world is not None
        return self.world.now()

    def empty(self) -> None:
        """Delete all rows."""
        with self.write() as connection:
            for table in tables.metadata.tables.values():
                if table is not tables.definition_changes:
                    connection.execute(sa.delete(table))
            connection.exec_driver_sql("DELETE FROM watch")


class Laboratory:
    """What all simulations of a process share: a database, and what was parsed."""

    def __init__(self) -> None:
        self.database = SimulatedDatabase()
        self.evaluator = Evaluator(ExpressionSettings())
        self.specs: dict[str, Any] = {}


@dataclass(slots=True)
class Outside:
    """What really happened, as the world outside the service knows it."""

    starts: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    answered: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)
    stopped_ids: set[str] = field(default_factory=set)


class Simulation:
    """One run. ``problems`` says what was wrong."""

    def __init__(self, laboratory: Laboratory, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.problems: list[str] = []
        self.outside = Outside()
        self.steps = 0
        self._laboratory = laboratory
        self._database = laboratory.database
        self._database.world = world
        self._database.empty()
        self._names = 0
        self._engines: list[EngineProcess] = []
        self._executors: list[ExecutorProcess] = []
        self._is_over = False
        self._next_look_s = 0.0

    def run(self) -> list[str]:
        """Run it to its end and return what was wrong."""
        random = self.world.random
        with self._surroundings():
            definition_id = self._upload()
            for _ in range(random.choice([1, 2, 2, 3])):
                self._add_engine()
            for _ in range(random.choice([1, 2, 2])):
                self._add_executor()
            for _ in range(random.choice([1, 1, 2])):
                execution_id = new_id(self.world.now())
                self.world.after(
                    random.uniform(0, 2), partial(self._start_execution, definition_id, execution_id)
                )
                self._plan_commands(execution_id)
            self.world.run_until(self._look, STORM_S)
            self._calm_down()
            if not self.world.run_until(self._look, self.world.now_s + CALM_S):
                self.problems.append(f"not everything ended within {CALM_S:g} s of calm")
            self._judge()
        return self.problems

    # -- surroundings ----------------------------------------------------------------------------------

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Take identifiers from the seed, and let engines find trees held by others now and then."""
        lock = trees.lock

        def lock_some(connection: sa.Connection, root_ids: Sequence[str]) -> dict[str, int]:
            # SQLite has one writer; on a server this is what SKIP LOCKED does while another engine is at work.
            free = [each for each in sorted(root_ids) if not self.world.says(self.world.chances.hold)]
            return lock(connection, free)

        noise = SimpleNamespace(urandom=self.world.random.randbytes)
        with patch.object(trees, "lock", lock_some), patch.object(ids, "os", noise):
            yield

    def _upload(self) -> str:
        text = self.plan.text()
        now = self.world.now()
        root_id = ""
        with self._database.write() as connection:
            for spec in parse.parse_workflow_list(text):
                spec_hash = definitions.save_spec(self._database, connection, "workflow", spec.source)
                values = {
                    "id": new_id(now),
                    "name": spec.name,
                    "definition": text,
                    "project_id": PROJECT,
                    "spec_hash": spec_hash,
                    "created_at": now,
                }
                definitions.insert_definition(connection, tables.workflow_definitions, values)
                self._laboratory.specs[spec_hash] = spec
                root_id = root_id or values["id"]
        return root_id

    # -- processes -------------------------------------------------------------------------------------

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._names}"

    def _add_engine(self) -> None:
        self._engines.append(EngineProcess(self._name("engine"), self.world, self._make_engine, self._lose))

    def _make_engine(self, process: EngineProcess) -> Engine:
        library = Library(
            evaluator=self._laboratory.evaluator,
            find_python_action=_ACTIONS.get,
            specs=self._laboratory.specs,
        )
        settings = EngineSettings(
            sweep_s=SWEEP_S, outage_pause_s=0.0, housekeeping_s=60.0, turn=TurnSettings(lease_s=LEASE_S)
        )
        return Engine(
            self._database,
            library,
            settings,
            offer=partial(self._offer, process),
            monotonic=process.monotonic,
        )

    def _add_executor(self) -> None:
        self._executors.append(
            ExecutorProcess(self._name("executor"), self.world, self._send, self._begin, self._lose)
        )

    def _lose(self, process: Process) -> None:
        """Let a process die; another one of its kind comes up after a while."""
        process.is_alive = False
        if isinstance(process, EngineProcess):
            self._engines.remove(process)
            self.world.after(self.world.random.uniform(0.1, 3), self._add_engine)
        elif isinstance(process, ExecutorProcess):
            self._executors.remove(process)
            self.world.after(self.world.random.uniform(0.1, 3), self._add_executor)

    # -- the bus ---------------------------------------------------------------------------------------

    def _delay(self) -> float:
        return self.world.random.choice([0.001, 0.001, 0.01, 0.2, 1.5])

    def _send(self, executor: ExecutorProcess, request: ExchangeRequest, answer: Answer) -> None:
        """Carry a call to some engine, and its answer back; either may be lost, late or repeated."""

        def reply(value: Any) -> None:
            if not self.world.says(self.world.chances.lose):
                self.world.after(self._delay(), lambda: answer(value), executor)

        def arrive() -> None:
            if self._engines:
                self.world.random.choice(self._engines).take(request, reply)
            else:
                self.world.after(0.5, arrive)

        if not self.world.says(self.world.chances.lose):
            self.world.after(self._delay(), arrive)
        if self.world.says(self.world.chances.repeat):
            self.world.after(self._delay(), arrive)

    def _ring(self, root_id: str) -> None:
        def arrive() -> None:
            if self._engines:
                self.world.random.choice(self._engines).ring(root_id)

        for chance in (1 - self.world.chances.lose, self.world.chances.repeat):
            if self.world.says(chance):
                self.world.after(self._delay(), arrive)

    def _offer(self, process: EngineProcess) -> None:
        for engine in self._engines:
            if engine is not process and not self.world.says(self.world.chances.lose):
                self.world.after(self._delay(), engine.notice_work, engine)

    # -- the API and its callers -------------------------------------------------------------------------

    def _as_api(self, work: Any) -> Any:
        """Do what a process of the API does for one request; it may die before or after its commit."""
        faults.arm(Fault(self.world))
        try:
            faults.reach("api.before_commit")
            result = work()
            faults.reach("api.after_commit")
        finally:
            faults.arm(None)
        return result

    def _start_execution(self, definition_id: str, execution_id: str) -> None:
        """Ask for an execution until there is an answer."""
        again = partial(self._start_execution, definition_id, execution_id)
        try:
            self._as_api(lambda: self._store_start(definition_id, execution_id))
        except AlreadyExistsError:
            pass
        except (UnavailableError, Crash):
            self.world.after(0.5, again)
            return
        self.world.note(f"{execution_id[-6:]} is accepted")
        self.outside.accepted.append(execution_id)
        self._ring(execution_id)

    def _store_start(self, definition_id: str, execution_id: str) -> None:
        with self._database.read() as connection:
            definition = definitions.find_workflow(connection, definition_id, "", PROJECT)
            assert definition is not None
            rules = StartRules(
                evaluator=self._laboratory.evaluator,
                find_spec=lambda _connection, spec_hash: self._laboratory.specs[spec_hash],
                field_size_limit_kb=1024,
            )
            params: JsonObject = {"task_name": self.plan.root.target} if self.plan.root.is_reverse else {}
            request = StartRequest(
                definition=definition,
                viewer=Viewer(project_id=PROJECT),
                workflow_input={},
                params=params,
                namespace="",
                description="",
                execution_id=execution_id,
            )
            row = starts.prepare(connection, request, rules, self.world.now())
        self._database.run(lambda connection: starts.store(connection, row))

    def _deliver(self, action_id: str, state: str, output: Any) -> None:
        """Deliver a result as a third party, until there is an answer."""
        again = partial(self._deliver, action_id, state, output)

        def work() -> inbox.Delivery:
            return inbox.deliver_result(
                self._database,
                action_execution_id=action_id,
                state=state,
                output=output,
                now=self.world.now(),
            )

        self.outside.outcomes.setdefault(action_id, []).append((state, output))
        try:
            delivery = self._as_api(work)
        except ConflictError:
            return
        except (UnavailableError, Crash):
            self.world.after(0.5, again)
            return
        self.world.note(f"{action_id[-6:]} is delivered as {state}")
        self.outside.answered.setdefault(action_id, []).append((state, output))
        self._ring(delivery.root_execution_id)

    def _command(self, root_id: str, subject_id: str, kind: str, payload: JsonObject) -> None:
        def work() -> int:
            return self._database.run(
                lambda connection: inbox.append(
                    connection,
                    root_execution_id=root_id,
                    kind=kind,
                    subject_id=subject_id,
                    payload=payload,
                    now=self.world.now(),
                )()
            )

        if kind == "stop":
            self.outside.stopped_ids.add(subject_id)
        self.world.note(f"{kind} {subject_id[-6:]}")
        try:
            self._as_api(work)
        except (UnavailableError, Crash):
            return
        self._ring(root_id)

    def _plan_commands(self, root_id: str) -> None:
        random = self.world.random
        if random.random() < 0.25:
            at_s = random.uniform(0.2, 8)
            self.world.after(at_s, partial(self._command_somewhere, root_id, "pause", {}))
            self.world.after(
                at_s + random.uniform(0.1, 4),
                partial(self._command_somewhere, root_id, "resume", {"env": {}}),
            )
        if random.random() < 0.1:
            payload = {
                "state": random.choice(["CANCELLED", "ERROR", "SUCCESS"]),
                "message": "by the operator",
            }
            self.world.after(
                random.uniform(0.2, 8), partial(self._command_somewhere, root_id, "stop", payload)
            )

    def _command_somewhere(self, root_id: str, kind: str, payload: JsonObject) -> None:
        """Give a command about any workflow of a tree."""
        with self._database.read() as connection:
            table = tables.workflow_executions
            found = connection.execute(
                sa.select(table.c.id).where(table.c.root_execution_id == root_id).order_by(table.c.id)
            )
            subjects = list(found.scalars())
        if subjects:
            self._command(root_id, self.world.random.choice(subjects), kind, payload)

    # -- actions, and the third parties behind them ------------------------------------------------------

    def _begin(self, request: ActionRequest, executor: str) -> Work:
        """Begin an attempt: from here on its effect is in the world."""
        random = self.world.random
        action_id = request.action_execution_id
        self.world.note(f"{executor} begins {action_id[-6:]}/{request.attempt} {request.name}")
        self.outside.starts[action_id] = self.outside.starts.get(action_id, 0) + 1
        duration_s = random.choice([0.0, 0.01, 0.3, 2.0])
        if request.name == "sim.async" and random.random() < 0.95:
            self._plan_callbacks(action_id, is_known=self.outside.starts[action_id] > 1)
            return Work(duration_s=duration_s, report=_report(request, Outcome.SENT))
        outcome, result = Outcome.SUCCESS, f"did {action_id[-6:]}/{request.attempt}"
        if request.name == "std.noop":
            return self._done(request, duration_s, outcome, None)
        if random.random() < 0.2:
            outcome, result = Outcome.ERROR, f"failed {action_id[-6:]}/{request.attempt}"
        elif random.random() < 0.02:
            outcome, result = Outcome.CANCELLED, "cancelled"
        return self._done(request, duration_s, outcome, result)

    def _done(self, request: ActionRequest, duration_s: float, outcome: Outcome, result: str | None) -> Work:
        state = outcome.name
        self.outside.outcomes.setdefault(request.action_execution_id, []).append((state, result))
        return Work(duration_s=duration_s, report=_report(request, outcome, result))

    def _plan_callbacks(self, action_id: str, *, is_known: bool) -> None:
        """Have a third party answer: early or late, again and again, sometimes with something else."""
        random = self.world.random
        state = random.choice(["SUCCESS"] * 7 + ["ERROR"] * 2 + ["CANCELLED"] * (random.random() < 0.2))
        output = None if state == "CANCELLED" else f"{state.lower()} of {action_id[-6:]}"
        late_s = 0.0 if not is_known else 1.0
        first_s = late_s + random.choice([0.0, 0.001, 0.5, 2.0, 5.0])
        self.world.after(first_s, partial(self._deliver, action_id, state, output))
        for _ in range(random.choice([0, 0, 1, 2])):
            self.world.after(
                first_s + random.choice([0.0, 0.1, 3.0]), partial(self._deliver, action_id, state, output)
            )
        if random.random() < 0.1:
            other = ("SUCCESS", f"something else of {action_id[-6:]}")
            self.world.after(random.uniform(0, 3), partial(self._deliver, action_id, *other))

    # -- looking, and judging ----------------------------------------------------------------------------

    def _look(self) -> bool:
        """Look at the tables now and then; tell whether everything has ended."""
        self.steps += 1
        if self.world.now_s < self._next_look_s:
            return False
        self._next_look_s = self.world.now_s + _LOOK_S
        with self._database.read() as connection:
            asleep = checks.find_asleep(connection)
            for text in asleep:
                if text not in self.problems:
                    self.world.note(text)
                    self.problems.append(text)
            if len(self.outside.accepted) == 0:
                return False
            return self._has_begun_all() and checks.is_over(connection)

    def _has_begun_all(self) -> bool:
        return self.world.now_s > 2.5

    def _calm_down(self) -> None:
        self.world.note("calm")
        self.world.be_calm()
        for process in (*self._engines, *self._executors):
            process.frozen_until = 0.0
        self._resume_all()

    def _resume_all(self) -> None:
        """Resume what is paused, as an operator does in the end."""
        with self._database.read() as connection:
            table = tables.workflow_executions
            paused = connection.execute(
                sa.select(table.c.root_execution_id, table.c.id)
                .where(table.c.state == "PAUSED")
                .order_by(table.c.id)
            )
            found = [(row.root_execution_id, row.id) for row in paused]
        for root_id, workflow_id in found:
            self._command(root_id, workflow_id, "resume", {"env": {}})
        self.world.after(3.0, self._resume_all)

    def _judge(self) -> None:
        with self._database.read() as connection:
            self.problems += checks.find_changed(connection)
            for root_id in self.outside.accepted:
                history = checks.load_history(connection, root_id)
                if not history.workflows:
                    self.problems.append(f"execution {root_id} was accepted and is not there")
                    continue
                self.problems += judge(self.plan, history, self.outside.stopped_ids)
                self.problems += checks.judge_effects(
                    history, self.outside.starts, self.outside.outcomes, self.outside.answered
                )


def _report(request: ActionRequest, outcome: Outcome, result: Any = None) -> ActionReport:
    return ActionReport(
        action_execution_id=request.action_execution_id,
        attempt=request.attempt,
        outcome=outcome,
        result=result,
    )
