"""Whole markets: dds.nash and dds.competitive against what else could solve them, same run.

The first table is one large market under one tariff of each kind, solved by ``nash`` and by
the solver one writes in an afternoon: compiled best response in turn, from nothing and from a
warm start.  All stop where nobody gains more than 1e-9 of its cost.  Under the clearing tariff
everybody is a price-taker; there ``competitive`` meets compiled bisection of the price.  The
second table has other people's solvers (cvxpy, nashopt, pygambit), each at the sizes it can do
in some seconds.

Times are seconds: median [quartiles].  Solvers take turns; a ratio is ours over theirs,
round by round, and below 1 DDS is faster.  regret is the largest of any client, relative to
its cost, measured by the same check whoever solved.  cost is the sum of w T over that of
``nash``: equilibria are not unique, and who takes turns may stop at a worse one, or a better.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from instances import PIECES, clients, regrets, tariffs
from measuring import (
    Spread,
    apart,
    arguments,
    count,
    installed,
    interleaved,
    machine,
    machine_line,
    peak_mib,
    progress,
    ratio,
    text_table,
    write_json,
)  # fmt: skip

from dds import competitive, nash
from dds.compiled import numba_installed
from dds.market.numbers import Floats
from dds.market.table import ClientTable
from dds.market.tariff import Clearing, Tariff

EXAMPLES = """\
  python benchmarks/market.py                                 the whole report, 10 to 20 minutes
  python benchmarks/market.py --quick                         does it work? a minute
  python benchmarks/market.py --clients 200k --peers          no peers, smaller market
  python benchmarks/market.py --tariffs linear --peers cvxpy --json market.json
"""
#: On so many clients everything is compiled before the clock starts.
WARM = 30_000
#: A peer: the functions of peers.py, its first size and how the next one follows.
PEERS: dict[str, tuple[tuple[str, ...], int, Callable[[int], int]]] = {
    "cvxpy": (("cvxpy_nash", "cvxpy_competitive"), 64, lambda n: 2 * n),
    "nashopt": (("nashopt_nash",), 2, lambda n: 2 * n),
    "pygambit": (("pygambit_nash",), 2, lambda n: n + 1),
}


@dataclass(frozen=True)
class Row:
    """One solver on one large market; ratio is that of ``nash`` or ``competitive`` over it."""

    market: str
    solver: str
    seconds: Spread
    ratio: Spread | None
    rounds: int
    regret: float
    cost: float
    settled: bool = True

    def cells(self) -> list[str]:
        """As text."""
        return [
            self.market,
            self.solver,
            str(self.seconds),
            str(self.ratio or ""),
            str(self.rounds) if self.settled else f"{self.rounds}, gave up",
            f"{self.regret:.1e}",
            f"{self.cost:.4f}",
        ]


HEAD = ("market", "solver", "seconds", "ratio", "rounds", "regret", "cost")


@dataclass(frozen=True)
class Answer:
    """What any solver found."""

    shares: Floats
    price: float
    rounds: int
    settled: bool = True


def solvers(
    table: ClientTable, tariff: Tariff, limit: float = np.inf
) -> dict[str, Callable[[], Answer]]:
    """Everybody who solves this market, ready to be timed; the first is ours."""

    def of_dds(solve: Callable[..., Any]) -> Callable[[], Answer]:
        def call() -> Answer:
            found = solve(table, tariff)
            return Answer(found.shares, found.price, found.rounds)

        return call

    taking = isinstance(tariff, Clearing)
    found = {"competitive": of_dds(competitive)} if taking else {"nash": of_dds(nash)}
    if not numba_installed():
        return found
    import baseline

    rows = baseline.Rows.of(table)

    def in_turn(warm: bool) -> Callable[[], Answer]:
        def call() -> Answer:
            swept = baseline.sequential(rows, tariff, warm=warm, limit=limit)
            return Answer(swept.shares, np.nan, swept.sweeps, swept.settled)

        return call

    def bisected() -> Answer:
        price, shares, _ = baseline.bisection(rows, tariff)
        return Answer(shares, price, 0)

    if taking:
        return found | {"nash": of_dds(nash), "bisection": bisected}
    return found | {"in turn": in_turn(warm=False), "in turn, warm": in_turn(warm=True)}


def compare(
    table: ClientTable, market: str, kind: str, seed: int, repeats: int, budget: float
) -> list[Row]:
    """One large market solved by everybody."""
    for call in solvers(clients(WARM, seed), tariffs(WARM)[kind]).values():
        call()
    tariff = tariffs(len(table))[kind]
    calls = solvers(table, tariff, limit=budget)
    ours = next(iter(calls))
    calls[ours]()  # what a table keeps from solve to solve is then there
    seconds, answers = interleaved(calls, repeats, 3.0 * budget)
    costs = {
        name: float(table.value @ table.latencies(answer.shares)[0])
        for name, answer in answers.items()
    }
    return [
        Row(
            market,
            name,
            Spread.of(seconds[name]),
            None if name == ours else ratio(seconds[ours], seconds[name]),
            answer.rounds,
            float(regrets(table, tariff, answer.shares, answer.price).max()),
            costs[name] / costs[ours],
            answer.settled,
        )
        for name, answer in sorted(answers.items(), key=lambda item: list(calls).index(item[0]))
    ]


@dataclass(frozen=True)
class Fresh:
    """``nash`` in a process that has done nothing else; compiled code is loaded from disk.

    peak_mib: its most memory, with the table and what generated it; table_mib: of the table.
    """

    seconds: float
    peak_mib: float
    table_mib: float


def fresh(size: int, seed: int, kind: str) -> Fresh:
    """One solve, for a process of its own."""
    table = clients(size, seed)
    arrays = [value for value in vars(table).values() if isinstance(value, np.ndarray)]
    start = time.perf_counter()
    nash(table, tariffs(size)[kind])
    seconds = time.perf_counter() - start
    return Fresh(seconds, peak_mib(), sum(array.nbytes for array in arrays) / 2**20)


@dataclass(frozen=True)
class PeerRow:
    """A peer at one size, or why there is no answer."""

    peer: str
    clients: int
    ours: Spread | None = None
    theirs: Spread | None = None
    ratio: Spread | None = None
    says: str = ""
    regret: float = np.nan
    our_regret: float = np.nan
    note: str = ""

    def cells(self) -> list[str]:
        """As text."""
        return [
            self.peer.replace("_", " "),
            f"{self.clients:,}",
            str(self.ours or ""),
            str(self.theirs or ""),
            str(self.ratio or ""),
            "" if self.ours is None else f"{self.our_regret:.1e}",
            "" if self.ours is None else f"{self.regret:.1e}",
            self.says,
            self.note,
        ]


PEER_HEAD = (
    "peer", "N", "ours", "theirs", "ratio", "our regret", "its regret", "it says", "what it solved",
)  # fmt: skip


def ask(name: str, size: int, seed: int, repeats: int, budget: float) -> PeerRow:
    """One peer at one size, in its own process."""
    import peers

    progress(f"{name} with {size:,} clients ...")
    # Importing, warming up, checking and our own turns come on top of its seconds.
    limit = 60.0 + 3.0 * budget * repeats
    answer = apart(getattr(peers, name), size, seed, repeats, limit=limit)
    if answer.result is None:
        return PeerRow(name, size, says=answer.failure)
    trial: peers.Trial = answer.result
    return PeerRow(
        name, size, Spread.of(trial.ours), Spread.of(trial.theirs),
        ratio(trial.ours, trial.theirs), trial.says, trial.regret, trial.our_regret, trial.note,
    )  # fmt: skip


def climb(
    name: str, first: int, after: Callable[[int], int], seed: int, repeats: int, budget: float
) -> list[PeerRow]:
    """Larger and larger markets until the peer needs more than its seconds, or fails.

    The largest that it did in time is run again for the spread.
    """
    rows: list[PeerRow] = []
    size = first
    while True:
        row = ask(name, size, seed, 1, budget)
        rows.append(row)
        if row.theirs is None or row.theirs.median > budget:
            break
        size = after(size)
    done = [i for i, row in enumerate(rows) if row.theirs and row.theirs.median <= budget]
    if done and repeats > 1:
        rows[done[-1]] = ask(name, rows[done[-1]].clients, seed, repeats, budget)
    return rows


def options_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options, with the defaults of a quick run or of a whole one."""
    kinds = list(tariffs(1))
    parser = arguments(__doc__ or "", EXAMPLES)
    parser.add_argument("--clients", type=count, help="of the large market, e.g. 200k (1M)")
    parser.add_argument("--repeats", type=count, help="rounds, as far as --budget goes (7)")
    parser.add_argument("--budget", type=float, help="seconds per market and solver (40)")
    parser.add_argument("--tariffs", nargs="*", choices=kinds, default=kinds, metavar="KIND",
                        help=f"which: {', '.join(kinds)} (all)")  # fmt: skip
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS),
                        metavar="PEER", help=f"which: {', '.join(PEERS)} (all)")  # fmt: skip
    parser.add_argument("--peer-seconds", type=float, help="how long a peer may take (20)")
    options = parser.parse_args(argv)
    options.clients = options.clients or (20_000 if options.quick else 10**6)
    options.repeats = options.repeats or (2 if options.quick else 7)
    options.budget = options.budget or (5.0 if options.quick else 40.0)
    options.peer_seconds = options.peer_seconds or (0.5 if options.quick else 20.0)
    return options


def large_markets(options: argparse.Namespace) -> list[Row]:
    """One large market under each of the tariffs."""
    size, seed, rounds, budget = options.clients, options.seed, options.repeats, options.budget
    rows: list[Row] = []
    table = clients(size, seed)
    for kind in options.tariffs:
        progress(f"{kind} ...")
        rows += compare(table, kind, kind, seed, rounds, budget)
    if "linear" in options.tariffs:
        progress("linear, bounded shares ...")
        table = clients(size, seed, bounded=True)
        rows += compare(table, "linear, max_share", "linear", seed, rounds, budget)
    return rows


def smaller_markets(options: argparse.Namespace, missing: Collection[str]) -> list[PeerRow]:
    """What each peer that is here can do."""
    rows: list[PeerRow] = []
    for name in options.peers:
        if name not in missing:
            functions, least, after = PEERS[name]
            for function in functions:
                repeats = 1 if options.quick else 3
                rows += climb(function, least, after, options.seed, repeats, options.peer_seconds)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = options_of(argv)
    size = options.clients
    started = time.perf_counter()
    found = machine(*PEERS)
    print(machine_line(found))
    missing = [name for name in ("numba", *options.peers) if not installed(name)]

    progress("linear in a process of its own ...")
    apart(fresh, size, options.seed, "linear", limit=600.0)  # compiles, and keeps it on disk
    first = apart(fresh, size, options.seed, "linear", limit=600.0)

    print(
        f"\n{size:,} clients x {PIECES} pieces; seconds: median [quartiles]; ratio: ours / theirs"
    )
    rows = large_markets(options)
    print(text_table(HEAD, [row.cells() for row in rows]), flush=True)
    if first.failure:
        print(f"\nlinear in a process of its own: {first.failure}")
    else:
        print(
            f"\nlinear, first solve of a process: {first.result.seconds:.3g} s, at most "
            f"{first.result.peak_mib:,.0f} MiB, {first.result.table_mib:,.0f} of them the table"
        )

    asked = smaller_markets(options, missing)
    if asked:
        patience = options.peer_seconds
        print(f"\nsmaller markets, roomier for anybody to offload; peers get {patience:g} s")
        print(text_table(PEER_HEAD, [row.cells() for row in asked]), flush=True)
    for name in missing:
        print(f"{name}: missing")
    progress(f"{time.perf_counter() - started:.0f} s in all")
    if options.json:
        write_json(
            options.json,
            {
                "benchmark": "market",
                "machine": found,
                "clients": size,
                "pieces": PIECES,
                "seed": options.seed,
                "missing": missing,
                "markets": rows,
                "fresh": first.result or first.failure,
                "peers": asked,
            },
        )


if __name__ == "__main__":
    main()
