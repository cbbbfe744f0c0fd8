"""Learned costs: how long each operator of a model takes where it was never measured.

- ``dds.predict.features``   what is seen of an operator
- ``dds.predict.predictor``  :class:`Predictor`: seconds per operator and how sure they are
- ``dds.predict.generator``  the sweep of training models, with ``blocks`` and ``sketch``
- ``dds.predict.sweep``      measuring the sweep
- ``dds.predict.training``   from measurements to a predictor, with ``roofline`` and ``network``
- ``dds.predict.transfer``   to a new platform with a few dozen measurements
- ``dds.predict.onnxnet``    the networks as ONNX
- ``dds.predict.correction`` what a client learns of its predictions while it runs
"""

from __future__ import annotations

from dds.predict.predictor import Predictor

__all__ = ["Predictor"]
