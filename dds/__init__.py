"""Decentralized DNN Surgery (DDS).

Map of the package, in reading order:

- ``dds.model``    the model graph, its import from ONNX, the zoo, the splitter
- ``dds.costs``    devices, links, per-operator times; ``dds.profile`` measures them,
  ``dds.predict`` learns them
- ``dds.cut``      the min-cut, the exact frontier of a client, the hull over all links
- ``dds.tiers``    device, edge and cloud: exact plans over three tiers
- ``dds.parallel`` operators and slices of them on several workers at once
- ``dds.engines``  the runtimes that a model or a piece of one can run on
- ``dds.market``   clients, tariffs, best responses, equilibria, certificates, welfare
- ``dds.online``   a market that clients join and leave
- ``dds.pool``     the pooled product: one work-conserving server, pay for what you use
- ``dds.dynamics`` rules of play to compare with
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
    from dds.cut.hull import CutHull, hull
    from dds.cut.pieces import Frontier
    from dds.cut.solver import frontier
    from dds.errors import DdsError, Infeasible, InvalidInput
    from dds.market.client import Client
    from dds.market.efficiency import Efficiency, efficiency
    from dds.market.endowment import Endowed, endowed
    from dds.market.equilibrium import Equilibrium, competitive, nash
    from dds.market.social import SocialOptimum, social
    from dds.market.table import ClientTable
    from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power
    from dds.model.graph import ModelGraph
    from dds.model.importer import load_model
    from dds.online.market import Market
    from dds.parallel.frontier import ParallelFrontier, parallel_frontier
    from dds.parallel.granularity import refine
    from dds.parallel.schedule import Schedule, schedule
    from dds.parallel.workers import Worker, WorkerLinks
    from dds.pool.equilibrium import PooledEquilibrium, pooled
    from dds.pool.recommend import Recommendation, recommend
    from dds.pool.server import Pool
    from dds.tiers.hull import TierHull, tier_hull
    from dds.tiers.links import Offer, TierLinks
    from dds.tiers.plan import TierPlan
    from dds.tiers.solver import TierFrontier, three_tier, tier_frontier

__version__ = "0.1.0"

__all__ = [
    "DEVICES",
    "Barrier",
    "Clearing",
    "Client",
    "ClientTable",
    "CutHull",
    "DdsError",
    "Device",
    "Efficiency",
    "Endowed",
    "Equilibrium",
    "Flat",
    "Frontier",
    "Infeasible",
    "InvalidInput",
    "Linear",
    "Link",
    "Market",
    "ModelGraph",
    "Offer",
    "ParallelFrontier",
    "PiecewiseLinear",
    "Pool",
    "PooledEquilibrium",
    "Power",
    "Recommendation",
    "Schedule",
    "SocialOptimum",
    "TierFrontier",
    "TierHull",
    "TierLinks",
    "TierPlan",
    "Worker",
    "WorkerLinks",
    "competitive",
    "efficiency",
    "endowed",
    "frontier",
    "hull",
    "load_model",
    "nash",
    "parallel_frontier",
    "pooled",
    "recommend",
    "refine",
    "schedule",
    "social",
    "three_tier",
    "tier_frontier",
    "tier_hull",
]

_HOME = {
    "Barrier": "dds.market.tariff",
    "Clearing": "dds.market.tariff",
    "Client": "dds.market.client",
    "ClientTable": "dds.market.table",
    "CutHull": "dds.cut.hull",
    "DEVICES": "dds.costs.device",
    "DdsError": "dds.errors",
    "Device": "dds.costs.device",
    "Efficiency": "dds.market.efficiency",
    "Endowed": "dds.market.endowment",
    "Equilibrium": "dds.market.equilibrium",
    "Flat": "dds.market.tariff",
    "Frontier": "dds.cut.pieces",
    "Infeasible": "dds.errors",
    "InvalidInput": "dds.errors",
    "Linear": "dds.market.tariff",
    "Link": "dds.costs.link",
    "Market": "dds.online.market",
    "ModelGraph": "dds.model.graph",
    "Offer": "dds.tiers.links",
    "ParallelFrontier": "dds.parallel.frontier",
    "PiecewiseLinear": "dds.market.tariff",
    "Pool": "dds.pool.server",
    "PooledEquilibrium": "dds.pool.equilibrium",
    "Power": "dds.market.tariff",
    "Recommendation": "dds.pool.recommend",
    "Schedule": "dds.parallel.schedule",
    "SocialOptimum": "dds.market.social",
    "TierFrontier": "dds.tiers.solver",
    "TierHull": "dds.tiers.hull",
    "TierLinks": "dds.tiers.links",
    "TierPlan": "dds.tiers.plan",
    "Worker": "dds.parallel.workers",
    "WorkerLinks": "dds.parallel.workers",
    "competitive": "dds.market.equilibrium",
    "efficiency": "dds.market.efficiency",
    "endowed": "dds.market.endowment",
    "frontier": "dds.cut.solver",
    "hull": "dds.cut.hull",
    "load_model": "dds.model.importer",
    "nash": "dds.market.equilibrium",
    "parallel_frontier": "dds.parallel.frontier",
    "pooled": "dds.pool.equilibrium",
    "recommend": "dds.pool.recommend",
    "refine": "dds.parallel.granularity",
    "schedule": "dds.parallel.schedule",
    "social": "dds.market.social",
    "three_tier": "dds.tiers.solver",
    "tier_frontier": "dds.tiers.solver",
    "tier_hull": "dds.tiers.hull",
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
