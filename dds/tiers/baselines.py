"""What to compare an exact plan over three tiers with.

Each answers the question that :func:`dds.three_tier` answers, with fewer plans to choose from: the
least ``w T + f pe [edge used] + fc pc [cloud used]`` there is among its own, all of them priced in
the same way.  So none is cheaper than the exact plan, and where the exact plan is one of its own,
it ties.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import accumulate

from dds.costs.link import Link
from dds.costs.roofline import Timing
from dds.cut.pieces import Piece
from dds.model.graph import ModelGraph
from dds.tiers.links import Offer, TierLinks, relayed
from dds.tiers.plan import TierPlan, TierTimes, make_plan
from dds.tiers.solver import CutSearch, checked_value, question
from dds.tiers.ways import Question

__all__ = ["BASELINES", "tier_baselines", "two_point"]

#: The baselines of :func:`tier_baselines`, by name.
BASELINES = (
    "device-only", "edge-only", "cloud-only", "device+edge", "device+cloud", "edge+cloud",
)  # fmt: skip

_ONE_CORE = Offer()


def tier_baselines(
    graph: ModelGraph,
    device: Timing,
    edge: Timing,
    cloud: Timing,
    links: TierLinks,
    *,
    edge_offer: Offer = _ONE_CORE,
    cloud_offer: Offer = _ONE_CORE,
    value_of_time: float = 1.0,
    engine: str | None = None,
) -> Mapping[str, TierPlan]:
    """The best plan on one tier, and on two: the six :data:`BASELINES`, by name.

    A pair of tiers is split at its own minimum cut, and uses only one of the two where that is
    better.  What leaves the edge idle takes the better of the relayed and the direct path.
    Without the device, the model's input crosses the first hop.

    Arguments and errors are those of :func:`dds.three_tier`.
    """
    search = CutSearch(graph, TierTimes.of(graph, device, edge, cloud), engine)
    asked = question(links, edge_offer, cloud_offer, checked_value(value_of_time))
    plan = partial(make_plan, graph, search.times, links, cloud_offer)
    best = partial(min, key=asked.cost)
    every = range(len(graph.operators))
    local, at_edge = plan(every, every), plan((), every)
    in_cloud, shared = [], []
    for link, direct in _paths(links):
        kept = _kept(search.past(asked, link))
        in_cloud.append(plan((), (), direct=direct))
        shared.append(plan(kept, kept, direct=direct))
    return {
        "device-only": local,
        "edge-only": at_edge,
        "cloud-only": best(in_cloud),
        "device+edge": best([local, plan(_kept(search.near(asked)), every)]),
        "device+cloud": best([local, *shared]),
        "edge+cloud": best([at_edge, *in_cloud, plan((), _kept(search.far(asked)))]),
    }


def _paths(links: TierLinks) -> list[tuple[Link, bool]]:
    """From device to cloud: each way, and whether it is the direct one."""
    ways = [(relayed(links), False)]
    return ways if links.device_cloud is None else [*ways, (links.device_cloud, True)]


def _kept(piece: Piece) -> tuple[int, ...]:
    assert piece.cut is not None  # noqa: S101 -- a search makes every piece from a cut
    return piece.cut.on_device


def two_point(
    graph: ModelGraph,
    device: Timing,
    edge: Timing,
    cloud: Timing,
    links: TierLinks,
    *,
    edge_offer: Offer = _ONE_CORE,
    cloud_offer: Offer = _ONE_CORE,
    value_of_time: float = 1.0,
) -> TierPlan:
    """Chain two-point search: the best plan of which S1 and S2 are prefixes of the operators.

    The operators stand in a topological order; the first i of them run on the device, those up to
    j >= i on the edge, the rest in the cloud.  All pairs i <= j are compared, in O(operators).
    On a chain that is exact; on other graphs it misses cuts that are no prefix.

    Arguments and errors are those of :func:`dds.three_tier`.
    """
    times = TierTimes.of(graph, device, edge, cloud)
    asked = question(links, edge_offer, cloud_offer, checked_value(value_of_time))
    _, i, j, direct = min(_two_points(graph, times, asked))
    return make_plan(graph, times, links, cloud_offer, range(i), range(j), direct=direct)


def _two_points(
    graph: ModelGraph, times: TierTimes, asked: Question
) -> Iterator[tuple[float, int, int, bool]]:
    """(T~, i, j, direct): for each j, with and without the edge, the best i."""
    links, count = asked.links, len(graph.operators)
    local = list(accumulate(times.device.tolist(), initial=0.0))
    remote = list(accumulate(times.cloud[::-1].tolist(), initial=0.0))[::-1]
    on_edge = (asked.x * times.edge).tolist()
    crossing = _crossing(graph)
    behind, first = float("inf"), 0  # the least time up to here, if the edge is at work, and i
    for k in range(count + 1):
        if k < count:
            hop, cloud = links.edge_cloud.transfer_time(*crossing[k]), remote[k] / asked.cloud.share
            arrived = local[k] + links.device_edge.transfer_time(*crossing[k])
            rest = cloud + asked.cloud_rent
            yield arrived + hop + rest, k, k, False
            if links.device_cloud is not None:
                yield local[k] + links.device_cloud.transfer_time(*crossing[k]) + rest, k, k, True
            yield behind + asked.edge_rent + hop + rest, first, k, False
            if arrived < behind:
                behind, first = arrived, k
            behind += on_edge[k]
        else:
            yield local[k], k, k, False
            yield behind + asked.edge_rent, first, k, False


def _crossing(graph: ModelGraph) -> list[tuple[int, int]]:
    """Bytes up and down behind each prefix, from none of the operators to all of them."""
    up, down = ([0] * (len(graph.operators) + 1) for _ in range(2))
    for t, tensor in enumerate(graph.tensors):
        if graph.consumers[t]:  # from its producer on, until its last consumer has joined
            up[graph.producer[t] + 1] += tensor.bytes
            up[graph.consumers[t][-1] + 1] -= tensor.bytes
    for t in set(graph.outputs):
        if graph.producer[t] >= 0:  # until its producer has joined
            down[0] += graph.tensors[t].bytes
            down[graph.producer[t] + 1] -= graph.tensors[t].bytes
    return list(zip(accumulate(up), accumulate(down), strict=True))
