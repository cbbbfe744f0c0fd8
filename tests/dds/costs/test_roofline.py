import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.costs import DEVICES, Device, operator_times, roofline, server_times
from dds.errors import InvalidInput
from dds.model.graph import ModelGraph, Operator, Tensor
from dds.testing import graphs

GRAPH = ModelGraph(
    operators=(
        Operator("conv", "Conv", (0,), (1,), flops=1000, weight_bytes=40),
        Operator("add", "Add", (0, 1), (2,), flops=10),
    ),
    tensors=tuple(Tensor(name, (1,), "float32", 100) for name in "abc"),
    inputs=(0,),
    outputs=(2,),
)


def test_roofline_takes_the_slower_of_computing_and_moving():
    device = Device("d", flops_per_s=100.0, bytes_per_s=60.0, overhead=0.5)
    # conv: 1000 / 100 = 10 s of work, 240 bytes move in 4 s; add: 0.1 s and 300 bytes in 5 s.
    assert roofline(GRAPH, device).tolist() == [10.5, 5.5]


@settings(deadline=None, max_examples=50)
@given(graphs(), st.sampled_from(list(DEVICES.values())))
def test_roofline_is_at_least_the_overhead(graph, device):
    times = roofline(graph, device)
    assert times.shape == (len(graph.operators),)
    assert (times >= device.overhead).all()
    assert (server_times(graph, device) > 0.0).all()


class Profile:
    def operator_times(self, graph):
        return np.arange(len(graph.operators)) + 1.0


@pytest.mark.parametrize("timing", [Profile(), [1.0, 2.0], (1, 2), np.array([1, 2], np.int32)])
def test_whatever_gives_seconds_is_taken(timing):
    times = operator_times(GRAPH, timing)
    assert times.dtype == np.float64
    assert times.tolist() == [1.0, 2.0]


def test_the_caller_keeps_its_array():
    mine = np.array([1.0, 2.0])
    operator_times(GRAPH, mine)[0] = 9.0
    assert mine[0] == 1.0


@pytest.mark.parametrize("timing", [[1.0], [[1.0, 2.0]], 3.0, "fast", None, [1.0, object()]])
def test_anything_else_is_refused(timing):
    with pytest.raises(InvalidInput, match="operator times"):
        operator_times(GRAPH, timing)


def test_a_server_time_of_zero_is_refused():
    assert operator_times(GRAPH, [0.0, 1.0])[0] == 0.0
    with pytest.raises(InvalidInput, match="server times: operator 'conv'"):
        server_times(GRAPH, [0.0, 1.0])
