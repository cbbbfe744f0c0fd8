import doctest
import importlib
import math

import numpy as np
import pytest
import scipy.sparse.csgraph
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dds.compiled import numba_installed
from dds.costs import DEVICES, Device, Link, roofline
from dds.cut import frontier, make_cut, min_cut, score
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.model.importer import load_model
from dds.model.zoo import NAMES, topology
from dds.testing import (
    assert_cut,
    assert_frontier,
    chains,
    graphs,
    least_latency,
    links,
    operator_times,
)

ENGINES = ["python", "numba"] if numba_installed() else ["python"]


@st.composite
def instances(draw, drawn=None):
    graph = draw(graphs(max_operators=9) if drawn is None else drawn)
    return (
        graph,
        draw(operator_times(graph)),
        draw(operator_times(graph, positive=True)),
        draw(links()),
    )


def random_instance(seed, operators):
    """A seeded graph larger than Hypothesis draws well, with costs that contend."""
    rng = np.random.default_rng(seed)
    sizes, steps, used = [int(rng.integers(1, 100))], [], set()
    for v in range(operators):
        reads = {int(t) for t in rng.integers(max(0, len(sizes) - 5), len(sizes), 2)}
        reads |= {int(rng.integers(len(sizes)))} if rng.random() < 0.1 else set()
        used |= reads
        steps.append(Operator(f"o{v}", "T", tuple(sorted(reads)), (len(sizes),)))
        sizes.append(int(rng.integers(0, 100)))
    tensors = tuple(Tensor(f"t{t}", (1,), "float32", size) for t, size in enumerate(sizes))
    ends = tuple(t for t in range(len(sizes)) if t not in used)
    graph = ModelGraph(tuple(steps), tensors, (0,), ends)
    local, work = rng.gamma(0.5, 2.0, operators), rng.gamma(0.7, 1.0, operators) + 1e-9
    return graph, local, work, Link(10 ** rng.uniform(0.5, 2.5), 1000.0, rng.choice([0.0, 0.5]))


@pytest.mark.parametrize("engine", ENGINES)
def test_frontier_is_exact_on_any_graph(engine):
    @settings(deadline=None, max_examples=90)
    @given(instances())
    def check(instance):
        assert_frontier(*instance, frontier(*instance, engine=engine))

    check()


@pytest.mark.parametrize("seed", range(12))
def test_frontier_is_exact_on_larger_graphs(seed):
    instance = random_instance(seed, 20 + 3 * seed)
    found = frontier(*instance)
    assert_frontier(*instance, found)


def test_frontier_is_exact_on_many_contended_graphs():
    for seed in range(100, 400):
        instance = random_instance(seed, 5 + seed % 7)
        assert_frontier(*instance, frontier(*instance))


def test_larger_graphs_have_many_pieces_inside_blocks():
    # Guards the generator above: it must reach cuts that no topological prefix is.
    counts, inner = [], 0
    for seed in range(12):
        pieces = frontier(*random_instance(seed, 20 + 3 * seed)).pieces
        counts.append(len(pieces))
        inner += sum(p.cut.on_device != tuple(range(len(p.cut.on_device))) for p in pieces)
    assert max(counts) >= 6
    assert inner >= 12


@settings(deadline=None, max_examples=60)
@given(instances())
def test_engines_agree(instance):
    assert len({repr(frontier(*instance, engine=engine)) for engine in ENGINES}) == 1


@settings(deadline=None, max_examples=60)
@given(instances(), st.sampled_from([1e-6, 0.1, 1.0, 7.0, 1e6, math.inf]))
def test_min_cut_is_the_frontier_at_that_share(instance, share):
    piece = min_cut(*instance, share)
    assert_cut(*instance[:2], piece.cut)
    assert math.isclose(piece.latency(share), frontier(*instance).latency(share), rel_tol=1e-9)
    [least] = least_latency(*instance, [1.0 / share])
    assert math.isclose(piece.latency(share), least, rel_tol=1e-9)


@settings(deadline=None, max_examples=60)
@given(instances())
def test_pieces_are_the_scores_of_their_cuts(instance):
    graph, local, work, link = instance
    for piece in frontier(*instance).pieces:
        again = score(make_cut(graph, piece.cut.on_device, local), work, link)
        assert again.cut.uploads == piece.cut.uploads
        assert again.cut.downloads == piece.cut.downloads
        assert again.base_latency == pytest.approx(piece.base_latency, rel=1e-12)
        assert again.server_work == pytest.approx(piece.server_work, rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(instances(chains()), st.sampled_from([0.01, 1.0, 100.0]))
def test_chain_equals_the_best_prefix(instance, share):
    graph, local, work, link = instance
    n = len(local)
    best = math.fsum(local)
    for p in range(n):
        best = min(
            best,
            math.fsum(local[:p]) + graph.tensors[p].bytes / link.uplink
            + graph.tensors[n].bytes / link.downlink + link.rtt + math.fsum(work[p:]) / share,
        )  # fmt: skip
    assert math.isclose(frontier(*instance).latency(share), best, rel_tol=1e-9)


@settings(deadline=None, max_examples=40)
@given(instances())
def test_no_bandwidth_means_local_only(instance):
    graph, local, work, _ = instance
    assume(all(tensor.bytes > 0 for tensor in graph.tensors))
    assume(all(operator.inputs for operator in graph.operators))
    [piece] = frontier(graph, local, work, Link(1e-300, 1e-300)).pieces
    assert piece.cut.on_device == tuple(range(len(local)))


@settings(deadline=None, max_examples=40)
@given(instances())
def test_a_perfect_link_offloads_all_that_costs_anything(instance):
    graph, local, work, _ = instance
    found = frontier(graph, local, work, Link(math.inf, math.inf))
    assert found.pieces[0].base_latency == 0.0
    if len(local) and min(local) > 0.0:
        assert found.pieces[0].cut.on_device == ()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("uplink", [1.1e6 / 8, 18.88e6 / 8, 1e9 / 8])
def test_zoo_frontiers_are_exact_and_engines_agree(name, uplink):
    graph = load_model(topology(name))
    local = roofline(graph, DEVICES["raspberry-pi-3b"])
    work = roofline(graph, DEVICES["edge-core"])
    link = Link(uplink, 2 * uplink, 0.001)
    found = frontier(graph, local, work, link, engine="python")
    assert all(found == frontier(graph, local, work, link, engine=engine) for engine in ENGINES)
    breakpoints = [
        (b.base_latency - a.base_latency) / (a.server_work - b.server_work)
        for a, b in zip(found.pieces, found.pieces[1:], strict=False)
    ]
    weights = [0.0, *breakpoints]
    values = [min(p.base_latency + x * p.server_work for p in found.pieces) for x in weights]
    assert values == pytest.approx(scipy_latency(graph, local, work, link, weights), rel=1e-5)
    for piece in found.pieces:
        assert_cut(graph, local, piece.cut)


def scipy_latency(graph, local, work, link, weights):
    """The least latency by scipy's maximum flow; its 32-bit capacities cost accuracy."""
    n, total = len(local), float(local.sum())
    scale = 2**30 / total
    arcs = {}
    infinite = 2**31 - 1

    def add(tail, head, seconds):
        assert (tail, head) not in arcs
        arcs[tail, head] = infinite if seconds == math.inf else min(seconds, total) * scale

    values = []
    for x in weights:
        arcs.clear()
        for v, operator in enumerate(graph.operators):
            back = sum(graph.tensors[t].bytes for t in operator.outputs if t in graph.outputs)
            add(n, v, x * work[v] + back / link.downlink)
            add(v, n + 1, local[v])
            for p in graph.predecessors[v]:
                add(v, p, math.inf)
        for t, consumers in enumerate(graph.consumers):
            if consumers:
                made = graph.producer[t]
                add(made if made >= 0 else n, n + 2 + t, graph.tensors[t].bytes / link.uplink)
                for v in consumers:
                    add(n + 2 + t, v, math.inf)
        size = n + 2 + len(graph.tensors)
        tails, heads = zip(*arcs, strict=True)
        capacities = np.array([round(c) for c in arcs.values()], np.int32)
        matrix = scipy.sparse.csr_matrix((capacities, (tails, heads)), (size, size))
        flow = scipy.sparse.csgraph.maximum_flow(matrix, n, n + 1).flow_value
        values.append(min(flow / scale + link.rtt, total))
    return values


def graph_of(steps, sizes, inputs, outputs):
    tensors = tuple(Tensor(f"t{t}", (1,), "float32", size) for t, size in enumerate(sizes))
    operators = tuple(Operator(f"o{v}", "T", i, o) for v, (i, o) in enumerate(steps))
    return ModelGraph(operators, tensors, inputs, outputs)


def test_no_flow_back_from_the_server():
    # Zig-zag: the middle is dear on the device, both ends are dear on the server. Without
    # the reverse arcs the cheapest "cut" is device, server, device.
    graph = graph_of([((0,), (1,)), ((1,), (2,)), ((2,), (3,))], [9, 1, 1, 9], (0,), (3,))
    local, work = np.array([1.0, 100.0, 1.0]), np.array([100.0, 1.0, 100.0])
    piece = min_cut(graph, local, work, Link(1.0, 1.0), 1.0)
    assert piece.cut.on_device in ((), (0,), (0, 1), (0, 1, 2))
    assert piece.latency(1.0) == min(9 + 201 + 9, 1 + 1 + 101 + 9, 102.0)


def test_a_tensor_is_paid_once_however_many_read_it():
    # One tensor of 10 bytes read by three branches: 10 bytes cross, not 30.
    graph = graph_of(
        [((0,), (1,)), ((1,), (2,)), ((1,), (3,)), ((1,), (4,)), ((2, 3, 4), (5,))],
        [100, 10, 1, 1, 1, 0], (0,), (5,),
    )  # fmt: skip
    local, work = np.array([1.0, 9.0, 9.0, 9.0, 9.0]), np.full(5, 0.5)
    piece = min_cut(graph, local, work, Link(1.0, 1.0), 1.0)
    assert piece.cut.on_device == (0,)
    assert piece.cut.uploads == (1,)
    assert piece.cut.uplink_bytes == 10
    assert piece.base_latency == 11.0


def test_a_model_input_read_by_several_is_uploaded_once():
    graph = graph_of([((0,), (1,)), ((0,), (2,)), ((1, 2), (3,))], [7, 1, 1, 5], (0,), (3,))
    piece = min_cut(graph, np.full(3, 50.0), np.full(3, 1.0), Link(1.0, 1.0), 1.0)
    assert (piece.cut.uploads, piece.cut.downloads) == ((0,), (3,))
    assert piece.base_latency == 12.0


def test_tensors_are_told_apart_by_identity_not_by_shape():
    # Two tensors alike in everything but their index both cross.
    graph = graph_of([((0,), (1, 2)), ((1,), (3,)), ((2,), (4,))], [99, 4, 4, 0, 0], (0,), (3, 4))
    piece = min_cut(graph, np.array([1.0, 30.0, 30.0]), np.full(3, 1.0), Link(1.0, 1.0), 1.0)
    assert piece.cut.uploads == (1, 2)
    assert piece.cut.uplink_bytes == 8


def test_an_output_that_the_device_computes_costs_nothing_even_if_the_server_reads_it():
    graph = graph_of([((0,), (1,)), ((1,), (2,))], [50, 3, 1], (0,), (1, 2))
    piece = min_cut(graph, np.array([1.0, 99.0]), np.array([1.0, 1.0]), Link(1.0, 1.0), 1.0)
    assert piece.cut.on_device == (0,)
    assert (piece.cut.uploads, piece.cut.downloads) == ((1,), (2,))
    assert piece.cut.crossing_bytes == 4


def test_a_prefix_that_is_nowhere_best_leaves_the_chain():
    # Found by random search: the prefix before operator 5 starts out on the hull of
    # prefixes, but operators 0..5 and 0..6 together show that it never is best.
    graph = graph_of(
        [((1,), (2,)), ((0, 2), (3,)), ((1, 2, 3), (4,)), ((3, 4), (5,)), ((1, 2, 5), (6, 7)),
         ((5, 6, 7), (8,)), ((7,), (9,)), ((9,), (10,)), ((6, 7), (11,)), ((9, 11), (12,)),
         ((9,), (13,))],
        [35, 29, 0, 71, 90, 43, 0, 0, 68, 6, 14, 14, 71, 0], (0, 1), (5, 8, 10, 12, 13),
    )  # fmt: skip
    local = [0.314, 0.258, 0.799, 0.31, 0.649, 0.027, 0.127, 0.503, 1.157, 0.556, 0.514]
    work = [3.301, 1.531, 0.284, 0.564, 0.343, 0.276, 0.768, 0.58, 0.294, 0.052, 0.191]
    link = Link(35.676, math.inf)
    found = frontier(graph, local, work, link)
    assert_frontier(graph, local, work, link, found)
    assert tuple(range(6)) in [piece.cut.on_device for piece in found.pieces]
    assert tuple(range(5)) not in [piece.cut.on_device for piece in found.pieces]


def test_the_example_in_the_documentation_is_true():
    done = doctest.testmod(importlib.import_module("dds.cut.solver"))
    assert done.attempted > 0
    assert done.failed == 0


def test_round_trip_is_paid_by_every_piece_but_local_only():
    graph = graph_of([((0,), (1,))], [1, 1], (0,), (1,))
    offload, local_only = frontier(graph, [10.0], [1.0], Link(1.0, 1.0, rtt=3.0)).pieces
    assert offload.base_latency == 5.0
    assert local_only.base_latency == 10.0
    assert len(frontier(graph, [10.0], [1.0], Link(1.0, 1.0, rtt=8.0)).pieces) == 1


def test_a_model_without_operators_is_local_only():
    graph = graph_of([], [5], (0,), (0,))
    [piece] = frontier(graph, [], [], Link(1.0, 1.0, 1.0)).pieces
    assert (piece.base_latency, piece.server_work) == (0.0, 0.0)
    assert min_cut(graph, [], [], Link(1.0, 1.0, 1.0), 1.0) == piece


def test_disconnected_parts_are_cut_on_their_own():
    graph = graph_of([((0,), (2,)), ((1,), (3,))], [1, 100, 0, 0], (0, 1), (2, 3))
    piece = min_cut(graph, np.array([50.0, 50.0]), np.array([1.0, 1.0]), Link(1.0, 1.0), 1.0)
    assert piece.cut.on_device == (1,)


@pytest.mark.parametrize("scale", [1e-140, 1e-30, 1e30, 1e140])
def test_any_unit_of_time_gives_the_same_cuts(scale):
    graph, local, work, link = random_instance(3, 24)
    scaled = Link(link.uplink / scale, link.downlink / scale, link.rtt * scale)
    found = frontier(graph, local * scale, work * scale, scaled).pieces
    same = frontier(graph, local, work, link).pieces
    assert [p.cut.on_device for p in found] == [p.cut.on_device for p in same]


@pytest.mark.parametrize(
    ("local", "work", "words"),
    [
        ([1.0], [1.0, 1.0], "shape (1,)"),
        ([1.0, math.nan], [1.0, 1.0], "'o1' takes nan"),
        ([1.0, -1.0], [1.0, 1.0], "'o1' takes -1.0"),
        ([1.0, math.inf], [1.0, 1.0], "'o1' takes inf"),
        ([1.0, 1.0], [0.0, 1.0], "'o0' takes 0.0"),
        ([1.0, 1e200], [1.0, 1.0], "'o1' takes 1e+200"),
        (["a", "b"], [1.0, 1.0], "number of seconds"),
    ],
)
@pytest.mark.parametrize("given", [list, np.array])
@pytest.mark.parametrize("engine", ENGINES)
def test_bad_times_are_refused_in_one_line(engine, given, local, work, words):
    graph = graph_of([((0,), (1,)), ((1,), (2,))], [1, 1, 1], (0,), (2,))
    with pytest.raises(InvalidInput) as caught:
        frontier(graph, given(local), given(work), Link(1.0, 1.0), engine=engine)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_times_come_in_any_form(engine):
    graph, local, work, link = random_instance(5, 20)
    found = frontier(graph, local, work, link, engine=engine)
    frozen = local.copy()
    frozen.flags.writeable = False
    for times in (local.tolist(), frozen, np.repeat(local, 2)[::2], local.astype(">f8")):
        assert frontier(graph, times, work, link, engine=engine) == found


@pytest.mark.parametrize("engine", ENGINES)
def test_devices_stand_for_their_rooflines(engine):
    graph = load_model(topology("squeezenet"))
    phone, core, link = DEVICES["phone"], DEVICES["edge-core"], Link(2e6, 4e6, 0.01)
    found = frontier(graph, phone, core, link, engine=engine)
    assert found == frontier(
        graph, roofline(graph, phone), roofline(graph, core), link, engine=engine
    )
    idle = graph_of([((0,), (1,))], [0, 0], (0,), (1,))
    free = Device("free", 1e9, 1e9, 0.0)
    with pytest.raises(InvalidInput, match=r"'o0' takes 0\.0"):
        frontier(idle, phone, free, link, engine=engine)


@pytest.mark.parametrize("share", [0.0, -1.0, math.nan])
def test_a_share_must_be_positive(share):
    graph = graph_of([((0,), (1,))], [1, 1], (0,), (1,))
    with pytest.raises(InvalidInput, match="share"):
        min_cut(graph, [1.0], [1.0], Link(1.0, 1.0), share)


def test_too_many_bytes_are_refused():
    graph = graph_of([((0,), (1,))], [2**53, 1], (0,), (1,))
    with pytest.raises(InvalidInput, match="2\\*\\*53"):
        frontier(graph, [1.0], [1.0], Link(1.0, 1.0))


def test_unknown_engine_is_refused():
    graph = graph_of([((0,), (1,))], [1, 1], (0,), (1,))
    with pytest.raises(InvalidInput, match="engine"):
        frontier(graph, [1.0], [1.0], Link(1.0, 1.0), engine="fortran")
