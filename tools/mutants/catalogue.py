"""The invariants that are broken, how, and what is to notice it."""

from __future__ import annotations

from dataclasses import dataclass

SIMULATION = ("-m", "tools.simulate", "--most-failures", "1", "--seeds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change of one file: ``old`` becomes ``new``. ``program``: arguments of Python; fails if it notices."""

    name: str
    breaks: str
    path: str
    old: str
    new: str
    program: tuple[str, ...]

    @property
    def test(self) -> str:
        """Return what is run, as the documents name it."""
        if self.program[:2] == SIMULATION[:2]:
            return "the simulation"
        return self.program[-1]


def _pytest(test: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-q", "-x", "-p", "no:randomly", test)


def _seeds(count: int) -> tuple[str, ...]:
    return (*SIMULATION, str(count))


MUTANTS = (
    Mutant(
        name="no-row-lock",
        breaks="One engine at a time works on a tree: the row of its root is not locked",
        path="mistral_lite/db/trees.py",
        old="        .order_by(workflow_executions.c.id)\n        .with_for_update(skip_locked=True)\n",
        new="        .order_by(workflow_executions.c.id)\n",
        program=_pytest("tests/engine/test_concurrent_joins.py"),
    ),
    Mutant(
        name="answer-before-commit",
        breaks="Nobody learns anything before the commit: executors are answered first",
        path="mistral_lite/engine/turn.py",
        old='            faults.reach("engine.before_commit")\n',
        new=(
            "            for ticket, reply in self._outcome.replies.items():\n"
            "                ticket.answer(reply)\n"
            '            faults.reach("engine.before_commit")\n'
        ),
        program=_seeds(200),
    ),
    Mutant(
        name="no-sweep",
        breaks="Whatever no message told is found: the sweep looks at no inbox",
        path="mistral_lite/engine/service.py",
        old="        agenda.root_ids.update(waiting[:_MOST_TREES])\n",
        new="",
        program=_seeds(60),
    ),
    Mutant(
        name="no-fencing",
        breaks="Only the present attempt counts: the number of an attempt is not compared",
        path="mistral_lite/workflow/decide.py",
        old="    if pending is None or pending.attempt != event.attempt:\n",
        new="    if pending is None:\n",
        program=_seeds(300),
    ),
    Mutant(
        name="inbox-apart",
        breaks="What was applied goes in the transaction that applied it: inbox rows go before, in their own",
        path="mistral_lite/engine/turn.py",
        old="            trees.write(self._connection, self._changes)\n            inbox.delete(self._connection, self._consumed)\n",
        new=(
            "            inbox.delete(self._connection, self._consumed)\n"
            '        self._connection.exec_driver_sql("COMMIT")\n'
            '        self._connection.exec_driver_sql("BEGIN IMMEDIATE")\n'
            '        faults.reach("engine.before_commit")\n'
            "        with pipelined(self._connection):\n"
            "            trees.write(self._connection, self._changes)\n"
        ),
        program=_seeds(100),
    ),
    Mutant(
        name="apply-to-finished",
        breaks="What is finished does not change: results are applied to finished actions",
        path="mistral_lite/workflow/decide.py",
        old='    if action.is_finished:\n        return "the action execution is finished"\n',
        new="",
        program=_pytest("tests/core/test_properties.py::test_finished_stays_finished_unless_run_again"),
    ),
    Mutant(
        name="rerun-what-is-not-safe",
        breaks="Without safe-rerun an action starts once: every lost attempt is repeated",
        path="mistral_lite/workflow/results.py",
        old="    if action.safe_rerun:\n        repeat(step, pending)\n",
        new="    if action:\n        repeat(step, pending)\n",
        program=_seeds(100),
    ),
    Mutant(
        name="overrule-results",
        breaks="A result that was answered with a 200 counts: whatever else ends the action goes first",
        path="mistral_lite/engine/turn.py",
        old="        if overruled():\n",
        new="        if overruled() is None:\n",
        program=_pytest(
            "tests/engine/test_steps.py"
            "::test_a_result_that_was_taken_counts_whatever_is_reported_before_anybody_rang"
        ),
    ),
    Mutant(
        name="memory-ahead-of-row",
        breaks="A snapshot in memory is as old as its version says: events that change nothing count, too",
        path="mistral_lite/workflow/decision.py",
        old="    return replace(decision, version=snapshot.version) if decision.is_empty else decision\n",
        new="    return decision\n",
        program=_pytest(
            "tests/engine/test_steps.py"
            "::test_an_engine_that_ignored_an_event_sees_what_another_one_has_done_since"
        ),
    ),
    Mutant(
        name="no-lease-expiry",
        breaks="What a dead executor held is decided by its lease: nobody looks for those that ran out",
        path="mistral_lite/engine/service.py",
        old="        agenda.look_for_expired = self._monotonic() >= self._patient_until\n",
        new="",
        program=_seeds(100),
    ),
    Mutant(
        name="settle-unapplied",
        breaks="An executor forgets a report once it is applied: reports about trees held elsewhere are settled",
        path="mistral_lite/engine/turn.py",
        old="                self._outcome.unreported.update(ticket for ticket, _ in pairs)\n",
        new="                pass\n",
        program=_pytest("tests/engine/test_scale.py::test_a_tree_that_another_engine_holds_comes_back"),
    ),
    Mutant(
        name="join-twice",
        breaks="A join is one task: each arrival makes another",
        path="mistral_lite/workflow/joins.py",
        old="    if task is None:\n        task = step.add_task(workflow, spec, (), State.WAITING",
        new="    if task is None or task.state == State.WAITING:\n        task = step.add_task(workflow, spec, (), State.WAITING",
        program=_seeds(60),
    ),
)
