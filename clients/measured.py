"""The best few cuts, measured directly before the first game.

Sums over operators do not know what taking a model apart costs (lost fusion, another layout in
memory).  So the cuts that may become best, at whatever share this client will buy, are split off
and run on this machine, which is of the server's platform.  What halves take of the whole model
is scaled to what the profile says the whole takes: so cuts that were measured compare with the two
pieces that were not, which keep everything on one side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from statistics import median

from clients.config import AgentConfig, Emit
from clients.costs import Costs
from clients.prepare import Prepared
from dds.cut.pieces import Cut
from dds.errors import Infeasible

__all__ = ["candidates", "with_measured_cuts"]

#: Cuts measured at most, and cuts per share at which the choice is close.
_MOST, _PER_SHARE = 8, 3
#: A server half that takes less than the clock can tell is no local-only piece, s.
_TICK = 1e-9


def candidates(costs: Costs) -> list[Cut]:
    """Cuts of the model that are best, or nearly so, at some share; those inside the model only.

    First the frontier's own, then what comes near at the shares where it changes.
    """
    found = {cut.on_device: cut for cut in _near(costs) if costs.inside(cut)}
    return list(found.values())[:_MOST]


def _near(costs: Costs) -> Iterator[Cut]:
    from dds.profile.cuts import near_cuts

    pieces = costs.frontier().pieces
    yield from (piece.cut for piece in pieces if piece.cut is not None)
    device, server = costs.grouped(costs.device), costs.grouped(costs.server)
    for a, b in pairwise(pieces):
        # A_a + W_a / f = A_b + W_b / f
        share = (a.server_work - b.server_work) / (b.base_latency - a.base_latency)
        for cut in near_cuts(costs.fused, device, server, costs.link, share, most=_PER_SHARE):
            yield costs.cut(cut)


def with_measured_cuts(
    config: AgentConfig,
    prepared: Prepared,
    costs: Costs,
    core_slowdown: float,
    emit: Emit,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Costs:
    """The costs with as many cuts measured as `config.measure_cuts` seconds allow.

    core_slowdown: seconds on one sold core per second of CPU time here.  What was measured is
    kept in the cache.  Emits ``measured cuts``: how many, and the median of what halves take
    over what sums of their operators say.
    """
    from dds.profile.cuts import measured_cuts
    from dds.profile.platform import Platform

    platform, budget = Platform(config.runtime), config.measure_cuts
    wanted = candidates(costs)
    end = clock() + budget
    found = measured_cuts(
        prepared.model, prepared.graph, wanted, device=platform, server=platform,
        cache=config.cache, budget=budget, patience=budget,
    )  # fmt: skip
    measured: dict[tuple[int, ...], tuple[float, float]] = {}
    ratios = []
    # Infeasible: another process is measuring, and the market does not wait.
    with suppress(Infeasible):
        for cut, timed in zip(wanted, found, strict=True):
            halves = timed.scaled_to(prepared.profile.whole)
            seconds = (
                halves.local_time * config.slowdown.first,
                max(halves.server_work, _TICK) * core_slowdown,
            )
            measured[cut.on_device] = seconds
            predicted = costs.times(cut, 1.0)
            ratios.append(sum(seconds) / (predicted.device + predicted.server))
            if clock() >= end:
                break
    emit({"event": "measured cuts", "cuts": len(measured), "of": len(wanted),
          "ratio": median(ratios) if ratios else None})  # fmt: skip
    return replace(costs, measured=measured)
