"""Many clients as arrays, so that one vectorised pass answers for all of them.

Pieces that offload stand in K x N matrices, padded where a client has fewer than
K; the local-only piece stands apart, for it buys nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dds.errors import InvalidInput
from dds.market.client import Client
from dds.market.numbers import LARGEST, SMALLEST, Floats, Ints, exact_share, quanta_within

__all__ = ["ClientTable"]


@dataclass(frozen=True, eq=False)
class ClientTable:
    """N clients, at most K offloading pieces each.

    base, work: A in s and W in core s, K x N, (inf, 1) where there is no piece;
    piece: its index in the client's frontier, K x N; value: w, credits/s per s, N;
    low, high: bounds on an offloading client's share, cores, N; local_base: A of
    local-only, s, N, inf without one; local_piece: its index, -1 without one; rate: lambda,
    inferences/s, N.
    """

    base: Floats
    work: Floats
    piece: Ints
    value: Floats
    low: Floats
    high: Floats
    local_base: Floats
    local_piece: Ints
    rate: Floats

    @classmethod
    def of(cls, clients: Sequence[Client]) -> ClientTable:
        """The table of ``clients``, in their order.

        Raises InvalidInput for a number other than 0 outside 1e-100..1e100, naming its place.
        """
        count = len(clients)
        depth = max((len(client.frontier.pieces) for client in clients), default=0)
        rows = [
            (piece.base_latency, piece.server_work)
            for client in clients
            for piece in client.frontier.pieces
        ]
        sizes = np.fromiter((len(c.frontier.pieces) for c in clients), np.int64, count)
        flat = np.array(rows, float).reshape(-1, 2)
        owner = np.repeat(np.arange(count), sizes)
        index = np.arange(len(flat)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        base = np.full((depth, count), math.inf)
        work = np.ones((depth, count))
        base[index, owner], work[index, owner] = flat[:, 0], flat[:, 1]
        local = work == 0.0
        has_local = local.any(axis=0)
        local_piece = np.where(has_local, local.argmax(axis=0), -1)
        local_base = np.where(has_local, base[local_piece, np.arange(count)], math.inf)
        base[local], work[local] = math.inf, 1.0
        table = cls(
            base,
            work,
            np.broadcast_to(np.arange(depth)[:, None], (depth, count)),
            np.array([c.value_of_time for c in clients], float),
            np.array([c.min_share for c in clients], float),
            np.array([c.max_share for c in clients], float),
            local_base,
            local_piece,
            np.array([c.rate for c in clients], float),
        )
        table._check(clients)
        return table

    def _check(self, clients: Sequence[Client]) -> None:
        for name, values in (
            ("value_of_time", self.value[None]),
            ("min_share", self.low[None]),
            ("max_share", self.high[None]),
            ("rate", self.rate[None]),
            ("base_latency_s", np.vstack((self.base, self.local_base))),
            ("server_work_s", self.work),
        ):
            sane = (values == 0.0) | ((values >= SMALLEST) & (values <= LARGEST))
            bad = ~(sane | np.isinf(values)).all(axis=0)
            if bad.any():
                i = int(bad.argmax())
                who = f" ({clients[i].name})" if clients[i].name else ""
                raise InvalidInput(
                    f"clients[{i}]{who}: a {name} is neither 0 nor "
                    f"between {SMALLEST:g} and {LARGEST:g}; use other units"
                )

    def __len__(self) -> int:
        return len(self.value)

    @property
    def depth(self) -> int:
        """K."""
        return len(self.base)

    def take(self, rows: Ints) -> ClientTable:
        """The table of the clients ``rows`` alone."""
        return ClientTable(
            self.base[:, rows],
            self.work[:, rows],
            self.piece[:, rows],
            self.value[rows],
            self.low[rows],
            self.high[rows],
            self.local_base[rows],
            self.local_piece[rows],
            self.rate[rows],
        )

    @cached_property
    def least_base(self) -> Floats:
        """The smallest A of each client, s: costs are compared net of it, for precision."""
        least: Floats = np.minimum(self.base.min(axis=0, initial=math.inf), self.local_base)
        return least

    @property
    def must_offload(self) -> NDArray[np.bool_]:
        """Which clients have no local-only piece."""
        return self.local_piece < 0

    def bounds(self, quantum: Fraction | None) -> tuple[Floats, Floats]:
        """Smallest and largest share of an offloading client: cores, or quanta (at least 1)."""
        if quantum is None:
            return self.low, self.high
        if quantum not in self._bounds:
            low = np.maximum(quanta_within(self.low, quantum, up=True), 1.0)
            self._bounds[quantum] = low, quanta_within(self.high, quantum, up=False)
        return self._bounds[quantum]

    @cached_property
    def _bounds(self) -> dict[Fraction, tuple[Floats, Floats]]:
        return {}

    def latencies(self, shares: Floats, quantum: Fraction | None = None) -> tuple[Floats, Ints]:
        """T(f) in s of every client at its share, and the piece that attains it.

        A share of 0 means local-only.  Pieces too close for floats are compared exactly; on a
        tie the smaller index wins.
        """
        sold = shares > 0.0
        best = np.where(sold, math.inf, self.local_base)
        piece, second = np.where(sold, -1, self.local_piece), np.full(len(self), math.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            for k in range(self.depth):
                latency = np.where(sold, self.base[k] + self.work[k] / shares, math.inf)
                better = latency < best
                second = np.where(better, best, np.minimum(second, latency))
                best = np.where(better, latency, best)
                piece = np.where(better, self.piece[k], piece)
            close = np.flatnonzero(sold & (second - best <= 1e-12 * best))
        for i in close.tolist():
            piece[i] = self._fastest(i, exact_share(float(shares[i]), quantum))
        return best, piece

    def _fastest(self, row: int, share: Fraction) -> int:
        pieces = zip(self.base[:, row].tolist(), self.work[:, row].tolist(), strict=True)
        return min(
            (Fraction(a) + Fraction(w) / share, int(self.piece[k, row]))
            for k, (a, w) in enumerate(pieces)
            if a < math.inf
        )[1]
