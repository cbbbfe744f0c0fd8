"""How solve times grow with the number of clients: nash, competitive and social.

One heterogeneous market per size, the same for everybody; calls take turns.  Growth is the
slope of log time over log N by least squares over the sizes from --fit-from on: below them
the fixed number of rounds and the switch from plain to compiled code show, not growth.
Beside it stands the slope of N log N over the same sizes, which is what sorting would have.

A size whose solve would take longer than --limit, judged by the one before, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from instances import CORES, PIECES, clients, tariffs
from measuring import (
    Spread,
    arguments,
    count,
    interleaved,
    machine,
    machine_line,
    progress,
    text_table,
    write_json,
)  # fmt: skip

from dds import competitive, nash
from dds.market.social import social
from dds.market.table import ClientTable

EXAMPLES = """\
  python benchmarks/growth.py                             100 to 1M clients, some minutes
  python benchmarks/growth.py --quick                     does it work? some seconds
  python benchmarks/growth.py --clients 200k --json growth.json
"""


def solvers() -> dict[str, Callable[[ClientTable], Any]]:
    """What is measured."""
    return {
        "nash": lambda table: nash(table, tariffs(len(table))["linear"]),
        "competitive": lambda table: competitive(table, CORES * len(table)),
        "social": lambda table: social(table, CORES * len(table)),
    }


def sizes_up_to(largest: int) -> list[int]:
    """100, 316, 1 000, ... and the largest itself."""
    steps = [round(10 ** (2 + half / 2)) for half in range(20)]
    return [*(size for size in steps if size < largest), largest]


@dataclass(frozen=True)
class Growth:
    """The fitted exponent b of ``seconds = a N^b``, that of N log N, and from which N on."""

    exponent: float
    n_log_n: float
    fitted_from: int
    fitted_to: int

    @classmethod
    def of(cls, seconds: dict[int, Spread], first: int) -> Growth | None:
        """Fitted to the medians from ``first`` on; None with fewer than two."""
        sizes = [size for size in seconds if size >= first]
        if len(sizes) < 2:
            return None
        logs = np.log(sizes)
        times = np.log([seconds[size].median for size in sizes])
        return cls(
            float(np.polyfit(logs, times, 1)[0]),
            float(np.polyfit(logs, logs + np.log(logs), 1)[0]),
            sizes[0],
            sizes[-1],
        )

    def __str__(self) -> str:
        verdict = "no worse" if self.exponent <= self.n_log_n else "worse"
        return (
            f"N^{self.exponent:.2f} from {self.fitted_from:,} to {self.fitted_to:,}; "
            f"N log N is N^{self.n_log_n:.2f} there: {verdict}"
        )


def measured(
    largest: int, seed: int, repeats: int, budget: float, limit: float
) -> dict[str, dict[int, Spread]]:
    """Seconds of each solver at each size, but where it would take more than ``limit``."""
    calls = solvers()
    times: dict[str, dict[int, Spread]] = {name: {} for name in calls}
    warm = clients(30_000, seed)
    for call in calls.values():
        call(warm)
    for size in sizes_up_to(largest):
        fit = {}
        for name, call in calls.items():
            last, seconds = max(
                ((n, t.median) for n, t in times[name].items()), default=(size, 0.0)
            )
            if seconds * (size / last) ** 1.2 <= limit:
                fit[name] = call
            else:
                progress(f"{name}: {size:,} clients would take more than {limit:.0f} s; left out")
        progress(f"{size:,} clients ...")
        table = clients(size, seed)
        taken, _ = interleaved(
            {name: partial(call, table) for name, call in fit.items()},
            repeats,
            budget,
        )
        for name, seconds_each in taken.items():
            times[name][size] = Spread.of(seconds_each)
    return times


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "", EXAMPLES)
    parser.add_argument("--clients", type=count, help="the largest market (1M)")
    parser.add_argument("--repeats", type=count, default=7, help="rounds at most (7)")
    parser.add_argument("--budget", type=float, help="seconds per size, of all rounds (30)")
    parser.add_argument("--limit", type=float, help="longest solve to try, s (60)")
    parser.add_argument("--fit-from", type=count, default=10_000, help="least N fitted (10k)")
    options = parser.parse_args(argv)
    largest = options.clients or (30_000 if options.quick else 10**6)
    budget = options.budget or (3.0 if options.quick else 30.0)
    limit = options.limit or (5.0 if options.quick else 60.0)

    found = machine()
    print(machine_line(found))
    print(f"{PIECES} pieces; seconds: median [quartiles]")
    times = measured(largest, options.seed, options.repeats, budget, limit)
    print(
        text_table(
            ("N", *times),
            [
                (f"{size:,}", *(str(times[name].get(size, "left out")) for name in times))
                for size in sizes_up_to(largest)
            ],
        )
    )
    growth = {name: Growth.of(times[name], options.fit_from) for name in times}
    for name, fitted in growth.items():
        print(f"{name}: {fitted or 'too few sizes to fit'}")
    if options.json:
        write_json(
            options.json,
            {
                "benchmark": "growth",
                "machine": found,
                "pieces": PIECES,
                "seed": options.seed,
                "limit_s": limit,
                "seconds": times,
                "growth": growth,
            },
        )


if __name__ == "__main__":
    main()
