"""The cells of the three-tier experiment as a picture: what the exact plan saves, tile by tile."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dds.experiments.three_tier import Cell, Setting, Summary
from dds.tiers.baselines import BASELINES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = ["draw"]

_COLUMNS = (*BASELINES, "two-point")


def draw(setting: Setting, cells: Sequence[Cell], found: Summary) -> bytes:
    """A PNG: one panel per network and market, a tile per comparison."""
    from matplotlib.figure import Figure

    down, across = len(setting.markets), len(setting.networks)
    size = (1.6 + 4.4 * across, 2.0 + down * (0.9 + 0.32 * len(setting.models)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for row, (market, clients) in enumerate(setting.markets.items()):
        for column, network in enumerate(setting.networks):
            inside = [c for c in cells if (c.network, c.market) == (network, market)]
            axes = panels[row][column]
            image = _draw_panel(inside, axes)
            axes.set_title(
                f"{network}, {market}: {clients} per model, price {inside[0].price:.2g}",
                fontsize=10,
            )
    bar = figure.colorbar(image, ax=panels, shrink=0.6, pad=0.01)
    bar.set_label("latency of the exact plan: lower by, %")
    figure.suptitle(
        f"{setting.device.name}, {setting.edge.name}, {setting.cloud.name}: exact plans take "
        f"{100.0 * found.overall:.1f} % less time than the six baselines on average,\nand tie with "
        f"the best of them in {found.best_ties} of {found.cells} cells, with chain two-point "
        f"search in {found.two_point_ties}",
        fontsize=11,
    )
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    return picture.getvalue()


def _draw_panel(cells: Sequence[Cell], axes: Axes) -> AxesImage:
    """Models down, comparisons across; an empty tile is a tie."""
    saved = [
        [100.0 * cell.saved({**cell.baselines, "two-point": cell.two_point}[name])
         for name in _COLUMNS]
        for cell in cells
    ]  # fmt: skip
    image = axes.imshow(saved, cmap="Blues", vmin=0.0, vmax=100.0, aspect="auto")
    for y, line in enumerate(saved):
        for x, percent in enumerate(line):
            axes.text(
                x, y, f"{percent:.0f}" if percent else "tie",
                ha="center", va="center", fontsize=8,
                color="white" if percent > 55.0 else "#333333" if percent else "#999999",
            )  # fmt: skip
    axes.set_xticks(range(len(_COLUMNS)), _COLUMNS, rotation=35, ha="right", fontsize=8)
    axes.set_yticks(range(len(cells)), [cell.model for cell in cells], fontsize=8)
    axes.tick_params(length=0)
    return image
