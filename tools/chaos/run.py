"""One run: start everything, let it storm while work comes in, wait for the end, and count."""

from __future__ import annotations

import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

from tools.chaos.outside import Outside
from tools.chaos.processes import ChaosError, wait_until
from tools.chaos.service import Service
from tools.chaos.storm import Storm
from tools.chaos.workload import KINDS, Started, definitions

FINISHED = {"SUCCESS", "ERROR", "CANCELLED"}
_CLIENTS = 8


class Chaos:
    """Counts what must be 0."""

    def __init__(self, folder: Path, seed: int, *, is_loud: bool) -> None:
        self._seed = seed
        self._is_loud = is_loud
        self._service = Service(folder)
        self._outside = Outside(self._service, seed)
        self._started: list[Started] = []
        self._executions: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    def run(self, *, workflows: int, kills: int, pause_s: float, patience_s: float) -> list[str]:
        """Return what was wrong."""
        try:
            self._service.start()
            self._upload()
            storm = Storm(self._service, self._seed, kills, pause_s, is_loud=self._is_loud)
            began_s = time.monotonic()
            faults = threading.Thread(target=storm.run, daemon=True, name="storm")
            faults.start()
            self._start_all(workflows, kills * pause_s)
            wait_until(lambda: not faults.is_alive(), "all faults have happened", kills * pause_s * 10 + 240)
            self._service.postgresql.wait_ready()
            self._service.rabbitmq.wait_ready()
            self._service.start_again()
            wait_until(lambda: all(v.is_up and not v.is_frozen for v in self._service.victims), "all are up")
            self._wait_for_end(patience_s)
            took_s = time.monotonic() - began_s
            problems = self._judge()
            self._counts = {
                **{f"  {name}": count for name, count in sorted(storm.done.items())},
                "faults": sum(storm.done.values()),
                **self._counts,
                "seconds": int(took_s),
            }
            return problems
        finally:
            self._outside.close()
            self._service.stop()

    def table(self) -> str:
        """Return what was counted."""
        width = max(map(len, self._counts), default=0)
        return "\n".join(f"{name:{width}}  {count:6}" for name, count in self._counts.items())

    # -- work ------------------------------------------------------------------------------------------

    def _upload(self) -> None:
        answer = self._service.call(
            0,
            "POST",
            "/workflows",
            data=definitions().encode(),
            headers={"Content-Type": "text/plain"},
        )
        if answer is None or answer.status_code != 201:
            raise ChaosError(
                f"The workflows were refused: {answer.text if answer is not None else 'no answer'}"
            )

    def _start_all(self, count: int, over_s: float) -> None:
        """Ask for the executions, spread over the storm, each until somebody says yes."""
        random = Random(f"workload {self._seed}")
        for number in range(count):
            identifier = str(uuid.UUID(int=random.getrandbits(128), version=4))
            safety = "safe" if random.random() < 0.6 else "once"
            self._started.append(Started(id=identifier, kind=KINDS[number % len(KINDS)], safety=safety))
        pause_s = over_s / max(count, 1)
        with ThreadPoolExecutor(_CLIENTS) as pool:
            for number, started in enumerate(self._started):
                pool.submit(self._start, number, started)
                time.sleep(pause_s)

    def _start(self, number: int, started: Started) -> None:
        body = {
            "id": started.id,
            "workflow_name": started.workflow,
            "params": {"env": {"url": self._outside.url}},
        }
        while not started.is_accepted:
            answer = self._service.call(number, "POST", "/executions", json=body)
            if answer is not None and answer.status_code == 201:
                started.is_accepted = True
            elif answer is not None and answer.status_code < 500:
                raise ChaosError(f"A start was refused: {answer.text}")
            else:
                number += 1
                time.sleep(0.3)

    def _wait_for_end(self, patience_s: float) -> None:
        deadline_s = time.monotonic() + patience_s
        while time.monotonic() < deadline_s:
            for number, started in enumerate(self._started):
                if started.id not in self._executions:
                    answer = self._service.call(number, "GET", f"/executions/{started.id}")
                    if (
                        answer is not None
                        and answer.status_code == 200
                        and answer.json()["state"] in FINISHED
                    ):
                        self._executions[started.id] = answer.json()
            if len(self._executions) == len(self._started) and not self._outside.owes:
                return
            time.sleep(0.5)

    # -- judging ---------------------------------------------------------------------------------------

    def _judge(self) -> list[str]:
        problems: list[str] = []

        def count(name: str, found: list[str]) -> None:
            self._counts[name] = len(found)
            problems.extend(f"{name}: {each}" for each in found)

        self._counts["executions asked for"] = len(self._started)
        self._counts["answered with a 2xx"] = sum(each.is_accepted for each in self._started)
        self._counts["ended"] = len(self._executions)
        self._counts["  with SUCCESS"] = sum(e["state"] == "SUCCESS" for e in self._executions.values())
        self._counts["  given up: not safe to rerun"] = sum(
            "fell silent" in (e.get("state_info") or "") for e in self._executions.values()
        )
        self._counts["requests that reached the third party"] = sum(self._outside.counts.values())
        self._counts["results answered with a 200"] = sum(map(len, self._outside.answered.values()))
        accepted = [each for each in self._started if each.is_accepted]
        count("STUCK", [each.id for each in accepted if each.id not in self._executions])
        ended = [(each, self._executions[each.id]) for each in accepted if each.id in self._executions]
        wrong = (each.problem(execution) for each, execution in ended)
        count("ENDED WRONGLY", [each for each in wrong if each])
        count("ACTIONS LOST", self._lost(ended))
        count("ACTIONS DOUBLED", self._doubled())
        count("RESULTS LOST", self._results_lost())
        return problems

    def _lost(self, ended: list[tuple[Started, Any]]) -> list[str]:
        return [
            path
            for started, execution in ended
            if execution["state"] == "SUCCESS"
            for path in started.paths()
            if not self._outside.counts[path]
        ]

    def _doubled(self) -> list[str]:
        """Return the paths that were requested twice though the task is not safe to rerun; flaky ones are."""
        return [
            f"{path} {count} times"
            for path, count in self._outside.counts.items()
            if path.split("/")[2] == "once" and path.split("/")[1] != "flaky" and count > 1
        ]

    def _results_lost(self) -> list[str]:
        lost = []
        for number, (action_id, outputs) in enumerate(self._outside.answered.items()):
            answer = self._service.call(number, "GET", f"/action_executions/{action_id}")
            found = answer.json() if answer is not None else {}
            output = json.loads(found.get("output") or "{}").get("result")
            if found.get("state") != "SUCCESS" or any(output != each for each in outputs):
                lost.append(f"{action_id}: {found.get('state')} {output}")
        return lost
