"""How the benchmarks measure: taking turns, medians and quartiles, child processes, JSON.

Machines are noisy, so nothing is compared across runs.  Calls to compare take turns, each
round in another order, and a ratio is taken within each round: what slows the machine down
for a while slows down both.  What may run too long, or whose memory is measured, runs in a
process of its own.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

__all__ = [
    "Apart", "Spread", "apart", "arguments", "count", "installed", "interleaved", "machine",
    "machine_line", "peak_mib", "progress", "ratio", "text_table", "write_json",
]  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of some numbers."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Those of ``values``, at least one."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self) -> str:
        spread = "" if self.low == self.high else f" [{self.low:.3g}, {self.high:.3g}]"
        return f"{self.median:.3g}{spread}"


def interleaved(
    calls: Mapping[str, Callable[[], object]], repeats: int, budget: float = math.inf
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Seconds of each call in each round, and what each returned last.

    One round runs all of them, the next one in another order; after two rounds no other one
    begins if it would end past ``budget`` seconds.  Garbage is collected before the clock starts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    results: dict[str, Any] = {}
    names = list(calls)
    for turn in range(repeats):
        for name in names if turn % 2 == 0 else reversed(names):
            results.pop(name, None)
            gc.collect()
            start = time.perf_counter()
            results[name] = calls[name]()
            seconds[name].append(time.perf_counter() - start)
        spent = sum(map(sum, seconds.values()))
        if turn > 0 and spent * (turn + 2) / (turn + 1) > budget:
            break
    return seconds, results


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Our seconds over theirs, round by round; below 1 we are faster."""
    return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


@dataclass(frozen=True)
class Apart:
    """What became of a call in its own process: its result, or in ``failure`` why there is none."""

    result: Any = None
    failure: str = ""


def apart(function: Callable[..., Any], *args: Any, limit: float) -> Apart:
    """Call a module's function in a fresh process, ended after ``limit`` seconds."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, function, args), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(limit):
            return Apart(failure=f"no answer within {limit:g} s")
        answer: Apart = ours.recv()
        return answer
    except EOFError:
        return Apart(failure="the process died, out of memory perhaps")
    finally:
        process.kill()
        process.join()


def _answer(to: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        to.send(Apart(function(*args)))
    except Exception as error:  # whatever a peer raises goes into the report
        lines = str(error).strip().splitlines() or [""]
        to.send(Apart(failure=f"{type(error).__name__}: {lines[0][:120]}"))


def peak_mib() -> float:
    """The most memory this process has held so far, MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # A child's ru_maxrss begins with what its parent held; this counter does not.
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) / 1024.0
    unit = 2.0**20 if sys.platform == "darwin" else 2.0**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def installed(package: str) -> bool:
    """Whether a package can be imported; says so on stderr if not."""
    if importlib.util.find_spec(package):
        return True
    progress(f"{package} is missing here, so nothing is compared with it")
    return False


def machine(*packages: str) -> dict[str, object]:
    """What the numbers depend on: processor, cores, Python and package versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        cpu = found[1] if found else cpu
    versions: dict[str, str | None] = {}
    for package in ("numpy", "numba", "dds", *packages):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": cpu, "cores": cores, "python": platform.python_version(), "versions": versions}


def machine_line(found: Mapping[str, Any]) -> str:
    """The machine in a line."""
    versions = ", ".join(f"{k} {v or 'missing'}" for k, v in found["versions"].items())
    cores = "1 core" if found["cores"] == 1 else f"{found['cores']} cores"
    return f"{found['cpu']}, {cores}, Python {found['python']}, {versions}"


def count(text: str) -> int:
    """A whole number that may carry an SI suffix: 500, 200k, 1M."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kM]?)", text)
    number = round(float(found[1]) * {"": 1, "k": 1e3, "M": 1e6}[found[2]]) if found else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; write for example 200k or 1M")
    return number


def arguments(doc: str, examples: str) -> argparse.ArgumentParser:
    """A parser with what all benchmarks offer; ``doc`` is the script's docstring."""
    parser = argparse.ArgumentParser(
        description=doc,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="of the generated clients (1)")
    parser.add_argument("--quick", action="store_true", help="small and short: does it work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    return parser


def progress(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns; the first to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[c]) for line in lines) for c in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if c == 0 else cell.rjust(width)
            for c, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """The document with dataclasses as objects; NaN and infinities are null."""
    path.write_text(json.dumps(_plain(document), indent=2) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
