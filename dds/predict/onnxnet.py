"""Networks as ONNX: what a predictor keeps on disk and what onnxruntime runs.

A file is an ordinary ONNX model, one input and one output per network.  When one is read, only
its initialisers are believed: their shapes are checked and the graph is written anew, so no
operator of somebody else's file is ever run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.predict.network import Ensemble

__all__ = ["MOST_BYTES", "Networks", "ensembles_from_onnx", "ensembles_to_onnx"]

_LAYERS = 3
_OPSET, _IR_VERSION = 17, 8
#: Bounds on what is read: networks here have some thousand weights each.
MOST_BYTES = 64 << 20
_MOST_WIDTH, _MOST_MEMBERS = 4096, 256


class Networks:
    """Ensembles by name, ready to run: ``networks(values) -> logs``, both by name."""

    def __init__(self, ensembles: Mapping[str, Ensemble]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._columns = {name: len(each.mean) for name, each in ensembles.items()}
        self._session = onnxruntime.InferenceSession(
            ensembles_to_onnx(ensembles), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Per name what each member says, shape (members, rows), of values (rows, columns)."""
        nothing = np.zeros((0, 0), np.float32)
        feeds = {
            name: np.ascontiguousarray(values.get(name, nothing), np.float32).reshape(-1, columns)
            for name, columns in self._columns.items()
        }
        names = list(values)
        found = self._session.run([f"{name}/log" for name in names], feeds)
        return dict(zip(names, found, strict=True))


def ensembles_to_onnx(ensembles: Mapping[str, Ensemble]) -> bytes:
    """One ONNX model of all: input ``name``, output ``name/log``; the same bytes each time."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, inputs, outputs = [], [], [], []
    for name, ensemble in ensembles.items():

        def add(kind: str, *reads: str, of: str, to: str) -> str:
            nodes.append(helper.make_node(kind, list(reads), [f"{of}/{to}"], f"{of}/{to}"))
            return f"{of}/{to}"

        def constant(values: NDArray[Any], label: str) -> str:
            weights.append(numpy_helper.from_array(np.ascontiguousarray(values), label))
            return label

        x = add("Sub", name, constant(ensemble.mean, f"{name}/mean"), of=name, to="centred")
        x = add("Mul", x, constant(ensemble.scale, f"{name}/scale"), of=name, to="standard")
        for layer, (w, b) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
            if layer:
                gate = add("Sigmoid", x, of=name, to=f"gate{layer}")
                x = add("Mul", x, gate, of=name, to=f"unit{layer}")
            x = add("MatMul", x, constant(w, f"{name}/w{layer}"), of=name, to=f"product{layer}")
            x = add("Add", x, constant(b, f"{name}/b{layer}"), of=name, to=f"sum{layer}")
        last = constant(np.array([2]), f"{name}/last")
        add("Squeeze", x, last, of=name, to="log")
        shape: list[str | int | None] = [f"{name}_rows", len(ensemble.mean)]
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        shape = [len(ensemble.weights[0]), f"{name}_rows"]
        outputs.append(helper.make_tensor_value_info(f"{name}/log", TensorProto.FLOAT, shape))
    graph = helper.make_graph(nodes, "predictor", inputs, outputs, weights)
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString(deterministic=True))


def ensembles_from_onnx(data: bytes) -> dict[str, Ensemble]:
    """The ensembles that :func:`ensembles_to_onnx` wrote, by name, in its order.

    Raises InvalidInput for anything else: too large, not ONNX, weights missing, not float32,
    not finite or of shapes that do not fit each other.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto, TensorProto

    if len(data) > MOST_BYTES:
        raise InvalidInput(f"network: {len(data)} bytes; need at most {MOST_BYTES}")
    try:
        graph = ModelProto.FromString(data).graph
    except DecodeError as error:
        raise InvalidInput(f"network: not an ONNX file: {error}") from error
    found: dict[str, NDArray[np.float32]] = {}
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        shape = tuple(tensor.dims)
        if len(tensor.raw_data) != 4 * int(np.prod([min(max(d, 0), 1 << 20) for d in shape])):
            raise InvalidInput(f"network: weight {tensor.name!r} is not {shape} float32 numbers")
        found[tensor.name] = np.frombuffer(tensor.raw_data, "<f4").reshape(shape)
    return {given.name: _ensemble(given.name, found) for given in graph.input}


def _ensemble(name: str, found: Mapping[str, NDArray[np.float32]]) -> Ensemble:
    labels = ("mean", "scale", *(f"{part}{layer}" for layer in range(_LAYERS) for part in "wb"))
    for label in labels:
        if f"{name}/{label}" not in found:
            raise InvalidInput(f"network {name!r} lacks {label!r}; train it again")
    mean, scale, *layers = (found[f"{name}/{label}"] for label in labels)
    weights, biases = tuple(layers[::2]), tuple(layers[1::2])
    members = weights[0].shape[0] if weights[0].ndim == 3 else 0
    wide = mean.shape[0] if mean.ndim == 1 else 0
    fits = 0 < members <= _MOST_MEMBERS and 0 < wide <= _MOST_WIDTH and scale.shape == (wide,)
    for w, b in zip(weights, biases, strict=True):
        out = w.shape[-1] if w.ndim else 0
        fits = fits and w.shape == (members, wide, out) and b.shape == (members, 1, out)
        fits, wide = fits and 0 < out <= _MOST_WIDTH, out
    if not (fits and wide == 1 and all(np.isfinite(part).all() for part in (mean, scale, *layers))):
        raise InvalidInput(f"network {name!r}: weights of shapes that do not fit, or not finite")
    return Ensemble(mean, scale, weights, biases)
