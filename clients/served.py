"""How long the server takes, from the best source there is.

This machine's own profile where the server's core is of this platform; else what the server
measures of the model, where bringing the model there does not take too long; else the roofline
of the core that the terms name.
"""

from __future__ import annotations

import asyncio

from clients.config import AgentConfig, Emit
from clients.costs import Costs, per_operator
from clients.errors import CallFailed
from clients.measured import with_measured_cuts
from clients.prepare import Prepared
from clients.server import Server
from dds.costs import Device
from dds.profile.profile import Profile
from dds.session.messages import Terms
from dds.session.profiling import ProfileRequest

__all__ = ["server_costs"]

#: Times to ask a server that is busy measuring, and the longest pause between two, s.
_ATTEMPTS, _LONGEST_PAUSE = 5, 5.0
#: A server that answers so cannot measure this model now, and costs are had otherwise.
_NOT_OFFERED = frozenset({"UNIMPLEMENTED", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"})


async def server_costs(
    config: AgentConfig,
    prepared: Prepared,
    server: Server,
    lease: str,
    terms: Terms,
    emit: Emit,
    *,
    cuts: bool,
) -> tuple[Costs, str]:
    """The costs of this client at this server, and where the server's come from.

    cuts: whether the model may be cut, so that measuring the best few cuts is worth while.
    The source is "own profile", "server's profile" or "roofline".  With a profile of both sides,
    operators that either runtime runs as one are cut as one.
    """
    graph, own, core = prepared.graph, prepared.profile, terms.core
    device = per_operator(graph, own.scaled(config.slowdown.first))
    if core.platform == own.platform:
        there = per_operator(graph, own.scaled(core.slowdown))
        costs = Costs(graph, own.fusion, device, there, config.link)
        if cuts and config.measure_cuts:
            costs = await asyncio.to_thread(
                with_measured_cuts, config, prepared, costs, core.slowdown, emit
            )
        return costs, "own profile"
    if len(prepared.model) / config.link.uplink <= config.measure_there:
        measured = await _measured_there(prepared, server, lease, emit)
        if measured is not None:
            fusion = own.fusion.join(graph, measured.fusion)
            there = per_operator(graph, measured.scaled(core.slowdown))
            return Costs(graph, fusion, device, there, config.link), "server's profile"
    roofline = Device(core.name, core.flops_per_s, core.bytes_per_s, core.overhead)
    there = per_operator(graph, roofline)
    return Costs(graph, own.fusion, device, there, config.link), "roofline"


async def _measured_there(
    prepared: Prepared, server: Server, lease: str, emit: Emit
) -> Profile | None:
    """What the server measures of the model; None where it does not, or not now."""
    digest = prepared.graph.digest
    try:
        await server.put_model(lease, digest, prepared.model)
        for attempt in range(_ATTEMPTS):
            try:
                measured, known = await server.profile_model(ProfileRequest(lease, digest))
            except CallFailed as error:
                if error.retry_after is None or attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(min(error.retry_after, _LONGEST_PAUSE))
                continue
            # It lists the groups of this very model, or it is of no use.
            measured.operator_times(measured.fusion.fused(prepared.graph))
            emit({"event": "measured there", "known": known, "cpu_s": measured.whole,
                  "platform": measured.platform})  # fmt: skip
            return measured
    except CallFailed as error:
        if error.status not in _NOT_OFFERED:
            raise
        emit({"event": "not measured there", "because": str(error)})
    return None
