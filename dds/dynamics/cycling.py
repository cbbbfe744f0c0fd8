"""The instance that shows why an auctioneer is needed."""

from __future__ import annotations

from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.tariff import Barrier

__all__ = ["cycling_market"]


def cycling_market() -> tuple[tuple[Client, ...], Barrier]:
    """Twelve equal clients, load 6, at a barrier of one core, who never settle if all move at once.

    Each has 0.5 core s of work, or 2 s locally.  From an idle server everybody wants 0.65 cores,
    which makes 7.8 times what there is; beside that everybody stays local; and so on for ever.
    Going only half of the way cycles too.  One at a time they settle.

    >>> from dds.dynamics import cycling_market, simultaneous
    >>> seen = simultaneous(*cycling_market())
    >>> seen.cycle, seen.totals.round(1).tolist()
    (2, [0.0, 7.8, 0.0, 7.8])
    """
    pieces = Frontier.from_points([(0.0, 0.5), (2.0, 0.0)])
    clients = tuple(Client(pieces, 1.0, name=f"client {i}") for i in range(12))
    return clients, Barrier(base_price=0.145, capacity=1.0)
