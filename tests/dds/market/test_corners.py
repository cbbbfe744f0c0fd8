"""Markets in which searches are easily lost: kinks, poles, ties, extreme scales.

Each ends within a few rounds in an equilibrium that the independent checker accepts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from dds.cut.pieces import Frontier
from dds.errors import Infeasible, InvalidInput
from dds.market.client import Client
from dds.market.equilibrium import Equilibrium, competitive, nash
from dds.market.table import ClientTable
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power, Tariff
from proofs.check import check

Pair = tuple[float, float]
THIRD, TENTH, MILLI = Fraction(1, 3), Fraction(1, 10), Fraction(1, 1000)


def of(
    *pieces: tuple[float, float], worth: float = 1.0, least: float = 0.0, most: float = math.inf
):
    """A client with these (A, W) pieces."""
    return Client(Frontier.from_points(pieces), worth, least, most)


def named(clients: Sequence[Client]) -> list[Client]:
    return [replace(client, name=f"c{i}") for i, client in enumerate(clients)]


def assert_proven(found: Equilibrium) -> None:
    """Few rounds, no regret, and a certificate that says so to the checker."""
    assert found.rounds < 200
    verdict = check(json.loads(found.certificate.to_json()))
    assert verdict.verified, verdict.summary()
    assert np.isfinite(found.regret).all()
    costs = found.table.value * found.latencies + found.payments
    if found.quantum is None or found.concept == "competitive":
        assert (found.regret <= 1e-9 * costs).all()
    else:
        assert found.max_regret == 0.0


ONE = of((0.0, 1.0))
#: Markets in which everybody anticipates the price.
ANTICIPATING = {
    "at a kink on the gentler side": ([of((0, 2))], PiecewiseLinear((0, 1, 2), (0, 1, 4)), None),
    "free up to capacity": ([ONE], PiecewiseLinear((0, 2, 4), (0, 0, 4), 2.0), None),
    "free up to capacity, worth little": (
        [of((0, 1), worth=0.1)], PiecewiseLinear((0, 0.5, 2), (0, 0, 2.5), 0.5), None,
    ),
    "three around a kink": (
        [ONE, of((0, 1), (3, 0)), of((0.5, 0.5), (1, 0))],
        PiecewiseLinear((0, 1, 2), (0, 0.5, 2)), None,
    ),
    "free up to a kink, indifferent there": (
        [of((0, 1), (1, 0))] * 2, PiecewiseLinear((0, 1, 2), (0, 0, 1)), None,
    ),
    "a kink between quanta": (
        [ONE, of((0, 0.5), (3.522404614916192, 0))],
        PiecewiseLinear(
            (0, 26.173907777872337, 52.347815555744674, 104.69563111148935),
            (0, 0, 1.8522823959669683, 44.31395299578395),
        ), MILLI,
    ),
    "a pole so steep that a digit of the load moves the price": (
        [ONE] * 2, Barrier(0.143692052147463, 1.9626710334396346e-09), None,
    ),
    "a power of a demand that nothing limits": (
        [of((0, 1), (1, 0))], Power(0.0, 2.0, 3), THIRD,
    ),
    "a witness at a kink that is no double": (
        [ONE], PiecewiseLinear((0.0, 0.1, 0.2), (50, 50, 100)), None,
    ),
    "nothing to choose, and it costs nothing": ([of((0, 0))], Linear(0.0, 0.5, 4.0), None),
    "a pole that a quantum would reach": ([of((0, 0.1), (4.2, 0))], Barrier(1.0, 0.1), TENTH),
    "a pole that one more quantum would reach": (
        [ONE, ONE, of((0, 0.1), (1, 0))], Barrier(0.1, 1.0), THIRD,
    ),
    "a pole a few quanta away": (
        [of((0, 2), worth=0.1, least=1.0), *[of((0, 1.185369544758261e-5), most=2.0)] * 3],
        Barrier(4.6824034058582296e-11, 2.0), Fraction(1, 10**5),
    ),
    "a pole within a few digits of F": (
        [of((0, 1e19)), of((0, 1e19)), of((0.0, 0.3), (1.0, 0.0), worth=0.5)],
        Barrier(3e-10, 1.46), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ANTICIPATING)
def test_anticipating_clients_end_in_an_equilibrium(name: str) -> None:
    clients, tariff, quantum = ANTICIPATING[name]
    assert_proven(nash(named(clients), tariff, quantum=quantum))


OR_LOCAL = of((0.0, 1.0), (2.0, 0.0))
#: Markets in which everybody takes the price as given, and how much is sold.
TAKING = {
    "a tie that fits exactly": ([OR_LOCAL], Clearing(1.0), None, 1.0),
    "and one that does not": ([OR_LOCAL], Clearing(1.0 - 1e-11), None, 0.0),
    "two of three ties fit exactly": ([OR_LOCAL] * 3, Clearing(2.0), None, 2.0),
    "a tie that fits below a free price": ([OR_LOCAL], Flat(0.0, 1.0), None, 1.0),
    "a tie where the price is posted": ([OR_LOCAL], Linear(0.0, 1.0), None, 1.0),
    "a tie at capacity, beyond the price posted": ([OR_LOCAL], Power(0.0, 0.5, 2, 1.0), None, 1.0),
    "more quanta wanted below the tie than a double counts": (
        [of((0.0, 467581278.62776893), (1.0, 0.0))],
        Flat(0.0, 0.36),
        Fraction(1, 10**9),
        0.0,
    ),
    "a tie of one quantum of many": (
        [of((0.0, w)) for w in (13.0, 728.6, 59351.0, 3943.6, 40142.0, 28.4)],
        Barrier(0.1, 0.8),
        Fraction(1, 10**7),
        0.7999,
    ),
    "a pole beyond the digits of F": (
        [of((0, 1e12)), of((0, 8e9)), of((0, 4.8e13))],
        Barrier(0.1, 0.5),
        None,
        0.5,
    ),
    "a table too steep for the digits of F": (
        [of((0.0, 164.0)), of((0.0, 89.0)), of((0.0, 3.0))],
        PiecewiseLinear((0.0, 0.1, 0.2, 0.4), (0.0, 0.03, 0.15, 8.6e17)),
        None,
        0.2,
    ),
    "all that is free": (
        [of((0.0, 1.0), most=0.25)] * 2,
        PiecewiseLinear((0, 0.5, 1), (0, 0, 1e-6)),
        None,
        0.5,
    ),
    "all that is free, in quanta": (
        [of((0.0, 1.0), most=0.25)] * 2,
        PiecewiseLinear((0, 0.5, 1), (0, 0, 0.25)),
        MILLI,
        0.5,
    ),
    "a tie among thirds": ([OR_LOCAL] * 2, Clearing(1.0), THIRD, 1.0),
}


@pytest.mark.parametrize("name", TAKING)
def test_price_takers_buy_what_is_for_sale(name: str) -> None:
    clients, tariff, quantum, sold = TAKING[name]
    found = competitive(named(clients), tariff, quantum=quantum)
    assert found.total == pytest.approx(sold, rel=1e-9 if quantum is None else 1e-3)
    assert_proven(found)


@pytest.mark.parametrize("quantum", [None, MILLI, Fraction(1, 10**40)])
@pytest.mark.parametrize(
    "tariff", [Flat(0.0), Linear(0.0, 0.0), PiecewiseLinear((0.0, 1.0), (0.0, 0.0))]
)
@pytest.mark.parametrize("solver", [nash, competitive])
def test_demand_without_a_limit_is_infeasible(solver, tariff: Tariff, quantum) -> None:
    with pytest.raises(Infeasible, match="demand has no limit"):
        solver(named([ONE, of((0.5, 0.5), (1.0, 0.0))]), tariff, quantum=quantum)


def test_a_share_too_small_to_divide_by_takes_for_ever() -> None:
    table = ClientTable.of([ONE, OR_LOCAL])
    latencies, pieces = table.latencies(np.array([5e-324, 5e-324]))
    assert latencies.tolist() == [math.inf, math.inf]
    assert pieces.shape == (2,)


@pytest.mark.parametrize("solver", [nash, competitive])
@pytest.mark.parametrize("tariff", [Flat(1e-9), Linear(0.0, 1e-9), Power(0.0, 1.0, 16)])
def test_a_quantum_too_fine_for_the_demand_is_refused(solver, tariff: Tariff) -> None:
    with pytest.raises(InvalidInput, match="too fine for a demand of"):
        solver(named([ONE, OR_LOCAL] * 10), tariff, quantum=Fraction(1, 10**22))
