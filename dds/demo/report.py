"""The table a run ends with, and the sentence under it."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from dds.demo.run import ClientRow, Run
from dds.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["summary_lines", "table"]

_COLUMNS = (
    ("client", "left"),
    ("model", "left"),
    ("device*", "right"),
    ("link*", "left"),
    ("operators\ndevice/server", "right"),
    ("bytes\nup/down", "right"),
    ("share*\ncores", "right"),
    ("payment\ncredits/s", "right"),
    ("predicted", "right"),
    ("corrected", "right"),
    ("measured", "right"),
    ("local-only", "right"),
    ("edge-only", "right"),
)


def _cells(row: ClientRow) -> list[str]:
    return [
        row.name,
        row.model,
        f"core ÷ {row.slowdown:g}",
        row.link,
        f"{row.operators_on_device}/{row.operators_on_server}",
        f"{format_bytes(row.uplink_bytes)}/{format_bytes(row.downlink_bytes)}",
        f"{row.share:.3f}",
        f"{row.payment:.3g}",
        format_seconds(row.predicted),
        format_seconds(row.corrected),
        format_seconds(row.measured),
        format_seconds(row.local_only),
        format_seconds(row.edge_only),
    ]


def _percent(part: float) -> str:
    return f"{100.0 * part:.1f} %"


def table(run: Run) -> Table:
    """The run as a rich table, one row per client."""
    from rich.table import Table

    shown = Table(title="Latency of one inference (median), and what each client bought")
    for name, justify in _COLUMNS:
        shown.add_column(name, justify="left" if justify == "left" else "right", no_wrap=True)
    for row in run.rows:
        shown.add_row(*_cells(row))
    return shown


def summary_lines(run: Run) -> list[str]:
    """What the table cannot show: the market, the proof, what is emulated, what failed."""
    scenario = run.scenario
    messages = [row.messages for row in run.rows]
    difference = max(row.max_abs_difference for row in run.rows)
    before, after = (
        fmean(getattr(row, f"error_{when}") for row in run.rows) for when in ("before", "after")
    )
    lines = [
        (
            f"price {run.price:.6g} credits/s per core ({run.tariff} tariff); "
            f"total demand {run.total:.3f} of {scenario.capacity:g} cores"
        ),
        f"{run.rounds} rounds; {min(messages)}-{max(messages)} messages per client; "
        f"largest regret {run.max_regret:.3g} credits/s; "
        + ("certificate REFUSED" if run.refusals else "certificate verified"),
        (
            f"predictions of the later inferences are off by {_percent(before)} on average before "
            f"correction, by {_percent(after)} after it"
        ),
        (
            f"largest output difference between split and whole model {difference:.3g}; "
            f"{run.wall_seconds:.0f} s in all"
        ),
        (
            "* emulated: a device is this machine's core slowed by the factor shown, "
            "a core of the server"
        ),
        (
            f"  is this machine's core ÷ {scenario.core_slowdown:g}, links are shaped in the "
            "client (3G 1.1, 4G 5.85, WiFi 18.88 Mbit/s up)."
        ),
        "  Kernels, market, gRPC and outputs are real.",
    ]
    return lines + [f"FAILED {line}" for line in run.failures]
