"""The picture of a run: latency per client and strategy, and who holds the server."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dds.demo.run import Run
from dds.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

# Okabe-Ito: told apart by everyone, in print too.
_LOCAL, _EDGE, _DDS, _INK = "#999999", "#56b4e9", "#d55e00", "#222222"


def draw(run: Run, path: Path) -> None:
    """Write the picture of `run` to `path` as PNG."""
    # matplotlib wants a writable home for its caches; without HOME a temporary one will do.
    if "HOME" not in os.environ:
        os.environ.setdefault("MPLCONFIGDIR", tempfile.mkdtemp(prefix="dds-matplotlib-"))
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.6), layout="constrained")
    latency, market = figure.subplots(1, 2, width_ratios=(3.2, 1), sharey=True)
    _draw_latency(run, latency)
    _draw_shares(run, market)
    verdict = "certificate verified" if not run.failures else "FAILED"
    figure.suptitle(
        f"{len(run.rows)} selfish clients, one MEC server of {run.scenario.capacity:g} cores: "
        f"{run.total:.2f} sold at {run.price:.3g} credits/s per core, {verdict}",
        fontsize=11,
    )
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format="png")
    write_whole(path, picture.getvalue())


def _draw_latency(run: Run, axes: Axes) -> None:
    height = 0.26
    for offset, values, colour, label in (
        (-height, [row.local_only for row in run.rows], _LOCAL, "local-only"),
        (0.0, [row.edge_only for row in run.rows], _EDGE, "edge-only"),
        (height, [row.measured for row in run.rows], _DDS, "DDS (cut and share at equilibrium)"),
    ):
        places = [i + offset for i in range(len(run.rows))]
        axes.barh(places, values, height=height, color=colour, label=label)
    axes.scatter(
        [row.predicted for row in run.rows],
        [i + height for i in range(len(run.rows))],
        marker="|",
        s=90,
        color=_INK,
        label="predicted by DDS",
        zorder=3,
    )
    axes.set_yticks(
        range(len(run.rows)),
        [f"{row.name}\n{row.model}, {row.link}, ÷{row.slowdown:g}" for row in run.rows],
        fontsize=8,
    )
    axes.invert_yaxis()
    axes.set_xlabel("measured latency of one inference, s")
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)


def _draw_shares(run: Run, axes: Axes) -> None:
    axes.barh(range(len(run.rows)), [row.share for row in run.rows], height=0.6, color=_DDS)
    for i, row in enumerate(run.rows):
        text = f" {row.share:.3f}" if row.share > 0 else " stays local"
        axes.text(row.share, i, text, va="center", fontsize=8)
    axes.set_xlim(0, max((row.share for row in run.rows), default=0.0) * 1.35 or 1.0)
    axes.set_xlabel("share bought, cores")
