"""Starts one ``mec-server`` and the ``mec-client`` processes of a scenario and reads their events.

Nothing outlives :func:`play`: whatever ends it (success, a failed process, Ctrl-C) ends them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from dds.demo.processes import Event, Talker, finish, started
from dds.demo.scenario import LINKS, Participant, Scenario

__all__ = ["client_command", "play", "server_command"]


def server_command(scenario: Scenario, tariff: str) -> list[str]:
    """The command line of the scenario's ``mec-server``."""
    command = [sys.executable, "-m", "mec_server", "--json", "--listen", "127.0.0.1:0"]
    command += ["--tariff", tariff, "--capacity", repr(scenario.capacity)]
    if tariff == "barrier":
        command += ["--base-price", repr(scenario.base_price)]
    command += ["--quantum", scenario.quantum, "--quorum", str(len(scenario.participants))]
    return [*command, "--core-slowdown", repr(scenario.core_slowdown)]


def client_command(
    scenario: Scenario, participant: Participant, address: str, seed: int
) -> list[str]:
    """The command line of one participant's ``mec-client``."""
    link = LINKS[participant.link]
    return [
        *(sys.executable, "-m", "clients", "--json", "--server", address),
        *("--name", participant.name, "--model", f"zoo:{participant.model}"),
        *("--seed", str(seed), "--device-slowdown", repr(participant.slowdown)),
        *("--uplink", f"{link.uplink!r}B/s", "--downlink", f"{link.downlink!r}B/s"),
        *("--rtt", repr(link.rtt), "--value-of-time", repr(participant.value_of_time)),
        *("--max-share", repr(scenario.max_share), "--inferences", str(scenario.inferences)),
        *("--strategy", "dds,local-only,edge-only", "--step", "--one-game"),
        *("--measure-cuts", "1"),
    ]


async def play(
    scenario: Scenario,
    *,
    tariff: str,
    seed: int,
    on_event: Callable[[str, Event], None],
) -> dict[str, Event]:
    """Play the scenario and return each participant's ``done`` event by name.

    on_event(who, event) sees every event as it comes, who being "server" or a name.
    Raises InternalError with the last words of a process that failed.
    """
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            started("mec-server", server_command(scenario, tariff))
        )
        listening = await anext(server.events())
        on_event("server", listening)
        clients = [
            await stack.enter_async_context(
                started(p.name, client_command(scenario, p, listening["address"], seed))
            )
            for p in scenario.participants
        ]
        step = _Step(clients)

        def on_any_event(who: str, event: Event) -> None:
            step.on_event(event)
            on_event("server" if who == server.name else who, event)

        done = await finish(clients, [server], on_any_event)
        return {client.name: event for client, event in zip(clients, done, strict=True)}


class _Step:
    """Keeps the clients in step: each part of a run begins when all are ready for it.

    Otherwise one client would still build its model while another measures latencies, and two
    cores would show the queue for the processor instead of the market.
    """

    def __init__(self, clients: Sequence[Talker]) -> None:
        self._clients = clients
        self._waiting = 0

    def on_event(self, event: Event) -> None:
        if event["event"] != "waiting":
            return
        self._waiting += 1
        if self._waiting == len(self._clients):
            self._waiting = 0
            for client in self._clients:
                client.nudge()
