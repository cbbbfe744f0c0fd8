"""Every certificate that the solvers emit is accepted; no tampering with one is."""

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dds.cut.pieces import Frontier
from dds.market.client import Client
from dds.market.equilibrium import Equilibrium, competitive, nash
from dds.market.tariff import Barrier, Clearing, Flat, Linear, PiecewiseLinear, Power
from proofs.check import Verdict, check

TARIFFS = {
    "clearing": Clearing(4.0),
    "flat": Flat(0.5),
    "flat, bounded": Flat(0.1, 3.0),
    "linear": Linear(0.1, 0.2),
    "linear, bounded": Linear(0.0, 0.01, 3.0),
    "power": Power(0.05, 0.01, 3, 10.0),
    "barrier": Barrier(0.1, 4.0),
    "piecewise": PiecewiseLinear((0.0, 1.0, 2.0, 4.0), (0.1, 0.2, 0.5, 3.0)),
    "piecewise, bounded": PiecewiseLinear((0.0, 1.0), (0.1, 0.1), 2.5),
}


def market(seed: int, size: int) -> list[Client]:
    """Clients of all sorts: with and without local-only, bounds, and twins that tie."""
    rng = np.random.default_rng(seed)
    clients: list[Client] = []
    for i in range(size):
        if i % 4 == 3:
            twin = clients[-1]
            clients.append(
                Client(twin.frontier, twin.value_of_time, twin.min_share, twin.max_share, f"c{i}")
            )
            continue
        count = int(rng.integers(1, 5))
        bases = np.sort(rng.uniform(0.01, 1.0, count)).tolist()
        works = (-np.sort(-rng.uniform(0.01, 0.6, count))).tolist()
        points = [*zip(bases, works, strict=True), (float(rng.uniform(0.5, 2.0)), 0.0)]
        high = float(rng.uniform(0.5, 2.0)) if rng.uniform() < 0.7 else 8.0
        low = 0.05 if rng.uniform() < 0.3 else 0.0
        value = float(rng.uniform(0.2, 5.0))
        clients.append(Client(Frontier.from_points(points), value, low, high, f"c{i}"))
    return clients


def judged(equilibrium: Equilibrium) -> tuple[Verdict, dict[str, Any]]:
    document = json.loads(equilibrium.certificate.to_json())
    return check(document), document


@pytest.mark.parametrize("quantum", [None, "1/1000", "1/10"])
@pytest.mark.parametrize("concept", [nash, competitive], ids=["nash", "competitive"])
@pytest.mark.parametrize("name", TARIFFS)
@pytest.mark.parametrize("seed", range(2))
def test_every_certificate_is_verified(name: str, concept: Any, quantum: str, seed: int) -> None:
    exact = None if quantum is None else Fraction(quantum)
    found = concept(market(seed, 4 + 9 * seed), TARIFFS[name], quantum=exact)
    verdict, document = judged(found)
    assert verdict.verified, verdict.summary()
    if concept is nash and quantum and name != "clearing":
        assert document["max_regret"] == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(sorted(TARIFFS)), st.sampled_from([None, "1/100"]))
def test_random_markets(seed: int, name: str, quantum: str | None) -> None:
    exact = None if quantum is None else Fraction(quantum)
    for concept in (nash, competitive):
        verdict, _ = judged(concept(market(seed, 1 + seed % 9), TARIFFS[name], quantum=exact))
        assert verdict.verified, verdict.summary()


def test_tied_twins_are_served_while_they_fit() -> None:
    """A market without exact clearing: demand of each jumps 2 -> 0 at price 1/4."""
    frontier = Frontier.from_points([(1.0, 0.0), (0.0, 1.0)])
    twins = [Client(frontier, 1.0, name=f"twin-{i}") for i in range(3)]
    verdict, document = judged(competitive(twins, Clearing(5.0)))
    assert verdict.verified, verdict.summary()
    assert document["price_below"] is not None
    assert document["total_demand"] == pytest.approx(4.0, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_tampered_certificate_is_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(TARIFFS)))
    _, document = judged(nash(market(5, 9), TARIFFS[name]))
    row = document["clients"][data.draw(st.integers(0, 8))]
    key = data.draw(st.sampled_from(["share", "payment", "latency_s", "regret", "piece"]))
    if key == "piece":
        row["piece"] = (row["piece"] + 1) % len(row["pieces"])
    elif key == "regret":
        row["regret"] += 0.01
    else:
        row[key] = row[key] * 1.001 or 0.125
    assert not check(document).verified
