"""Devices as a few sustained rates, and a table of common ones.

The figures are for fp32 convolution networks at batch 1.  Each note names its
basis: a published measurement, a data sheet, or our own estimate where neither
was at hand.  They are a start: ``dds profile`` measures the machine at hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dds.errors import InvalidInput

__all__ = ["DEVICES", "Device", "find_device"]


@dataclass(frozen=True, slots=True)
class Device:
    """What the roofline needs to know of a machine.

    flops_per_s: sustained floating point operations per second (a multiply-add is
    two); bytes_per_s: sustained memory bandwidth; overhead: seconds to start one
    operator; note: where the figures come from.

    Raises InvalidInput naming the field that is out of range.
    """

    name: str
    flops_per_s: float
    bytes_per_s: float
    overhead: float
    note: str = ""

    def __post_init__(self) -> None:
        for field in ("flops_per_s", "bytes_per_s"):
            value = getattr(self, field)
            if math.isnan(value) or value <= 0.0:
                raise InvalidInput(f"device {self.name!r}: {field} is {value!r}; need > 0")
        if not (math.isfinite(self.overhead) and self.overhead >= 0.0):
            raise InvalidInput(
                f"device {self.name!r}: overhead is {self.overhead!r}; need seconds >= 0"
            )


# FLOP rates: TopHub and ncnn are the per-network benchmark tables of TVM and ncnn
# (FLOPs of the network over its measured time).  "estimate" marks what no
# measurement at hand covers: memory bandwidth of the boards, and overheads, set to
# the cost of starting an operator in a CPU runtime or a GPU kernel.
_TABLE = (
    Device("raspberry-pi-3b", 16e9, 3e9, 50e-6,
           "4x Cortex-A53 1.2 GHz: TopHub aggregate fp32, 4 threads (peak 38 GFLOP/s); "
           "memory 2-4 GB/s, estimate"),
    Device("raspberry-pi-4", 40e9, 5e9, 30e-6,
           "4x Cortex-A72 1.8 GHz: ncnn, 4 threads, 30-57 GFLOP/s from ResNet-18 to VGG-16 "
           "(fp32 peak 58); memory 4-6 GB/s, estimate"),
    Device("raspberry-pi-5", 120e9, 13e9, 20e-6,
           "4x Cortex-A76 2.4 GHz: ncnn fp16 + Winograd measures 178-242 GFLOP/s, fp32 peak is "
           "154; fp32 sustained 120, estimate; memory 10-17 GB/s, estimate"),
    Device("jetson-nano", 88e9, 25.6e9, 40e-6,
           "128-core Maxwell GPU: ncnn fp16 ResNet-50, 88 GFLOP/s (fp32 peak 236); "
           "memory 25.6 GB/s, data sheet"),
    Device("phone", 46e9, 29.8e9, 20e-6,
           "Snapdragon 835 CPU: TopHub fp32, 46 GFLOP/s; memory 29.8 GB/s, data sheet"),
    Device("edge-core", 73e9, 20e9, 5e-6,
           "one core of an 8-thread AWS c5.4xlarge: ncnn ResNet-50, 586 GFLOP/s / 8; "
           "memory per core 20 GB/s, estimate"),
    Device("cloud-gpu", 4.25e12, 320e9, 10e-6,
           "Tesla T4: DeepBench fp32 GEMM 4.25-4.67 TFLOP/s (peak 8.1); memory 320 GB/s, "
           "data sheet"),
)  # fmt: skip

#: Known devices by name.
DEVICES: Mapping[str, Device] = MappingProxyType({device.name: device for device in _TABLE})


def find_device(name: str) -> Device:
    """The device of that name.  Raises InvalidInput listing the known ones."""
    try:
        return DEVICES[name]
    except KeyError:
        known = ", ".join(DEVICES)
        raise InvalidInput(f"unknown device {name!r}; known: {known}") from None
