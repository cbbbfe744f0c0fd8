"""The social optimum and the dynamics: time, certified gap, and how each rule of play ends.

    python benchmarks/social.py [--largest 1e6] [--cells 600] [--json FILE]

Social optimum at N = 10^2, 10^3, ... of ten pieces each.  `easy`: heterogeneous clients, C = N/20.
`hard`: log-normal min_share, and twenty clients who need a seventh of the server each and are worth
as much together as everybody else.  `cells`: small contested markets of a few types, the spread
of their gaps.  Then every rule of play on a barrier, from an idle server, against `nash`.

Seconds are CPU time of one call after one warm-up (none from 10^6 on); gaps are certified.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dds import Barrier, nash
from dds.dynamics import Trajectory, damped, kelly, sequential, simultaneous, tatonnement
from dds.errors import Infeasible
from dds.market.social import social
from dds.market.table import ClientTable

PIECES = 10
#: Warm-ups and sequential play stop here, clients.
WARM, SEQUENTIAL = 10**6, 10**4


def crowd(count: int, *, hard: bool, pieces: int = PIECES, seed: int = 1) -> ClientTable:
    """Clients on frontiers of their own."""
    rng = np.random.default_rng(seed)
    base = np.sort(rng.uniform(0.01, 1.0, (pieces, count)), axis=0)
    work = np.sort(rng.uniform(0.01, 1.0, (pieces, count)), axis=0)[::-1].copy()
    work[-1] = 0.0
    value, most = rng.lognormal(0.0, 1.0, count), rng.uniform(0.5, 4.0, count)
    if not hard:
        return ClientTable.from_arrays(base, work, value, max_share=most)
    capacity = count / 20.0
    least = np.minimum(rng.lognormal(-3.0, 2.0, count), capacity / 3.0)
    large = rng.integers(0, count, 20)
    least[large], value[large] = capacity / 7.0, value[large] * count / 20.0
    return ClientTable.from_arrays(
        base, work, value, min_share=least, max_share=np.maximum(2.0 * least, 1.0)
    )


def cell(rng: np.random.Generator) -> tuple[ClientTable, float]:
    """A contested market of up to 256 clients and four types, and its capacity."""
    count, pieces, types = int(2 ** rng.uniform(0, 8)), int(rng.integers(2, 8)), rng.integers(1, 5)
    base = np.sort(rng.uniform(0.01, 1.0, (pieces, types)), axis=0)
    work = -np.sort(-rng.uniform(0.01, 1.0, (pieces, types)), axis=0)
    work[-1] = 0.0
    kind = rng.integers(0, types, count)
    link = rng.lognormal(0.0, rng.choice([0.0, 0.5]), count)
    value = np.ones(count) if rng.random() < 0.5 else rng.lognormal(0.0, 1.0, count)
    table = ClientTable.from_arrays(
        base[:, kind] * link, work[:, kind], value, max_share=rng.choice([1.0, 4.0, np.inf])
    )
    return table, max(count * 0.5 / 2 ** rng.uniform(-1.0, 6.0), 0.05)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and its CPU seconds."""
    start = time.process_time()
    found = call()
    return found, time.process_time() - start


def ending(seen: Trajectory) -> str:
    """How play ended, in words."""
    if seen.converged:
        return f"settled after {seen.rounds} rounds, {seen.movers.sum()} moves"
    return f"period {seen.cycle}" if seen.cycle else f"still moving after {seen.rounds} rounds"


def optima(largest: int) -> list[dict[str, Any]]:
    """Time and gap of the social optimum by N."""
    rows = []
    for count in (10**k for k in range(2, 10) if 10**k <= largest):
        for hard in (False, True):
            table = crowd(count, hard=hard)
            if count < WARM:
                social(table, count / 20.0)
            found, seconds = timed(lambda t=table, n=count: social(t, n / 20.0))
            kind = "hard" if hard else "easy"
            rows.append({"clients": count, "kind": kind, "seconds": seconds, "gap": found.gap})
            print(f"  social {kind} {count:>9,}: {seconds:8.3f} s, gap {found.gap:.1e}")
    return rows


def gaps(cells: int) -> dict[str, float]:
    """The spread of the gaps over many small markets."""
    rng = np.random.default_rng(0)
    found = np.array([social(*cell(rng)).gap for _ in range(cells)])
    over = {f"over {p} %": float((found > p / 100.0).mean()) for p in (1, 2)}
    spread = {"mean": float(found.mean()), "largest": float(found.max()), **over}
    print(f"  {cells} cells: " + ", ".join(f"{name} {value:.2g}" for name, value in spread.items()))
    return spread


def play(largest: int) -> list[dict[str, Any]]:
    """How each rule ends, by N."""
    rows = []
    for count in (10**k for k in range(2, 5) if 10**k <= largest):
        table, capacity = crowd(count, hard=False, pieces=4, seed=0), count / 5.0
        tariff = Barrier(0.3, capacity)
        solved, seconds = timed(lambda t=table, p=tariff: nash(t, p))
        print(f"  {count:,} clients: nash {seconds:.3f} s, price {solved.price:.5f}")
        rules: dict[str, Callable[[], Trajectory]] = {
            "sequential": lambda t=table, p=tariff: sequential(t, p),
            "simultaneous": lambda t=table, p=tariff: simultaneous(t, p),
            "damped 0.5": lambda t=table, p=tariff: damped(t, p, rounds=300),
            "tatonnement": lambda t=table, c=capacity: tatonnement(t, c),
        }
        for name, rule in rules.items():
            if name == "sequential" and count > SEQUENTIAL:
                continue
            seen, took = timed(rule)
            price = float(seen.prices[-1])
            rows.append({"clients": count, "rule": name, "seconds": took, "end": ending(seen)})
            print(f"    {name:12s} {took:7.3f} s, {ending(seen)}, price {price:.5f}")
        try:
            bids, took = timed(lambda t=table, c=capacity: kelly(t, c))
            end = f"largest regret {bids.max_regret:.1e}"
        except Infeasible as error:
            took, end = 0.0, str(error)
        rows.append({"clients": count, "rule": "kelly", "seconds": took, "end": end})
        print(f"    {'kelly':12s} {took:7.3f} s, {end}")
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=float, default=1e6, help="clients, for example 1e5")
    parser.add_argument("--cells", type=int, default=600)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    largest = int(options.largest)
    found = {"social": optima(largest), "gaps": gaps(options.cells), "play": play(largest)}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
