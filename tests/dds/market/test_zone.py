"""Zones and crowds: against asking everybody."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dds.market import crowd as crowd_module
from dds.market import equilibrium as equilibrium_module
from dds.market import outlook
from dds.market.equilibrium import competitive, nash
from dds.market.numbers import exact_sum
from dds.market.passes import answer_all
from dds.market.replies import Quote, best_replies
from dds.market.table import ClientTable
from dds.market.tariff import Barrier, Clearing, Linear, PiecewiseLinear, Power
from dds.market.tariff_base import Tariff
from dds.market.zone import MARGIN, Zone

COUNT = 300


@pytest.mark.usefixtures("engine")
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from([0.0, 1e-4, 0.01, 1.0, 100.0]),
    st.floats(1e-9, 0.3),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.sampled_from([2.0, 16.0]),
)
def test_a_zone_and_those_inside_it_know_demand_and_shares(
    hundreds: ClientTable, slope: float, width: float, at: float, also: float, smaller: float
) -> None:
    price = 0.5
    zone = Zone.between(
        hundreds, Quote(1e100, price, slope), Quote(1e100, price * (1 + width), slope * (1 + width))
    )
    assert zone is not None
    quote = Quote(1e100, price * (1 + at * width), slope * (1 + also * width))
    step = width / smaller
    inner = zone.inner(
        Quote(1e100, max(price, quote.price - price * step), max(slope, quote.slope * (1 - step))),
        Quote(1e100, quote.price + price * step, quote.slope * (1 + step)),
        zone.turning[:1],
    )
    whole = answer_all(hundreds, quote).shares
    for part in (zone, inner):
        assert part.covers(quote, np.zeros(0, np.int64))
        total = part.settled(quote) + exact_sum(part.turned(quote))[0]
        assert total == pytest.approx(whole.sum(), rel=MARGIN)
        shares = part.shares(quote)
        shares[part.turning] = part.turned(quote)
        np.testing.assert_allclose(shares, whole, rtol=1e-12)
    assert inner.within(zone)
    assert not zone.within(inner)
    assert set(inner.turning.tolist()) <= set(zone.turning.tolist())


def test_no_zone_begins_at_price_or_slope_zero(hundreds: ClientTable) -> None:
    assert Zone.between(hundreds, Quote(1e100, 0.0, 0.0), Quote(1e100, 1.0, 0.0)) is None
    assert Zone.between(hundreds, Quote(1e100, 1.0, 0.0), Quote(1e100, 1.0, 2.0)) is None
    assert Zone.between(hundreds, Quote(1e100, 1.0, 2.0), Quote(1e100, 2.0, 1.0)) is None
    assert Zone.between(hundreds, Quote(1e100, 1.0, 2.0), Quote(3.0, 2.0, 2.0)) is None


TARIFFS = [
    Clearing(0.1 * COUNT),
    Clearing(1e4),
    Linear(0.05, 2.0 / COUNT),
    Linear(0.0, 1e-4, 0.05 * COUNT),
    Barrier(0.3, 0.1 * COUNT),
    Power(0.1, 8.0 / COUNT**2, 2),
    PiecewiseLinear((0.0, 20.0, 60.0), (0.1, 0.2, 4.0)),
]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("concept", [nash, competitive])
@pytest.mark.parametrize("tariff", TARIFFS, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("first_look", [True, False])
@pytest.mark.parametrize("kinds", [300, 7])
def test_a_crowd_ends_where_asking_everybody_does(
    concept: object,
    tariff: Tariff,
    first_look: bool,
    kinds: int,
    hundreds: ClientTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where many clients are alike, all of them jump at once."""
    hundreds = hundreds.take(np.arange(COUNT) % kinds)
    solver = nash if concept is nash else competitive
    monkeypatch.setattr(equilibrium_module, "MANY", 10**9)
    known = solver(hundreds, tariff)
    monkeypatch.setattr(equilibrium_module, "MANY", 1)
    monkeypatch.setattr(crowd_module, "FEW", 4)
    monkeypatch.setattr(equilibrium_module, "SAMPLE", 64 if first_look else 10**9)
    monkeypatch.setattr(outlook, "SAMPLE", 64)
    found = solver(hundreds, tariff)
    if concept is nash and not isinstance(tariff, Clearing):
        # Where demand jumps there are several equilibria; both are.
        assert found.price == pytest.approx(known.price, rel=1e-3)
        best = best_replies(hundreds, tariff, found.total - found.shares).costs
        cost = hundreds.value * found.latencies + found.payments
        assert np.all(cost <= best * (1.0 + 1e-9))
    else:
        assert found.price == pytest.approx(known.price, rel=1e-9)
        np.testing.assert_allclose(found.shares, known.shares, rtol=1e-6, atol=1e-9)
    again = solver(hundreds, tariff, start=found)
    assert again.price == pytest.approx(found.price, rel=1e-3)
    assert again.rounds <= known.rounds + 5
