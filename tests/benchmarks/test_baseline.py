"""What DDS is measured against is right: else it would be no opponent."""

import numpy as np
import pytest
from baseline import Rows, bisection, sequential
from instances import clients, regrets, tariffs

from dds import competitive, nash

COUNT = 60
NASH = [kind for kind in tariffs(COUNT) if kind != "clearing"]


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("kind", NASH)
def test_taking_turns_ends_at_an_equilibrium(kind: str, warm: bool, bounded: bool) -> None:
    table, tariff = clients(COUNT, 3, bounded=bounded), tariffs(COUNT, 0.3)[kind]
    found = sequential(Rows.of(table), tariff, warm=warm)
    assert found.settled
    assert (found.shares > 0.0).any()
    assert regrets(table, tariff, found.shares).max() <= 1.1e-9


def test_taking_turns_gives_up() -> None:
    table, tariff = clients(COUNT, 3), tariffs(COUNT, 0.3)["linear"]
    assert not sequential(Rows.of(table), tariff, limit=0.0).settled


def test_bisection_finds_the_clearing_price() -> None:
    table, tariff = clients(COUNT, 3), tariffs(COUNT, 0.3)["clearing"]
    price, shares, latencies = bisection(Rows.of(table), tariff)
    assert price == pytest.approx(competitive(table, tariff).price, rel=1e-12)
    assert shares.sum() <= tariff.capacity
    np.testing.assert_allclose(latencies, table.latencies(shares)[0], rtol=1e-12)
    assert regrets(table, tariff, shares, price).max() <= 1e-12


def test_the_check_sees_who_could_gain() -> None:
    table, tariff = clients(COUNT, 3), tariffs(COUNT, 0.3)["linear"]
    found = nash(table, tariff)
    assert regrets(table, tariff, found.shares).max() <= 1e-9
    assert regrets(table, tariff, 1.2 * found.shares).max() > 1e-4
    assert regrets(table, tariff, np.zeros(COUNT)).max() > 1e-2


def test_the_check_sees_what_cannot_be_sold() -> None:
    table, tariff = clients(COUNT, 3), tariffs(COUNT)["sold out"]
    assert np.isinf(regrets(table, tariff, np.full(COUNT, tariff.capacity))).all()


def test_instances_are_seeded() -> None:
    one, again, other = clients(5, 1), clients(5, 1), clients(5, 2)
    np.testing.assert_array_equal(one.base, again.base)
    assert not np.array_equal(one.base, other.base)
