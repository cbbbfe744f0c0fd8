"""What computing and sending costs: devices, per-operator times, links."""

from __future__ import annotations

from dds.costs.device import DEVICES, Device, find_device
from dds.costs.link import Link
from dds.costs.roofline import TimesOperators, Timing, operator_times, roofline, server_times

__all__ = [
    "DEVICES",
    "Device",
    "Link",
    "TimesOperators",
    "Timing",
    "find_device",
    "operator_times",
    "roofline",
    "server_times",
]
