"""What the measured three-tier experiment prints: lines of a table, and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dds.demo.tiers import WAYS, MeasuredCell, Measurement
from dds.experiments.report import link_document

__all__ = ["caption", "document", "lines", "rows"]

_BASELINES = tuple(way for way in WAYS.values() if way != "exact")


def caption(wanted: Measurement) -> list[str]:
    """What stands above the table: how the tiers were made."""
    emulation, setting = wanted.emulation, wanted.setting
    measured = (
        f"measured: medians of {wanted.inferences} inferences, s; one client alone, an edge of "
        f"{setting.capacity:g} cores, {setting.max_share:g} at most for one inference, "
        f"{setting.cloud_share:g} of the cloud"
    )
    emulated = (
        f"emulated: seconds per CPU second of this machine: device {emulation.device:g}, edge core "
        f"{emulation.edge:g}, cloud {emulation.cloud:g}; links {emulation.stretch:g} times slower "
        "than their names say"
    )
    return [measured, emulated]


def rows(cells: Sequence[MeasuredCell]) -> list[tuple[str, ...]]:
    """A head and a row per cell; latencies in s."""
    head = ("network", "model", "device/edge/cloud", "share", "predicted", "exact", *_BASELINES,
            "vs best")  # fmt: skip
    return [head, *map(_row, cells)]


def _row(cell: MeasuredCell) -> tuple[str, ...]:
    change = cell.latency("exact") / cell.latency(cell.best) - 1.0
    return (
        cell.network,
        cell.model,
        "/".join(map(str, cell.operators)) + (" direct" if cell.direct else ""),
        f"{cell.share:g}",
        f"{cell.predicted['exact']:.3f}",
        *(f"{cell.latency(way):.3f}" for way in ("exact", *_BASELINES)),
        f"{100.0 * change:+.1f} %" + (" (same)" if cell.same == cell.best else ""),
    )


def lines(cells: Sequence[MeasuredCell]) -> list[str]:
    """What else there is to know."""
    known = sum(cell.same != "" for cell in cells)
    error = max(abs(c.predicted["exact"] / c.latency("exact") - 1.0) for c in cells)
    same = (
        f"the exact plan is that of a baseline in {known} of {len(cells)} cells; where that is the "
        "best (same), what differs is noise"
    )
    predicted = (
        "predicted before any inference, from a profile of the model: within "
        f"{100.0 * error:.1f} % of what was measured"
    )
    outputs = (
        "outputs of all inferences: the whole model's, largest difference "
        f"{max(cell.difference for cell in cells):.3g}"
    )
    wrong = [f"{cell.model} on {cell.network}" for cell in cells if not cell.outputs_match]
    if wrong:
        outputs = f"FAILED: outputs differ from the whole model's: {', '.join(wrong)}"
    return [same, predicted, outputs]


def document(wanted: Measurement, cells: Sequence[MeasuredCell], version: str) -> dict[str, Any]:
    """Everything as the JSON document "dds-three-tier-measured/1"; links as emulated."""
    setting, emulation = wanted.setting, wanted.emulation
    names = setting.networks
    return {
        "format": "dds-three-tier-measured/1",
        "version": version,
        "emulation": {
            "device_slowdown": emulation.device,
            "edge_core_slowdown": emulation.edge,
            "cloud_core_slowdown": emulation.cloud,
            "link_stretch": emulation.stretch,
        },
        "setting": {
            "capacity": setting.capacity,
            "max_share": setting.max_share,
            "cloud_share": setting.cloud_share,
            "inferences": wanted.inferences,
            "seed": wanted.seed,
            "networks": {name: link_document(emulation.stretched(names[name])) for name in names},
            "edge_cloud": link_document(emulation.stretched(setting.edge_cloud)),
            "direct_rtt_s": emulation.stretch * setting.direct_rtt,
        },
        "cells": [_cell(cell) for cell in cells],
    }


def _cell(cell: MeasuredCell) -> dict[str, Any]:
    device, edge, cloud = cell.operators
    return {
        "network": cell.network,
        "model": cell.model,
        "price": cell.price,
        "bought_share": cell.share,
        "operators_on_device": device,
        "operators_on_edge": edge,
        "operators_on_cloud": cloud,
        "direct": cell.direct,
        "predicted_latency_s": dict(cell.predicted),
        "measured_latency_s": {way: list(cell.measured[way]) for way in cell.measured},
        "max_abs_difference": cell.difference,
        "outputs_match": cell.outputs_match,
    }
