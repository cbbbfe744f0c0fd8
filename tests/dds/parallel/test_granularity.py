"""Granularity: runs cover the graph, slice no worse than their operators, and pay."""

import math

import numpy as np
import pytest

from dds import refine
from dds.costs import Device
from dds.errors import InvalidInput
from dds.model import load_model, zoo
from dds.model.graph import ModelGraph, Operator, Reach, Tensor
from dds.parallel.granularity import Granularity
from dds.parallel.tiles import bounds, run_outputs, sliceable, tile_shares
from dds.parallel.workers import Worker

BOARD = Worker(Device("board", 8e9, 4e9, 0.0), overhead=2e-5, thin=0.5)


@pytest.mark.parametrize("name", zoo.NAMES)
def test_runs_and_blocks_of_the_zoo_cover_it_in_order(name: str) -> None:
    graph = load_model(zoo.topology(name))
    found = refine(graph, BOARD)
    every = list(range(len(graph.operators)))
    assert [v for run in found.runs for v in run.operators] == every
    assert [v for block in found.blocks for v in block] == every
    for run in found.runs:
        assert set(run.operators) <= set(found.blocks[run.block])


@pytest.mark.parametrize("name", ["inception_v1", "resnet50", "densenet121", "shufflenet"])
def test_a_run_hands_on_one_tensor_and_its_slices_do_nothing_twice(name: str) -> None:
    graph = load_model(zoo.topology(name))
    longest = 0
    for run in refine(graph, BOARD).runs:
        if len(run.operators) == 1:
            continue
        longest = max(longest, len(run.operators))
        assert len(run_outputs(graph, run.operators)) == 1
        for kind in ("rows", "channels"):
            first = range(run.operators.start, run.operators.start + 1)
            assert sliceable(graph, run.operators, kind) == sliceable(graph, first, kind)
        if run.rows > 1:
            size = graph.tensors[run_outputs(graph, run.operators)[0]].shape[2]
            ends = bounds(size, [1.0, 2.0])
            shares = [tile_shares(graph, run.operators, "rows", *ends[k : k + 2]) for k in (0, 1)]
            for v in run.operators:
                assert shares[0][v] + shares[1][v] <= 1.0 + 1e-12
    assert longest > 1


def convolution(rows: int, channels: int) -> ModelGraph:
    shape = (1, channels, rows, rows)
    reach = ((), (Reach(-1),), (Reach(2, extent=3, before=1),))
    steps = (Operator("conv", "Conv", (0,), (1,), macs=1, reach=reach),)
    tensors = tuple(Tensor(name, shape, "float32", 4 * math.prod(shape)) for name in "xy")
    return ModelGraph(steps, tensors, inputs=(0,), outputs=(1,))


def test_slices_pay_while_they_save_more_latency_than_they_add_work() -> None:
    """Against the definition, part by part."""
    rng = np.random.default_rng(3)
    for _ in range(300):
        rows, packs = int(rng.integers(1, 40)), int(rng.integers(1, 40))
        seconds, overhead, thin = (float(10.0 ** rng.uniform(-3, 1)) for _ in range(3))
        if rng.random() < 0.2:
            overhead = 0.0
        worker = Worker([seconds], overhead, thin)
        (run,) = refine(convolution(rows, 16 * packs), worker).runs
        for number, most in ((run.rows, rows), (run.channels, packs)):
            added = overhead + thin * seconds / most
            pays = [
                parts
                for parts in range(2, most + 1)
                if seconds / (parts - 1) - seconds / parts >= added * (1 - 1e-12)
            ]
            assert number == max(pays, default=1)


def test_what_takes_no_time_is_not_sliced() -> None:
    (run,) = refine(convolution(8, 16), Worker([0.0], 0.0, 0.0)).runs
    assert (run.rows, run.channels) == (1, 1)


def test_cells_that_read_the_cell_before_the_last_have_blocks_inside() -> None:
    """As in NASNet, where articulations, operators that everything passes through, are rare."""
    shape = (1, 16, 8, 8)
    same = ((), (Reach(1),) * 2, (Reach(2),) * 2)
    steps = [Operator("first", "Conv", (0,), (1,), macs=1)]
    steps += [
        Operator(f"cell{i}", "Conv", (i, i + 1), (i + 2,), macs=1, reach=same) for i in range(50)
    ]
    tensors = tuple(Tensor(f"t{i}", shape, "float32", 4096) for i in range(52))
    graph = ModelGraph(tuple(steps), tensors, inputs=(0,), outputs=(51,))
    found = refine(graph, Worker([1.0] * 51))
    assert len(found.blocks) == len(found.runs) == 51


def test_what_is_no_worker_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^cost is of type Device; make a worker of it"):
        refine(convolution(8, 16), Device("board", 8e9, 4e9, 0.0))
    with pytest.raises(InvalidInput, match=r"^graph is of type str; load one"):
        refine("m.onnx", Worker([]))


def test_times_of_another_graph_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2"):
        refine(convolution(8, 16), Worker([1.0, 1.0]))
    empty = ModelGraph((), (), (), ())
    assert refine(empty, Worker([])) == Granularity((), ())
