"""Cells of the parallel experiment as JSON, and as rows and lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from dds.experiments.parallel import ALONE, RIVALS, Cell, Setting, Summary, summary

__all__ = ["document", "group", "rows", "summary_lines", "summary_rows"]


def document(setting: Setting, cells: Sequence[Cell]) -> dict[str, Any]:
    """Everything as the JSON document "dds-parallel/1": seconds and bytes/s.

    What is saved is a part: 0.25 is 25 % lower latency.
    """
    device = setting.device
    return {
        "format": "dds-parallel/1",
        "setting": {
            "device": {
                "name": device.name,
                "flops_per_s": device.flops_per_s,
                "bytes_per_s": device.bytes_per_s,
                "overhead_s": device.overhead,
            },
            "slice_overhead_s": setting.overhead,
            "slice_thin_rows": setting.thin,
            "networks": {
                name: {
                    "bytes_per_s": links.bandwidth,
                    "message_s": links.message,
                    "shared": links.shared,
                }
                for name, links in setting.networks.items()
            },
        },
        "cells": [_cell(cell) for cell in cells],
        "summary": {
            "all": _summary(summary(cells)),
            **{
                name: _summary(summary([c for c in cells if c.network == name]))
                for name in setting.networks
            },
        },
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "network": cell.network,
        "helpers": list(cell.helpers),
        "model": cell.model,
        "latency_s": {"ours": cell.latency, **cell.rivals, ALONE: cell.alone},
        "bound_s": cell.bound,
        "best_rival": cell.best,
        "saved_against_best": cell.saved(cell.best),
        "found_by": cell.schedule.method,
        "sliced": cell.schedule.sliced,
        "transfers": len(cell.schedule.transfers),
        "violations": list(cell.violations),
    }


def _summary(found: Summary) -> dict[str, Any]:
    return {
        "cells": found.cells,
        "saved_mean": {**found.mean, "best": found.best_mean},
        "saved_median": {**found.median, "best": found.best_median},
        "saved_most": {"best": found.best_most},
        "ties": {**found.ties, "best": found.best_ties},
        "cells_with_anything_faster": found.worse,
        "cells_with_violations": found.invalid,
    }


def group(helpers: Sequence[float]) -> str:
    """Speeds as text, the device's first: ``1+1+2+4``."""
    return "+".join(f"{speed:g}" for speed in (1.0, *helpers))


def rows(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """A head and a row per cell; latencies in ms."""
    head = ("network", "speeds", "model", "bound", "ours", *RIVALS, "alone", "best", "below it")
    return [head, *map(_row, cells)]


def _row(cell: Cell) -> tuple[str, ...]:
    times = (cell.bound, cell.latency, *(cell.rivals[name] for name in RIVALS), cell.alone)
    return (
        cell.network,
        group(cell.helpers),
        cell.model,
        *(f"{1e3 * seconds:.1f}" for seconds in times),
        cell.best,
        _lower(cell.saved(cell.best)),
    )


def _lower(saved: float) -> str:
    """A part saved as text: a tie is called a tie."""
    return f"{100.0 * saved:.2f} %" if saved else "tie"


def summary_rows(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """What our schedules save against the device alone and each rival: in all, on each network."""
    networks = dict.fromkeys(cell.network for cell in cells)
    groups = [summary(cells), *(summary([c for c in cells if c.network == n]) for n in networks)]
    head = ["ours below, median (ties)", "all", *networks]
    lines = [
        [name, *(_short(g.median[name], g.ties[name], g.cells) for g in groups)]
        for name in (ALONE, *RIVALS)
    ]
    best = ["best of them", *(_short(g.best_median, g.best_ties, g.cells) for g in groups)]
    mean = ["best of them, mean", *(f"{100.0 * g.best_mean:.1f} %" for g in groups)]
    most = ["best of them, most", *(f"{100.0 * g.best_most:.1f} %" for g in groups)]
    return [tuple(line) for line in (head, *lines, best, mean, most)]


def _short(saved: float, ties: int, cells: int) -> str:
    return f"{100.0 * saved:.1f} % ({ties} of {cells})"


def summary_lines(cells: Sequence[Cell]) -> list[str]:
    """What must not be; nothing if all is well, but for what was checked."""
    found = summary(cells)
    valid = found.cells - found.invalid
    above = median(cell.latency / cell.bound for cell in cells)
    lines = [
        f"ours is {above:.2f} times its lower bound (all speeds added up, nothing sent), median",
        f"the checker finds nothing wrong in {valid} of {found.cells} schedules",
    ]
    if found.worse:
        lines.append(f"FAILED: something is faster than ours in {found.worse} cells")
    wrong = next((cell for cell in cells if cell.violations), None)
    if wrong is not None:
        lines.append(f"FAILED: {wrong.network}, {group(wrong.helpers)}, {wrong.model}: "
                     f"{wrong.violations[0]}")  # fmt: skip
    return lines
