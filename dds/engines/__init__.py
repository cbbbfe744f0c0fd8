"""Engines: the runtimes that a model, or a piece of one, can be run on.

In reading order:

- ``engine``          what an engine and a loaded model must do, and :func:`engine` by name
- ``on_onnxruntime``  the engine that every answer is compared with
- ``comparison``      how far two engines are apart; :func:`checked`, which falls back
- ``signature``, ``upgrade``  inputs and outputs of a model; old models in newer operators
- ``on_openvino``     OpenVINO on this CPU
- ``on_torch``        PyTorch, eager: ``torch_node``, ``torch_windows``, ``torch_operators``
- ``conversion``      a model rewritten for an engine and compared; ``saving`` writes it to files
- ``importing``       models of PyTorch and scikit-learn as ONNX

Engines other than onnxruntime are extras, imported when one of them is asked for.
"""

from __future__ import annotations

from dds.engines.comparison import Checked, checked
from dds.engines.engine import ENGINES, Engine, Executable, TensorSpec, engine

__all__ = ["ENGINES", "Checked", "Engine", "Executable", "TensorSpec", "checked", "engine"]
