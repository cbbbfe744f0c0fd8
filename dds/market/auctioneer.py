"""The coordinator of the market: posts questions, takes shares, ends with an allocation.

It knows the tariff and sees nothing but shares, so the same object drives the
library's solver (answers are arrays) and the protocol over a network (answers are
messages).  Price-taking markets search the price; a Nash game searches the total
demand F with quotes (F, pi(F), pi'(F)), to which any answers that add up to F are
best responses (Theorem C), or, at a hard capacity, F = C and the slope.  Where
demand jumps, tied clients are served in order while they fit, each is held on its
side of the jump, and the search goes on; a last probe asks everybody whether a
better share exists, and whoever has one moves, one at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from dds.errors import Infeasible, InternalError, InvalidInput
from dds.market.crossing import Bracket, Crossing, End, NotMonotone, Path
from dds.market.numbers import Floats, Ints, to_quanta, to_shares
from dds.market.replies import BOUNDLESS, Quote
from dds.market.tariff import Clearing
from dds.market.tariff_base import Tariff

__all__ = ["Auctioneer", "NotMonotone", "Outcome", "Probe", "Quote"]

#: Demand this close to supply, relative, meets it; regret is quadratic in the difference.
SOFT = 1e-12
#: At a hard capacity what stays unsold counts to first order.
HARD = 2e-15
#: An answer that changes by more than this, relative, between neighbouring quotes jumps.
JUMP = 1e-6
#: How often jumping clients are held and the search resumed before clients move one by one.
PASSES = 40
#: A share may miss a multiple of the quantum by this, relative.
OFF_GRID = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A question to the clients ``asked``: is there a better share than your present one?

    shares: everybody's, cores.  A client answers its exact best response to the tariff while
    the others hold theirs, or its present share if that is as good (``reconsider``).
    """

    shares: Floats
    asked: Ints

    @property
    def others(self) -> Floats:
        """X_i, cores: what all others hold together, for every client asked."""
        left: Floats = np.maximum(math.fsum(self.shares.tolist()) - self.shares[self.asked], 0.0)
        return left


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The end of an auction.

    shares: cores; price: credits/s per core; total: F, cores; rounds: questions posted;
    price_below, shares_below: where a price-taking market jumps, the neighbouring lower price
    and the larger demand there, else None.
    """

    shares: Floats
    price: float
    total: float
    rounds: int
    price_below: float | None = None
    shares_below: Floats | None = None


_Play: TypeAlias = Generator[Quote | Probe, Floats, Outcome]


class Auctioneer:
    """Finds one equilibrium of ``size`` clients at a tariff by asking them.

    concept: "nash" (clients anticipate their effect on the price) or "competitive"
    (everybody takes the price as given; :class:`Clearing` is that in either case).
    Read :attr:`post`, hand the answers to :meth:`answer`, until the post is an Outcome.
    """

    def __init__(
        self,
        tariff: Tariff,
        size: int,
        *,
        concept: str = "nash",
        quantum: Fraction | None = None,
    ) -> None:
        if size < 1:
            raise InvalidInput(f"an auction has {size} clients; need at least one")
        if concept not in ("nash", "competitive"):
            raise InvalidInput(f"concept is {concept!r}; need 'nash' or 'competitive'")
        self._tariff, self._size, self._quantum = tariff.on_grid(quantum), size, quantum
        self._room = tariff.capacity if quantum is None else tariff.room_quanta(quantum)
        if quantum is not None and 2.0**50 < self._room < math.inf:
            raise InvalidInput(
                f"quantum {quantum!s} is too fine for {tariff.capacity:g} cores: "
                "need at most 2^50 quanta"
            )
        self._rounds = 0
        taking = concept == "competitive" or isinstance(tariff, Clearing)
        self._play = self._price_taking() if taking else self._anticipating()
        self._post: Quote | Probe | Outcome = self._step(None)

    @property
    def post(self) -> Quote | Probe | Outcome:
        """The open question, or the outcome."""
        return self._post

    def answer(self, shares: Floats) -> None:
        """Take the answers to :attr:`post`: one per client, or per client asked by a Probe.

        Raises InvalidInput naming the client whose answer is no share, NotMonotone where
        answers contradict each other, Infeasible when the clients cannot be served; after
        NotMonotone or Infeasible the auction is over.
        """
        if isinstance(self._post, Outcome):
            raise InvalidInput("the auction is over; read its outcome from post")
        asked = len(self._post.asked) if isinstance(self._post, Probe) else self._size
        answers = np.asarray(shares, dtype=np.float64)
        if answers.shape != (asked,):
            raise InvalidInput(f"answers have shape {answers.shape}; need one per client: {asked}")
        wrong = ~((answers >= 0.0) & (answers <= BOUNDLESS))
        if self._quantum is not None:
            whole = to_shares(to_quanta(answers, self._quantum), self._quantum)
            wrong |= np.abs(whole - answers) > OFF_GRID * answers
        if wrong.any():
            k = int(wrong.argmax())
            i = int(self._post.asked[k]) if isinstance(self._post, Probe) else k
            grid = "" if self._quantum is None else f", a multiple of {self._quantum!s}"
            raise InvalidInput(f"clients[{i}]: answered {answers[k]!r}; need cores >= 0{grid}")
        self._post = self._step(answers)

    def _step(self, answers: Floats | None) -> Quote | Probe | Outcome:
        try:
            post = next(self._play) if answers is None else self._play.send(answers)
        except StopIteration as end:
            outcome: Outcome = end.value
            return replace(outcome, rounds=self._rounds)
        self._rounds += 1
        return post

    # Everything below counts shares in quanta where there is a quantum, else in cores.

    def _count(self, answers: Floats) -> Floats:
        return answers if self._quantum is None else to_quanta(answers, self._quantum)

    def _cores(self, counted: Floats) -> Floats:
        return counted if self._quantum is None else to_shares(counted, self._quantum)

    def _load(self, counted: float) -> Fraction:
        """A total in cores, exactly."""
        return Fraction(counted) if self._quantum is None else int(counted) * self._quantum

    def _price(self, counted: float) -> float:
        """pi at a total; inf where it may not be sold."""
        if counted > self._room or (self._tariff.strict and self._quantum is None
                                    and counted >= self._room):  # fmt: skip
            return math.inf
        return float(self._tariff.exact_price(self._load(counted)))

    # --- everybody takes the price as given -------------------------------------------------

    def _price_taking(self) -> _Play:
        tariff = self._tariff
        unit = 1.0 if self._quantum is None else float(self._quantum)

        def supply(price: float) -> float:
            cores = tariff.supply(price)
            return self._room if cores >= tariff.capacity else min(cores / unit, self._room)

        path = Path(lambda p: Quote(BOUNDLESS, p, 0.0), supply, self._count, SOFT)
        first = yield from path.ask(float(tariff.exact_price(Fraction(0))))
        if first.excess <= 0.0:
            bracket = Bracket(None, first, met=True)
        else:
            above = yield from self._grow(path, first, start=2.0 * first.at or 1.0)
            bracket = yield from path.narrow(first, above)
        if bracket.above.demand >= math.sqrt(BOUNDLESS):
            raise Infeasible("demand has no limit at price 0; give a capacity or max_share")
        shares, _, _ = _served(bracket)
        total = float(self._load(math.fsum(shares.tolist())))
        below = None if bracket.met else bracket.below
        return Outcome(
            self._cores(shares), bracket.above.at, total, 0,
            None if below is None else below.at,
            None if below is None else self._cores(below.answers),
        )  # fmt: skip

    def _grow(self, path: Path, below: End, start: float) -> Generator[Quote, Floats, End]:
        """The first end above ``below`` where demand fits, in ever larger steps."""
        at, step = start, 4.0
        while True:
            end = yield from path.ask(at, below)
            if end.excess <= 0.0:
                return end
            if at >= BOUNDLESS:
                raise Infeasible(
                    f"clients without a local-only piece ask for {end.demand * self._unit():g} "
                    f"cores at any price, and {end.supply * self._unit():g} are for sale"
                )
            below = end
            at, step = min(at * step, BOUNDLESS), step * step

    def _unit(self) -> float:
        return 1.0 if self._quantum is None else float(self._quantum)

    # --- everybody anticipates the tariff ---------------------------------------------------

    def _anticipating(self) -> _Play:
        sides = _Sides(np.zeros(self._size), np.full(self._size, math.inf))
        near: tuple[float, float] | None = None
        for _ in range(PASSES):
            bracket, hard = yield from self._anticipated(sides, near)
            shares, jumping, left = _served(bracket)
            if bracket.met or not jumping.size:
                break
            if not hard:
                shares = self._rounded(bracket.above.at, shares, bracket, left)
            sides = sides.held(bracket, shares, jumping, self._quantum)
            miss = abs(bracket.above.supply - math.fsum(shares.tolist()))
            near = None if hard else (bracket.above.at - miss, bracket.above.at + miss)
        shares = yield from self._settled(shares)
        total = self._load(math.fsum(shares.tolist()))
        if self._quantum is None:
            # What fsum rounds off matters to a price close to its pole.
            total += Fraction(math.fsum((*shares.tolist(), -float(total))))
        return Outcome(self._cores(shares), float(self._tariff.exact_price(total)), float(total), 0)

    def _anticipated(
        self, sides: _Sides, near: tuple[float, float] | None
    ) -> Generator[Quote, Floats, tuple[Bracket, bool]]:
        """The crossing of demand and load, and whether a hard capacity cut it off."""
        tariff, room = self._tariff, self._room
        cap = tariff.capacity if math.isfinite(room) else BOUNDLESS

        def quote(at: float) -> Quote:
            load = self._load(at)
            price, slope = tariff.exact_price(load), tariff.exact_slope(load)
            return sides.on(Quote(cap, float(price), float(slope)))

        whole = self._quantum is not None
        path = Path(quote, lambda load: load, self._count, 0.0 if whole else SOFT, whole)
        below = above = None
        if near is not None:
            low, high = max(near[0], 0.0), near[1]
            if low > 0.0:
                end = yield from path.ask(low)
                below, above = (end, None) if end.excess > 0.0 else (None, end)
            if above is None and high < room:
                end = yield from path.ask(high, below)
                below, above = (end, None) if end.excess > 0.0 else (below, end)
        if above is None and math.isfinite(room):
            pole = tariff.strict and not whole
            top = yield from path.ask(math.nextafter(room, 0.0) if pole else room, below)
            if top.excess > 0.0 and not tariff.strict:
                return (yield from self._cut_off(top, sides)), True
            if top.excess > 0.0:
                raise Infeasible(
                    f"clients without a local-only piece ask for {top.demand * self._unit():g} "
                    f"cores at any price, and less than {tariff.capacity:g} may be sold"
                )
            above = top
        if below is None:
            below = yield from path.ask(0.0, None, above)
            if below.excess <= 0.0:
                return Bracket(None, below, met=True), False
        if above is None:
            above = yield from self._grow(path, below, start=1.0)
        return (yield from path.narrow(below, above)), False

    def _cut_off(self, top: End, sides: _Sides) -> Crossing:
        """At F = C: the slope, at least pi'(C), at which demand fits."""
        price = float(self._tariff.exact_price(self._load(self._room)))
        least = float(self._tariff.exact_slope(self._load(self._room)))

        def quote(slope: float) -> Quote:
            return sides.on(Quote(self._tariff.capacity, price, slope))

        path = Path(quote, lambda _: self._room, self._count, HARD)
        below = replace(top, at=least)
        above = yield from self._grow(path, below, start=2.0 * least or 1.0)
        return (yield from path.narrow(below, above))

    def _rounded(self, load: float, shares: Floats, bracket: Bracket, left: Ints) -> Floats:
        """Serve one more jumping client if it would rather buy than not at what results.

        With T sold at the jump and r of it unfilled, taking h more is a best response while
        ``pi(T + h - r) <= pi(T) + pi'(T) h / 2``, and leaving it one otherwise.
        """
        if bracket.below is None or not left.size:
            return shares
        i = int(left[0])
        jump = float(bracket.below.answers[i] - shares[i])
        total = math.fsum((*shares.tolist(), jump))
        slope = float(self._tariff.exact_slope(self._load(load)))
        if self._price(total) > self._price(load) + slope * jump * self._unit() / 2.0:
            return shares
        served = shares.copy()
        served[i] += jump
        return served

    def _settled(self, shares: Floats) -> Generator[Quote | Probe, Floats, Floats]:
        """Ask everybody; let who gains move, one at a time, until nobody does."""
        patience = 1000 + 100 * self._size
        while True:
            answers = self._count((yield Probe(self._cores(shares), np.arange(self._size))))
            movers = np.flatnonzero(answers != self._count(self._cores(shares)))
            if not movers.size:
                return shares
            shares = shares.copy()
            for first, i in enumerate(movers.tolist()):
                if first == 0:
                    shares[i] = answers[i]
                else:
                    probe = Probe(self._cores(shares.copy()), np.array([i]))
                    shares[i] = self._count((yield probe))[0]
                patience -= 1
                self._fit(shares, i)
            if patience < 0:
                raise InternalError("clients keep moving although each move gains; report this")

    def _fit(self, shares: Floats, mover: int) -> None:
        """Take back what rounding oversold in the last move."""
        while (over := math.fsum((*shares.tolist(), -self._room))) > 0.0:
            if over > 1e-9 * self._room:
                raise InvalidInput(f"clients[{mover}]: asked for more than the others leave")
            shares[mover] = min(math.nextafter(shares[mover], 0.0), shares[mover] - over)


@dataclass(frozen=True, eq=False)
class _Sides:
    """Bounds that hold clients on their side of the jumps found so far, cores."""

    at_least: Floats
    at_most: Floats

    def on(self, quote: Quote) -> Quote:
        """The quote with these bounds, if they bind anybody."""
        if not self.at_least.any() and np.isinf(self.at_most).all():
            return quote
        return replace(quote, at_least=self.at_least, at_most=self.at_most)

    def held(
        self, bracket: Bracket, shares: Floats, jumping: Ints, quantum: Fraction | None
    ) -> _Sides:
        """Jumping clients with more than half their jump stay above its middle, others below."""
        if bracket.below is None:
            return self
        low, high = bracket.above.answers[jumping], bracket.below.answers[jumping]
        middle = (low + high) / 2.0
        up = shares[jumping] > middle
        floor, ceiling = middle, middle
        if quantum is not None:
            floor, ceiling = (to_shares(f(middle), quantum) for f in (np.ceil, np.floor))
        least, most = self.at_least.copy(), self.at_most.copy()
        least[jumping] = np.where(up, np.maximum(least[jumping], floor), least[jumping])
        most[jumping] = np.where(up, most[jumping], np.minimum(most[jumping], ceiling))
        return _Sides(least, most)


def _served(bracket: Bracket) -> tuple[Floats, Ints, Ints]:
    """Shares with tied clients served in index order while they fit; who jumps; who is left.

    Everybody takes the smaller demand, then each client whose demand jumps the larger one if
    it still fits.
    """
    nobody = np.zeros(0, np.int64)
    shares = bracket.above.answers
    if bracket.met or bracket.below is None:
        return shares, nobody, nobody
    more = bracket.below.answers - shares
    jumping = np.flatnonzero(more > JUMP * bracket.below.answers)
    shares, left = shares.copy(), []
    room = -bracket.above.excess
    for i in jumping.tolist():
        if more[i] <= room:
            shares[i] = bracket.below.answers[i]
            room -= more[i]
        else:
            left.append(i)
    return shares, jumping, np.array(left, np.int64)
