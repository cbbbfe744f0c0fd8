"""Measured costs: how DDS runs ONNX models, and how long their operators take on this machine.

- ``dds.profile.profile``  :class:`Profile`: seconds per operator of one model on one platform
- ``dds.profile.runtime``  one onnxruntime configuration for profiling, devices and servers
- ``dds.profile.weights``  models opened without copying their weights
- ``dds.profile.measure``  kernel times per operator, calibrated to CPU time
- ``dds.profile.cache``    profiles on disk, by model digest and platform

This package touches the machine (clocks, files, a lock); the rest of ``dds`` does not.
"""

from __future__ import annotations

from dds.profile.profile import Profile

__all__ = ["Profile"]
