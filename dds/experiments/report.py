"""Cells of the three-tier experiment as JSON, and as rows and lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dds.costs.link import Link
from dds.experiments.three_tier import REPORTED, Cell, Setting, Summary
from dds.tiers.baselines import BASELINES

__all__ = ["document", "link_document", "rows", "summary_lines", "summary_rows"]


def document(setting: Setting, cells: Sequence[Cell], found: Summary) -> dict[str, Any]:
    """Everything as the JSON document "dds-three-tier/1": seconds, cores, Mbit/s where it says so.

    What is saved is a part: 0.25 is 25 % lower latency.
    """
    return {
        "format": "dds-three-tier/1",
        "setting": {
            "device": setting.device.name,
            "edge": setting.edge.name,
            "cloud": setting.cloud.name,
            "cloud_share": setting.cloud_share,
            "capacity": setting.capacity,
            "max_share": setting.max_share,
            "clients_per_model": dict(setting.markets),
            "networks": {name: link_document(link) for name, link in setting.networks.items()},
            "edge_cloud": link_document(setting.edge_cloud),
            "direct_rtt_s": setting.direct_rtt,
        },
        "cells": [_cell(cell) for cell in cells],
        "summary": {
            "cells": found.cells,
            "saved": {**found.saved, "mean of the six": found.overall, "best of six": found.best},
            "reported_elsewhere": REPORTED,
            "ties": {
                **found.ties,
                "best of six": found.best_ties,
                "chain two-point": found.two_point_ties,
            },
            "cells_with_three_tiers": found.three_tiers,
            "cells_with_anything_faster": found.worse,
        },
    }


def link_document(link: Link) -> Mapping[str, float]:
    """Bandwidths in Mbit/s, round trip in s."""
    return {
        "uplink_mbps": link.uplink * 8.0 / 1e6,
        "downlink_mbps": link.downlink * 8.0 / 1e6,
        "rtt_s": link.rtt,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    device, edge, cloud = cell.operators
    return {
        "network": cell.network,
        "market": cell.market,
        "model": cell.model,
        "price": cell.price,
        "bought_share": cell.bought,
        "compared_share": cell.share,
        "operators_on_device": device,
        "operators_on_edge": edge,
        "operators_on_cloud": cloud,
        "direct": cell.direct,
        "latency_s": {
            "exact": cell.exact, **cell.baselines, "chain two-point": cell.two_point,
        },
        "saved_against_best": cell.saved(cell.best),
    }  # fmt: skip


def rows(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """A head and a row per cell; latencies in ms."""
    head = (
        "network", "market", "model", "price", "bought", "at share", "device/edge/cloud", "exact",
        *BASELINES, "two-point", "vs best",
    )  # fmt: skip
    return [head, *map(_row, cells)]


def _row(cell: Cell) -> tuple[str, ...]:
    times = (cell.exact, *(cell.baselines[name] for name in BASELINES), cell.two_point)
    return (
        cell.network,
        cell.market,
        cell.model,
        f"{cell.price:.3g}",
        f"{cell.bought:.3f}",
        f"{cell.share:.3f}",
        "/".join(map(str, cell.operators)) + (" direct" if cell.direct else ""),
        *(f"{1e3 * seconds:.1f}" for seconds in times),
        _lower(cell.saved(cell.best)),
    )


def _lower(saved: float) -> str:
    """A part saved as text: a tie is called a tie."""
    return f"{100.0 * saved:.2f} %" if saved else "tie"


def summary_rows(found: Summary) -> list[tuple[str, ...]]:
    """What the exact plan saves against each baseline, and in how many cells nothing."""
    lines = [
        (name, f"{100.0 * found.saved[name]:.2f} %", f"{found.ties[name]} of {found.cells}")
        for name in BASELINES
    ]
    mean = ("mean of the six", f"{100.0 * found.overall:.2f} %", "")
    best = ("best of the six", f"{100.0 * found.best:.2f} %", f"{found.best_ties} of {found.cells}")
    return [("exact plan against", "lower latency, mean", "ties"), *lines, mean, best]


def summary_lines(found: Summary) -> list[str]:
    """What else there is to know."""
    cells = f"of {found.cells} cells"
    lines = [
        f"chain two-point search finds as good a plan in {found.two_point_ties} {cells}",
        f"the exact plan uses all three tiers in {found.three_tiers} {cells}",
        f"for scale: FGCS 140 (2023) reports {100.0 * REPORTED:g} % over six baselines of its own",
    ]
    if found.worse:
        lines.append(f"FAILED: something is faster than the exact plan in {found.worse} {cells}")
    return lines
