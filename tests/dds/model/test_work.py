"""FLOPs and multiply-adds against counts by hand, and against counting loops."""

from __future__ import annotations

import math

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from dds.model.shapes import Form, Forms
from dds.model.work import estimate


def work(kind, inputs, outputs, domain="", **attributes):
    """The work of one node over tensors of these shapes (None: the input is left out)."""
    forms, names = {}, []
    for k, shape in enumerate((*inputs, *outputs)):
        name = "" if shape is None else f"t{k}"
        names.append(name)
        forms[name] = Form("float32", shape)
    node = helper.make_node(
        kind, names[: len(inputs)], names[len(inputs) :], domain=domain, **attributes
    )
    return estimate(node, Forms(forms, ""))


BY_HAND = [
    # kind, inputs, outputs, attributes, flops beside multiply-adds, multiply-adds
    ("Conv", [(1, 3, 8, 8), (16, 3, 3, 3)], [(1, 16, 6, 6)], {}, 0, 16 * 36 * 27),
    ("Conv", [(1, 8, 8, 8), (8, 1, 3, 3), (8,)], [(1, 8, 8, 8)], {"group": 8}, 512, 512 * 9),
    ("ConvTranspose", [(1, 4, 5, 5), (4, 2, 3, 3)], [(1, 2, 7, 7)], {}, 0, 100 * 18),
    ("Gemm", [(2, 3), (3, 4), (4,)], [(2, 4)], {}, 8, 24),
    ("Gemm", [(3, 2), (3, 4)], [(2, 4)], {"transA": 1}, 0, 24),
    ("MatMul", [(5, 2, 3), (5, 3, 4)], [(5, 2, 4)], {}, 0, 120),
    ("Einsum", [(2, 3), (3, 4)], [(2, 4)], {"equation": "ij, jk -> ik"}, 0, 24),
    ("Einsum", [(2, 3), (2, 3)], [(2, 3)], {"equation": "ij,ij->ij"}, 6, 0),
    ("Einsum", [(2, 3)], [(2,)], {"equation": "ij->i"}, 6, 0),
    ("MaxPool", [(1, 2, 8, 8)], [(1, 2, 4, 4)], {"kernel_shape": [3, 3]}, 32 * 9, 0),
    ("GlobalAveragePool", [(1, 2, 8, 8)], [(1, 2, 1, 1)], {}, 128, 0),
    ("BatchNormalization", [(1, 2, 4), (2,), (2,), (2,), (2,)], [(1, 2, 4)], {}, 16, 0),
    ("LRN", [(1, 8, 2, 2)], [(1, 8, 2, 2)], {"size": 5}, 9 * 32, 0),
    ("Relu", [(10,)], [(10,)], {}, 10, 0),
    ("Sum", [(4,), (4,), (4,)], [(4,)], {}, 8, 0),
    ("Mean", [(4,), (4,), (4,)], [(4,)], {}, 12, 0),
    ("Softmax", [(1, 10)], [(1, 10)], {}, 50, 0),
    ("ReduceSum", [(3, 4)], [(3, 1)], {}, 12, 0),
    ("Reshape", [(3, 4), (1,)], [(12,)], {}, 0, 0),
    ("Dropout", [(3, 4)], [(3, 4), None], {}, 0, 0),
    ("LSTM", [(7, 2, 3), (1, 20, 3), (1, 20, 5)], [(7, 1, 2, 5)], {}, 20 * 70, 70 * 4 * 8),
    ("GRU", [(7, 2, 3), (2, 15, 3), (2, 15, 5)], [(7, 2, 2, 5)], {}, 13 * 140, 140 * 3 * 8),
    ("RNN", [(7, 2, 3), (1, 5, 3), (1, 5, 5)], [(7, 1, 2, 5)], {}, 2 * 70, 70 * 8),
    ("Attention", [(2, 3, 4, 8), (2, 3, 6, 8), (2, 3, 6, 10)], [(2, 3, 4, 10)], {}, 864, 144 * 18),
    ("Attention", [(2, 4, 24), (2, 6, 24), (2, 6, 30)], [(2, 4, 30)],
     {"q_num_heads": 3, "kv_num_heads": 3}, 864, 144 * 18),
    ("Resize", [(1, 1, 2, 2)], [(1, 1, 4, 4)], {"mode": "linear"}, 0, 64),
    ("TopK", [(1, 100), (1,)], [(1, 8), (1, 8)], {}, 400, 0),
    # Without a rule: one FLOP per output element.
    ("Frobnicate", [(3,)], [(3,), (4,)], {}, 7, 0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "inputs", "outputs", "attributes", "flops", "macs"), BY_HAND)
def test_counts_by_hand(kind, inputs, outputs, attributes, flops, macs):
    assert work(kind, inputs, outputs, **attributes) == (flops + 2 * macs, macs)


def test_a_foreign_operator_of_a_known_name_gets_the_default():
    shapes = [(2, 3), (3, 4)]
    assert work("MatMul", shapes, [(2, 4)], domain="somebody.else") == (8, 0)


def test_a_missing_shape_gets_the_default():
    assert work("Conv", [(1, 3, 8, 8)], [(1, 16, 6, 6)]) == (576, 0)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3),
    st.integers(1, 3), st.integers(1, 2), st.integers(5, 9),
)  # fmt: skip
def test_a_convolution_counts_like_its_loops(
    batch, group, per_in, per_out, kernel, stride, d, size
):
    spatial = [(size - kernel) // stride + 1] * d
    macs = 0
    for _ in range(batch * group * per_out * math.prod(spatial)):
        for _ in range(per_in * kernel**d):
            macs += 1
    shapes = [(batch, group * per_in, *[size] * d), (group * per_out, per_in, *[kernel] * d)]
    out = (batch, group * per_out, *spatial)
    assert work("Conv", shapes, [out], group=group, strides=[stride] * d) == (2 * macs, macs)


def test_no_operator_of_onnx_breaks_the_estimate():
    """Every standard operator, over nonsense shapes: numbers >= 0 and no exception."""
    for schema in onnx.defs.get_all_schemas():
        for shape in ((), (0,), (2, 3), (2, 3, 4, 5)):
            flops, macs = work(schema.name, [shape] * 6, [shape] * 2, domain=schema.domain)
            assert flops >= 2 * macs >= 0
