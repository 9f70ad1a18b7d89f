"""What the benchmarks share: CPU seconds of this process and its children, and one row of a table."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def one_thread() -> None:
    """One thread each, so that CPU time means the same for both sides; to be called before numpy is imported."""
    for variable in THREAD_VARIABLES:
        os.environ.setdefault(variable, "1")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        work: what was done, and by whom on the other side.
        ours, peer: CPU seconds; None where a side has none.
        aim: in words, as the table shows it.
        reached: whether it was.
        note: a figure that the aim asks for besides time.
    """

    work: str
    ours: float | None
    peer: float | None
    aim: str
    reached: bool
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.peer / self.ours if self.peer is not None and self.ours else None


def faster(work: str, ours: float, peer: float, times: float, note: str = "", also: bool = True) -> Row:
    """A row whose aim is to take at most 1 / ``times`` of the peer's CPU time; ``also`` is whether its other aim was met."""
    return Row(work, ours, peer, f"at least {times:g} times faster", peer / ours >= times and also, note)


def markdown(rows: Sequence[Row], judged: bool = True) -> str:
    """The rows as a Markdown table; at sizes other than the aims', whether they were reached is not said."""
    lines = ["| work | ours CPU s | peer CPU s | ratio | aim | reached |", "|---|---|---|---|---|---|"]
    for row in rows:
        ours = "-" if row.ours is None else f"{row.ours:.2f}"
        peer = "-" if row.peer is None else f"{row.peer:.2f}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.1f}"
        verdict = ("yes" if row.reached else "no") if judged else "not judged"
        reached = verdict + (f"; {row.note}" if row.note else "")
        lines.append(f"| {row.work} | {ours} | {peer} | {ratio} | {row.aim} | {reached} |")
    return "\n".join(lines)


def cpu_seconds() -> float:
    """User and system time of this process and of the children that ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def cpu(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The least CPU seconds of some runs, children included, and what the last one gave."""
    best, value = math.inf, None
    for _ in range(repeats):
        start = cpu_seconds()
        value = run()
        best = min(best, cpu_seconds() - start)
    return best, value


def mmud(*arguments: str) -> int:
    """Run a command in a child; returns its peak memory in MB.

    The peak is VmHWM: ru_maxrss of a child begins at what its parent held when it was started.
    """
    code = (
        "import re, sys; from mmud.cli import run; code = run(sys.argv[1:]); "
        "peak = re.search('VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]; "
        "print('PEAK', peak, file=sys.stderr); sys.exit(code)"
    )
    outcome = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise SystemExit(f"mmud {' '.join(arguments)} ended with {outcome.returncode}:\n{outcome.stderr}")
    return next(int(line.split()[1]) // 1024 for line in outcome.stderr.splitlines() if line.startswith("PEAK "))
