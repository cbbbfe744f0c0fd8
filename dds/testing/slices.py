"""Models that can be sliced, drawn, and schedules of any model (imported by their own name)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dds.model.graph import ModelGraph
from dds.parallel import tiles
from dds.parallel.schedule import Schedule, Task, Transfer
from dds.parallel.tiles import WHOLE, Kind, Region, Tile

__all__ = ["schedules", "sliceable_models"]

#: Moments lie on a grid, so that ties are likely; so are tasks that take no time, and all of them.
_DELAYS = (st.sampled_from([0.0, 0.0, 0.25, 1.0]), st.just(0.0))


@st.composite
def sliceable_models(draw: st.DrawFn) -> bytes:
    """ONNX bytes of a few layers on a small picture ``x``: windows, branches, shuffles, norms."""
    chain = _Chain(draw, draw(st.sampled_from([9, 11, 17])))
    for _ in range(draw(st.integers(1, 5))):
        chain.step()
    return chain.build()


@st.composite
def schedules(draw: st.DrawFn, graph: ModelGraph, workers: int = 3) -> Schedule:
    """Any way to run a model on this many workers, over links that carry all at once.

    Runs of any length, whole or in slices, several of them perhaps on one worker; what is sent may
    be more than what is read.
    """
    count = len(graph.operators)
    inner = draw(st.sets(st.integers(1, max(count - 1, 1)), max_size=6)) - {count}
    plan = _Plan(draw, graph, workers)
    for first, stop in pairwise([0, *sorted(inner), count]):
        plan.run(range(first, stop))
    return plan.schedule()


class _Plan:
    """A schedule in the making."""

    def __init__(self, draw: st.DrawFn, graph: ModelGraph, workers: int) -> None:
        self.draw = draw
        self.graph = graph
        self.delays = draw(st.sampled_from(_DELAYS))
        self.free = [0.0] * workers
        self.tasks: list[Task] = []
        self.transfers: list[Transfer] = []
        #: Of each tensor who has which region since when.
        self.made: dict[int, list[tuple[int, Region, float]]] = {
            t: [(0, WHOLE, 0.0)] for t in graph.inputs
        }
        self.received: dict[tuple[int, int, int, Region], float] = {}

    def run(self, operators: range) -> None:
        """Schedule a run, whole or in slices."""
        sliced: tuple[Kind, ...] = ("rows", "channels")
        kinds = [kind for kind in sliced if tiles.sliceable(self.graph, operators, kind)]
        kind: Kind = self.draw(st.sampled_from([*kinds, *kinds, "whole"]))
        size = tiles.extent(self.graph, operators, kind)
        inner = self.draw(st.sets(st.integers(1, size - 1), max_size=3)) if size > 1 else set()
        parts = [Tile(operators, kind, *part) for part in pairwise([0, *sorted(inner), size])]
        returns: dict[int, list[tuple[int, Region, float]]] = {}
        for tile in parts:
            worker = self.draw(st.integers(0, len(self.free) - 1))
            place = (self.graph, tile.operators, tile.kind, tile.low, tile.high)
            ready = [self.fetch(t, region, worker)
                     for t, region in tiles.tile_inputs(*place).items()]  # fmt: skip
            start = max([self.free[worker], *ready]) + self.draw(self.delays)
            end = self.free[worker] = start + self.draw(self.delays)
            self.tasks.append(Task(worker, tile, start, end))
            for t, region in tiles.tile_outputs(*place).items():
                returns.setdefault(t, []).append((worker, region, end))
        self.made.update(returns)

    def fetch(self, t: int, region: Region, receiver: int) -> float:
        """When a worker has a region, after it was sent what is not there."""
        pieces = [(worker, shared, since) for worker, held, since in self.made[t]
                  if (shared := _shared(held, region))]  # fmt: skip
        whole = [piece for piece in pieces if piece[1] == region]
        moments = [0.0]
        for sender, part, since in whole[:1] or pieces:
            if sender == receiver:
                moments.append(since)
                continue
            key = (t, sender, receiver, part)
            if key not in self.received:
                start = since + self.draw(self.delays)
                end = self.received[key] = start + self.draw(self.delays)
                self.transfers.append(Transfer(sender, receiver, t, part, start, end))
            moments.append(self.received[key])
        return max(moments)

    def schedule(self) -> Schedule:
        """What there is, and the model's outputs on worker 0."""
        returned = [self.fetch(t, WHOLE, 0) for t in self.graph.outputs]
        latency = max([0.0, *returned, *self.free])
        tasks = sorted(self.tasks, key=lambda task: (task.start, task.end))
        transfers = sorted(self.transfers, key=lambda sent: (sent.start, sent.end))
        return Schedule(tuple(tasks), tuple(transfers), latency, "drawn")


def _shared(held: Region, region: Region) -> Region | None:
    """What of a region lies in a held one; all of the latter, if it is along another axis."""
    if held.axis < 0:
        return region
    if held.axis != region.axis:
        return held
    low, high = max(held.low, region.low), min(held.high, region.high)
    return Region(held.axis, low, high) if low < high else None


class _Chain:
    """A drawn model in the making; ``shape`` is of the tensor that ends it so far."""

    def __init__(self, draw: st.DrawFn, opset: int) -> None:
        self.draw = draw
        self.opset = opset
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        self.shape = [1, draw(st.integers(1, 3)) * 2, draw(st.integers(4, 11)),
                      draw(st.integers(3, 6))]  # fmt: skip
        self.first = list(self.shape)
        self.name = "x"
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, array: NDArray[Any]) -> str:
        name = f"w{len(self.weights)}"
        kind = np.int64 if np.asarray(array).dtype.kind == "i" else np.float32
        self.weights.append(numpy_helper.from_array(np.asarray(array, kind), name))
        return name

    def uniform(self, *shape: int) -> str:
        return self.weight(self.rng.uniform(0.5, 1.5, shape) * self.rng.choice([-1.0, 1.0], shape))

    def node(self, kind: str, *reads: str, **attributes: Any) -> str:
        made = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, reads, [made], **attributes))
        return made

    def step(self) -> None:
        kinds = [self.convolution, self.pool, self.pointwise, self.norm, self.add, self.branch,
                 self.residual, self.shuffle, self.lrn]  # fmt: skip
        self.draw(st.sampled_from(kinds))()

    def window(self) -> tuple[dict[str, Any], list[int]]:
        """Attributes of a window, and the size it leaves."""
        draw, sizes = self.draw, []
        given: dict[str, Any] = {}
        kernel = [draw(st.integers(1, 3)) for _ in range(2)]
        given["kernel_shape"] = kernel
        given["strides"] = strides = [draw(st.integers(1, 2)) for _ in range(2)]
        same = draw(st.sampled_from([None, None, "SAME_UPPER", "SAME_LOWER"]))
        pads = [draw(st.integers(0, k - 1)) for k in kernel + kernel]
        if same:
            given["auto_pad"] = same
        else:
            given["pads"] = pads
        for k in range(2):
            size, step = self.shape[2 + k], strides[k]
            if same:
                assume(kernel[k] >= step)  # onnxruntime would pad by less than nothing
                sizes.append(-(-size // step))
            else:
                assume(size + pads[k] + pads[k + 2] >= kernel[k])
                sizes.append((size + pads[k] + pads[k + 2] - kernel[k]) // step + 1)
        return given, sizes

    def convolution(self) -> None:
        given, sizes = self.window()
        groups = self.draw(st.sampled_from([g for g in (1, 2, 3) if self.shape[1] % g == 0]))
        made = groups * self.draw(st.integers(1, 3))
        if "auto_pad" not in given and self.draw(st.booleans()):
            given["dilations"] = dilations = [self.draw(st.integers(1, 2)) for _ in range(2)]
            for k in range(2):
                extent = (given["kernel_shape"][k] - 1) * dilations[k] + 1
                room = self.shape[2 + k] + given["pads"][k] + given["pads"][k + 2] - extent
                assume(room >= 0)
                sizes[k] = room // given["strides"][k] + 1
        weights = [self.uniform(made, self.shape[1] // groups, *given["kernel_shape"])]
        if self.draw(st.booleans()):
            weights.append(self.uniform(made))
        self.name = self.node("Conv", self.name, *weights, group=groups, **given)
        self.shape[1:] = [made, *sizes]

    def pool(self) -> None:
        given, sizes = self.window()
        kind = self.draw(st.sampled_from(["MaxPool", "AveragePool"]))
        if kind == "AveragePool":
            given["count_include_pad"] = self.draw(st.integers(0, 1))
        self.name = self.node(kind, self.name, **given)
        self.shape[2:] = sizes

    def pointwise(self) -> None:
        kind = self.draw(st.sampled_from(["Relu", "LeakyRelu", "Sigmoid", "PRelu"]))
        slopes = [self.uniform(self.shape[1], 1, 1)] if kind == "PRelu" else []
        self.name = self.node(kind, self.name, *slopes)

    def norm(self) -> None:
        channels = self.shape[1]
        parts = [self.uniform(channels) for _ in range(3)]
        parts.append(self.weight(self.rng.uniform(0.5, 1.5, channels)))
        self.name = self.node("BatchNormalization", self.name, *parts)

    def add(self) -> None:
        """Add or multiply a constant that broadcasts in one of four ways."""
        _, channels, rows, columns = self.shape
        shape = self.draw(
            st.sampled_from([(), (channels, 1, 1), (1, 1, rows, 1), (channels, rows, columns)])
        )
        constant = self.uniform(*shape)
        if self.draw(st.booleans()):  # folded, not an initialiser
            constant = self.node("Neg", constant)
        kind = self.draw(st.sampled_from(["Add", "Mul", "Sub"]))
        pair = [self.name, constant]
        self.name = self.node(kind, *(pair[::-1] if self.draw(st.booleans()) else pair))

    def branch(self) -> None:
        other = self.node("Relu", self.name)
        axis = self.draw(st.sampled_from([1, 2]))
        self.name = self.node("Concat", self.name, other, axis=axis)
        self.shape[axis] *= 2

    def residual(self) -> None:
        channels = self.shape[1]
        kernel = self.uniform(channels, channels, 3, 1)
        other = self.node("Conv", self.name, kernel, pads=[1, 0, 1, 0])
        self.name = self.node("Sum", self.name, other)

    def shuffle(self) -> None:
        _, channels, rows, columns = self.shape
        groups = self.draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
        parted = self.weight(np.array([1, groups, channels // groups, rows, columns]))
        merged = self.weight(np.array(self.shape))
        five = self.node("Reshape", self.name, parted)
        turned = self.node("Transpose", five, perm=[0, 2, 1, 3, 4])
        self.name = self.node("Reshape", turned, merged)

    def lrn(self) -> None:
        self.name = self.node("LRN", self.name, size=self.draw(st.sampled_from([3, 5])), alpha=0.1)

    def build(self) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.first)],
            [helper.make_tensor_value_info(self.name, TensorProto.FLOAT, self.shape)],
            self.weights,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, ir_version=8, opset_imports=opsets)
        return bytes(model.SerializeToString())
