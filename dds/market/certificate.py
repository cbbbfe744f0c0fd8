"""The proof that an allocation is an equilibrium: format "dds-equilibrium/1".

Each row can be built by its client alone from the public facts and what the others
hold together, so a client's costs stay its own until it publishes the row.  The
checker in ``proofs`` shares no code with this; docs/certificates.md has the format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np

from dds.errors import InvalidInput
from dds.market.client import Client
from dds.market.exact import ExactClient, tariff_payment
from dds.market.numbers import exact_share, snapped
from dds.market.response import piece_at
from dds.market.tariff import Clearing, Flat, PiecewiseLinear
from dds.market.tariff_base import Tariff

__all__ = ["FORMAT", "Certificate", "Public", "assemble", "certificate_row"]

FORMAT = "dds-equilibrium/1"
#: Who knows the others' shares only rounded allows for it with this part of its own cost.
ROUNDING = Fraction(1, 10**12)
#: A load this close to a kink, relative, means the kink.
NEAR = Fraction(1, 10**9)


class Certificate(Mapping[str, Any]):
    """A read-only JSON object; ``to_json`` is its text."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = MappingProxyType(dict(document))

    def __getitem__(self, key: str) -> Any:
        return self._document[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def to_json(self) -> str:
        """The certificate as JSON text, one line."""
        return json.dumps(dict(self._document), allow_nan=False)


@dataclass(frozen=True)
class Public:
    """What everybody knows when the auction is over.

    concept: "nash" or "competitive"; price: credits/s per core; price_below: the neighbouring
    lower price where a price-taking market jumps, else None.
    """

    concept: str
    tariff: Tariff
    quantum: Fraction | None
    price: float
    price_below: float | None = None
    exact: Tariff = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "exact", self.tariff.on_grid(self.quantum))

    @property
    def taking(self) -> bool:
        """Whether everybody takes the price as given."""
        return self.concept == "competitive" or isinstance(self.tariff, Clearing)

    @property
    def fixed(self) -> Fraction | None:
        """The unit price if no share changes it, exactly."""
        return Fraction(self.price) if self.taking or isinstance(self.tariff, Flat) else None


def certificate_row(
    client: Client,
    public: Public,
    share: float,
    others: float | Fraction,
    *,
    share_below: float | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """One client's row: its costs, what it got, its regret and the witnesses for it.

    share, others: its own and everybody else's total, cores (exact as a Fraction; from a float
    without a quantum the regret allows for rounding); share_below: its demand at price_below.

    Raises InvalidInput when no piece of the client can run at the share.
    """
    piece = piece_at(client, share, quantum=public.quantum)
    chosen = client.frontier.pieces[piece]
    own = exact_share(share, public.quantum)
    latency = Fraction(chosen.base_latency)
    latency += Fraction(chosen.server_work) / own if own else 0
    rounded = isinstance(others, float) and public.quantum is None and not public.taking
    held = others if isinstance(others, Fraction) else exact_share(others, public.quantum)
    claim = _Claim(client, public, held)
    price = public.fixed if public.fixed is not None else public.exact.exact_price(held + own)
    cost = Fraction(client.value_of_time) * latency + own * price
    witness = [claim.witness(j, cost) for j in range(len(client.frontier.pieces))]
    regret = claim.regret(cost, witness)
    if rounded:
        # What is off by r cores is worth r / f of its cost to who has f.
        off = Fraction(4.0 * math.ulp(float(held + own))) / own if own else 0
        regret += float((ROUNDING + off) * cost)
    row: dict[str, Any] = {
        "name": client.name if name is None else name,
        "value_of_time": client.value_of_time,
        "min_share": client.min_share,
        "max_share": None if math.isinf(client.max_share) else client.max_share,
        "pieces": [[p.base_latency, p.server_work] for p in client.frontier.pieces],
        "piece": piece,
        "share": share,
        "latency_s": float(latency),
        "payment": float(own * Fraction(public.price)),
        "regret": regret,
        "witness": [_number(g) for g in witness],
    }
    if share_below is not None:
        row["share_below"] = share_below
        row["piece_below"] = piece_at(client, share_below, quantum=public.quantum)
    return row


def assemble(public: Public, rows: Sequence[Mapping[str, Any]]) -> Certificate:
    """The certificate of an equilibrium from its public part and everybody's row.

    Raises InvalidInput without rows.
    """
    if not rows:
        raise InvalidInput("a certificate needs at least one client's row")
    shares = (exact_share(row["share"], public.quantum) for row in rows)
    return Certificate(
        {
            "format": FORMAT,
            "concept": public.concept,
            "tariff": _tariff(public.tariff),
            "quantum": None if public.quantum is None else str(public.quantum),
            "price": public.price,
            "total_demand": float(sum(shares, Fraction(0))),
            "max_regret": max(row["regret"] for row in rows),
            "price_below": public.price_below,
            "clients": list(rows),
        }
    )


def _tariff(tariff: Tariff) -> dict[str, Any]:
    plain = tariff.to_json()
    if isinstance(tariff, PiecewiseLinear):  # its numbers mean the decimals they print as
        for name, values in zip(("loads", "prices"), tariff.table, strict=True):
            plain[name] = [_number(value) for value in values]
    return plain


def _number(value: Fraction | None) -> float | str | None:
    """A JSON number where a double is exact, else "a/b"."""
    if value is None:
        return None
    return float(value) if Fraction(float(value)) == value else str(value)


@dataclass(frozen=True)
class _Claim:
    """One client's deviations, piece by piece, while the others hold ``others`` cores."""

    client: Client
    public: Public
    others: Fraction

    def regret(self, cost: Fraction, witness: Sequence[Fraction | None]) -> float:
        """About the least double e such that ``cost - e`` is shown to be everybody's best."""
        regret = 0.0
        for j, g in enumerate(witness):
            while not self._shown(j, cost - Fraction(regret), g):
                regret = 2.0 * regret or float(cost) * 2.0**-54
        return regret

    @property
    def _low(self) -> Fraction:
        return snapped(self.client.min_share, self.public.quantum)

    @property
    def _high(self) -> Fraction | None:
        """The largest share that bounds and, in a Nash game, the others leave."""
        bounds = []
        if math.isfinite(self.client.max_share):
            bounds.append(snapped(self.client.max_share, self.public.quantum))
        capacity = self.public.exact.exact_capacity
        if capacity is not None and not self.public.taking:
            bounds.append(capacity - self.others)
        return min(bounds, default=None)

    def _work(self, piece: int) -> Fraction:
        value = Fraction(self.client.value_of_time)
        return value * Fraction(self.client.frontier.pieces[piece].server_work)

    def _level(self, piece: int, goal: Fraction) -> Fraction:
        """What ``w W / f + payment`` must reach for the piece to cost ``goal``."""
        value = Fraction(self.client.value_of_time)
        return goal - value * Fraction(self.client.frontier.pieces[piece].base_latency)

    @property
    def _least_price(self) -> Fraction:
        """A unit price that no deviation undercuts: the fixed one, or pi(X)."""
        fixed = self.public.fixed
        return self.public.exact.exact_price(self.others) if fixed is None else fixed

    def _pruned(self, piece: int, level: Fraction) -> bool:
        """Whether ``level <= 2 sqrt(w W P)``: too dear at any share."""
        return level <= 0 or level * level <= 4 * self._work(piece) * self._least_price

    def witness(self, piece: int, cost: Fraction) -> Fraction | None:
        """A share at or near the best one on the piece; None where none is needed."""
        work = self._work(piece)
        if self.public.fixed is not None or not work:
            return None
        if self._pruned(piece, self._level(piece, cost)):
            return None
        quantum = self.public.quantum
        if quantum is not None:
            least, most = self._quanta(quantum)
            if most is not None and most < least:
                return None
            client = ExactClient((), None, least, most, quantum)
            return quantum * client.best(work, self._payment(quantum), self._guess(work, quantum))
        return self._near_best(work)

    def _guess(self, work: Fraction, quantum: Fraction) -> int:
        return int(min(self._free(work), 2.0**500) / float(quantum))

    def _free(self, work: Fraction) -> float:
        """The best share on a piece, bounds aside, in floats."""
        best = self.public.tariff.best_shares(
            np.array([float(work)]), np.array([float(self.others)])
        )
        return float(best[0])

    def _near_best(self, work: Fraction) -> Fraction | None:
        tariff, high = self.public.exact, self._high
        share = Fraction(min(self._free(work), 2.0**500))
        share = max(share, self._low)
        share = share if high is None else min(share, high)
        while share > 0 and not tariff.admits(self.others + share):
            share = Fraction(math.nextafter(float(share), 0.0)) * (1 - Fraction(1, 2**50))
        best = float(share)
        return Fraction(best if best <= share else math.nextafter(best, 0.0))

    def _quanta(self, quantum: Fraction) -> tuple[int, int | None]:
        high, tariff = self._high, self.public.exact
        most = None if high is None else math.floor(high / quantum)
        if most is not None and not self.public.taking and tariff.strict:
            most -= not tariff.admits(self.others + most * quantum, quantum)
        return max(1, math.ceil(self._low / quantum)), most

    def _payment(self, quantum: Fraction) -> Callable[[int], Fraction]:
        fixed = self.public.fixed
        if fixed is None:
            return tariff_payment(self.public.exact, self.others, quantum)
        unit = fixed * quantum
        return lambda n: n * unit

    def _shown(self, piece: int, goal: Fraction, witness: Fraction | None) -> bool:
        """Whether the piece is shown to cost at least ``goal`` at every allowed share."""
        level, work = self._level(piece, goal), self._work(piece)
        if self._pruned(piece, level):
            return True
        if not work:
            return False
        quantum = self.public.quantum
        if quantum is not None:
            return self._shown_in_quanta(level, work, witness, quantum)
        low, high = self._low, self._high
        if high is not None and (high < low or high <= 0):
            return True
        if _stays_above(level, work, self._least_price, low, high):
            return True
        if witness is None:
            return False
        near = (k for k in self.public.exact.kinks if self._stands_for(self.others + witness, k))
        return any(
            self._shown_by_tangent(level, work, load, low, high)
            for load in (self.others + witness, *near)
        )

    def _stands_for(self, load: Fraction, kink: Fraction) -> bool:
        return kink > self.others and abs(load - kink) <= NEAR * load

    def _shown_by_tangent(
        self, level: Fraction, work: Fraction, load: Fraction, low: Fraction, high: Fraction | None
    ) -> bool:
        """By a line below the payment, g = load - X, d a subgradient of pi at the load.

        ``f pi(X + f) >= g pi(X + g) + s (f - g)`` with s = pi(X + g) + g d.
        """
        tariff, witness = self.public.exact, load - self.others
        price = tariff.exact_price(load)
        least = price + witness * tariff.exact_left_slope(load)
        most = price + witness * tariff.exact_slope(load)
        slope = max(least, min(work / witness**2, most))
        return _stays_above(level - witness * (price - slope), work, slope, low, high)

    def _shown_in_quanta(
        self, level: Fraction, work: Fraction, witness: Fraction | None, quantum: Fraction
    ) -> bool:
        least, most = self._quanta(quantum)
        if most is not None and most < least:
            return True
        payment = self._payment(quantum)
        if witness is not None:
            n = int(witness / quantum)
        else:
            price = self._least_price
            if not price and most is None:
                return False
            guess = math.isqrt(int(work / (price * quantum * quantum))) if price else most or 1
            n = ExactClient((), None, least, most, quantum).best(work, payment, guess)
        return work / (n * quantum) + payment(n) >= level


def _stays_above(
    level: Fraction, work: Fraction, slope: Fraction, low: Fraction, high: Fraction | None
) -> bool:
    """Whether ``work / f + slope f >= level`` for all f in [low, high].

    Convex in f: true if it holds at its minimum, or at the end nearest to it.
    """
    if level <= 0 or level * level <= 4 * work * slope:
        return True

    def holds(share: Fraction) -> bool:
        return slope * share * share - level * share + work >= 0

    if high is not None and work >= slope * high * high:  # falls all the way to high
        return holds(high)
    return low > 0 and work <= slope * low * low and holds(low)
