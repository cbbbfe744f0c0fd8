"""Tiles: their intervals against what numpy's windows see, their layouts, their refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dds.errors import InvalidInput
from dds.model import ModelGraph, Operator, Tensor, load_model, zoo
from dds.model.graph import Reach
from dds.parallel import tiles
from dds.parallel.tiles import WHOLE, Region, Tile, TileWork


@st.composite
def windows(draw) -> tuple[Reach, int, int]:
    """A window, the size of its input and of its output."""
    stride, taps, dilation = (draw(st.integers(1, 3)) for _ in range(3))
    width = (taps - 1) * dilation + 1
    before = draw(st.integers(0, width - 1))
    size = draw(st.integers(1, 12))
    after = draw(st.integers(max(0, width + stride - size - before), width + 8))
    made = (size + before + after - width) // stride + 1
    made = min(made, (size - 1 + before) // stride + 1)
    return Reach(2, step=stride, extent=width, before=before), size, made


@given(windows(), st.data())
def test_the_span_of_a_window_is_what_its_outputs_see(window, data) -> None:
    reach, _, made = window
    low = data.draw(st.integers(0, made - 1))
    high = data.draw(st.integers(low + 1, made))
    seen = [
        h * reach.step - reach.before + k for h in range(low, high) for k in range(reach.extent)
    ]
    assert reach.span(low, high) == (min(seen), max(seen) + 1)


@pytest.mark.parametrize("name", zoo.NAMES)
def test_tiles_of_a_layout_hold_every_block_of_the_zoo(name) -> None:
    """Parts cover the extent, what they read covers what the whole reads, shares add up."""
    graph = load_model(zoo.topology(name))
    blocks = tiles.blocks(graph)
    assert [v for block in blocks for v in block] == list(range(len(graph.operators)))
    sliced = 0
    for block in blocks:
        for kind in ("rows", "channels"):
            if not tiles.sliceable(graph, block, kind):
                assert "\n" not in tiles.why_not(graph, block, kind)
                with pytest.raises(InvalidInput):
                    tiles.tile_inputs(graph, block, kind, 0, 1)
                continue
            sliced += 1
            size = tiles.extent(graph, block, kind)
            bounds = (0, (size + 1) // 2, size)
            parts = [tiles.tile_inputs(graph, block, kind, *bounds[k : k + 2]) for k in (0, 1)]
            for t in tiles.run_inputs(graph, block):
                read = set()
                for part in parts:
                    assert part.get(t, WHOLE).axis < 4
                    read |= _indices(graph, t, part.get(t))
                # A stride beyond the kernel leaves gaps, and the first row is never in one.
                assert {0} <= read <= set(range(max(graph.tensors[t].shape)))
            made = set(tiles.run_outputs(graph, block))
            parts = [tiles.tile_shares(graph, block, kind, *bounds[k : k + 2]) for k in (0, 1)]
            for v in block:
                assert all(0.0 <= part[v] <= 1.0 for part in parts)
                if not made.isdisjoint(graph.operators[v].outputs):
                    assert sum(part[v] for part in parts) >= 1.0 - 1e-12
    assert sliced > len(blocks)


def _indices(graph: ModelGraph, t: int, region: Region | None) -> set[int]:
    if region is None:
        return set()
    if region == WHOLE:
        return set(range(max(graph.tensors[t].shape)))
    return set(range(region.low, region.high))


def chain(*operators: Operator, shapes: tuple[tuple[int, ...], ...]) -> ModelGraph:
    tensors = []
    for k, shape in enumerate(shapes):
        count = 4
        for size in shape:
            count *= size
        tensors.append(Tensor(f"t{k}", shape, "float32", count))
    return ModelGraph(operators, tuple(tensors), (0,), (len(shapes) - 1,))


SAME = tuple((Reach(axis),) for axis in range(4))
CONV = ((Reach(0),), (Reach(-1),), (Reach(2, 1, 3, 1),), (Reach(3, 1, 3, 1),))


def test_halos_of_fused_convolutions_add_up() -> None:
    shape = (1, 8, 10, 10)
    graph = chain(
        Operator("a", "Conv", (0,), (1,), flops=1000, weight_bytes=40, reach=CONV),
        Operator("b", "Conv", (1,), (2,), flops=1000, weight_bytes=40, reach=CONV),
        shapes=(shape, shape, shape),
    )
    run = range(2)
    assert tiles.tile_inputs(graph, run, "rows", 0, 5) == {0: Region(2, 0, 7)}
    assert tiles.tile_inputs(graph, run, "rows", 4, 6) == {0: Region(2, 2, 8)}
    assert tiles.tile_inputs(graph, run, "channels", 0, 4) == {0: WHOLE}
    assert tiles.tile_shares(graph, run, "rows", 0, 5) == {0: 0.6, 1: 0.5}
    # 320 bytes a row: 7 and 6 rows around the first operator, 6 and 5 around the second.
    work = tiles.tile_work(graph, run, "rows", 0, 5)
    assert work == TileWork(1100.0, 2 * 40 + 320 * (7 + 6 + 6 + 5))
    half = tiles.tile_work(graph, run, "channels", 0, 4)
    assert half == TileWork(1500.0, 40 + 20 + 3200 * 3 + 1600)
    assert tiles.tile_outputs(graph, run, "rows", 0, 5) == {2: Region(2, 0, 5)}
    assert tiles.tile_outputs(graph, run, "rows", 0, 10) == {2: WHOLE}
    assert tiles.tile_work(graph, run, "whole") == TileWork(2000.0, 80 + 4 * 3200)


def test_channels_come_in_whole_groups_once_they_span_two() -> None:
    grouped = ((Reach(0),), (Reach(1, 4, 4, 0, 6),), (Reach(2),), (Reach(3),))
    graph = chain(
        Operator("a", "Conv", (0,), (1,), reach=grouped), shapes=((1, 8, 4, 4), (1, 12, 4, 4))
    )
    assert tiles.tile_inputs(graph, range(1), "channels", 1, 5) == {0: Region(1, 0, 4)}
    assert tiles.tile_inputs(graph, range(1), "channels", 5, 7) == {0: WHOLE}
    assert tiles.tile_regions(graph, Tile(range(1), "channels", 5, 7))[1] == Region(1, 0, 12)


def test_a_concat_reads_only_the_inputs_that_its_slice_meets() -> None:
    along = ((Reach(0),) * 2, (Reach(1), Reach(1, before=3)), (Reach(2),) * 2, (Reach(3),) * 2)
    graph = chain(
        Operator("a", "Relu", (0,), (1,), flops=48, reach=SAME),
        Operator("b", "Concat", (0, 1), (2,), reach=along),
        shapes=((1, 3, 4, 4), (1, 3, 4, 4), (1, 6, 4, 4)),
    )
    run = range(2)
    assert tiles.tile_inputs(graph, run, "channels", 0, 2) == {0: Region(1, 0, 2)}
    assert tiles.tile_shares(graph, run, "channels", 0, 2) == {0: 0.0, 1: 2 / 6}
    assert tiles.tile_inputs(graph, run, "channels", 2, 5) == {0: WHOLE}
    assert tiles.tile_inputs(graph, run, "rows", 1, 2) == {0: Region(2, 1, 2)}


def test_what_cannot_be_sliced_says_so_in_one_line() -> None:
    shape = (1, 3, 4, 4)
    graph = chain(
        Operator("odd", "Mystery", (0,), (1,)),
        Operator("b", "Relu", (1,), (2,), reach=SAME),
        shapes=(shape, shape, shape),
    )
    assert tiles.sliceable(graph, range(1, 2), "rows")
    assert not tiles.sliceable(graph, range(2), "rows")
    assert tiles.why_not(graph, range(2), "rows") == (
        "'odd' (Mystery) cannot be sliced along axis 2; keep the run 'odd' to 'b' whole"
    )
    with pytest.raises(InvalidInput, match=r"'b': rows \[3, 5\) are not in \[0, 4\)"):
        tiles.tile_inputs(graph, range(1, 2), "rows", 3, 5)
    with pytest.raises(InvalidInput, match="'b': rows"):
        tiles.tile_inputs(graph, range(1, 2), "rows", 3, 3)
    assert tiles.tile_inputs(graph, range(2), "whole") == {0: WHOLE}


@given(
    st.integers(1, 600),
    st.lists(st.floats(0.0, 100.0), min_size=1, max_size=6).filter(lambda s: sum(s) > 0.01),
    st.sampled_from(["rows", "channels"]),
)
def test_bounds_ascend_align_and_follow_the_speeds(extent, speeds, kind) -> None:
    bounds = tiles.bounds(extent, speeds, kind)
    assert (bounds[0], bounds[-1], len(bounds)) == (0, extent, len(speeds) + 1)
    assert list(bounds) == sorted(bounds)
    step = tiles.ALIGNMENT[kind]
    for k, bound in enumerate(bounds[1:-1], 1):
        assert bound % step == 0 or bound == extent
        assert abs(bound - extent * sum(speeds[:k]) / sum(speeds)) <= step


@pytest.mark.parametrize("speeds", [[], [0.0], [-1.0, 2.0], [float("inf")], [float("nan")]])
def test_speeds_that_are_none_are_refused(speeds) -> None:
    with pytest.raises(InvalidInput, match="speeds"):
        tiles.bounds(10, speeds)


def test_blocks_end_where_few_tensors_of_one_height_are_live() -> None:
    # A diamond that halves the rows on one side: only its ends are positions.
    halved = ((Reach(0),), (Reach(1),), (Reach(2, 2, 2),), (Reach(3, 2, 2),))
    graph = chain(
        Operator("a", "Relu", (0,), (1,), reach=SAME),
        Operator("b", "MaxPool", (1,), (2,), reach=halved),
        Operator("c", "MaxPool", (1,), (3,), reach=halved),
        Operator("d", "Add", (2, 3), (4,), reach=tuple(way * 2 for way in SAME)),
        shapes=((1, 2, 4, 4), (1, 2, 4, 4), (1, 2, 2, 2), (1, 2, 2, 2), (1, 2, 2, 2)),
    )
    assert tiles.blocks(graph) == (range(1), range(1, 3), range(3, 4))
