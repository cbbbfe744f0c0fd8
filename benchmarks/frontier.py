"""A whole frontier, and a whole hull, over ONE minimum cut by other libraries.

For each model and link the public call `dds.frontier(graph, local, work, link)`, given
arrays of seconds per operator: it checks them, searches for all pieces and returns the
objects. Compiled, where numba is installed, and in plain Python. Against one cut at one
share by networkx (preflow-push), scipy (Dinic; flow only, 32 bits), ortools, igraph and
PyMaxflow, whichever can be imported, each asked in two ways:

    solve         the library's object holds the network already; solve, read off the cut
    from arrays   from the arrays that we are given too: capacities, object, solve, read off

What depends on the graph alone is prepared for everybody before the clock starts. The
peers get the network as it is usually written, one node per operator and tensor.

Then hulls: time, size and minimum cuts, a client's frontier from a hull, and the worst
relative difference from cuts at random links and shares (ours, and some by ortools).
Then growth with the number of operators, with the exponent of the best power law (least
squares of logarithms).

Calls take turns; a number is the median over rounds with its quartiles, a ratio is taken
within each round. A ratio below 1 means the whole frontier is cheaper than one cut.
"""

from __future__ import annotations

import functools
import gc
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cut_peers import PEERS, Call, PlainNetwork, peers
from measuring import (
    Spread,
    arguments,
    installed,
    machine,
    machine_line,
    progress,
    ratio,
    text_table,
    write_json,
)
from models import residual, transformer, zoo

from dds.compiled import numba_installed
from dds.costs import DEVICES, Link, operator_times
from dds.cut import frontier, hull, min_cut, prepare
from dds.cut.network import network
from dds.model import ModelGraph
from dds.model.zoo import NAMES
from dds.units import parse_bandwidth

EXAMPLES = """  python benchmarks/frontier.py --json frontier.json
  python benchmarks/frontier.py --models resnet50 transformer --uplink 1.1 18.88 --checks 1000
  python benchmarks/frontier.py --quick"""
LARGE = "transformer"  # of 1 500 operators
DEVICE_TYPES = ("raspberry-pi-3b", "phone")
#: Calls are repeated within a round for about so long; from SLOW on they have few rounds.
BATCH_S, SLOW_S, FEW = 4e-4, 2e-2, 5

#: So many of a hull's checks are repeated with ortools.
PEER_CHECKS = 200

Times = dict[str, list[float]]


@functools.cache
def model(name: str) -> ModelGraph:
    """A zoo model or the large transformer."""
    return transformer(1500) if name == LARGE else zoo(name)


def seconds_of(graph: ModelGraph, device: str = DEVICE_TYPES[0]) -> tuple[Any, Any]:
    """Seconds per operator on the device and on the server."""
    return operator_times(graph, DEVICES[device]), operator_times(graph, DEVICES["edge-core"])


def turns(calls: Mapping[str, Call], rounds: int) -> Times:
    """Seconds per call, in each round; calls take turns, every other round backwards."""
    batches: dict[str, int] = {}
    found: Times = {name: [] for name in calls}
    for name, call in calls.items():
        timed(call, 1)  # warm
        once = timed(call, 1)
        batches[name] = 1 if once > SLOW_S else max(5, min(100, int(BATCH_S / once)))
    names = list(calls)
    for turn in range(rounds):
        gc.collect()
        for name in names if turn % 2 == 0 else reversed(names):
            if turn < FEW or found[name][0] < SLOW_S:
                found[name].append(timed(calls[name], batches[name]))
    return found


def timed(call: Call, times: int) -> float:
    """Median seconds of so many calls in a row, none of which collects others' garbage.

    Where others have the processor now and then, a mean would say for how long.
    """
    run = call.run
    seconds = []
    gc.disable()
    for given in [call.prepare() for _ in range(times)]:
        start = time.perf_counter()
        run(*given)
        seconds.append(time.perf_counter() - start)
    gc.enable()
    return statistics.median(seconds)


def engines() -> list[str]:
    """How the search can run here."""
    return ["numba", "python"] if numba_installed() else ["python"]


def compare(name: str, link: Link, rounds: int) -> dict[str, Any]:
    """Every time for one model and link."""
    graph = model(name)
    local, work = seconds_of(graph)
    start = time.perf_counter()
    network(graph)
    prepared = time.perf_counter() - start
    plain = PlainNetwork(graph)
    calls = {}
    for engine in engines():
        calls[engine] = Call(functools.partial(frontier, graph, local, work, link, engine=engine))
    for peer_name, peer in peers().items():
        ready, whole = peer.calls(plain, local, work, link)
        calls[f"{peer_name} solve"] = ready
        calls[f"{peer_name} from arrays"] = whole
    found = turns(calls, rounds)
    return {
        "model": name,
        "operators": len(graph.operators),
        "uplink_bytes_per_s": link.uplink,
        "pieces": len(frontier(graph, local, work, link).pieces),
        "prepare_once_s": prepared,
        "seconds": {name: Spread.of(times) for name, times in found.items()},
        "ratios": ratios(found),
    }


def ratios(found: Times) -> dict[str, Spread]:
    """Each engine over each way to ask each peer."""
    return {
        f"{engine} / {other}": ratio(found[engine][: len(found[other])], found[other])
        for engine in engines()
        for other in found
        if other not in engines()
    }


def hull_row(name: str, device: str, rounds: int, checks: int, seed: int) -> dict[str, Any]:
    """One hull: time, size, and how far its latencies are from those of cuts made anew."""
    graph = model(name)
    local, work = seconds_of(graph, device)
    made = hull(graph, local, work)
    link = Link(18.88e6 / 8, 2 * 18.88e6 / 8, 0.01)
    calls: dict[str, Call] = {
        f"hull {engine}": Call(functools.partial(hull, graph, local, work, engine=engine))
        for engine in engines()
    }
    calls["its frontier"] = Call(functools.partial(made.frontier, link))
    found = turns(calls, rounds)
    plain = PlainNetwork(graph) if "ortools" in peers() else None
    rng = np.random.default_rng(seed)
    worst, worst_peer = 0.0, 0.0
    for i in range(checks):
        up, down = 10.0 ** rng.uniform(3.0, 10.0, 2)
        drawn = Link(up, down, float(rng.choice([0.0, 0.001, 0.1])))
        share = 10.0 ** rng.uniform(-5.0, 5.0)
        mine = made.frontier(drawn).latency(share)
        least = min_cut(graph, local, work, drawn, share).latency(share)
        worst = max(worst, abs(mine / least - 1.0))
        if plain and i < PEER_CHECKS:
            least = min(ortools_latency(plain, local, work / share, drawn), local.sum())
            worst_peer = max(worst_peer, abs(mine / least - 1.0))
    return {
        "model": name,
        "device": device,
        "operators": len(graph.operators),
        "cuts": len(made),
        "minimum_cuts": made.calls,
        "complete": made.complete,
        "seconds": {key: Spread.of(times) for key, times in found.items()},
        "checks": checks,
        "worst_relative_difference": worst,
        "ortools_checks": min(checks, PEER_CHECKS) if plain else 0,
        "worst_relative_difference_from_ortools": worst_peer,
    }


def ortools_latency(plain: PlainNetwork, local: Any, work: Any, link: Link) -> float:
    """The least latency by ortools, if anything is offloaded; capacities are rounded to ticks."""
    seconds = plain.seconds(local, work, link)
    solver = PEERS["ortools"].build(plain, plain.ticks(seconds, 2**60))
    PEERS["ortools"].cut(solver)
    return float(solver.optimal_flow() / 2**60 * seconds.sum() + link.rtt)


def growth_row(family: str, operators: int, rounds: int) -> dict[str, Any]:
    """Times at one size."""
    graph = residual(operators) if family == "residual" else transformer(operators)
    local, work = seconds_of(graph)
    link = Link(18.88e6 / 8, 2 * 18.88e6 / 8, 0.01)
    calls = {}
    for engine in engines()[:1]:
        calls[f"frontier {engine}"] = Call(
            functools.partial(frontier, graph, local, work, link, engine=engine)
        )
        calls[f"hull {engine}"] = Call(functools.partial(hull, graph, local, work, engine=engine))
    for name, peer in peers().items():
        if name in ("ortools", "PyMaxflow"):
            calls[f"{name} solve"] = peer.calls(PlainNetwork(graph), local, work, link)[0]
    return {
        "family": family,
        "operators": len(graph.operators),
        "cuts": len(hull(graph, local, work)),
        "seconds": {name: Spread.of(times) for name, times in turns(calls, rounds).items()},
    }


def exponents(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Per call the slope of log seconds over log operators, from 100 operators on."""
    large = [row for row in rows if row["operators"] >= 90]
    if len(large) < 2:
        return {}
    sizes = np.log([row["operators"] for row in large])
    return {
        name: float(np.polyfit(sizes, np.log([r["seconds"][name].median for r in large]), 1)[0])
        for name in large[0]["seconds"]
    }


def ms(spread: Spread) -> str:
    """Seconds as milliseconds."""
    return f"{1e3 * spread.median:.3g} [{1e3 * spread.low:.3g}, {1e3 * spread.high:.3g}]"


def print_cuts(rows: Sequence[Mapping[str, Any]]) -> None:
    """Times and ratios of frontiers, and the ratios over all rows."""
    for row in rows:
        uplink = row["uplink_bytes_per_s"] * 8e-6
        print(
            f"\n{row['model']}, {row['operators']} operators, uplink {uplink:g} Mbit/s, "
            f"{row['pieces']} pieces; prepared once in {1e3 * row['prepare_once_s']:.1f} ms"
        )
        lines = [
            [name, ms(spread), *(
                f"{row['ratios'][f'{engine} / {name}'].median:.3g}" if name not in engines() else ""
                for engine in engines()
            )]
            for name, spread in row["seconds"].items()
        ]  # fmt: skip
        print(text_table(["", "ms [quartiles]", *(f"{e} /" for e in engines())], lines))
    print(f"\nWhole frontier over one cut, over {len(rows)} models and links")
    lines = []
    for name in rows[0]["ratios"]:
        medians = [row["ratios"][name].median for row in rows]
        worst = max(rows, key=lambda row: row["ratios"][name].median)
        low, middle, high = np.percentile(medians, [25, 50, 75])
        lines.append(
            [name, f"{middle:.3g} [{low:.3g}, {high:.3g}]", f"{max(medians):.3g}", worst["model"]]
        )
    print(text_table(["", "median [quartiles]", "worst", "at"], lines))


def print_hulls(rows: Sequence[Mapping[str, Any]]) -> None:
    """The hulls."""
    print("\nHulls, any link of at least 1 kB/s: ms [quartiles]")
    names = list(rows[0]["seconds"])
    print(
        text_table(
            ["", "device", "cuts", "min-cuts", *names, "checks", "worst", "by ortools", "worst"],
            [
                [row["model"], row["device"], str(row["cuts"]), str(row["minimum_cuts"]),
                 *(ms(row["seconds"][name]) for name in names),
                 str(row["checks"]), f"{row['worst_relative_difference']:.1e}",
                 str(row["ortools_checks"]),
                 f"{row['worst_relative_difference_from_ortools']:.1e}"]
                for row in rows
            ],
        )
    )  # fmt: skip


def print_growth(rows: Sequence[Mapping[str, Any]], fitted: Mapping[str, float]) -> None:
    """Times by size, and the fitted exponents."""
    names = list(rows[0]["seconds"])
    print(f"\nGrowth, {rows[0]['family']}: ms [quartiles]")
    lines = [
        [str(row["operators"]), str(row["cuts"]), *(ms(row["seconds"][name]) for name in names)]
        for row in rows
    ]
    last = ["exponent", "", *(f"{fitted[name]:.2f}" if name in fitted else "" for name in names)]
    print(text_table(["operators", "hull cuts", *names], [*lines, last]))


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__, EXAMPLES)
    models, uplinks = [*NAMES, LARGE], ["5.85", "18.88", "100"]
    add = parser.add_argument
    add("--models", nargs="+", default=models, choices=models, metavar="NAME",
        help=f"of the zoo, or {LARGE} (all)")  # fmt: skip
    add("--uplink", nargs="+", default=uplinks, metavar="MBIT/S",
        help="downlinks are twice as fast (5.85 18.88 100)")  # fmt: skip
    add("--rounds", type=int, default=15, help="of all calls in turn (15)")
    add("--checks", type=int, default=10_000,
        help="random links and shares to check each hull at (10000)")  # fmt: skip
    args = parser.parse_args()
    rounds, checks = (3, 100) if args.quick else (args.rounds, args.checks)
    here = machine("networkx", "scipy", "ortools", "igraph", "PyMaxflow")
    print(machine_line(here))
    for peer in PEERS.values():
        installed(peer.package)
    if numba_installed():
        start = time.perf_counter()
        prepare()
        progress(f"compiled search ready after {time.perf_counter() - start:.1f} s")
    cuts = []
    for uplink in args.uplink[:1] if args.quick else args.uplink:
        up = parse_bandwidth(uplink)
        for name in args.models:
            progress(f"frontier: {name} at {uplink} Mbit/s")
            cuts.append(compare(name, Link(up, 2.0 * up, 0.01), rounds))
    print_cuts(cuts)
    hulls = []
    for name in args.models:
        for device in DEVICE_TYPES:
            progress(f"hull: {name} on {device}")
            hulls.append(hull_row(name, device, rounds, checks, args.seed))
    print_hulls(hulls)
    growth = []
    for family in ("residual", "transformer"):
        sizes = (10, 100) if args.quick else (10, 30, 100, 300, 1000, 3000)
        rows = []
        for operators in sizes if family == "residual" else sizes[1:]:
            progress(f"growth: {family} of {operators} operators")
            rows.append(growth_row(family, operators, rounds))
        fitted = exponents(rows)
        print_growth(rows, fitted)
        growth.append({"family": family, "rows": rows, "exponents": fitted})
    if args.json:
        write_json(args.json, {"machine": here, "frontier": cuts, "hull": hulls, "growth": growth})


if __name__ == "__main__":
    main()
