"""Measured costs: how DDS runs ONNX models, and how long their operators take on this machine.

- ``dds.profile.profile``   :class:`Profile`: seconds per group of operators that run as one
- ``dds.profile.runtime``   how onnxruntime is set, for profiling, devices and servers
- ``dds.profile.weights``   models opened without copying their weights
- ``dds.profile.platform``  several devices out of one machine
- ``dds.profile.kernels``   which operators onnxruntime fuses, and what its profiler says of them
- ``dds.profile.measure``   a profile measured; ``child`` does it in a process that is slowed down
- ``dds.profile.overhead``  what the profiler itself adds to kernel times
- ``dds.profile.apart``     what a fused group costs where it is taken apart
- ``dds.profile.cuts``      both halves of a cut measured, and the best of a few cuts chosen
- ``dds.profile.cache``     profiles on disk, by model digest and platform

This package touches the machine (clocks, files, a lock); the rest of ``dds`` does not.
"""

from __future__ import annotations

from dds.profile.profile import Profile

__all__ = ["Profile"]
