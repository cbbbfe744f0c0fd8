"""What an equilibrium says and refuses, and that nobody gains in a crowd."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from dds.cut.pieces import Frontier
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.equilibrium import competitive, nash
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power, Tariff
from dds.testing import cheapest

CAMERA = Client(Frontier.from_points([(0.1, 0.5), (1.0, 0.0)]), 2.0, name="camera")
DRONE = Client(Frontier.from_points([(0.2, 0.4), (0.9, 0.0)]), 1.0, max_share=1.0, name="drone")


def test_clearing_is_the_same_game_for_takers_and_anticipators() -> None:
    one, two = nash([CAMERA, DRONE], Clearing(0.5)), competitive([CAMERA, DRONE], 0.5)
    np.testing.assert_array_equal(one.shares, two.shares)
    assert one.price == two.price > 0.0


def test_capacity_that_everybody_fits_into_is_free() -> None:
    bounded = [replace(CAMERA, max_share=2.0), DRONE]
    found = competitive(bounded, 3.0)
    assert found.price == 0.0
    assert found.shares.tolist() == [2.0, 1.0]
    assert found.payments.tolist() == [0.0, 0.0]


def test_an_equilibrium_cannot_be_changed_by_accident() -> None:
    found = nash([CAMERA, DRONE], Linear(0.1, 0.2))
    for values in (found.shares, found.pieces, found.latencies, found.payments, found.regret):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1


def test_names_and_order_are_the_clients_own() -> None:
    found = nash([DRONE, replace(CAMERA, name="")], Linear(0.1, 0.2))
    assert found.clients == ("drone", "client 1")


@pytest.mark.parametrize("solver", [nash, competitive])
def test_wrong_arguments_are_named(solver) -> None:
    tariff = Linear(0.1, 0.2)
    for clients, rule, quantum, place in (
        ([], tariff, None, "clients"),
        ([CAMERA, "drone"], tariff, None, r"clients\[1\]"),
        ([CAMERA, CAMERA], tariff, None, r"clients\[1\].name"),
        ([CAMERA], "linear", None, "tariff|capacity"),
        ([CAMERA], tariff, 0.0, "quantum"),
        ([CAMERA], tariff, math.nan, "quantum"),
        ([CAMERA], tariff, True, "quantum"),
        ([replace(CAMERA, value_of_time=1e-200)], tariff, None, r"clients\[0\].*value_of_time"),
    ):
        with pytest.raises(InvalidInput, match=place):
            solver(clients, rule, quantum=quantum)


@pytest.mark.parametrize("solver", [nash, competitive])
def test_who_must_offload_and_cannot_is_named(solver) -> None:
    must = Client(Frontier.from_points([(0.1, 1.0)]), 1.0, 0.31, 0.39, "robot")
    with pytest.raises(Infeasible, match=r"clients\[0\] \(robot\).*quantum 1/10"):
        solver([must], Linear(0.1, 0.2), quantum=0.1)
    with pytest.raises(Infeasible, match="may be sold"):
        solver([must, replace(must, name="second")], Linear(0.1, 0.2, 0.5))


def test_demand_without_a_limit_at_price_0_is_infeasible() -> None:
    with pytest.raises(Infeasible, match="limit"):
        competitive([CAMERA], Flat(0.0))


# --- many clients ---------------------------------------------------------------------------------


def crowd(count: int) -> list[Client]:
    """So many clients of a dozen kinds that the solver answers for all of them at once."""
    rng = np.random.default_rng(7)
    kinds = [
        Client(
            Frontier.from_points(
                [
                    (0.1 + 0.2 * rng.random(), 0.5 + rng.random()),
                    (0.5 + 0.2 * rng.random(), 0.2),
                    (1.0 + 3.0 * rng.random(), 0.0),
                ][int(k == 5) : (2 if k % 4 == 3 else 3)]
            ),
            0.5 + rng.random(),
            0.001 if k % 3 == 2 else 0.0,
            0.5 if k % 5 == 4 else math.inf,
        )
        for k in range(12)
    ]
    return [replace(kinds[i % 12], name=f"c{i}") for i in range(count)]


@pytest.mark.parametrize(
    "tariff",
    [
        Clearing(300.0),
        Flat(0.5, 400.0),
        Linear(0.1, 0.01),
        Linear(0.1, 0.001, 200.0),
        Power(0.1, 1e-6, 3),
        Barrier(0.1, 300.0),
        PiecewiseLinear((0.0, 100.0, 500.0), (0.5, 0.75, 9.0)),
    ],
    ids=lambda tariff: tariff.kind,
)
@pytest.mark.parametrize("solver", [nash, competitive])
def test_nobody_gains_among_thousands(solver, tariff: Tariff) -> None:
    """The definition again; clients of one kind with one share are looked at once."""
    clients = crowd(5000)
    found = solver(clients, tariff)
    shares = [Fraction(share) for share in found.shares.tolist()]
    total = sum(shares, Fraction(0))
    assert tariff.admits(total)
    taking = solver is competitive or isinstance(tariff, Clearing)
    assert taking or math.isclose(found.price, float(tariff.exact_price(total)), rel_tol=1e-9)
    for i in {(i % 12, share): i for i, share in enumerate(shares)}.values():
        others = total - shares[i]
        room = None if taking or math.isinf(tariff.capacity) else Fraction(tariff.capacity) - others
        if room is not None and tariff.strict:
            room -= room / 2**40

        def price(share: Fraction, others: Fraction = others) -> Fraction:
            return Fraction(found.price) if taking else tariff.exact_price(others + share)

        least, _ = cheapest(clients[i], price, room)
        wait = Fraction(clients[i].value_of_time) * Fraction(found.latencies[i])
        own = wait + shares[i] * price(shares[i])
        assert float(own - least) <= 2e-9 * float(own), f"client {i}"
        assert math.isclose(
            found.latencies[i],
            clients[i].frontier.pieces[found.pieces[i]].latency(float(shares[i])),
        )
