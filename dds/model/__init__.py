"""The model: what is cut, where it comes from, and how it is taken apart.

In reading order:

- ``graph``      :class:`ModelGraph`, the frozen DAG everything else works on (no imports)
- ``onnxfile``   ONNX bytes opened without touching the weights, and put together again
- ``dataflow``   which ONNX nodes depend on the model's input, which fold into constants
- ``shapes``     the fixed shape of every tensor; ``values`` follows the shape arithmetic,
                 ``guard`` refuses what would crash ONNX's inference
- ``fixing``     a model with shapes written into it
- ``dtypes``     element types and their sizes
- ``work``       FLOPs and multiply-adds per operator; ``window`` kernel, stride and groups
- ``reach``      what a slice of an operator's output reads of its inputs
- ``fusion``     :class:`fusion.Fusion`: which operators a runtime runs as one
- ``importer``   :func:`load_model`: ONNX -> ModelGraph
- ``foreign``    what a model from a stranger must satisfy before it may run
- ``split``      ONNX -> device and server part (:func:`split.split`), or three tiers' parts
- ``subgraph``   a cut's device part as a graph of its own
- ``zoo``        nine ready-made CNNs

Importing this package imports neither onnx nor numpy; the names below load on demand.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dds.model.graph import ModelGraph, Operator, Tensor

if TYPE_CHECKING:
    from dds.model.importer import load_model as load_model
    from dds.model.split import SplitModel as SplitModel

__all__ = ["ModelGraph", "Operator", "SplitModel", "Tensor", "load_model"]

# ``dds.model.split`` names the module; take the function from there.
_LAZY = {"load_model": "importer", "SplitModel": "split"}


def __getattr__(name: str) -> object:
    home = _LAZY.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
