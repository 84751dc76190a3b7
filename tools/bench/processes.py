"""What processes of this machine have used, as Linux tells it; elsewhere nothing is known."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# Of the line "cpu" in /proc/stat: user, nice, system, irq and softirq; the rest is idle, waiting or counted twice.
_BUSY_FIELDS = (1, 2, 3, 6, 7)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process and its descendants have used; 0 if it is gone."""
    ticks = 0
    for process in _with_descendants(pid):
        with suppress(OSError):
            # After the name in brackets: state is field 3; utime, stime and the same of children that were
            # waited for are 14 to 17.
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process in MB; 0 if it is gone."""
    with suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


def machine_cpu_s() -> float:
    """Return the CPU seconds that the whole machine has used."""
    with suppress(OSError):
        fields = Path("/proc/stat").read_text().partition("\n")[0].split()
        return sum(int(fields[number]) for number in _BUSY_FIELDS) / _TICKS
    return 0.0


def is_called(pid: int, name: str) -> bool:
    """Tell whether a process of this machine has this name."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == name
    return False


def _with_descendants(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from _with_descendants(int(child))
