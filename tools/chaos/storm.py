"""What goes wrong, and when: from a seed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from random import Random

from tools.chaos.processes import Victim
from tools.chaos.service import Service

# Of ten faults three freeze; the others kill.
_FREEZES = 0.3


@dataclass(slots=True)
class Storm:
    """Kills and freezes ``kills`` times; ``done`` counts them by victim and kind."""

    service: Service
    seed: int
    kills: int
    pause_s: float
    done: dict[str, int] = field(default_factory=dict)
    is_loud: bool = False

    def run(self) -> None:
        """Do it all, and leave everything running."""
        random = Random(f"storm {self.seed}")
        began_s = time.monotonic()
        recovering: list[threading.Thread] = []
        for _ in range(self.kills):
            time.sleep(random.uniform(0.3, 1.7) * self.pause_s)
            victims = [each for each in self.service.victims if each.is_up and not each.is_frozen]
            # Each process of the service as often as each server.
            victim = random.choice(victims)
            is_freeze = random.random() < _FREEZES
            away_s = random.choice([0.1, 0.5, 1.0, 3.0, 5.0])
            kind = "frozen" if is_freeze else "killed"
            name = f"{victim.name.partition('-')[0]} {kind}"
            self.done[name] = self.done.get(name, 0) + 1
            if self.is_loud:
                print(
                    f"{time.monotonic() - began_s:7.1f} s  {victim.name} {kind} for {away_s:g} s", flush=True
                )
            (victim.freeze if is_freeze else victim.kill)()
            thread = threading.Thread(target=_recover, args=(victim, away_s, is_freeze), daemon=True)
            thread.start()
            recovering.append(thread)
        for thread in recovering:
            thread.join()


def _recover(victim: Victim, away_s: float, is_frozen: bool) -> None:
    time.sleep(away_s)
    (victim.thaw if is_frozen else victim.start)()
