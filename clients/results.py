"""What is reported of each strategy: its cut, what it bought, how fast and how exact it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clients.planning import Placement
from dds.cut.pieces import Cut
from dds.market.certificate import Public, certificate_row
from dds.market.client import Client
from dds.model.graph import ModelGraph
from dds.session.answers import Settlement
from dds.session.messages import Terms

__all__ = [
    "ATOL",
    "RTOL",
    "Difference",
    "certificate",
    "compare",
    "cut_summary",
    "market_summary",
    "placement_summary",
]

#: A split model's outputs match the whole model's when np.allclose says so with these.
RTOL, ATOL = 1e-4, 1e-5

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far outputs are from the whole model's.

    absolute: largest |a - b|; relative: largest |a - b| / |b| where b != 0, both over finite
    values; match: whether all values are within RTOL and ATOL, and equal where not finite.
    """

    absolute: float
    relative: float
    match: bool


def compare(runs: Sequence[Outputs], references: Sequence[Outputs]) -> Difference:
    """The largest differences over all runs and outputs; a NaN matches a NaN."""
    absolute = relative = 0.0
    match = len(runs) == len(references)
    for outputs, reference in zip(runs, references, strict=False):
        match = match and outputs.keys() == reference.keys()
        for name in outputs.keys() & reference.keys():
            a, b = (np.asarray(side[name], dtype=np.float64) for side in (outputs, reference))
            if a.shape != b.shape:
                match = False
                continue
            match = match and bool(np.allclose(a, b, rtol=RTOL, atol=ATOL, equal_nan=True))
            finite = np.isfinite(a) & np.isfinite(b)
            gap = np.abs(a[finite] - b[finite])
            absolute = max(absolute, float(gap.max(initial=0.0)))
            scale = np.abs(b[finite])
            nonzero = scale > 0.0
            relative = max(relative, float((gap[nonzero] / scale[nonzero]).max(initial=0.0)))
    return Difference(absolute, relative, match)


def cut_summary(graph: ModelGraph, cut: Cut) -> dict[str, Any]:
    """Where the operators run and what crosses, for a report."""
    return {
        "operators_on_device": len(cut.on_device),
        "operators_on_server": len(graph.operators) - len(cut.on_device),
        "uplink_bytes": cut.uplink_bytes,
        "downlink_bytes": cut.downlink_bytes,
        "cut_tensors": [graph.tensors[t].name for t in cut.uploads],
    }


def placement_summary(graph: ModelGraph, placement: Placement) -> dict[str, Any]:
    """Where the operators run on three tiers, and what crosses either hop, for a report."""
    second = placement.second
    return {
        **cut_summary(graph, placement.first),
        "operators_on_edge": placement.on_edge,
        "operators_on_cloud": placement.on_cloud,
        "forwarded_bytes": second.uplink_bytes if placement.on_cloud else 0,
        "returned_bytes": second.downlink_bytes if placement.on_cloud else 0,
        "direct": placement.direct,
    }


def market_summary(settlement: Settlement) -> dict[str, Any]:
    """What was bought, for a report: cores, credits/s per core, credits/s."""
    allocation = settlement.allocation
    return {
        "epoch": allocation.epoch,
        "piece": settlement.piece,
        "share": allocation.share,
        "price": allocation.price,
        "payment": allocation.payment,
        "total_demand": allocation.total,
        "rounds": allocation.rounds,
        "regret": settlement.regret,
        "predicted_latency_s": settlement.latency,
        "objections": list(settlement.objections),
    }


def certificate(client: Client, settlement: Settlement, terms: Terms) -> dict[str, Any]:
    """What this client can prove: the public part of the certificate, and its own row.

    Together with the rows of all others they make the certificate of the equilibrium
    (docs/certificates.md).  The row shows the client's costs; the market never asks for it.
    """
    allocation = settlement.allocation
    below = allocation.below
    public = Public(
        concept="nash",
        tariff=terms.tariff,
        quantum=terms.quantum,
        price=allocation.price,
        price_below=below.price if below else None,
    )
    row = certificate_row(
        client,
        public,
        allocation.share,
        allocation.others,
        share_below=below.share if below else None,
    )
    return {
        "public": {
            "concept": public.concept,
            "tariff": terms.tariff.to_json(),
            "quantum": None if public.quantum is None else str(public.quantum),
            "price": public.price,
            "price_below": public.price_below,
        },
        "certificate_row": row,
    }
