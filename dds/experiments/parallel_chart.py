"""A schedule as a picture: who computes what when, what is sent meanwhile, and the best rival."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from dds.experiments.parallel import ALONE, Cell, Setting
from dds.experiments.parallel_report import group
from dds.model.graph import ModelGraph
from dds.parallel.schedule import Schedule, baselines, schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "gantt", "most_gained"]

_COLOURS: Mapping[str, str] = MappingProxyType(
    {"whole": "#4878a8", "rows": "#6aa56a", "channels": "#9a78b8", "transfer": "#e0913a"}
)
#: Letters that fit across the picture.
_LETTERS = 190.0
#: Of the time axis beyond the last end, whose line would else be cut off.
_MARGIN = 0.01


def most_gained(cells: Sequence[Cell]) -> Cell:
    """The cell whose schedule saves most against its best rival: the one to look at."""
    return max(cells, key=lambda cell: cell.saved(cell.best))


def draw(setting: Setting, cell: Cell) -> bytes:
    """:func:`gantt` as a PNG."""
    picture = io.BytesIO()
    gantt(setting, cell).savefig(picture, dpi=110, format="png")
    return picture.getvalue()


def gantt(setting: Setting, cell: Cell) -> Figure:
    """Our schedule of a cell above that of its best rival, on one time axis.

    Each worker has a row for what it computes, and a thin one below for what it sends.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    workers, links = setting.team(cell.helpers), setting.networks[cell.network]
    if cell.best == "operators":
        rival = schedule(cell.graph, workers, links, slices=False)
    else:
        rival = baselines(cell.graph, workers, links)[cell.best]
    figure = Figure(figsize=(14.0, 2.0 + 1.1 * len(workers)), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True, squeeze=True)
    end = max(rival.latency, cell.latency)
    names = [worker.name for worker in workers]
    for axes, found, whose in zip(
        panels, (cell.schedule, rival), ("ours", f"best of the others: {cell.best}"), strict=True
    ):
        _draw_panel(axes, found, cell.graph, names, end)
        axes.set_title(f"{whose}, {1e3 * found.latency:.1f} ms", fontsize=10, loc="left")
    panels[1].set_xlabel("ms")
    panels[1].set_xlim(0.0, 1e3 * end * (1.0 + _MARGIN))
    figure.suptitle(
        f"{cell.model} on a device and {len(cell.helpers)} helpers (speeds {group(cell.helpers)}), "
        f"{cell.network}: latency is {_below(cell.saved(ALONE))} the device alone "
        f"({1e3 * cell.alone:.1f} ms), {_below(cell.saved(cell.best))} {cell.best}",
        fontsize=11,
    )
    figure.legend(
        handles=[Patch(color=_COLOURS[kind], label=label) for kind, label in (
            ("whole", "operators (first and how many more)"), ("rows", "slice of rows"),
            ("channels", "slice of channels"),
            ("transfer", "transfer, below its sender, with the number of its receiver"),
        )],
        loc="outside lower center", ncols=4, fontsize=8, frameon=False,
    )  # fmt: skip
    return figure


def _below(saved: float) -> str:
    return f"{100.0 * saved:.1f} % below that of" if saved else "that of"


def _draw_panel(
    axes: Axes, found: Schedule, graph: ModelGraph, names: Sequence[str], end: float
) -> None:
    for task in found.tasks:
        operators = [graph.operators[v].kind for v in task.tile.operators]
        label = operators[0] if len(operators) == 1 else f"{operators[0]} +{len(operators) - 1}"
        _bar(axes, (task.worker, 0.62), task.start, task.end, end, _COLOURS[task.tile.kind], label)
    for sent in found.transfers:
        place, label = (sent.sender + 0.48, 0.2), str(sent.receiver)
        _bar(axes, place, sent.start, sent.end, end, _COLOURS["transfer"], label)
    axes.axvline(1e3 * found.latency, color="#333333", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(names)), [f"{k}: {name}" for k, name in enumerate(names)], fontsize=8)
    axes.set_ylim(len(names) - 0.3, -0.45)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _bar(
    axes: Axes, place: tuple[float, float], start: float, stop: float, end: float,
    colour: str, label: str,
) -> None:  # fmt: skip
    """A bar in a row, with its label if that fits; place: the row's middle and height."""
    if stop <= start:
        return
    middle, height = place
    axes.broken_barh(
        [(1e3 * start, 1e3 * (stop - start))], (middle - height / 2.0, height),
        facecolors=colour, edgecolors="white", linewidth=0.3,
    )  # fmt: skip
    if (stop - start) / end * _LETTERS > len(label) + 0.5:
        axes.text(
            1e3 * (start + stop) / 2.0, middle, label,
            ha="center", va="center", fontsize=6.5, color="white",
        )  # fmt: skip
