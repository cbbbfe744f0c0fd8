"""Decentralized DNN Surgery (DDS).

Map of the package, in reading order:

- ``dds.model``    the model graph, its import from ONNX, the zoo, the splitter
- ``dds.costs``    devices, links, per-operator times; ``dds.profile`` measures them
- ``dds.cut``      the min-cut and the exact frontier of a client
- ``dds.market``   clients, tariffs, best responses, equilibria, certificates
- ``dds.session``  the protocol without I/O; ``dds.wire`` its messages as bytes
- ``dds.testing``  Hypothesis strategies and assertions for your own tests

The names below are the public surface; they load on first use, so that
``import dds`` costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dds.costs.device import DEVICES, Device
    from dds.costs.link import Link
    from dds.cut.pieces import Frontier
    from dds.cut.solver import frontier
    from dds.errors import DdsError, Infeasible, InvalidInput
    from dds.market.client import Client
    from dds.market.equilibrium import Equilibrium, competitive, nash
    from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power
    from dds.model.graph import ModelGraph
    from dds.model.importer import load_model

__version__ = "0.1.0"

__all__ = [
    "DEVICES",
    "Barrier",
    "Clearing",
    "Client",
    "DdsError",
    "Device",
    "Equilibrium",
    "Flat",
    "Frontier",
    "Infeasible",
    "InvalidInput",
    "Linear",
    "Link",
    "ModelGraph",
    "PiecewiseLinear",
    "Power",
    "competitive",
    "frontier",
    "load_model",
    "nash",
]

_HOME = {
    "DEVICES": "dds.costs.device",
    "Barrier": "dds.market.tariff",
    "Clearing": "dds.market.tariff",
    "Client": "dds.market.client",
    "DdsError": "dds.errors",
    "Device": "dds.costs.device",
    "Equilibrium": "dds.market.equilibrium",
    "Flat": "dds.market.tariff",
    "Frontier": "dds.cut.pieces",
    "Infeasible": "dds.errors",
    "InvalidInput": "dds.errors",
    "Linear": "dds.market.tariff",
    "Link": "dds.costs.link",
    "ModelGraph": "dds.model.graph",
    "PiecewiseLinear": "dds.market.tariff",
    "Power": "dds.market.tariff",
    "competitive": "dds.market.equilibrium",
    "frontier": "dds.cut.solver",
    "load_model": "dds.model.importer",
    "nash": "dds.market.equilibrium",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it, once."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'dds' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
