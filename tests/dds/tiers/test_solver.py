"""Exact plans over three tiers, against all plans there are and against networkx."""

import doctest
import math

import networkx
import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import dds.tiers.solver
from dds import (
    Client,
    Flat,
    InvalidInput,
    Link,
    Offer,
    TierLinks,
    competitive,
    three_tier,
    tier_frontier,
)
from dds.compiled import numba_installed
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.model.importer import load_model
from dds.model.zoo import topology
from dds.testing import graphs, operator_times
from dds.testing.tiers import assert_plan, cheapest_plan, offers, tier_links
from dds.tiers import solver

ENGINES = ["python", "numba"] if numba_installed() else ["python"]
VALUES = st.just(1.0) | st.floats(1e-3, 1e3)


@st.composite
def instances(draw, max_operators=7):
    graph = draw(graphs(max_operators=max_operators))
    times = (
        draw(operator_times(graph)),
        draw(operator_times(graph, positive=True)),
        draw(operator_times(graph, positive=True)),
    )
    return graph, times


def random_dag(rng, most=9):
    """A graph and times in which no tier and no link is out of the question."""
    count = int(rng.integers(1, most + 1))
    sizes = [int(rng.integers(0, 200)) for _ in range(int(rng.integers(1, 3)))]
    inputs, operators = len(sizes), []
    for v in range(count):
        reads = {int(t) for t in rng.choice(len(sizes), int(rng.integers(1, 4)))}
        made = int(rng.integers(1, 3))
        operators.append(
            Operator(
                f"o{v}", "T", tuple(sorted(reads)), tuple(range(len(sizes), len(sizes) + made))
            )
        )
        sizes += [int(rng.integers(0, 300)) for _ in range(made)]
    tensors = tuple(Tensor(f"t{t}", (1,), "float32", size) for t, size in enumerate(sizes))
    outputs = {int(t) for t in rng.choice(range(inputs, len(sizes)), 2)}
    graph = ModelGraph(tuple(operators), tensors, tuple(range(inputs)), tuple(sorted(outputs)))
    seconds = [10.0 ** rng.uniform(-1, 1, count) * speed for speed in (3.0, 1.0, 0.7)]
    return graph, tuple(seconds)


def random_market(rng):
    def link():
        up, down = 10.0 ** rng.uniform(0, 3, 2)
        return Link(float(up), float(down), float(rng.choice([0.0, rng.uniform(0, 3)])))

    def offer():
        return Offer(float(rng.uniform(0.3, 3)), float(rng.choice([0.0, rng.uniform(0, 3)])))

    links = TierLinks(link(), link(), link() if rng.random() < 0.5 else None)
    return links, offer(), offer(), float(rng.uniform(0.2, 3))


def solved(graph, seconds, market, engine="python"):
    """The plan, and its cost in credits/s."""
    links, edge, cloud, w = market
    plan = three_tier(
        graph, *seconds, links,
        edge_offer=edge, cloud_offer=cloud, value_of_time=w, engine=engine,
    )  # fmt: skip
    paid = plan.payment + edge.payment * bool(plan.on_edge)
    return plan, w * plan.latency(edge.share) + paid


@pytest.mark.parametrize("engine", ENGINES)
@given(drawn=instances(), links=tier_links(), edge=offers(), cloud=offers(), w=VALUES)
@settings(max_examples=90, deadline=None)
def test_no_plan_is_cheaper(engine, drawn, links, edge, cloud, w) -> None:
    graph, seconds = drawn
    market = links, edge, cloud, w
    plan, cost = solved(graph, seconds, market, engine)
    assert_plan(plan, graph, seconds, links, cloud)
    assert math.isclose(cost, cheapest_plan(graph, seconds, market), rel_tol=1e-9)
    event(f"tiers {sum(map(bool, (plan.on_device, plan.on_edge, plan.on_cloud(graph))))}")


def test_no_plan_is_cheaper_in_500_random_graphs_of_up_to_9_operators(monkeypatch) -> None:
    rng = np.random.default_rng(5)
    joint, used = [], set()

    def watched(*args, **kwargs):
        joint.append(args)
        return original(*args, **kwargs)

    original = solver.joint_cut
    monkeypatch.setattr(solver, "joint_cut", watched)
    for _ in range(500):
        graph, seconds = random_dag(rng)
        market = random_market(rng)
        plan, cost = solved(graph, seconds, market)
        assert_plan(plan, graph, seconds, market[0], market[2])
        assert math.isclose(cost, cheapest_plan(graph, seconds, market), rel_tol=1e-9)
        used.add(
            (bool(plan.on_device), bool(plan.on_edge), bool(plan.on_cloud(graph)), plan.direct)
        )
    # Every way to use the tiers was the best one for somebody, and so was the joint search.
    assert len(joint) > 10
    assert len(used) == 9
    # (7 sets of tiers, two of them by either path)


def test_a_graph_whose_two_cuts_are_not_nested_is_searched_in_one(monkeypatch) -> None:
    """The device is good at "a", the cloud too, the edge at nothing but being near."""
    tensors = tuple(Tensor(n, (), "float32", b) for n, b in zip("ixyz", (1, 1, 1, 0), strict=True))
    steps = (
        Operator("a", "T", (0,), (1,)),
        Operator("b", "T", (1,), (2,)),
        Operator("c", "T", (2,), (3,)),
    )
    graph = ModelGraph(steps, tensors, (0,), (3,))
    seconds = [1.0, 1.0, 9.0], [5.0, 5.0, 1.0], [0.1, 0.1, 3.0]
    market = TierLinks(Link(1.0, 1.0), Link(1.0, 1.0)), Offer(), Offer(), 1.0
    asked = []
    monkeypatch.setattr(solver, "joint_cut", lambda *a, **k: asked.append(a) or original(*a, **k))
    original = dds.tiers.joint.joint_cut
    plan, cost = solved(graph, tuple(map(np.array, seconds)), market)
    assert asked
    assert plan.on_edge == (2,)
    assert math.isclose(cost, cheapest_plan(graph, tuple(map(np.array, seconds)), market))


@pytest.mark.parametrize("name", ["alexnet", "squeezenet", "shufflenet", "resnet50"])
def test_networkx_finds_nothing_better_on_real_models(name) -> None:
    graph = load_model(topology(name))
    rng = np.random.default_rng(len(name))
    flops = np.array([v.flops + 1e5 for v in graph.operators])
    for _ in range(3):
        seconds = tuple(
            flops / 10.0**s * rng.uniform(0.3, 3.0, len(flops)) for s in (9.5, 10.5, 11)
        )
        links = TierLinks(*(Link(*(10.0 ** rng.uniform(5.5, 7.5, 2))) for _ in range(2)))
        plan = three_tier(graph, *seconds, links)
        assert_plan(plan, graph, seconds, links, Offer())
        assert math.isclose(
            plan.latency(1.0), least_by_networkx(graph, seconds, links), rel_tol=1e-9
        )


def least_by_networkx(graph, seconds, links) -> float:
    """The least latency of a plan without rents and round trips: one cut of two copies."""
    device, edge, cloud = seconds
    net = networkx.DiGraph()

    def arc(a, b, capacity=None):
        held = net.edges[a, b]["capacity"] if net.has_edge(a, b) else 0.0
        net.add_edge(a, b, **({} if capacity is None else {"capacity": held + capacity}))

    # Node (1, v) is on the source side when v is in S1, (2, v) when v is in S2.
    for v in range(len(graph.operators)):
        arc((1, v), "sink", float(device[v]))
        arc((2, v), (1, v), float(edge[v]))
        arc("source", (2, v), float(cloud[v]))
        arc((1, v), (2, v))
        for p in graph.predecessors[v]:
            for copy in (1, 2):
                arc((copy, v), (copy, p))
    for copy, link in ((1, links.device_edge), (2, links.edge_cloud)):
        for t, tensor in enumerate(graph.tensors):
            made = "source" if graph.producer[t] < 0 else (copy, graph.producer[t])
            if graph.consumers[t]:
                arc(made, ("up", copy, t), tensor.bytes / link.uplink)
                for v in graph.consumers[t]:
                    arc(("up", copy, t), (copy, v))
            if t in graph.outputs and graph.producer[t] >= 0:
                arc("source", made, tensor.bytes / link.downlink)
    return float(networkx.minimum_cut_value(net, "source", "sink"))


@given(drawn=instances(max_operators=6), links=tier_links(), cloud=offers(), w=VALUES)
@settings(max_examples=60, deadline=None)
def test_the_frontier_is_the_best_plan_at_every_share(drawn, links, cloud, w) -> None:
    graph, seconds = drawn
    found = tier_frontier(
        graph, *seconds, links, cloud_offer=cloud, value_of_time=w, engine="python"
    )
    works = [plan.edge_work for plan in found.plans]
    assert works == sorted(set(works), reverse=True)
    assert works[-1] == 0.0
    for plan, piece in zip(found.plans, found.frontier.pieces, strict=True):
        assert_plan(plan, graph, seconds, links, cloud)
        assert piece.server_work == plan.edge_work
        assert math.isclose(piece.base_latency, plan.base_latency + plan.payment / w, rel_tol=1e-12)
    for share in (1e-6, 0.03, 1.0, 7.0, 1e6):
        least = cheapest_plan(graph, seconds, (links, Offer(share), cloud, w))
        assert math.isclose(w * found.frontier.latency(share), least, rel_tol=1e-9)


def test_a_client_with_a_cloud_plays_the_edges_market() -> None:
    graph = load_model(topology("squeezenet"))
    flops = np.array([v.flops + 1e5 for v in graph.operators])
    seconds = flops / 1e9, flops / 2e10, flops / 5e10
    links = TierLinks(Link(2e6, 2e6, 0.005), Link(6e6, 6e6, 0.02))
    found = tier_frontier(graph, *seconds, links)
    clients = [Client(found.frontier, w) for w in (0.01, 1.0, 3.0)]
    price = 0.02
    shares = competitive(clients, Flat(price)).shares
    assert shares[0] == 0.0 < shares[1] < shares[2]

    def cost(w, share):
        edge = Offer(share, price) if share else Offer(1e-9)
        return solved(graph, seconds, (links, edge, Offer(), w))[1]

    for client, share in zip(clients, shares, strict=True):
        w = client.value_of_time
        paid = w * found.frontier.latency(share) + price * share
        assert math.isclose(cost(w, share), paid, rel_tol=1e-6)
        for other in (0.03, 0.3, 1.0, 3.0):
            assert paid <= cost(w, other) * (1.0 + 1e-9)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"device": [1.0]}, "1"),
        ({"edge": [0.0, 1.0]}, "edge"),
        ({"cloud": [1.0, math.nan]}, "cloud"),
        ({"value_of_time": 0.0}, "value_of_time"),
        ({"value_of_time": math.inf}, "value_of_time"),
        ({"value_of_time": 5e-324, "cloud_offer": Offer(1.0, 1.0)}, "value_of_time"),
    ],
)
def test_bad_input_is_named(change, says) -> None:
    tensors = tuple(Tensor(name, (), "float32", 1) for name in "abc")
    steps = tuple(Operator(f"f{k}", "T", (k,), (k + 1,)) for k in range(2))
    graph = ModelGraph(steps, tensors, (0,), (2,))
    given = {"device": [1.0, 1.0], "edge": [1.0, 1.0], "cloud": [1.0, 1.0], **change}
    links = TierLinks(Link(1.0, 1.0), Link(1.0, 1.0))
    for call in (three_tier, tier_frontier):
        with pytest.raises(InvalidInput, match=says):
            call(graph, links=links, **given)


def test_a_model_without_operators_needs_no_tier() -> None:
    graph = ModelGraph((), (Tensor("a", (), "float32", 1),), (0,), (0,))
    plan = three_tier(graph, [], [], [], TierLinks(Link(1.0, 1.0), Link(1.0, 1.0)))
    assert (plan.base_latency, plan.edge_work, plan.cloud_work) == (0.0, 0.0, 0.0)


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(dds.tiers.solver).failed == 0
