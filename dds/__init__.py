"""Decentralized DNN Surgery (DDS).

Map of the package, in reading order:

- ``dds.model``    the model graph, its import from ONNX, the zoo, the splitter
- ``dds.costs``    devices, links, per-operator times
- ``dds.cut``      the min-cut, the exact frontier of a client
- ``dds.market``   clients, tariffs, best responses, equilibria, certificates
- ``dds.session``  the protocol without I/O; ``dds.wire`` its messages as bytes
- ``dds.testing``  Hypothesis strategies and assertions for your own tests
"""

from __future__ import annotations

__version__ = "0.1.0"
