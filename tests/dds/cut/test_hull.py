import doctest
import importlib
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.compiled import numba_installed
from dds.costs import DEVICES, Link
from dds.costs import operator_times as times_of
from dds.cut import frontier, hull
from dds.cut.network import network
from dds.errors import InvalidInput
from dds.market.table import ClientTable
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.model.importer import load_model
from dds.model.zoo import NAMES, topology
from dds.testing import assert_cut, closed_sets, graphs, least_latency, operator_times

ENGINES = ["python", "numba"] if numba_installed() else ["python"]
WIDE = (1e-3, 1e12)
BOXES = st.sampled_from([WIDE, (1e3, math.inf), (1.0, 1e4), (10.0, 10.0), (1e-9, math.inf)])


@st.composite
def instances(draw, max_operators=8):
    graph = draw(graphs(max_operators=max_operators))
    return graph, draw(operator_times(graph)), draw(operator_times(graph, positive=True))


def random_instance(seed, operators, outputs):
    """A seeded graph larger than Hypothesis draws well, with costs that contend."""
    rng = np.random.default_rng(seed)
    sizes, steps = [int(rng.integers(1, 100))], []
    for v in range(operators):
        reads = {int(t) for t in rng.integers(max(0, len(sizes) - 4), len(sizes), 2)}
        steps.append(Operator(f"o{v}", "T", tuple(sorted(reads)), (len(sizes),)))
        sizes.append(int(rng.integers(0, 100)))
    tensors = tuple(Tensor(f"t{t}", (1,), "float32", size) for t, size in enumerate(sizes))
    returned = {len(sizes) - 1, *rng.integers(1, len(sizes), outputs - 1).tolist()}
    graph = ModelGraph(tuple(steps), tensors, (0,), tuple(sorted(returned)))
    return graph, rng.gamma(0.5, 2.0, operators), rng.gamma(0.7, 1.0, operators) + 1e-9


def all_points(graph, local, work):
    """(L, D_up, D_down, W) of every cut there is, from the definitions."""
    points = []
    for kept in closed_sets(graph):
        up = down = 0
        if len(kept) < len(local):
            for t, tensor in enumerate(graph.tensors):
                at_hand = graph.producer[t] < 0 or graph.producer[t] in kept
                if at_hand and not kept.issuperset(graph.consumers[t]):
                    up += tensor.bytes
                if t in graph.outputs and not at_hand:
                    down += tensor.bytes
        elapsed = math.fsum(local[v] for v in kept)
        behind = math.fsum(w for v, w in enumerate(work) if v not in kept)
        points.append((elapsed, up, down, behind))
    return np.array(points, float)


def draw_weights(uplinks, downlinks, count, seed):
    """(1, 1/b_up, 1/b_down, x) at random in the box, its corners often."""
    rng = np.random.default_rng(seed)

    def inverse(low, high):
        drawn = 10.0 ** rng.uniform(math.log10(low), math.log10(min(high, 1e14)), count)
        corner = rng.random(count)
        return 1.0 / np.where(corner < 0.2, low, np.where(corner > 0.8, high, drawn))

    x = 10.0 ** rng.uniform(-9.0, 9.0, count) * (rng.random(count) > 0.1)
    return np.stack([np.ones(count), inverse(*uplinks), inverse(*downlinks), x])


def points_of(found):
    return np.stack([found.L, found.D_up, found.D_down, found.W])


@pytest.mark.parametrize("engine", ENGINES)
def test_no_cut_there_is_costs_less_at_any_weights(engine):
    @settings(deadline=None, max_examples=70)
    @given(instances(), BOXES, BOXES)
    def check(instance, uplinks, downlinks):
        found = hull(*instance, uplinks=uplinks, downlinks=downlinks, engine=engine)
        assert found.complete
        weights = draw_weights(uplinks, downlinks, 300, 0)
        least = (all_points(*instance) @ weights).min(axis=0, initial=math.inf)
        mine = (points_of(found).T @ weights).min(axis=0, initial=math.inf)
        assert mine == pytest.approx(least, rel=1e-12)

    check()


@settings(deadline=None, max_examples=60)
@given(instances(), BOXES)
def test_engines_agree(instance, uplinks):
    found = [hull(*instance, uplinks=uplinks, engine=engine) for engine in ENGINES]
    assert len({repr((h, h.cuts)) for h in found}) == 1


@settings(deadline=None, max_examples=60)
@given(instances())
def test_points_are_those_of_the_cuts_each_listed_once_local_only_last(instance):
    graph, local, work = instance
    found = hull(*instance, uplinks=WIDE, downlinks=WIDE)
    assert len(found) == len(found.cuts) == len({cut.on_device for cut in found.cuts})
    assert found.cuts[-1].on_device == tuple(range(len(local)))
    assert found.L.tolist() == sorted(found.L.tolist())
    for cut, up, down, elapsed, behind in zip(
        found.cuts, found.D_up, found.D_down, found.L, found.W, strict=True
    ):
        assert_cut(graph, local, cut)
        assert (cut.uplink_bytes, cut.downlink_bytes) == (up, down)
        assert math.isclose(cut.local_time, elapsed, rel_tol=1e-12)
        rest = math.fsum(w for v, w in enumerate(work) if v not in cut.on_device)
        assert math.isclose(rest, behind, rel_tol=1e-12)


@settings(deadline=None, max_examples=80)
@given(instances(), st.data())
def test_its_frontiers_are_those_of_a_search(instance, data):
    found = hull(*instance, uplinks=WIDE, downlinks=WIDE)
    bandwidth = st.sampled_from([1e-3, 1.0, 1e3, 1e12]) | st.floats(*WIDE)
    for _ in range(4):
        link = Link(data.draw(bandwidth), data.draw(bandwidth), data.draw(st.floats(0.0, 10.0)))
        assert_same(found.frontier(link), frontier(*instance, link))


def assert_same(mine, searched):
    """Both frontiers are one function, and each piece of the first is strictly best somewhere."""
    bases = [piece.base_latency for piece in mine.pieces]
    works = [piece.server_work for piece in mine.pieces]
    assert works[-1] == 0.0
    slopes = [
        (b - a) / (v - w) for (a, b), (v, w) in zip(pairwise(bases), pairwise(works), strict=True)
    ]
    assert slopes == sorted(set(slopes))
    assert all(slope > 0.0 for slope in slopes)
    for x in [0.0, 1e-9, 1e9, *slopes, *(2.0 * slope for slope in slopes)]:
        least = min(piece.base_latency + x * piece.server_work for piece in searched.pieces)
        found = min(piece.base_latency + x * piece.server_work for piece in mine.pieces)
        assert math.isclose(found, least, rel_tol=1e-12)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_larger_graphs(seed, outputs):
    instance = random_instance(seed, 20 + 4 * seed, outputs)
    found = hull(*instance, uplinks=(0.1, 1e6), downlinks=(0.1, 1e6))
    assert found.complete
    rng = np.random.default_rng(seed)
    for _ in range(40):
        link = Link(*(10.0 ** rng.uniform(-1.0, 6.0, 2)), rtt=float(rng.choice([0.0, 0.5])))
        assert_same(found.frontier(link), frontier(*instance, link))


def test_larger_graphs_have_many_cuts_and_need_the_fourth_coordinate():
    # Guards the generator above.
    sizes = [
        len(hull(*random_instance(seed, 40, 3), uplinks=WIDE, downlinks=WIDE)) for seed in range(3)
    ]
    assert max(sizes) > 30
    graph, local, work = random_instance(0, 40, 3)
    slow, fast = (
        {c.on_device for c in hull(graph, local, work, uplinks=WIDE, downlinks=(b, b)).cuts}
        for b in (1.0, math.inf)
    )
    assert slow - fast


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("device", ["raspberry-pi-3b", "phone"])
def test_zoo_hulls_hold_every_cut(name, device):
    graph = load_model(topology(name))
    local, work = times_of(graph, DEVICES[device]), times_of(graph, DEVICES["edge-core"])
    found = hull(graph, local, work)
    assert found.complete
    assert 4 <= len(found) <= 26
    assert found.calls <= 3 * len(found) + 1
    rng = np.random.default_rng(len(local))
    for _ in range(25):
        link = Link(*(10.0 ** rng.uniform(3.0, 9.0, 2)), rtt=float(rng.choice([0.0, 0.01])))
        assert_same(found.frontier(link), frontier(graph, local, work, link))


def test_a_zoo_hull_against_networkx():
    graph = load_model(topology("squeezenet"))
    local, work = times_of(graph, DEVICES["phone"]), times_of(graph, DEVICES["edge-core"])
    found = hull(graph, local, work)
    for uplink in (2e5, 5e6, 1e8):
        link = Link(uplink, 1e7, 0.001)
        weights = [0.0, 0.5, 3.0, 40.0]
        pieces = found.frontier(link).pieces
        mine = [min(p.base_latency + x * p.server_work for p in pieces) for x in weights]
        assert mine == pytest.approx(least_latency(graph, local, work, link, weights), rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(instances(max_operators=6), st.integers(0, 5))
def test_pieces_are_the_frontier_unpruned(instance, clients):
    found = hull(*instance, uplinks=WIDE, downlinks=WIDE)
    rng = np.random.default_rng(clients)
    up, down = 10.0 ** rng.uniform(-3.0, 12.0, (2, clients))
    rtt = rng.uniform(0.0, 2.0, clients)
    base, work = found.pieces(up, down, rtt)
    assert base.shape == (len(found), clients)
    assert work.tolist() == found.W.tolist()
    for k, cut in enumerate(found.cuts):
        local_only = k == len(found) - 1
        for i in range(clients):
            passing = cut.uplink_bytes / up[i] + cut.downlink_bytes / down[i] + rtt[i]
            expected = cut.local_time + (0.0 if local_only else passing)
            assert math.isclose(base[k, i], expected, rel_tol=1e-12)


def test_one_number_stands_for_all_clients_and_results_are_the_callers():
    found = hull(*random_instance(1, 12, 2))
    base, work = found.pieces([1e4, 1e5, math.inf], 1e6, 0.01)
    assert base.shape == (len(found), 3)
    assert np.array_equal(base[:, :1], found.pieces(1e4, 1e6, 0.01)[0])
    work[:] = base[:] = 7.0
    assert found.W[-1] == 0.0
    for shared in (found.L, found.D_up, found.D_down, found.W, found.device, found.server):
        with pytest.raises(ValueError, match="read-only"):
            shared[0] = 7.0
    assert found.frontier(Link(1e4, 1e6)).pieces[-1].base_latency == found.L[-1]


def test_a_client_table_from_hulls_is_the_table_of_its_frontiers():
    instances_ = [random_instance(2, 15, 1), random_instance(3, 15, 2)]
    hulls = [hull(*instance, uplinks=WIDE, downlinks=WIDE) for instance in instances_]
    kind, up, down = [0, 1, 1, 0], [1.0, 20.0, 300.0, 1e9], [5.0, 5.0, 70.0, 1e9]
    table = ClientTable.from_hulls(hulls, kind, up, down, 0.2, 1.0)
    for i, k in enumerate(kind):
        searched = frontier(*instances_[k], Link(up[i], down[i], 0.2))
        for share in (0.01, 0.3, 1.0, 8.0, 100.0):
            assert math.isclose(
                table.client(i).frontier.latency(share), searched.latency(share), rel_tol=1e-12
            )


def test_stopped_early_it_says_so_and_hands_over_to_the_search():
    instance = random_instance(4, 30, 1)
    whole = hull(*instance, uplinks=WIDE)
    assert hull(*instance, uplinks=WIDE, most=len(whole)).complete
    for engine in ENGINES:
        part = hull(*instance, uplinks=WIDE, most=len(whole) - 1, engine=engine)
        assert not part.complete
        assert len(part) == len(whole) - 1
        link = Link(30.0, 1e5, 0.1)
        assert part.frontier(link) == frontier(*instance, link)
        with pytest.raises(InvalidInput, match="not complete after"):
            part.pieces(30.0, 1e5, 0.1)
        with pytest.raises(InvalidInput, match="outside"):
            part.frontier(Link(1e-9, 1e5))
    [only] = hull(*instance, most=1).cuts
    assert len(only.on_device) == 30


@pytest.mark.parametrize(
    ("outputs", "same"), [((3,), True), ((2,), False), ((0,), True), ((1, 3), False)]
)
def test_when_all_cuts_return_the_same(outputs, same):
    # A diamond without its bottom: o0 -> o1, o0 -> o2 -> nothing, so no operator is last for
    # all; with the join o3 there is one.
    sizes = [4, 4, 4, 4]
    tensors = tuple(Tensor(f"t{t}", (), "float32", size) for t, size in enumerate(sizes))
    steps = tuple(Operator(f"o{v}", "T", (v,), (v + 1,)) for v in range(3))
    assert network(ModelGraph(steps, tensors, (0,), outputs)).same_outputs is same


def test_the_last_operator_is_not_always_behind_all_others():
    tensors = tuple(Tensor(f"t{t}", (), "float32", 4) for t in range(3))
    steps = (Operator("o0", "T", (0,), (1,)), Operator("o1", "T", (0,), (2,)))
    assert not network(ModelGraph(steps, tensors, (0,), (2,))).same_outputs


def test_without_operators_or_without_device_time_local_only_is_all_there_is():
    empty = ModelGraph((), (Tensor("a", (), "float32", 4),), (0,), (0,))
    found = hull(empty, [], [])
    assert (len(found), found.complete) == (1, True)
    assert found.frontier(Link(1e6, 1e6, 0.1)).latency(1.0) == 0.0
    graph, local, work = random_instance(5, 9, 2)
    found = hull(graph, 0.0 * local, work)
    assert found.frontier(Link(1e6, 1e6)).latency(1.0) == 0.0


@pytest.mark.parametrize("scale", [1e-90, 1e-30, 1e30, 1e90])
def test_any_unit_of_time_gives_the_same_cuts(scale):
    graph, local, work = random_instance(6, 24, 2)
    same = hull(graph, local, work, uplinks=(0.1, 1e4), downlinks=(0.1, 1e4))
    box = 0.1 / scale, 1e4 / scale
    found = hull(graph, local * scale, work * scale, uplinks=box, downlinks=box)
    assert [cut.on_device for cut in found.cuts] == [cut.on_device for cut in same.cuts]


def test_a_link_without_choice_leaves_its_frontier():
    instance = random_instance(11, 24, 2)
    for up, down in ((100.0, 30.0), (math.inf, math.inf)):
        found = hull(*instance, uplinks=(up, up), downlinks=(down, down))
        pieces = frontier(*instance, Link(up, down)).pieces
        assert {p.cut.on_device for p in pieces} == {cut.on_device for cut in found.cuts}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"uplinks": (0.0, 1.0)}, "uplinks"),
        ({"uplinks": (2.0, 1.0)}, "uplinks"),
        ({"downlinks": (math.nan, 1.0)}, "downlinks"),
        ({"downlinks": (1.0, math.nan)}, "downlinks"),
        ({"most": 0}, "most is 0"),
        ({"most": math.nan}, "most is nan"),
        ({"uplinks": (1.0,)}, "uplinks: "),
        ({"engine": "fortran"}, "engine"),
    ],
)
def test_what_makes_no_sense_is_refused(options, words):
    with pytest.raises(InvalidInput, match=words):
        hull(*random_instance(7, 5, 1), **options)


@pytest.mark.parametrize("uplink", [[1e4, 1e5], [[1e4, 1e5, 1e6]], "fast"])
def test_links_are_one_number_per_client(uplink):
    with pytest.raises(InvalidInput, match="uplink, downlink, rtt: need n numbers each"):
        hull(*random_instance(7, 5, 1)).pieces(uplink, [1e4, 1e5, 1e6], 0.0)


def test_server_times_too_far_apart_are_refused():
    graph, local, work = random_instance(8, 5, 1)
    work[0] = 1e-120
    with pytest.raises(InvalidInput, match="ratio"):
        hull(graph, local, work)


@pytest.mark.parametrize(
    ("link", "words"),
    [(Link(1.0, 1e6), r"link\.uplink is 1\.0"), (Link(1e6, 1e9), r"link\.downlink is 1000000000")],
)
def test_a_link_outside_the_box_is_refused(link, words):
    found = hull(*random_instance(9, 5, 1), downlinks=(1e3, 1e8))
    with pytest.raises(InvalidInput, match=words):
        found.frontier(link)
    with pytest.raises(InvalidInput, match=words):
        found.pieces([1e6, link.uplink], [1e6, link.downlink], 0.0)


@pytest.mark.parametrize("rtt", [-1.0, math.nan, math.inf])
def test_a_round_trip_must_be_a_time(rtt):
    with pytest.raises(InvalidInput, match="rtt"):
        hull(*random_instance(10, 5, 1)).pieces(1e6, 1e6, [0.0, rtt])


def test_the_example_in_the_documentation_is_true():
    done = doctest.testmod(importlib.import_module("dds.cut.hull"))
    assert done.attempted > 0
    assert done.failed == 0
