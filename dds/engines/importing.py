"""Models of PyTorch and scikit-learn as ONNX bytes, by the exporters of those projects.

What comes back is for :func:`dds.load_model` and everything else here; compare it with the model
it was made of as :func:`~dds.engines.comparison.difference` does.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike

from dds.engines.engine import Array
from dds.engines.on_onnxruntime import OnnxRuntime
from dds.errors import InvalidInput, first_line
from dds.model.shapes import tensor_type

__all__ = ["from_sklearn", "from_torch"]

#: What both exporters write well: torch.onnx nothing older.
_OPSET = 18

#: What skl2onnx calls the types of a table.
_SKLEARN_TYPES = {"float32": "FloatTensorType", "int64": "Int64TensorType"}


def from_torch(module: Any, example_inputs: Sequence[Any]) -> bytes:
    """The ONNX bytes of a ``torch.nn.Module`` in evaluation mode, shapes as of the example.

    example_inputs: tensors, as the module is called with them.

    Raises InvalidInput when torch or onnxscript is not installed (extra ``torch``), and when
    torch.onnx cannot export the module.
    """
    torch = _needed("torch", "torch")
    _needed("onnxscript", "torch")
    training = module.training
    module.eval()
    try:
        # It reports progress on standard output, which is the caller's.
        with contextlib.redirect_stdout(io.StringIO()):
            program = torch.onnx.export(
                module, tuple(example_inputs), dynamo=True, opset_version=_OPSET, verbose=False
            )
        model = program.model_proto
    except Exception as error:  # whatever the module's own code and the exporter raise
        raise InvalidInput(f"torch.onnx cannot export the module: {first_line(error)}") from error
    finally:
        module.train(training)
    return _clean(model)


def from_sklearn(estimator: Any, features: ArrayLike) -> bytes:
    """The ONNX bytes of a fitted scikit-learn estimator or pipeline.

    features: a table of rows as it was fitted on, float32 or int64 as the model is to be fed; only
    its form is looked at, and the model takes as many rows.  float64 becomes float32: runtimes
    have few of scikit-learn's operators in float64.  A classifier returns labels and
    probabilities (rows x classes).

    Raises InvalidInput when skl2onnx is not installed (extra ``sklearn``), for features that are
    no table of numbers, and when it cannot convert the estimator.
    """
    skl2onnx = _needed("skl2onnx", "sklearn")
    from skl2onnx.common import data_types

    rows = _rows(features)
    # With a number of rows in its place skl2onnx writes biases of wrong shapes (KMeans).
    form = getattr(data_types, _SKLEARN_TYPES[rows.dtype.name])([None, rows.shape[1]])
    # Probabilities as an array: left to itself it returns a list of dictionaries.
    options = {"zipmap": False} if hasattr(estimator, "predict_proba") else None
    try:
        model = skl2onnx.to_onnx(
            estimator,
            initial_types=[("features", form)],
            options={id(estimator): options} if options else None,
            target_opset=_OPSET,
        )
    except Exception as error:  # its classes of errors share no narrower base
        raise InvalidInput(f"skl2onnx cannot convert the estimator: {first_line(error)}") from error
    return _clean(_with_forms(model, {"features": rows}))


def _rows(features: ArrayLike) -> Array:
    """A table of a type that models can be fed."""
    try:
        rows = np.asarray(features)
    except ValueError as error:  # rows of unequal lengths
        raise InvalidInput(f"features are no table of numbers: {first_line(error)}") from error
    if rows.ndim != 2 or not rows.size:
        raise InvalidInput(f"features have shape {rows.shape}; pass rows x features")
    if rows.dtype == np.float64:
        return rows.astype(np.float32)
    if rows.dtype.name not in _SKLEARN_TYPES:
        known = ", ".join(_SKLEARN_TYPES)
        raise InvalidInput(f"features are of type {rows.dtype}; pass one of {known}, float64")
    return rows


def _with_forms(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> onnx.ModelProto:
    """The model with types and shapes of all tensors, found by running it on these inputs.

    onnx infers none behind operators of machine learning (``ai.onnx.ml``), and DDS needs them all.
    """
    for value in model.graph.input:
        array = feeds[value.name]
        value.type.CopyFrom(tensor_type(array.shape, array.dtype.name))
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    returned = {value.name for value in model.graph.output}
    made = [name for node in model.graph.node for name in node.output]
    inner = [name for name in made if name and name not in returned]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    found = OnnxRuntime().load(shown.SerializeToString()).run(feeds)
    del model.graph.value_info[:]
    for name in inner:
        form = tensor_type(found[name].shape, found[name].dtype.name)
        model.graph.value_info.add(name=name, type=form)
    for value in model.graph.output:
        array = found[value.name]
        text = array.dtype.kind in "OUST"
        value.type.CopyFrom(tensor_type(array.shape, "string" if text else array.dtype.name))
    return model


def _clean(model: onnx.ModelProto) -> bytes:
    """Its bytes without notes about the sources it came from, whose paths are nobody's business."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.metadata_props[:]
    graph = copy.graph
    for part in (graph.node, graph.input, graph.output, graph.value_info, graph.initializer):
        for item in part:
            item.ClearField("metadata_props")
            item.ClearField("doc_string")
    return bytes(copy.SerializeToString())


def _needed(package: str, extra: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InvalidInput(
            f"this needs the package {package}; pip install 'dds[{extra}]'"
        ) from error
