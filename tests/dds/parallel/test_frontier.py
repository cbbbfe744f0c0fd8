"""Frontiers of clients with helpers: plans are valid, T' is between its bound and the device's."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parallel import drawn

from dds import Client, Flat, Link, competitive, schedule
from dds.costs.roofline import operator_times
from dds.cut.network import make_cut, score
from dds.cut.solver import frontier
from dds.errors import InvalidInput
from dds.model import zoo
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.model.importer import load_model
from dds.model.subgraph import device_part
from dds.parallel import Tile, blocks, sliceable
from dds.parallel.checker import violations
from dds.parallel.frontier import ParallelFrontier, parallel_frontier
from dds.parallel.rewrite import Source
from dds.parallel.workers import Worker, WorkerLinks, seconds_of
from dds.testing import chains, closed_sets, graphs, links
from dds.testing import operator_times as drawn_times

SHARES = (1e-9, 1e-6, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 1e3, 1e9)

Question = tuple[ModelGraph, list[Worker], WorkerLinks, np.ndarray, Link]


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """A graph, its workers, their links, server times and the link to the server."""
    graph = draw(graphs(max_operators=6) | chains(max_operators=6))
    device = draw(drawn_times(graph))
    speeds = draw(st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), max_size=2))
    workers = [Worker(device / speed) for speed in (1.0, *speeds)]
    rate = draw(st.sampled_from([1e3, 1e6, math.inf]))
    between = WorkerLinks(rate, draw(st.sampled_from([0.0, 0.1])), draw(st.booleans()))
    return graph, workers, between, draw(drawn_times(graph, positive=True)), draw(links())


def sliced_questions(count: int) -> list[Question]:
    """The same with operators that can be sliced."""
    rng = np.random.default_rng(11)
    found = []
    for _ in range(count):
        operators = int(rng.integers(2, 10))
        graph, workers, between = drawn(rng, operators, int(rng.integers(2, 4)), slices=True)
        rate = float(rng.choice([10.0, 100.0, 1e4]))
        server = rng.uniform(0.01, 1.0, operators)
        found.append((graph, workers, between, server, Link(rate, rate, 0.1)))
    return found


def team(graph: ModelGraph, workers: list[Worker], kept: tuple[int, ...]) -> list[Worker]:
    """The workers, for the operators kept."""
    seconds = seconds_of(graph, workers)[list(kept)]
    return [Worker(seconds[:, k], w.overhead, w.thin) for k, w in enumerate(workers)]


def check(question: Question, found: ParallelFrontier) -> None:
    """What holds of any answer."""
    graph, workers, between, server, link = question
    pieces, plans = found.frontier.pieces, found.plans
    for piece, plan in zip(pieces, plans, strict=True):
        kept = plan.cut.on_device
        assert piece.cut == plan.cut
        assert plan.part == device_part(graph, plan.cut)
        assert violations(plan.part, team(graph, workers, kept), between, plan.schedule) == ()
        least = plan.schedule.latency
        if len(kept) < len(graph.operators):
            least += link.transfer_time(plan.cut.uplink_bytes, plan.cut.downlink_bytes)
        assert piece.base_latency == pytest.approx(least, rel=1e-12)
        elsewhere = np.delete(server, list(kept))
        assert piece.server_work == pytest.approx(elsewhere.sum(), rel=1e-12)
    assert pieces[-1].server_work == 0.0
    assert [p.base_latency for p in pieces] == sorted(p.base_latency for p in pieces)
    assert found.alone == frontier(graph, operator_times(graph, workers[0].timing), server, link)
    for share in SHARES:
        reached, alone = found.frontier.latency(share), found.alone.latency(share)
        assert reached <= alone * (1 + 1e-9)
        assert found.bound.latency(share) <= reached * (1 + 1e-9)
        assert reached <= (1 + found.gap) * found.bound.latency(share) * (1 + 1e-9)


@given(questions())
@settings(max_examples=60)
def test_plans_are_valid_and_latency_is_between_the_bound_and_the_devices_alone(question) -> None:
    check(question, parallel_frontier(*question, tries=20))


@given(questions())
@settings(max_examples=40)
def test_no_cut_whatsoever_is_below_the_bound_and_no_cut_considered_below_the_frontier(
    question,
) -> None:
    graph, workers, between, server, link = question
    found = parallel_frontier(*question, tries=20)
    assert found.complete
    considered = {tuple(range(block.stop)) for block in blocks(graph)}
    considered |= {piece.cut.on_device for piece in found.alone.pieces}
    for kept in map(tuple, map(sorted, closed_sets(graph))):
        cut = make_cut(graph, kept, operator_times(graph, workers[0].timing))
        part = device_part(graph, cut)
        reached = schedule(part, team(graph, workers, kept), between, tries=20)
        more = score(cut, server, link).base_latency - cut.local_time
        for share in SHARES:
            work = np.delete(server, kept).sum()
            latency = reached.latency + more + (work / share if len(kept) < len(server) else 0.0)
            assert found.bound.latency(share) <= latency * (1 + 1e-9)
            if kept in considered:
                assert found.frontier.latency(share) <= latency * (1 + 2e-9)


def test_slices_are_used_and_counted() -> None:
    sliced = 0
    for question in sliced_questions(40):
        found = parallel_frontier(*question, tries=20)
        check(question, found)
        sliced += any(plan.schedule.sliced for plan in found.plans)
    assert sliced >= 5


@given(questions())
@settings(max_examples=30)
def test_without_helpers_it_is_the_frontier_and_the_bound_at_once(question) -> None:
    graph, workers, between, server, link = question
    found = parallel_frontier(graph, workers[:1], between, server, link)
    assert found.gap < 1e-9
    for share in SHARES:
        assert found.frontier.latency(share) == pytest.approx(found.alone.latency(share), rel=1e-9)


def test_fewer_cuts_are_scheduled_if_asked_and_the_frontier_is_no_worse_than_alone() -> None:
    few = 0
    for question in sliced_questions(10):
        every = parallel_frontier(*question, tries=20)
        none = parallel_frontier(*question, tries=20, most=0)
        check(question, none)
        assert none.scheduled <= len(none.alone.pieces)
        few += not none.complete
        for share in SHARES:
            assert every.frontier.latency(share) <= none.frontier.latency(share) * (1 + 1e-9)
    assert few > 0


def test_the_tiles_of_a_plan_can_be_written_from_the_whole_models_bytes() -> None:
    model = zoo.build("squeezenet")
    graph = load_model(model)
    whole, cut = Source.read(model, graph), make_cut(graph, range(20), np.zeros(66))
    source = Source.read(model, device_part(graph, cut))
    for v in range(0, 20, 5):
        tile = Tile(range(v, v + 1), "rows", 0, 7)
        if sliceable(graph, tile.operators, "rows"):
            assert source.tile(tile) == whole.tile(tile)


def test_a_helper_lets_a_client_buy_less_and_wait_less_at_the_same_price() -> None:
    """The chain f - g: f must stay, its answer is small; g is worth buying cores for, or help."""
    sizes = (1000, 10, 10, 1)
    tensors = tuple(Tensor(n, (), "float32", b) for n, b in zip("abcd", sizes, strict=True))
    steps = tuple(Operator(f"f{k}", "F", (k,), (k + 1,)) for k in range(3))
    graph = ModelGraph(steps, tensors, inputs=(0,), outputs=(3,))
    device, server, link = np.array([1.0, 2.0, 4.0]), [0.5, 0.3, 0.8], Link(100.0, 100.0)
    workers = [Worker(device), Worker(device / 4.0)]
    helped = parallel_frontier(graph, workers, WorkerLinks(1e6), server, link)
    alone, with_helper = (
        competitive([Client(each, value_of_time=1.0)], Flat(0.5, capacity=10.0))
        for each in (helped.alone, helped.frontier)
    )
    assert with_helper.shares[0] < alone.shares[0]
    assert with_helper.latencies[0] < alone.latencies[0]


@pytest.mark.parametrize(
    ("change", "says"),
    [({"most": -1}, "most is -1"), ({"tries": -1}, "tries is -1"), ({"workers": []}, "workers")],
)
def test_what_makes_no_sense_is_refused(change, says) -> None:
    graph = ModelGraph((), (), (), ())
    asked = {"graph": graph, "workers": [Worker([])], "links": WorkerLinks(1.0), "server": [],
             "link": Link(1.0, 1.0)} | change  # fmt: skip
    with pytest.raises(InvalidInput, match=says):
        parallel_frontier(**asked)
