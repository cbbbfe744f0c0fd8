"""An online market against solving anew: time per join, leave and clearing, same run.

    python benchmarks/online.py [--clients 1M] [--steps 2000] [--nash-steps 5] [--json FILE]

Clients are seeded and heterogeneous, ten pieces each on a convex frontier, every third
with a largest share.  For the competitive market each step is a join and a clearing, a
question for the price at another capacity, and a leave; clients that leave are drawn from
the whole market. A rebuild is the same market made anew from its table and cleared; a
fresh solve is `competitive` on that table. For the Nash market each step is a join and a
clearing, against `nash` on the table with nothing to start from.

Every time is the median over steps, with the 10th, 90th and 99th percentile and the
largest: merges and growth, which most steps do not pay, show there. A ratio below 1 means
the online market is faster.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from dds import Client, competitive, nash
from dds.compiled import numba_installed
from dds.market.table import ClientTable
from dds.market.tariff import Linear
from dds.online import Market

PIECES = 10
T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """Seconds per call."""

    median: float
    p10: float
    p90: float
    p99: float
    largest: float

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        """What these calls took."""
        p10, median, p90, p99 = np.percentile(seconds, [10, 50, 90, 99]).tolist()
        return cls(median, p10, p90, p99, max(seconds))

    def __str__(self) -> str:
        median, p10, p90, p99, largest = (1e6 * s for s in asdict(self).values())
        return f"{median:11,.1f} [{p10:,.1f}, {p90:,.1f}]  p99 {p99:,.1f}  max {largest:,.0f}"


def si_count(text: str) -> int:
    """A whole number with an SI suffix: 200k, 1M."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; write for example 200k or 1M")
    return int(float(found[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[found[2]])


def table_of(count: int, rng: np.random.Generator) -> ClientTable:
    """Clients with convex frontiers: every piece is best at some share."""
    slopes = np.sort(rng.uniform(0.05, 5.0, (PIECES - 1, count)), axis=0)
    steps = rng.uniform(0.01, 0.2, (PIECES - 1, count))
    work = np.zeros((PIECES, count))
    work[:-1] = np.cumsum(steps[::-1], axis=0)[::-1]
    base = np.empty((PIECES, count))
    base[0] = rng.uniform(0.01, 0.1, count)
    base[1:] = base[0] + np.cumsum(slopes * steps, axis=0)
    high = np.where(np.arange(count) % 3 == 0, rng.uniform(0.5, 4.0, count), np.inf)
    return ClientTable.from_arrays(base, work, rng.uniform(0.1, 10.0, count), max_share=high)


def timed(call: Callable[[], T], into: list[float]) -> T:
    """The result of a call, its seconds noted."""
    start = time.perf_counter()
    result = call()
    into.append(time.perf_counter() - start)
    return result


def competitive_rows(
    table: ClientTable, newcomers: list[Client], rng: np.random.Generator
) -> dict[str, Timing]:
    """Times of a clearing market under churn, and of making it anew."""
    capacity = 0.2 * len(table)
    names = ("join", "clear", "price_at", "leave", "rebuild", "fresh competitive")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(3):
        rebuilt = Market(capacity)
        start = time.perf_counter()
        rebuilt.join_many(table)
        rebuilt.clear()
        seconds["rebuild"].append(time.perf_counter() - start)
    market, ids = rebuilt, list(range(len(table)))
    for client in newcomers:
        joined = timed(lambda client=client: market.join(client), seconds["join"])
        timed(market.clear, seconds["clear"])
        asked = capacity * float(rng.uniform(0.5, 1.5))
        timed(lambda asked=asked: market.price_at(asked), seconds["price_at"])
        place = int(rng.integers(len(ids)))
        timed(lambda place=place: market.leave(ids[place]), seconds["leave"])
        ids[place] = joined
    for _ in range(3):
        timed(lambda: competitive(table, capacity), seconds["fresh competitive"])
    both = np.add(seconds["join"], seconds["clear"]).tolist()
    return {"join + clear": Timing.of(both), **{k: Timing.of(v) for k, v in seconds.items()}}


def nash_rows(table: ClientTable, newcomers: list[Client]) -> dict[str, Timing]:
    """Times of a Nash market, and of a solve with nothing to start from."""
    tariff = Linear(0.01, 10.0 / len(table))
    market = Market(tariff, concept="nash")
    market.join_many(table)
    market.clear()
    again: list[float] = []
    fresh: list[float] = []
    for client in newcomers:
        market.join(client)
        timed(market.clear, again)
    for _ in newcomers[:3]:
        timed(lambda: nash(table, tariff), fresh)
    return {"nash join + clear": Timing.of(again), "fresh nash": Timing.of(fresh)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clients", type=si_count, default=10**6, help="how many, e.g. 200k, 1M")
    parser.add_argument(
        "--steps", type=si_count, default=2000, help="joins of the price-taking market"
    )
    parser.add_argument("--nash-steps", type=si_count, default=5, help="joins of the Nash market")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    small = table_of(1000, rng)
    warm = [small.client(i) for i in range(20)]
    competitive_rows(small, warm, rng)
    fresh = table_of(max(options.steps, options.nash_steps, 1), rng)
    newcomers = [fresh.client(i) for i in range(len(fresh))]
    table = table_of(options.clients, rng)
    rows = competitive_rows(table, newcomers[: options.steps], rng)
    if options.nash_steps:
        nash_rows(small, warm[:2])
        rows |= nash_rows(table, newcomers[: options.nash_steps])
    ratios = {"join + clear over rebuild": rows["join + clear"].median / rows["rebuild"].median}
    if options.nash_steps:
        ratios["nash join + clear over fresh nash"] = (
            rows["nash join + clear"].median / rows["fresh nash"].median
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    engine = "numba" if numba_installed() else "plain Python"
    print(f"{options.clients:,} clients x {PIECES} pieces, {engine}, microseconds")
    for name, timing in rows.items():
        print(f"  {name:20s} {timing}")
    for name, ratio in ratios.items():
        print(f"  {name}: {ratio:.2g}")
    print(f"  largest memory of the process: {memory:,.0f} MiB")
    if options.json:
        options.json.write_text(
            json.dumps(
                {
                    "clients": options.clients,
                    "pieces": PIECES,
                    "engine": engine,
                    "seconds": {name: asdict(timing) for name, timing in rows.items()},
                    "ratios": ratios,
                    "max_rss_mib": memory,
                },
                indent=2,
            )
            + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
