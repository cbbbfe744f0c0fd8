"""Three tiers: exact plans against networkx, and plans for links that change.

For each model of the zoo on a Raspberry Pi 3B, a core of an edge and a GPU in a cloud:

exact    The public call `dds.three_tier`, given arrays of seconds per operator, compiled where
         numba is installed and in plain Python, over one minimum cut by networkx (preflow-push) of
         the doubled network: a copy of the graph per cut, the tiers of an operator in a row.  The
         peer's network is built before its clock starts.  It knows no round trips, so here there
         are none, and no direct path; the latencies of both must then be equal.
changes  `tier_hull` once, then a plan for each of many random changes of all three links and of
         the share: microseconds of a plan, median and 99th percentile.  Some plans are compared
         with those of `three_tier`.
market   `tier_frontier`, by a search and from the hull.

Calls take turns; a number is the median over rounds with its quartiles, a ratio is taken within
each round. A ratio below 1 means that DDS is faster.
"""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cut_peers import Call
from frontier import engines, turns
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
from models import zoo

from dds import Offer, TierHull, TierLinks, three_tier, tier_frontier, tier_hull
from dds.compiled import numba_installed
from dds.costs import DEVICES, Link, operator_times
from dds.cut import prepare
from dds.model import ModelGraph
from dds.model.zoo import NAMES
from dds.units import parse_bandwidth

EXAMPLES = """  python benchmarks/tiers.py --json tiers.json
  python benchmarks/tiers.py --models resnet50 vgg19 --uplink 18.88 --changes 500
  python benchmarks/tiers.py --quick"""
TIERS = ("raspberry-pi-3b", "edge-core", "cloud-gpu")
#: bytes/s; every so-many-th change is planned by a search too.
EDGE_CLOUD, CHECKED = 50e6 / 8, 20

#: Seconds per operator on device, edge and cloud.
Seconds = tuple[Any, Any, Any]


def seconds_of(graph: ModelGraph) -> Seconds:
    """Seconds per operator on each tier."""
    device, edge, cloud = (operator_times(graph, DEVICES[name]) for name in TIERS)
    return device, edge, cloud


def doubled(graph: ModelGraph, seconds: Seconds, links: TierLinks) -> Any:
    """The network of networkx whose minimum cut is the least latency at one core of each server.

    Node (1, v) is on the source's side when v is on the device, (2, v) when v is not in the cloud.
    """
    import networkx

    device, edge, cloud = seconds
    net = networkx.DiGraph()

    def arc(a: object, b: object, capacity: float | None = None) -> None:
        held = net.edges[a, b]["capacity"] if net.has_edge(a, b) else 0.0
        net.add_edge(a, b, **({} if capacity is None else {"capacity": held + capacity}))

    for v, before in enumerate(graph.predecessors):
        arc((1, v), "sink", float(device[v]))
        arc((2, v), (1, v), float(edge[v]))
        arc("source", (2, v), float(cloud[v]))
        for copy in (1, 2):
            for p in before:
                arc((copy, v), (copy, p))
        arc((1, v), (2, v))
    for copy, link in ((1, links.device_edge), (2, links.edge_cloud)):
        for t, tensor in enumerate(graph.tensors):
            made = "source" if graph.producer[t] < 0 else (copy, graph.producer[t])
            if graph.consumers[t]:
                arc(made, ("up", copy, t), tensor.bytes / link.uplink)
                for v in graph.consumers[t]:
                    arc(("up", copy, t), (copy, v))
            if t in graph.outputs and graph.producer[t] >= 0:
                arc("source", made, tensor.bytes / link.downlink)
    return net


def exact_row(name: str, uplink: float, rounds: int) -> dict[str, Any]:
    """One model on one link: seconds, ratios, and how far our latency is from the peer's."""
    graph = zoo(name)
    seconds = seconds_of(graph)
    links = TierLinks(Link(uplink, 2.0 * uplink), Link(EDGE_CLOUD, EDGE_CLOUD))
    calls = {
        engine: Call(functools.partial(three_tier, graph, *seconds, links, engine=engine))
        for engine in engines()
    }
    plan = three_tier(graph, *seconds, links)
    difference = None
    if installed("networkx"):
        import networkx

        cut = functools.partial(
            networkx.minimum_cut_value, doubled(graph, seconds, links), "source", "sink"
        )
        difference = abs(plan.latency(1.0) / float(cut()) - 1.0)
        calls["networkx"] = Call(cut)
    found = turns(calls, rounds)
    return {
        "model": name,
        "operators": len(graph.operators),
        "uplink_bytes_per_s": uplink,
        "tiers": [len(plan.on_device), len(plan.on_edge), len(plan.on_cloud(graph))],
        "seconds": {call: Spread.of(times) for call, times in found.items()},
        "ratios": {
            engine: ratio(found[engine][: len(found["networkx"])], found["networkx"])
            for engine in engines()
            if "networkx" in found
        },
        "relative_difference": difference,
    }


def drawn(rng: np.random.Generator) -> tuple[TierLinks, Offer]:
    """Links from 0.1 Mbit/s to 1 Gbit/s either way, two of three with a direct path; a share."""

    def link(rtt: float) -> Link:
        up, down = 10.0 ** rng.uniform(5.0, 9.0, 2) / 8.0
        return Link(float(up), float(down), rtt)

    direct = link(0.1) if rng.random() < 2.0 / 3.0 else None
    links = TierLinks(link(0.0667), link(0.02), direct)
    return links, Offer(float(10.0 ** rng.uniform(-2.0, 1.0)))


def planning(made: TierHull, changes: Sequence[tuple[TierLinks, Offer]]) -> list[float]:
    """Seconds of each plan."""
    spent = []
    gc.disable()
    for links, offer in changes:
        start = time.perf_counter()
        made.plan(links, edge_offer=offer)
        spent.append(time.perf_counter() - start)
    gc.enable()
    return spent


def changes_row(name: str, changes: int, rounds: int, seed: int) -> dict[str, Any]:
    """One model: its hulls, plans after changes, and frontiers."""
    graph = zoo(name)
    seconds = seconds_of(graph)
    made = tier_hull(graph, *seconds)
    rng = np.random.default_rng(seed)
    asked = [drawn(rng) for _ in range(changes)]
    planning(made, asked[:100])  # warm
    spent = planning(made, asked)
    worst = 0.0
    for links, offer in asked[::CHECKED]:
        mine = made.plan(links, edge_offer=offer).latency(offer.share)
        least = three_tier(graph, *seconds, links, edge_offer=offer).latency(offer.share)
        worst = max(worst, abs(mine / least - 1.0))
    links = asked[0][0]
    calls = {"frontier from hull": Call(functools.partial(made.frontier, links))}
    for engine in engines():
        calls[f"tier_hull {engine}"] = Call(
            functools.partial(tier_hull, graph, *seconds, engine=engine)
        )
        calls[f"tier_frontier {engine}"] = Call(
            functools.partial(tier_frontier, graph, *seconds, links, engine=engine)
        )
    median, p99 = np.percentile(spent, [50, 99]).tolist()
    return {
        "model": name,
        "cuts": [len(made.device_edge), len(made.edge_cloud), len(made.device_cloud)],
        "changes": changes,
        "plan_s": {"median": median, "p99": p99, "largest": max(spent)},
        "checked": len(asked[::CHECKED]),
        "worst_relative_difference": worst,
        "seconds": {call: Spread.of(times) for call, times in turns(calls, rounds).items()},
    }


def ms(spread: Spread) -> str:
    """Seconds as milliseconds."""
    return f"{1e3 * spread.median:.3g} [{1e3 * spread.low:.3g}, {1e3 * spread.high:.3g}]"


def print_exact(rows: Sequence[Mapping[str, Any]]) -> None:
    """Times, ratios, and whether latencies are equal."""
    names, ours = list(rows[0]["seconds"]), list(rows[0]["ratios"])
    print("\nthree_tier: ms [quartiles], over networkx, relative difference of the latencies")
    lines = [
        [row["model"], str(row["operators"]), f"{row['uplink_bytes_per_s'] * 8e-6:g}",
         "/".join(map(str, row["tiers"])), *(ms(row["seconds"][name]) for name in names),
         *(f"{row['ratios'][name].median:.2g}" for name in ours),
         "" if row["relative_difference"] is None else f"{row['relative_difference']:.0e}"]
        for row in rows
    ]  # fmt: skip
    head = ["", "operators", "Mbit/s", "on each tier", *names]
    print(text_table([*head, *(f"{name} /" for name in ours), "difference"], lines))


def print_changes(rows: Sequence[Mapping[str, Any]]) -> None:
    """Microseconds of a plan, and milliseconds of what it takes to have one."""
    names = list(rows[0]["seconds"])
    print(f"\nLinks that change: a plan from the hull, µs, over {rows[0]['changes']} changes; ms")
    lines = [
        [row["model"], "/".join(map(str, row["cuts"])),
         *(f"{1e6 * row['plan_s'][key]:.1f}" for key in ("median", "p99", "largest")),
         f"{row['worst_relative_difference']:.0e}", *(ms(row["seconds"][name]) for name in names)]
        for row in rows
    ]  # fmt: skip
    print(text_table(["", "cuts", "median", "p99", "largest", "difference", *names], lines))


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__, EXAMPLES)
    add, uplinks = parser.add_argument, ["1.1", "5.85", "18.88"]
    add("--models", nargs="+", default=[*NAMES], choices=NAMES, metavar="NAME",
        help="of the zoo (all)")  # fmt: skip
    add("--uplink", nargs="+", default=uplinks, metavar="MBIT/S",
        help="of the first hop; downlinks are twice as fast (1.1 5.85 18.88)")  # fmt: skip
    add("--rounds", type=int, default=15, help="of all calls in turn (15)")
    add("--changes", type=int, default=5000, help="of the links, per model (5000)")
    args = parser.parse_args()
    rounds, changes = (3, 200) if args.quick else (args.rounds, args.changes)
    here = machine("networkx")
    print(machine_line(here))
    if numba_installed():
        start = time.perf_counter()
        prepare()
        progress(f"compiled search ready after {time.perf_counter() - start:.1f} s")
    exact = []
    for uplink in args.uplink[:1] if args.quick else args.uplink:
        for name in args.models:
            progress(f"exact: {name} at {uplink} Mbit/s")
            exact.append(exact_row(name, parse_bandwidth(uplink), rounds))
    print_exact(exact)
    changing = []
    for name in args.models:
        progress(f"changes: {name}")
        changing.append(changes_row(name, changes, rounds, args.seed))
    print_changes(changing)
    if args.json:
        write_json(args.json, {"machine": here, "exact": exact, "changes": changing})


if __name__ == "__main__":
    main()
