"""One minimum cut by other libraries, on the network as it is usually written.

One node per operator and per tensor, infinite arcs against data flowing back.  Whatever
depends on the graph alone (tails and heads of the arcs) is prepared before the clock
starts.  Two ways to ask each library:

solve          its object holds the network already: solving and reading off the cut
from arrays    what a user does for a link and times at hand: seconds per operator to
               capacities, those into the library's object, solve, read off the cut

scipy gives no cut, only the flow, and its capacities have 32 bits.  igraph and PyMaxflow
take floats.  An object of PyMaxflow solves once, so `solve` gets a fresh one per call.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.costs import Link
from dds.model import ModelGraph

__all__ = ["PEERS", "Call", "Peer", "PlainNetwork", "peers"]

#: The share at which the one cut is made, cores.
SHARE = 1.0
DEVICE, SERVER = 0, 1


class PlainNetwork:
    """The textbook network of a graph; node 0 the device (source), node 1 the server (sink)."""

    def __init__(self, graph: ModelGraph) -> None:
        n = len(graph.operators)
        read = [t for t, consumers in enumerate(graph.consumers) if consumers]
        node = {t: 2 + n + i for i, t in enumerate(read)}
        producer = {t: 2 + graph.producer[t] if graph.producer[t] >= 0 else DEVICE for t in read}
        arcs = [(DEVICE, 2 + v) for v in range(n)]
        arcs += [(2 + v, SERVER) for v in range(n)]
        arcs += [(producer[t], node[t]) for t in read]
        arcs += [(node[t], 2 + v) for t in read for v in graph.consumers[t]]
        arcs += [(2 + v, 2 + p) for v in range(n) for p in graph.predecessors[v]]
        self.operators, self.crossings, self.nodes = n, len(read), 2 + n + len(read)
        self.tails = np.array([tail for tail, _ in arcs])
        self.heads = np.array([head for _, head in arcs])
        self.returned = np.array(
            [
                sum(graph.tensors[t].bytes for t in operator.outputs if t in graph.outputs)
                for operator in graph.operators
            ],
            float,
        )
        self.read_bytes = np.array([graph.tensors[t].bytes for t in read], float)

    @property
    def finite(self) -> int:
        """How many arcs, the first ones, have finite capacities."""
        return 2 * self.operators + self.crossings

    def seconds(
        self, local: NDArray[np.float64], work: NDArray[np.float64], link: Link
    ) -> NDArray[np.float64]:
        """Capacities of the finite arcs."""
        return np.concatenate(
            (work / SHARE + self.returned / link.downlink, local, self.read_bytes / link.uplink)
        )

    def ticks(self, seconds: NDArray[np.float64], most: int) -> NDArray[np.int64]:
        """Capacities of all arcs as integers; the finite ones add up to at most ``most``."""
        capacities = np.full(len(self.tails), most, np.int64)
        capacities[: self.finite] = seconds * (most / seconds.sum())
        return capacities

    def floats(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Capacities of all arcs in seconds, infinite ones beyond what any cut costs."""
        capacities = np.full(len(self.tails), 2.0 * seconds.sum())
        capacities[: self.finite] = seconds
        return capacities


@dataclass(frozen=True)
class Call:
    """``run(*prepare())``, of which only ``run`` is timed; both without arguments if alone."""

    run: Callable[..., object]
    prepare: Callable[[], tuple[Any, ...]] = tuple


@dataclass(frozen=True)
class Peer:
    """A library: from capacities to its object, and from its object to a cut."""

    package: str
    capacities: Callable[[PlainNetwork, NDArray[np.float64]], Any]
    build: Callable[[PlainNetwork, Any], Any]
    cut: Callable[[Any], object]
    solves_once: bool = False

    def calls(
        self, plain: PlainNetwork, local: NDArray[np.float64], work: NDArray[np.float64], link: Link
    ) -> tuple[Call, Call]:
        """(solve, from arrays)."""

        def build() -> Any:
            return self.build(plain, self.capacities(plain, plain.seconds(local, work, link)))

        built = None if self.solves_once else build()
        solve = Call(self.cut, lambda: (build() if built is None else built,))
        return solve, Call(lambda: self.cut(build()))


def _networkx_build(plain: PlainNetwork, capacities: NDArray[np.int64]) -> Any:
    import networkx

    flow = networkx.DiGraph()
    ends = zip(plain.tails.tolist(), plain.heads.tolist(), capacities.tolist(), strict=True)
    flow.add_edges_from([(tail, head, {"capacity": ticks}) for tail, head, ticks in ends])
    return flow


def _networkx_cut(flow: Any) -> object:
    import networkx
    from networkx.algorithms.flow import preflow_push

    return networkx.minimum_cut(flow, DEVICE, SERVER, flow_func=preflow_push)


def _scipy_build(plain: PlainNetwork, capacities: NDArray[np.int64]) -> Any:
    import scipy.sparse

    shape = (plain.nodes, plain.nodes)
    arcs = (capacities.astype(np.int32), (plain.tails, plain.heads))
    return scipy.sparse.csr_matrix(arcs, shape)


def _scipy_cut(matrix: Any) -> object:
    from scipy.sparse.csgraph import maximum_flow

    return maximum_flow(matrix, DEVICE, SERVER)


def _ortools_build(plain: PlainNetwork, capacities: NDArray[np.int64]) -> Any:
    from ortools.graph.python import max_flow

    solver = max_flow.SimpleMaxFlow()
    solver.add_arcs_with_capacity(plain.tails, plain.heads, capacities)
    return solver


def _ortools_cut(solver: Any) -> object:
    if solver.solve(DEVICE, SERVER) != solver.OPTIMAL:
        raise RuntimeError("ortools found no optimum")
    return solver.get_source_side_min_cut()


def _igraph_build(plain: PlainNetwork, capacities: NDArray[np.float64]) -> Any:
    import igraph

    edges = np.column_stack((plain.tails, plain.heads))
    return igraph.Graph(plain.nodes, edges, directed=True), capacities.tolist()


def _igraph_cut(built: Any) -> object:
    graph, capacities = built
    return graph.mincut(DEVICE, SERVER, capacities).partition


def _pymaxflow_build(plain: PlainNetwork, capacities: NDArray[np.float64]) -> Any:
    import maxflow

    n, inner = plain.operators, slice(2 * plain.operators, None)
    graph = maxflow.GraphFloat(plain.nodes, len(plain.tails))
    nodes = graph.add_nodes(plain.nodes)
    tails, heads, carried = plain.tails[inner], plain.heads[inner], capacities[inner]
    graph.add_edges(tails, heads, carried, np.zeros(len(carried)))
    graph.add_grid_tedges(nodes[2 : 2 + n], capacities[:n], capacities[n : 2 * n])
    # Its terminals have no arcs between nodes: the two nodes that stand for them are tied on.
    ties = np.array([2.0 * capacities.max(), 0.0])
    graph.add_grid_tedges(nodes[:2], ties, ties[::-1].copy())
    return graph, nodes


def _pymaxflow_cut(built: Any) -> object:
    graph, nodes = built
    graph.maxflow()
    return graph.get_grid_segments(nodes)


PEERS = {
    "networkx": Peer("networkx", lambda p, s: p.ticks(s, 2**60), _networkx_build, _networkx_cut),
    "scipy": Peer("scipy", lambda p, s: p.ticks(s, 2**30), _scipy_build, _scipy_cut),
    "ortools": Peer("ortools", lambda p, s: p.ticks(s, 2**60), _ortools_build, _ortools_cut),
    "igraph": Peer("igraph", lambda p, s: p.floats(s), _igraph_build, _igraph_cut),
    "PyMaxflow": Peer(
        "maxflow", lambda p, s: p.floats(s), _pymaxflow_build, _pymaxflow_cut, solves_once=True
    ),
}


def peers() -> dict[str, Peer]:
    """Those that can be imported here."""
    return {name: peer for name, peer in PEERS.items() if importlib.util.find_spec(peer.package)}
