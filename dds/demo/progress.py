"""What a terminal shows while the demo runs: one line per process, updated in place.

Nothing is written when stderr is not a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dds.demo.processes import Event
from dds.demo.scenario import Scenario
from dds.units import format_seconds

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Progress"]


class Progress:
    """Turns events into a live table; ``on_event`` is what :func:`dds.demo.fleet.play` calls."""

    def __init__(self, scenario: Scenario) -> None:
        self._rows = {"server": "starting"}
        self._rows |= {p.name: "starting" for p in scenario.participants}
        self._models = {p.name: p.model for p in scenario.participants}
        self._refresh: Callable[[], None] = lambda: None

    def on_event(self, who: str, event: Event) -> None:
        """Show the latest of who ("server" or a participant's name)."""
        text = describe(event)
        if text:
            self._rows[who] = text
            self._refresh()

    @contextmanager
    def live(self) -> Iterator[None]:
        """Draw on the terminal until the block ends."""
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        if not console.is_terminal:
            yield
            return
        with Live(self._table(), console=console, refresh_per_second=8, transient=True) as live:
            self._refresh = lambda: live.update(self._table())
            yield

    def _table(self) -> Table:
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        table.add_column("process")
        table.add_column("model")
        table.add_column("now", no_wrap=True)
        for name, text in self._rows.items():
            table.add_row(name, self._models.get(name, ""), text)
        return table


def describe(event: Event) -> str:
    """One event in a few words; "" for one not worth showing."""
    match event["event"]:
        case "listening":
            return f"listening on {event['address']}"
        case "loaded":
            return "model built"
        case "profiled":
            return f"profiled: {format_seconds(event['local_latency_s'])} on the device alone"
        case "joined":
            return "in the market, waiting for the others"
        case "round":
            return f"{event['strategy']}: round {event['round']}, wants {event['share']:.3f} cores"
        case "allocated":
            return f"{event['strategy']}: bought {event['share']:.3f} cores"
        case "uploaded":
            return f"{event['strategy']}: its part of the model is on the server"
        case "inference":
            return (
                f"{event['strategy']}: inference {event['index'] + 1}, "
                f"{format_seconds(event['latency_s'])}"
            )
        case "done":
            return "done"
    return ""
