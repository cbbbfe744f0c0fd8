"""The whole loop: profile, play, upload, infer, leave."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

import dds
from dds.cut.pieces import Frontier
from dds.market.certificate import Certificate, Public, assemble
from dds.market.client import Client
from dds.market.tariff import Barrier, Clearing
from dds.market.tariff_base import Tariff
from dds.market.tariff_json import tariff_from_json
from proofs.check import check
from proofs.document import parse

FLEET = {
    "anna": ("zoo:squeezenet", "24", "1.0"),
    "ben": ("zoo:shufflenet", "30", "2.0"),
    "carl": ("zoo:squeezenet", "12", "0.5"),
}
CAPACITY = 1.0


def enter(join: Callable[..., Any], address: str, strategies: str, *flags: str) -> dict[str, Any]:
    return {
        name: join(
            *(address, name, model, "--device-slowdown", slowdown, "--value-of-time", value),
            *("--max-share", "1", "--inferences", "2", "--strategy", strategies, "--step"),
            *flags,
        )
        for name, (model, slowdown, value) in FLEET.items()
    }


def library_answer(pieces: dict[str, Any], tariff: Tariff) -> dict[str, float]:
    clients = [
        Client(Frontier.from_points(pieces[name]), float(FLEET[name][2]), 0.0, 1.0, name)
        for name in sorted(FLEET)
    ]
    found = dds.nash(clients, tariff, quantum=0.001)
    return dict(zip(found.clients, found.shares, strict=True))


def certificate(results: list[dict[str, Any]]) -> Certificate:
    """What the clients' rows prove together."""
    public = results[0]["public"]
    assert all(result["public"] == public for result in results)
    tariff, quantum = tariff_from_json(public["tariff"]), Fraction(public["quantum"])
    known = Public(public["concept"], tariff, quantum, public["price"], public["price_below"])
    return assemble(known, [result["certificate_row"] for result in results])


@pytest.mark.parametrize(
    ("tariff", "flags", "optimise"),
    [
        (Clearing(CAPACITY), ["--tariff", "clearing"], "all"),
        (Barrier(0.02, CAPACITY), ["--tariff", "barrier", "--base-price", "0.02"], "none"),
    ],
    ids=["clearing", "barrier, nothing fused"],
)
def test_processes_play_to_the_librarys_equilibrium_and_infer(
    serve: Any, join: Any, tariff: Tariff, flags: list[str], optimise: str
) -> None:
    runtime = ("--optimise", optimise)
    server, address = serve(
        *("--capacity", "1", "--quorum", "3", "--core-slowdown", "4"), *runtime, *flags
    )
    clients = enter(join, address, "dds,local-only", *runtime)
    pieces = {name: client.next("joined")["pieces"] for name, client in clients.items()}
    bought = {name: client.next("allocated") for name, client in clients.items()}
    assert {event["epoch"] for event in bought.values()} == {1}
    shares = {name: event["share"] for name, event in bought.items()}
    assert shares == pytest.approx(library_answer(pieces, tariff), abs=1e-12)
    assert sum(shares.values()) <= CAPACITY
    assert max(event["regret"] for event in bought.values()) == 0.0
    assert all(event["objections"] == [] for event in bought.values())
    for before in ("infer", "leave", "infer"):
        for client in clients.values():
            assert client.next("waiting")["before"] == before
        for client in clients.values():
            client.say()
    proven = []
    for client in clients.values():
        done = client.next("done")
        for result in done["strategies"].values():
            assert result["outputs_match"]
            # The parts of a model equal the whole bit for bit where nothing is fused.
            assert optimise == "all" or result["max_abs_difference"] == 0.0
            assert len(result["measured_latency_s"]) == 2
        proven.append(done["strategies"]["dds"])
        assert client.process.wait(60) == 0
    assert server.stop() == 0
    verdict = check(parse(certificate(proven).to_json().encode()))
    assert verdict.verified, verdict.reasons


def test_the_same_clients_meet_again_in_a_second_market(serve: Any, join: Any) -> None:
    _, address = serve("--capacity", "1", "--quorum", "3", "--core-slowdown", "4")
    clients = enter(join, address, "dds,edge-only")
    for before in ("infer", "leave", "join"):
        for client in clients.values():
            assert client.next("waiting")["before"] == before
        for client in clients.values():
            client.say()
    bought = [client.next("allocated") for client in clients.values()]
    assert len({event["epoch"] for event in bought}) == 1
    assert all(event["share"] > 0.0 for event in bought)
    assert all(event["cut"]["operators_on_device"] == 0 for event in bought)
    assert sum(event["share"] for event in bought) <= CAPACITY


def test_who_is_killed_in_mid_game_does_not_hold_up_the_others(serve: Any, join: Any) -> None:
    _, address = serve("--capacity", "1", "--quorum", "3", "--core-slowdown", "4")
    clients = enter(join, address, "dds")
    clients["carl"].next("round")
    clients["carl"].kill()
    for name in ("anna", "ben"):
        # The market opened again without the one that is gone, unless it was over before.
        assert clients[name].next("allocated")["total_demand"] <= CAPACITY
        clients[name].say()
        clients[name].say()
        assert clients[name].next("done")["strategies"]["dds"]["outputs_match"]


def test_a_client_told_to_stop_gives_its_share_back(serve: Any, join: Any) -> None:
    server, address = serve("--capacity", "1", "--core-slowdown", "4")
    first = join(address, "first", "zoo:squeezenet", "--device-slowdown", "24", "--step")
    first.next("uploaded")
    assert first.stop() == 130
    # Its name is free again, which it would not be while the lease ran on.
    second = join(address, "first", "zoo:squeezenet", "--device-slowdown", "24")
    assert second.next("done")["strategies"]["dds"]["outputs_match"]
    assert server.stop() == 0


def test_two_clients_of_one_name_are_told_apart(serve: Any, join: Any) -> None:
    _, address = serve("--capacity", "1")
    first = join(address, "same", "zoo:squeezenet", "--step")
    first.next("joined")
    second = join(address, "same", "zoo:squeezenet")
    second.process.wait(60)
    assert second.process.returncode == 2
    assert "'same' is taken" in second.process.stderr.read()


def test_no_server_is_one_line(join: Any) -> None:
    client = join("127.0.0.1:1", "alone", "zoo:squeezenet", "--connect", "100ms")
    assert client.process.wait(60) == 2
    assert client.process.stderr.read().splitlines() == [
        "mec-client: no server answers at 127.0.0.1:1; is mec-server running there?"
    ]
