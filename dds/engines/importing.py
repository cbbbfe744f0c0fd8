"""Models of PyTorch and scikit-learn as ONNX bytes, by the exporters of those projects.

What comes back is for :func:`dds.load_model` and everything else here; compare it with the model
it was made of as :func:`~dds.engines.comparison.difference` does.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Sequence
from typing import Any

import onnx

from dds.engines.engine import Array
from dds.errors import InvalidInput

__all__ = ["from_sklearn", "from_torch"]

#: What both exporters write well: torch.onnx nothing older.
_OPSET = 18


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
        raise InvalidInput(f"torch.onnx cannot export the module: {_line(error)}") from error
    finally:
        module.train(training)
    return _clean(model)


def from_sklearn(estimator: Any, features: Array) -> bytes:
    """The ONNX bytes of a fitted scikit-learn estimator or pipeline.

    features: rows as it was fitted on, of the type that the model is to be fed, such as float32;
    only their form is looked at, and the model takes as many rows.  A classifier returns labels
    and probabilities (rows x classes).

    Raises InvalidInput when skl2onnx is not installed (extra ``sklearn``), and when it cannot
    convert the estimator.
    """
    skl2onnx = _needed("skl2onnx", "sklearn")
    from skl2onnx.common.data_types import guess_tensor_type

    if features.ndim != 2:
        raise InvalidInput(f"features have shape {features.shape}; pass rows x features")
    kind = guess_tensor_type(features)
    kind.shape = list(features.shape)
    # Probabilities as an array: left to itself it returns a list of dictionaries.
    options = {"zipmap": False} if hasattr(estimator, "predict_proba") else None
    try:
        model = skl2onnx.to_onnx(
            estimator,
            initial_types=[("features", kind)],
            options={id(estimator): options} if options else None,
            target_opset=_OPSET,
        )
    except Exception as error:  # its classes of errors share no narrower base
        raise InvalidInput(f"skl2onnx cannot convert the estimator: {_line(error)}") from error
    return _clean(model)


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


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
