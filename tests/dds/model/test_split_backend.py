"""The splitter on the models onnx itself is tested with: nobody here wrote them."""

from __future__ import annotations

from functools import partial

import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state as state

from dds.errors import InvalidInput
from dds.model.importer import load_model
from dds.model.split import split

REFUSALS = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented)

_exact = np.testing.assert_array_equal
# onnxruntime computes half precision in single where it lacks a kernel, even with every
# optimisation off, and rounds where tensors leave a session: so one more time at a cut.
_rounded = partial(np.testing.assert_allclose, rtol=5e-3, atol=1e-3)


def test_every_cut_of_the_generated_models_equals_the_whole(distinct, cuts, run):
    covered = compared = refused = unsupported = 0
    for case in distinct(3):
        name, model = case.name, case.model.SerializeToString()
        try:
            graph = load_model(model)
        except InvalidInput:
            refused += 1
            continue
        if len(graph.operators) < 3:
            continue
        names = [graph.tensors[t].name for t in graph.inputs]
        feeds = {k: np.asarray(array) for k, array in zip(names, case.data_sets[0][0], strict=True)}
        try:
            whole = run(model, feeds)
        except REFUSALS:
            # onnxruntime lacks a kernel or an opset; then there is nothing to compare with.
            unsupported += 1
            continue
        agree = _rounded if any("float16" in t.dtype for t in graph.tensors) else _exact
        for cut in cuts(graph, 12):
            parts = split(model, graph, cut)
            assert parts.uploads == tuple(graph.tensors[t].name for t in cut.uploads)
            assert parts.downloads == tuple(graph.tensors[t].name for t in cut.downloads)
            here = run(parts.device, parts.device_feeds(feeds)) if parts.device else {}
            there = run(parts.server, parts.server_feeds(feeds, here)) if parts.server else {}
            joined = parts.join(feeds, here, there)
            assert list(joined) == list(whole), name
            for tensor, value in whole.items():
                agree(joined[tensor], value, err_msg=f"{name} {cut}")
            compared += 1
        covered += 1
    # So that coverage cannot silently vanish: 112, 1075, 22 and 22 with onnx 1.23.
    assert covered >= 105
    assert compared >= 1000
    assert refused <= 26
    assert unsupported <= 26
