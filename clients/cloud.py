"""A fixed share of the cloud: joined behind the edge, held while the plan has work for it."""

from __future__ import annotations

import math
import secrets
from fractions import Fraction
from types import TracebackType
from typing import Self

from clients.config import Emit
from clients.player import Player
from clients.server import Server
from dds.cut.pieces import Frontier
from dds.errors import Infeasible
from dds.market.client import Client
from dds.session.client import ClientSession
from dds.session.messages import Terms
from dds.session.states import ClientState
from dds.tiers.links import Offer

__all__ = ["CloudShare"]


class CloudShare:
    """A member of the cloud's market that wants `share` cores or none; an async context manager.

    server: the cloud, through the edge or directly.
    """

    def __init__(self, name: str, share: float, server: Server, emit: Emit) -> None:
        self._share = share
        self._server = server
        self._emit = emit
        self._session = ClientSession(name, secrets.token_urlsafe(18))
        self._player = Player(self._session, server, on_bid=lambda _post, _bid: None)
        self._held = False

    async def __aenter__(self) -> Self:
        """Join; raises CallFailed when no cloud answers, and MarketRefused."""
        await self._server.status()
        await self._player.__aenter__()
        try:
            await self._player.until(ClientState.ADMITTED)
            self._check(self.terms)
        except BaseException:
            await self._player.__aexit__()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave, which gives the share back."""
        await self._player.__aexit__()

    @property
    def lease(self) -> str:
        """Who pays there."""
        assert self._session.lease is not None  # noqa: S101 -- it is admitted
        return self._session.lease

    @property
    def terms(self) -> Terms:
        """What is for sale there."""
        assert self._session.terms is not None  # noqa: S101 -- it is admitted
        return self._session.terms

    async def hold(self, wanted: bool = True) -> Offer:
        """Buy the share, or give it back, unless that is so already; what it costs.

        Raises Infeasible when it is not to be had, and MarketRefused.
        """
        if wanted is not self._held:
            # Nothing but the whole share will do, whatever it costs: that is the plan's business.
            piece, share = ((0.0, 1.0), self._share) if wanted else ((0.0, 0.0), 0.0)
            client = Client(
                Frontier.from_points([piece]), 1.0, share, share or math.inf, self._session.name
            )
            self._player.update(client)
        settlement = await self._player.settled()
        allocation = settlement.allocation
        if wanted and allocation.share < self._share * (1.0 - 1e-9):
            raise Infeasible(
                f"--cloud-share: the cloud has {allocation.share:g} of {self._share:g} cores left; "
                "ask for fewer"
            )
        if wanted is not self._held:
            self._held = wanted
            self._emit({"event": "cloud", "share": allocation.share, "price": allocation.price,
                        "payment": allocation.payment})  # fmt: skip
        return Offer(self._share, allocation.price)

    def _check(self, terms: Terms) -> None:
        """Raises Infeasible for a share that is not for sale there."""
        share, quantum = self._share, terms.quantum
        limit = min(terms.capacity, terms.tariff.capacity)
        if share > limit:
            raise Infeasible(f"--cloud-share is {share:g}; the cloud sells {limit:g} cores at most")
        if quantum is not None:
            steps = Fraction(share).limit_denominator(10**9) / quantum
            if steps < 1 or steps.denominator != 1:
                raise Infeasible(
                    f"--cloud-share is {share:g}; the cloud sells steps of {float(quantum):g} cores"
                )
