"""Many clients as arrays, so that one vectorised pass answers for all of them.

Pieces that offload stand in K x N matrices, padded where a client has fewer than
K; the local-only piece stands apart, for it buys nothing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dds.cut.hull import CutHull
from dds.cut.pieces import Frontier
from dds.errors import InvalidInput
from dds.market.client import Client
from dds.market.numbers import LARGEST, SMALLEST, Floats, Ints, exact_share, quanta_within

__all__ = ["CLOSE", "ClientTable"]

#: Latencies closer than this, relative, are compared in rationals.
CLOSE = 1e-12


@dataclass(frozen=True, eq=False)
class ClientTable:
    """N clients, at most K pieces each; one row of the matrices per piece index.

    base, work: A in s and W in core s, K x N, (inf, 1) where a client has no such piece or it
    is local-only; value: w, credits/s per s, N; low, high: bounds on an offloading client's
    share, cores, N; local_base: A of local-only, s, N, inf without one; local_piece: its index,
    -1 without one; rate: lambda, inferences/s, N; names: N of them, or None.

    Make one with :meth:`of`, :meth:`from_arrays` or :meth:`from_hulls`, which check.
    """

    base: Floats
    work: Floats
    value: Floats
    low: Floats
    high: Floats
    local_base: Floats
    local_piece: Ints
    rate: Floats
    names: tuple[str, ...] | None = None

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
        return cls.from_arrays(
            base,
            work,
            [c.value_of_time for c in clients],
            min_share=[c.min_share for c in clients],
            max_share=[c.max_share for c in clients],
            rate=[c.rate for c in clients],
            names=[c.name for c in clients],
            copy=False,
        )

    @classmethod
    def from_arrays(
        cls,
        base: ArrayLike,
        work: ArrayLike,
        value_of_time: ArrayLike,
        *,
        min_share: ArrayLike = 0.0,
        max_share: ArrayLike = math.inf,
        rate: ArrayLike = 1.0,
        names: Sequence[str] | None = None,
        copy: bool = True,
    ) -> ClientTable:
        """A table from plain numbers; one number stands for N equal ones.

        base, work: base latency A (s) and server work W (core s) by piece and client, K x N;
        base inf means that the client has no such piece, work 0 that it is local-only.  The
        other arguments are those of :class:`dds.Client`, N each.  copy: False saves time and
        memory, for the table then keeps, and changes, base and work if they are rows of float64
        that can be written.

        Raises InvalidInput naming the client and the number that no client may have.

        >>> table = ClientTable.from_arrays([[0.1, 0.2], [1.0, 3.0]], [[0.5, 0.5], [0, 0]], 1.0)
        >>> len(table), table.client(1).frontier.latency(0.5)
        (2, 1.2)
        """
        bases, works = _matrix("base", base, copy=copy), _matrix("work", work, copy=copy)
        if bases.ndim != 2 or bases.shape != works.shape:
            raise InvalidInput(
                f"base has shape {bases.shape} and work {works.shape}; need K x N for both, "
                "one row per piece and one column per client"
            )
        count = bases.shape[1]
        works[np.isinf(bases)] = 1.0
        local = works == 0.0
        has_local = local.any(axis=0)
        local_piece = np.where(has_local, local.argmax(axis=0) if len(local) else -1, -1)
        rows = np.flatnonzero(has_local)
        local_base = np.full(count, math.inf)
        local_base[rows] = bases[local_piece[rows], rows]
        bases[local], works[local] = math.inf, 1.0
        table = cls(
            bases,
            works,
            _column("value_of_time", value_of_time, count),
            _column("min_share", min_share, count),
            _column("max_share", max_share, count),
            local_base,
            local_piece,
            _column("rate", rate, count),
            None if names is None else _names(names, count),
        )
        table._check(local.sum(axis=0))
        return table

    @classmethod
    def from_hulls(
        cls,
        hulls: Sequence[CutHull],
        kind: ArrayLike,
        uplink: ArrayLike,
        downlink: ArrayLike,
        rtt: ArrayLike,
        value_of_time: ArrayLike,
        **others: Any,
    ) -> ClientTable:
        """A table of clients of a few kinds, each with a link of its own.

        hulls: one :class:`dds.CutHull` per kind (model and device type); kind: N indices into
        them; uplink, downlink (bytes/s) and rtt (s): of each client's link; others as in
        :meth:`from_arrays`.  Piece k of a client is ``hulls[kind].cuts[k]``.

        Raises InvalidInput for a kind that does not exist or a link outside its hull's box.
        """
        if not len(hulls):
            raise InvalidInput("hulls: need at least one")
        kinds = np.asarray(kind)
        known = kinds.ndim == 1 and kinds.dtype.kind in "iu"
        if not known or not np.all((kinds >= 0) & (kinds < len(hulls))):
            raise InvalidInput(f"kind: need integers from 0 to {len(hulls) - 1}, one per client")
        count = len(kinds)
        up, down, trip = (
            _column(name, values, count)
            for name, values in (("uplink", uplink), ("downlink", downlink), ("rtt", rtt))
        )
        depth = max(len(hull.cuts) for hull in hulls)
        base, work = np.full((depth, count), math.inf), np.ones((depth, count))
        order = np.argsort(kinds, kind="stable")
        ends = np.searchsorted(kinds[order], np.arange(len(hulls) + 1))
        for k, hull in enumerate(hulls):
            rows = order[ends[k] : ends[k + 1]]
            if len(rows):
                seconds, works = hull.pieces(up[rows], down[rows], trip[rows])
                base[: len(works), rows] = seconds
                work[: len(works), rows] = works[:, None]
        return cls.from_arrays(base, work, value_of_time, copy=False, **others)

    def _check(self, local_pieces: Ints) -> None:
        for name, values, good in (
            ("value_of_time", self.value, (self.value > 0.0) & np.isfinite(self.value)),
            ("min_share", self.low, (self.low >= 0.0) & np.isfinite(self.low)),
            ("max_share", self.high, (self.high > 0.0) & (self.high >= self.low)),
            ("rate", self.rate, (self.rate > 0.0) & np.isfinite(self.rate)),
            ("local-only piece", local_pieces, local_pieces <= 1),
            ("base_latency_s", self.base, (self.base >= 0.0).all(axis=0)),
            ("base_latency_s", self.local_base, self.local_base >= 0.0),
            ("server_work_s", self.work, ((self.work > 0.0) & np.isfinite(self.work)).all(axis=0)),
            ("piece", self.base, np.isfinite(self.least_base)),
        ):
            if not good.all():
                i = int(good.argmin())
                shown = values[..., i].tolist()
                raise InvalidInput(f"{self._place(i)}: {name} is {shown!r}; see dds.Client")
        for name, values in (
            ("value_of_time", self.value[None]),
            ("min_share", self.low[None]),
            ("max_share", self.high[None]),
            ("rate", self.rate[None]),
            ("base_latency_s", self.base),
            ("base_latency_s", self.local_base[None]),
            ("server_work_s", self.work),
        ):
            sane = (values == 0.0) | ((values >= SMALLEST) & (values <= LARGEST))
            bad = ~(sane | np.isinf(values)).all(axis=0)
            if bad.any():
                raise InvalidInput(
                    f"{self._place(int(bad.argmax()))}: a {name} is neither 0 nor "
                    f"between {SMALLEST:g} and {LARGEST:g}; use other units"
                )

    def _place(self, index: int) -> str:
        name = self.names[index] if self.names else ""
        return f"clients[{index}] ({name})" if name else f"clients[{index}]"

    @classmethod
    def from_arrow(cls, data: Any) -> ClientTable:
        """The clients of a ``pyarrow.Table``, or of anything that exports the Arrow C stream.

        Data frames of pandas, polars and DuckDB do, record batches and their readers too; columns
        as :mod:`dds.market.arrow` lists them.

        Raises InvalidInput naming the column, or the client and the number, that is wrong.
        """
        from dds.market import arrow

        return arrow.from_arrow(data)

    @classmethod
    def read_parquet(cls, path: str | os.PathLike[str]) -> ClientTable:
        """The clients of a Parquet file; columns as :mod:`dds.market.arrow` lists them.

        Raises InvalidInput naming the file and what is wrong with it.
        """
        from dds.market import arrow

        return arrow.read_parquet(path)

    def to_arrow(self) -> Any:
        """The clients as a ``pyarrow.Table``, which :meth:`from_arrow` reads."""
        from dds.market import arrow

        return arrow.to_arrow(self)

    def write_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write a Parquet file of the clients; it appears, or is replaced, when it is whole.

        Raises InvalidInput if it cannot be written.
        """
        from dds.market import arrow

        arrow.write_parquet(self, path)

    def __len__(self) -> int:
        return len(self.value)

    @property
    def depth(self) -> int:
        """K."""
        return len(self.base)

    def take(self, rows: Ints) -> ClientTable:
        """The table of the clients ``rows`` alone, without names."""
        # Indexing would lay each client's pieces side by side; passes want them row by row.
        base, work = np.take(self.base, rows, axis=1), np.take(self.work, rows, axis=1)
        return self._with(base, work, rows)

    def slice(self, rows: slice) -> ClientTable:
        """The table of consecutive clients, on the same memory, without names."""
        return self._with(self.base[:, rows], self.work[:, rows], rows)

    def contiguous(self) -> ClientTable:
        """The same table with pieces that lie in memory one after the other, as passes want."""
        if self.base.flags.c_contiguous and self.work.flags.c_contiguous:
            return self
        base, work = np.ascontiguousarray(self.base), np.ascontiguousarray(self.work)
        return replace(self, base=base, work=work)

    def _with(self, base: Floats, work: Floats, rows: Any) -> ClientTable:
        return ClientTable(
            base,
            work,
            self.value[rows],
            self.low[rows],
            self.high[rows],
            self.local_base[rows],
            self.local_piece[rows],
            self.rate[rows],
        )

    def client(self, index: int) -> Client:
        """Client ``index`` as an object; where it lacks a piece, later ones move up."""
        pieces = [
            (a, w)
            for a, w in zip(self.base[:, index].tolist(), self.work[:, index].tolist(), strict=True)
        ]
        local = int(self.local_piece[index])
        if local >= 0:
            pieces[local] = (float(self.local_base[index]), 0.0)
        return Client(
            Frontier.from_points([(a, w) for a, w in pieces if a < math.inf]),
            float(self.value[index]),
            float(self.low[index]),
            float(self.high[index]),
            self.name(index),
            float(self.rate[index]),
        )

    def name(self, index: int) -> str:
        """The client's name; one without is called by its index."""
        return (self.names[index] if self.names else "") or f"client {index}"

    @cached_property
    def least_base(self) -> Floats:
        """The smallest A of each client, s: costs are compared net of it, for precision."""
        least: Floats = np.minimum(self.base.min(axis=0, initial=math.inf), self.local_base)
        return least

    @cached_property
    def root_work(self) -> Floats:
        """sqrt(W), K x N."""
        root: Floats = np.sqrt(self.work)
        return root

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
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            for k in range(self.depth):
                latency = np.where(sold, self.base[k] + self.work[k] / shares, math.inf)
                better = latency < best
                second = np.where(better, best, np.minimum(second, latency))
                best = np.where(better, latency, best)
                piece = np.where(better, k, piece)
            close = np.flatnonzero(sold & (second - best <= CLOSE * best))
        for i in close.tolist():
            piece[i] = self._fastest(i, exact_share(float(shares[i]), quantum))
        return best, piece

    def _fastest(self, row: int, share: Fraction) -> int:
        pieces = zip(self.base[:, row].tolist(), self.work[:, row].tolist(), strict=True)
        return min(
            (Fraction(a) + Fraction(w) / share, k)
            for k, (a, w) in enumerate(pieces)
            if a < math.inf
        )[1]


def _matrix(name: str, values: ArrayLike, *, copy: bool) -> Floats:
    """K x N numbers, those of each piece together in memory whatever the order they came in."""
    try:
        matrix: Floats = (np.array if copy else np.asarray)(values, float, order="C")
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{name}: need K x N numbers") from None
    return matrix if matrix.flags.writeable else matrix.copy()


def _column(name: str, values: ArrayLike, count: int) -> Floats:
    """One number per client."""
    try:
        column = np.array(values, float)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{name}: need numbers, one for each of {count} clients") from None
    if column.shape not in ((), (count,)):
        raise InvalidInput(f"{name} has shape {column.shape}; need one for each of {count} clients")
    return column if column.ndim else np.full(count, float(column))


def _names(names: Sequence[str], count: int) -> tuple[str, ...]:
    """One name per client."""
    if isinstance(names, str) or len(names) != count:
        found = "one text" if isinstance(names, str) else f"{len(names)} of them"
        raise InvalidInput(f"names: {found}; need one for each of {count} clients")
    wrong = next((i for i, name in enumerate(names) if not isinstance(name, str)), None)
    if wrong is not None:
        raise InvalidInput(f"names[{wrong}] is {names[wrong]!r}; need text")
    return tuple(names)
