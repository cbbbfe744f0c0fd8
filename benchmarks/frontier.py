"""Time of a WHOLE frontier over the time of ONE minimum cut by other libraries, same run.

    python benchmarks/frontier.py [--uplink 18.88 ...] [--models resnet50 ...] [--json FILE]

For each zoo model, compiled (where numba is installed) and in plain Python:
`search`, from arrays of seconds to all pieces as columns, and `frontier`, the public
call, which also checks its input and makes the objects. Against one s-t cut at one
share by networkx (preflow-push), scipy (Dinic, 32-bit capacities) and, where
importable, ortools; only solving and reading off the cut is timed. What depends on
the graph alone is prepared for everybody before the clock starts: for us `network`,
for the peers their solver object, CSR matrix or DiGraph, even with the capacities of
this very link in it. The peers get the network as it is usually written: one node
per operator and tensor.

Every time is the median over repeats, with the 10th to 90th percentile in
brackets. A ratio below 1 means the whole frontier is cheaper than one cut.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import networkx
import numpy as np
import scipy.sparse.csgraph
from networkx.algorithms.flow import preflow_push

from dds.compiled import numba_installed
from dds.costs import DEVICES, Link, operator_times
from dds.cut import frontier
from dds.cut.engine import run
from dds.cut.network import network
from dds.model import ModelGraph, load_model
from dds.model.zoo import NAMES, topology
from dds.units import parse_bandwidth

SHARE = 1.0
Arc = tuple[int, int, float]


@dataclass(frozen=True)
class Timing:
    """Seconds per call: median and percentiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median * 1e3:.3g} [{self.low * 1e3:.3g}, {self.high * 1e3:.3g}]"


def measure(call: Callable[[], object], budget: float) -> Timing:
    """Repeat a call for about budget seconds, at least 5 times after one to warm up."""
    call()
    seconds: list[float] = []
    while len(seconds) < 5 or sum(seconds) < budget:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    low, *_, high = statistics.quantiles(seconds, n=10)
    return Timing(statistics.median(seconds), low, high)


def plain_arcs(graph: ModelGraph, local: np.ndarray, work: np.ndarray, link: Link) -> list[Arc]:
    """The textbook network: (tail, head, seconds); node 0 the device, node 1 the server."""
    arcs: list[Arc] = []
    for v, operator in enumerate(graph.operators):
        back = sum(graph.tensors[t].bytes for t in operator.outputs if t in graph.outputs)
        arcs.append((0, v + 2, work[v] / SHARE + back / link.downlink))
        arcs.append((v + 2, 1, local[v]))
        arcs.extend((v + 2, p + 2, np.inf) for p in graph.predecessors[v])
    for t, consumers in enumerate(graph.consumers):
        if consumers:
            node = 2 + len(graph.operators) + t
            made_by = graph.producer[t]
            seconds = graph.tensors[t].bytes / link.uplink
            arcs.append((made_by + 2 if made_by >= 0 else 0, node, seconds))
            arcs.extend((node, v + 2, np.inf) for v in consumers)
    return arcs


def integers(arcs: list[Arc], most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tails, heads and integer capacities whose finite ones add up to at most most."""
    seconds = np.array([cost for _, _, cost in arcs])
    finite = seconds[np.isfinite(seconds)].sum()
    capacity = np.where(np.isfinite(seconds), seconds / finite, 1.0) * most
    tails = np.array([tail for tail, _, _ in arcs])
    heads = np.array([head for _, head, _ in arcs])
    return tails, heads, capacity.astype(np.int64)


def networkx_cut(arcs: list[Arc]) -> Callable[[], object]:
    """One cut by networkx, ready to be timed."""
    flow = networkx.DiGraph()
    for tail, head, capacity in zip(*integers(arcs, 2**60), strict=True):
        flow.add_edge(int(tail), int(head), capacity=int(capacity))
    return lambda: networkx.minimum_cut(flow, 0, 1, flow_func=preflow_push)


def scipy_cut(arcs: list[Arc]) -> Callable[[], object]:
    """One cut by scipy, ready to be timed."""
    tails, heads, capacity = integers(arcs, 2**30)
    size = int(max(tails.max(), heads.max())) + 1
    # Parallel arcs would be added up and overflow 32 bits; the network has none.
    matrix = scipy.sparse.csr_matrix((capacity.astype(np.int32), (tails, heads)), (size, size))
    return lambda: scipy.sparse.csgraph.maximum_flow(matrix, 0, 1)


def ortools_cut(arcs: list[Arc]) -> Callable[[], object]:
    """One cut by ortools, ready to be timed."""
    from ortools.graph.python import max_flow

    solver = max_flow.SimpleMaxFlow()
    solver.add_arcs_with_capacity(*integers(arcs, 2**60))

    def cut() -> object:
        if solver.solve(0, 1) != solver.OPTIMAL:
            raise RuntimeError("ortools found no optimum")
        return solver.get_source_side_min_cut()

    return cut


def compare(name: str, link: Link, budget: float) -> dict[str, object]:
    """One row: every time for one model and link."""
    graph = load_model(topology(name))
    local = operator_times(graph, DEVICES["raspberry-pi-3b"])
    work = operator_times(graph, DEVICES["edge-core"])
    start = time.perf_counter()
    network(graph)
    prepare = time.perf_counter() - start
    arcs = plain_arcs(graph, local, work, link)
    row: dict[str, object] = {
        "model": name,
        "uplink_bytes_per_s": link.uplink,
        "operators": len(graph.operators),
        "pieces": len(frontier(graph, local, work, link).pieces),
        "prepare_s": prepare,
    }
    engines = ["python", "numba"] if numba_installed() else ["python"]
    calls: dict[str, Callable[[], object]] = {}
    for engine in engines:
        calls[engine] = lambda e=engine: frontier(graph, local, work, link, engine=e)
        calls[f"{engine} search"] = lambda e=engine: run(
            network(graph), local, work, link, 0.0, True, e
        )
    calls["networkx"] = networkx_cut(arcs)
    calls["scipy"] = scipy_cut(arcs)
    if importlib.util.find_spec("ortools"):
        calls["ortools"] = ortools_cut(arcs)
    row |= {key: measure(call, budget) for key, call in calls.items()}
    return row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=NAMES, choices=NAMES, metavar="NAME")
    parser.add_argument("--uplink", nargs="+", default=["5.85", "18.88", "100"], metavar="MBIT/S")
    parser.add_argument("--budget", type=float, default=0.2, help="seconds per entry (0.2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    args = parser.parse_args()
    rows = []
    for uplink in args.uplink:
        up = parse_bandwidth(uplink)
        link = Link(up, 2.0 * up, 0.01)
        print(f"\nuplink {uplink} Mbit/s; ms per call: median [10 %, 90 %]")
        for name in args.models:
            row = compare(name, link, args.budget)
            rows.append(row)
            print_row(row)
    print_summary(rows)
    if args.json:
        plain = [
            {key: vars(value) if isinstance(value, Timing) else value for key, value in row.items()}
            for row in rows
        ]
        args.json.write_text(json.dumps(plain, indent=1) + "\n")


def ratio(row: dict[str, object], ours: str, peer: str) -> float | None:
    """Time of our whole frontier over that of one cut of a peer, None without either."""
    left, right = row.get(ours), row.get(peer)
    if isinstance(left, Timing) and isinstance(right, Timing):
        return left.median / right.median
    return None


PAIRS = (
    ("numba search", "ortools"),
    ("numba", "ortools"),
    ("numba", "scipy"),
    ("numba", "networkx"),
    ("python", "networkx"),
)


def print_row(row: dict[str, object]) -> None:
    """One model's times and ratios."""
    print(f"{row['model']:<13}{row['operators']:>4} operators, {row['pieces']} pieces, "
          f"prepared once in {float(str(row['prepare_s'])) * 1e3:.1f} ms")  # fmt: skip
    for key, value in row.items():
        if isinstance(value, Timing):
            what = "whole frontier" if key.startswith(("numba", "python")) else "one cut"
            print(f"    {key:<14}{what:<15}{value}")
    ratios = [(pair, ratio(row, *pair)) for pair in PAIRS]
    print("    " + ", ".join(f"{a}/{b} {r:.3g}" for (a, b), r in ratios if r is not None))


def print_summary(rows: list[dict[str, object]]) -> None:
    """The ratios over all rows."""
    print("\nwhole frontier over one cut: median, worst")
    for ours, peer in PAIRS:
        found = [r for row in rows if (r := ratio(row, ours, peer)) is not None]
        if found:
            print(f"    {ours + ' / ' + peer:<24}{statistics.median(found):.3g}, {max(found):.3g}")


if __name__ == "__main__":
    main()
