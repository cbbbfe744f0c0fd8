"""The proof that pieces are an equilibrium of a pooled server: format "dds-pooled/1".

It needs no witness: the clients, their pieces and the slowdown curve are all that the checker
(``proofs.pooled``) wants to try every deviation in rational arithmetic.  docs/pooled.md has
the format.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from dds.errors import InternalError
from dds.market.certificate import Certificate
from dds.market.numbers import SMALLEST
from dds.pool.equilibrium import PooledEquilibrium
from dds.pool.game import Game

__all__ = ["FORMAT", "certify"]

FORMAT = "dds-pooled/1"


def certify(found: PooledEquilibrium) -> Certificate:
    """The certificate of an equilibrium; payments and sums are rounded from exact ones."""
    table, curve = found.table, found.server.slowdown
    game = Game.of(table, found.server)
    rows = np.where(found.pieces == table.local_piece, table.depth, found.pieces)
    busy, weight = game.exact_sums(rows)
    x = _bearable(curve.exact(busy / Fraction(game.capacity)))
    clients: list[dict[str, Any]] = []
    for i, row in enumerate(rows.tolist()):
        client = table.client(i)
        work = Fraction(float(game.work[row, i]))
        own = Fraction(client.value_of_time) * work
        before = (busy - Fraction(client.rate) * work) / Fraction(game.capacity)
        spared = x - _bearable(curve.exact(before))
        pieces = [[p.base_latency, p.server_work] for p in client.frontier.pieces]
        # Where the table has gaps the client's pieces have moved up.
        chosen = [float(game.base[row, i]), float(work)]
        clients.append(
            {
                "name": client.name,
                "value_of_time": client.value_of_time,
                "rate": client.rate,
                "pieces": pieces,
                "piece": pieces.index(chosen),
                "latency_s": float(Fraction(chosen[0]) + work * x),
                "payment": _sane(float((weight - own) * spared)),
            }
        )
    return Certificate(
        {
            "format": FORMAT,
            "capacity": found.server.capacity,
            "slowdown_curve": dict(curve.to_json()),
            "load": _sane(float(busy / Fraction(game.capacity))),
            "slowdown": float(x),
            "toll": _sane(found.toll),
            "cost": found.cost,
            "clients": clients,
        }
    )


def _sane(value: float) -> float:
    """A number too small to matter is 0: no market number is below 1e-100."""
    return value if value >= SMALLEST else 0.0


def _bearable(x: Fraction | None) -> Fraction:
    if x is None:
        raise InternalError("an equilibrium overloads its server")
    return x
